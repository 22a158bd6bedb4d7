//! The limits of a tenant as a whole, and those of a rate, just under and just over.

use serde_json::{Value, json};
use std::time::Instant;
use wardroom::Limit;
use wardroom_tests::{Client, Plugin, TestServer, WAIT};

fn puppet() -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]] }))
}

/// Sends so many messages at once; returns how many are handled, and how many are answered 429.
async fn burst(client: &mut Client, count: usize) -> (usize, usize) {
    for id in 0..count {
        let message = json!({ "event": "do", "path": "/do", "data": [["value", 1]], "id": id });
        client.send(message.to_string()).await.unwrap();
    }
    let mut handled = 0;
    for id in 0..count {
        let reply = client.receive_json().await.unwrap();
        assert_eq!(reply["id"], id, "each has its answer, in order");
        if reply["data"] == json!([1]) {
            handled += 1;
        } else {
            assert_eq!(
                reply["error"],
                json!({ "code": 429, "message": "Too Many Requests" })
            );
        }
    }
    (handled, count - handled)
}

/// Asks until it is done, not refused for a limit.
async fn run_at_last(client: &mut Client, script: &Value) -> Value {
    let start = Instant::now();
    loop {
        let reply = client.request("do", "/do", script.clone()).await.unwrap();
        let is_refused = reply["error"]["code"] == 429 || !reply["data"][0]["limit"].is_null();
        if !is_refused {
            return reply["data"].clone();
        }
        assert!(start.elapsed() < WAIT, "nothing is earned: {reply}");
    }
}

#[tokio::test]
async fn messages_per_second_per_connection_max() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.messages_per_second_per_connection_max = 10;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let start = Instant::now();
    assert_eq!(burst(&mut client, 10).await, (10, 0));
    assert_eq!(server.reached(Limit::MessagesPerSecondPerConnectionMax), 0);
    let (handled, refused) = burst(&mut client, 50).await;
    let earned = 1 + (start.elapsed().as_secs_f64() * 10.0) as usize;
    assert!(handled <= earned, "{handled} of {earned}");
    assert_eq!(
        server.reached(Limit::MessagesPerSecondPerConnectionMax),
        refused as u64
    );
    // Others have their own.
    let mut other = server.connect("B").await.unwrap();
    assert_eq!(burst(&mut other, 10).await, (10, 0));
    run_at_last(&mut client, &json!([["value", 1]])).await;
    // Who wants no answer gets none of this either.
    let silent = json!({ "event": "do", "path": "/do", "data": [] }).to_string();
    for _ in 0..30 {
        client.send(silent.clone()).await.unwrap();
    }
    let reply = client.request("do", "/do", json!([])).await.unwrap();
    assert_eq!(reply["error"]["code"], 429, "{reply}");
}

#[tokio::test]
async fn messages_per_second_max() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.messages_per_second_max = 10;
    })
    .unwrap();
    let mut first = server.connect("A").await.unwrap();
    let mut second = server.connect("B").await.unwrap();
    let start = Instant::now();
    assert_eq!(burst(&mut first, 5).await, (5, 0));
    assert_eq!(burst(&mut second, 5).await, (5, 0));
    assert_eq!(server.reached(Limit::MessagesPerSecondMax), 0);
    let (handled, refused) = burst(&mut second, 50).await;
    let earned = 1 + (start.elapsed().as_secs_f64() * 10.0) as usize;
    assert!(handled <= earned, "{handled} of {earned}");
    assert_eq!(server.reached(Limit::MessagesPerSecondMax), refused as u64);
    run_at_last(&mut first, &json!([["value", 1]])).await;
}

#[tokio::test]
async fn bytes_in_per_second_max() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.bytes_in_per_second_max = 100_000;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    // One message may be larger than a second's: there was something left. That takes a while to earn.
    let large = json!([["value", "x".repeat(300_000)]]);
    let reply = client.request("do", "/do", large).await.unwrap();
    assert!(reply["data"].is_array(), "{reply}");
    assert_eq!(server.reached(Limit::BytesInPerSecondMax), 0);
    let mut other = server.connect("B").await.unwrap();
    let reply = other.request("do", "/do", json!([])).await.unwrap();
    assert_eq!(reply["error"]["code"], 429, "{reply}");
    assert_eq!(server.reached(Limit::BytesInPerSecondMax), 1);
    run_at_last(&mut other, &json!([["value", 1]])).await;
}

