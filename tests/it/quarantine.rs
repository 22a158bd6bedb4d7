//! A plugin that fails again and again is left alone for a while; its neighbours never notice.

use serde_json::{Value, json};
use std::time::Duration;
use wardroom::Limit;
use wardroom_tests::{Client, Plugin, TestServer};

fn puppet(version: &str) -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "version": version, "routes": [["do", "/do"]] }))
}

async fn code(client: &mut Client, script: Value) -> Value {
    let reply = client.request("do", "/do", script).await.unwrap();
    reply["error"]["code"].clone()
}

async fn trap(client: &mut Client) -> Value {
    code(client, json!([["trap"]])).await
}

/// Fails for as long as it is let.
async fn quarantine(server: &TestServer, client: &mut Client, failures: usize) {
    for _ in 0..failures {
        assert_eq!(trap(client).await, 500);
    }
    assert_eq!(trap(client).await, 503);
    server.logged(&["quarantined", "puppet"]).await.unwrap();
}

#[tokio::test]
async fn failures_in_row_max() {
    let server = TestServer::start(&[puppet("1"), Plugin::built("echo")], |config| {
        config.limits.failures_in_row_max = 3;
        config.limits.quarantine_min = Duration::from_secs(3600);
        config.limits.quarantine_max = Duration::from_secs(3600);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    // One less, and an error that is the handler's own, are nothing.
    for _ in 0..5 {
        assert_eq!(
            (trap(&mut client).await, trap(&mut client).await),
            (json!(500), json!(500))
        );
        assert_eq!(code(&mut client, json!([["error", 418, "tea"]])).await, 418);
    }
    assert_eq!(server.reached(Limit::FailuresInRowMax), 0);
    quarantine(&server, &mut client, 3).await;
    assert_eq!(server.reached(Limit::FailuresInRowMax), 1);
    assert_eq!(
        code(&mut client, json!([])).await,
        503,
        "also what would go well"
    );
    let reply = client.request("echo", "/echo", json!(7)).await.unwrap();
    assert_eq!(reply["data"], 7, "others go on");
    // A new version starts anew.
    puppet("2").write(server.plugins.path());
    server.logged(&["plugin swapped", "1 -> 2"]).await.unwrap();
    assert_eq!(code(&mut client, json!([])).await, Value::Null);
}

#[tokio::test]
async fn quarantine_min() {
    let server = TestServer::start(&[puppet("1")], |config| {
        config.limits.failures_in_row_max = 2;
        config.limits.quarantine_min = Duration::from_millis(50);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(server.reached(Limit::QuarantineMin), 0);
    quarantine(&server, &mut client, 2).await;
    assert_eq!(server.reached(Limit::QuarantineMin), 1);
    // It ends by itself, when the first event that is let through goes well.
    while code(&mut client, json!([])).await == 503 {}
    assert_eq!(
        (trap(&mut client).await, code(&mut client, json!([])).await),
        (json!(500), Value::Null)
    );
}

#[tokio::test]
async fn quarantine_max() {
    let server = TestServer::start(&[puppet("1")], |config| {
        config.limits.failures_in_row_max = 1;
        config.limits.quarantine_min = Duration::from_millis(20);
        config.limits.quarantine_max = Duration::from_millis(50);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    for length in ["20ms", "40ms", "50ms", "50ms"] {
        let before = server.log.lines_with(&["quarantined", length]).len();
        while trap(&mut client).await == 503 {}
        assert_eq!(
            server.log.lines_with(&["quarantined", length]).len(),
            before + 1,
            "{length}"
        );
    }
    assert_eq!(server.reached(Limit::QuarantineMin), 1);
    assert_eq!(server.reached(Limit::QuarantineMax), 2);
}