#[tokio::test]
async fn bytes_out_per_second_max() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.bytes_out_per_second_max = 100_000;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let push = json!({ "event": "e", "path": "/", "data": "x".repeat(300_000) });
    let sent = client.run("/do", json!([["send", push]])).await.unwrap();
    assert_eq!(sent, json!(["ok"]));
    assert_eq!(server.reached(Limit::BytesOutPerSecondMax), 0);
    // Each way to push, to whomever; replies go on.
    let push = json!({ "event": "e", "path": "/" });
    let refused = json!({ "limit": "bytes_out_per_second_max" });
    for call in [
        json!(["send", push]),
        json!(["broadcast", "e", null, "r", true]),
        json!(["server-broadcast", push]),
        json!(["server-send", "00000000-0000-0000-0000-000000000000", push]),
    ] {
        let said = client.run("/do", json!([call])).await.unwrap();
        assert_eq!(said, json!([refused]), "{call}");
    }
    assert_eq!(server.reached(Limit::BytesOutPerSecondMax), 4);
    let said = run_at_last(&mut client, &json!([["send", push]])).await;
    assert_eq!(said, json!(["ok"]));
}

#[tokio::test]
async fn rooms_max() {
    let server = TestServer::start(&[puppet()], |config| config.limits.rooms_max = 2).unwrap();
    let mut first = server.connect("A").await.unwrap();
    let mut second = server.connect("B").await.unwrap();
    let joined = first
        .run("/do", json!([["join", "a"], ["join", "b"]]))
        .await;
    assert_eq!(joined.unwrap(), json!(["ok", "ok"]));
    assert_eq!(server.reached(Limit::RoomsMax), 0);
    let script = json!([["join", "c"], ["join", "a"], ["joined"]]);
    let refused = json!({ "limit": "rooms_max" });
    assert_eq!(
        second.run("/do", script).await.unwrap(),
        json!([refused, "ok", ["a"]])
    );
    assert_eq!(server.reached(Limit::RoomsMax), 1);
    first.run("/do", json!([["leave", "b"]])).await.unwrap();
    let joined = second.run("/do", json!([["join", "c"]])).await.unwrap();
    assert_eq!(joined, json!(["ok"]));
    // A room whose last member is gone is none.
    first.run("/do", json!([["leave", "a"]])).await.unwrap();
    second.run("/do", json!([["leave", "a"]])).await.unwrap();
    let joined = first.run("/do", json!([["join", "d"]])).await.unwrap();
    assert_eq!(joined, json!(["ok"]));
}

/// A puppet, and another of which there is one instance.
fn two() -> [Plugin; 2] {
    let single = json!({ "name": "single", "mode": "singleton", "routes": [["do", "/single"]] });
    [puppet(), Plugin::puppet(&single)]
}

/// One has room, and the other has not.
async fn assert_room_for_one(server: &TestServer, limit: Limit) {
    let mut client = server.connect("A").await.unwrap();
    let value = json!([["value", 1]]);
    let first = client.run("/single", value.clone()).await.unwrap();
    assert_eq!(first, json!([1]));
    assert_eq!(server.reached(limit), 0);
    let reply = client.request("do", "/do", value).await.unwrap();
    assert_eq!(reply["error"]["code"], 503, "{reply}");
    server
        .logged(&["event not handled", "puppet"])
        .await
        .unwrap();
}

#[tokio::test]
async fn instances_per_tenant_max() {
    let server = TestServer::start(&two(), |config| {
        config.limits.instances_per_tenant_max = 1;
    })
    .unwrap();
    assert_room_for_one(&server, Limit::InstancesPerTenantMax).await;
    assert_eq!(server.reached(Limit::InstancesPerTenantMax), 1);
}

#[tokio::test]
async fn instances_memory_per_tenant_max() {
    // A puppet begins with some 1.2 MiB.
    let server = TestServer::start(&two(), |config| {
        config.limits.instances_memory_per_tenant_max = 2 << 20;
    })
    .unwrap();
    assert_room_for_one(&server, Limit::InstancesMemoryPerTenantMax).await;
    assert_eq!(server.reached(Limit::InstancesMemoryPerTenantMax), 1);
}
