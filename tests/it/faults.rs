//! Guests that trap, spin, hog and lie: what they cost is their own.

use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use wardroom::Limit;
use wardroom_tests::{Client, Frame, Plugin, TestServer};

fn puppet() -> Plugin {
    Plugin::puppet(&json!({
        "name": "puppet",
        "routes": [["do", "/do"], ["random", "/random"], ["whoami", "/self"]],
    }))
}

/// Sends a client's share of the requests without waiting, then collects one reply for each.
async fn flood(mut client: Client, requests: u64) -> anyhow::Result<BTreeSet<u64>> {
    let mut replies = BTreeSet::new();
    // As many under way as fit into an outbox.
    const AT_ONCE: u64 = 200;
    for first in (0..requests).step_by(AT_ONCE as usize) {
        let chunk = first..requests.min(first + AT_ONCE);
        for id in chunk.clone() {
            // A number that is different in each request and the same in each run.
            let number = id
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407)
                >> 33;
            client
                .send(format!(
                    r#"{{"event":"random","path":"/random","data":{number},"id":{id}}}"#
                ))
                .await?;
        }
        for _ in chunk {
            let reply = client.receive_json().await?;
            let id = reply["id"]
                .as_u64()
                .ok_or_else(|| anyhow::anyhow!("a reply without its id: {reply}"))?;
            anyhow::ensure!(replies.insert(id), "{id} is answered twice");
            let answered = match reply["error"]["code"].as_u64() {
                None => reply.get("data").is_some(),
                Some(500) => reply["error"]["message"] == "Internal Error",
                Some(code) => [418, 504].contains(&code),
            };
            anyhow::ensure!(answered, "no such answer is possible: {reply}");
        }
    }
    Ok(replies)
}

#[tokio::test]
async fn ten_thousand_requests_to_a_random_guest_get_one_reply_each() {
    const CONNECTIONS: u64 = 4;
    const REQUESTS: u64 = 2_500;
    let server = TestServer::start(&[puppet(), Plugin::built("echo")], |config| {
        config.limits.event_cpu_max = Duration::from_millis(20);
    })
    .unwrap();
    let mut floods = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        floods.spawn(flood(
            server.connect(&format!("client {number}")).await.unwrap(),
            REQUESTS,
        ));
    }
    let all: BTreeSet<_> = (0..REQUESTS).collect();
    for replies in floods.join_all().await {
        assert_eq!(replies.unwrap(), all);
    }
    let mut client = server.connect("afterwards").await.unwrap();
    assert_eq!(
        client
            .request("echo", "/echo", json!("alive"))
            .await
            .unwrap()["data"],
        "alive"
    );
}

#[tokio::test]
async fn four_spinning_connections_leave_the_others_their_50_ms() {
    let server = TestServer::start(&[puppet(), Plugin::built("echo")], |config| {
        config.limits.event_cpu_max = Duration::from_millis(300);
    })
    .unwrap();
    let mut echo = server.connect("echo").await.unwrap();
    echo.request("echo", "/echo", json!(0)).await.unwrap();
    let mut spinning = Vec::new();
    for number in 0..4 {
        let mut client = server.connect(&format!("spinner {number}")).await.unwrap();
        client.barrier().await.unwrap();
        spinning.push(client);
    }
    for client in &mut spinning {
        client
            .send(r#"{"event":"do","path":"/do","data":[["spin"]],"id":1}"#)
            .await
            .unwrap();
    }
    // For as long as all of them spin: until the first reply has come.
    let (first, others) = spinning.split_at_mut(1);
    let mut times = Vec::new();
    let first_reply = first[0].receive_json();
    tokio::pin!(first_reply);
    let first_reply = loop {
        let start = Instant::now();
        tokio::select! {
            biased;
            reply = &mut first_reply => break reply.unwrap(),
            answer = echo.request("echo", "/echo", json!(1)) => assert_eq!(answer.unwrap()["data"], 1),
        }
        times.push(start.elapsed());
    };
    assert_eq!(first_reply["error"]["code"], 504, "{first_reply}");
    for client in others {
        let reply = client.receive_json().await.unwrap();
        assert_eq!(
            (&reply["id"], &reply["error"]["code"]),
            (&json!(1), &json!(504)),
            "{reply}"
        );
    }
    times.sort();
    let (median, max) = (times[times.len() / 2], times[times.len() - 1]);
    let nearly_all = times[times.len() * 9 / 10];
    eprintln!(
        "{} echoes beside four spinners: median {median:?}, 90 % {nearly_all:?}, most {max:?}",
        times.len()
    );
    assert!(
        times.len() >= 5,
        "only {} echoes in the time of four spinners: {times:?}",
        times.len()
    );
    // The ninth decile, because this machine has other work as well.
    assert!(
        nearly_all <= Duration::from_millis(50),
        "echo took {times:?}"
    );
}

#[tokio::test]
async fn an_event_out_of_cpu_time_is_ended() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.event_cpu_max = Duration::from_millis(400);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    // Just under, by the guest's own clock; and time that is slept is not worked.
    assert_eq!(
        client.run("/do", json!([["work", 20]])).await.unwrap(),
        json!(["worked"])
    );
    assert_eq!(
        client.run("/do", json!([["sleep", 800]])).await.unwrap(),
        json!(["slept"])
    );
    assert_eq!(server.reached(Limit::EventCpuMax), 0);
    let start = Instant::now();
    let reply = client.run("/do", json!([["work", 60_000]])).await.unwrap();
    assert_eq!(reply["error"]["code"], 504, "{reply}");
    assert_eq!(server.reached(Limit::EventCpuMax), 1);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "it took {:?}",
        start.elapsed()
    );
    // Work beside host calls counts as well.
    let reply = client
        .run("/do", json!([["repeat", 100_000_000, ["joined"]]]))
        .await
        .unwrap();
    assert_eq!(reply["error"]["code"], 504, "{reply}");
    assert_eq!(
        client.run("/do", json!([["value", 1]])).await.unwrap(),
        json!([1])
    );
}

#[tokio::test]
async fn an_event_out_of_time_is_ended() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.event_wall_max = Duration::from_millis(500);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.run("/do", json!([["sleep", 1]])).await.unwrap(),
        json!(["slept"])
    );
    assert_eq!(server.reached(Limit::EventWallMax), 0);
    let start = Instant::now();
    let reply = client
        .run("/do", json!([["sleep", 3_600_000]]))
        .await
        .unwrap();
    assert_eq!(reply["error"]["code"], 504, "{reply}");
    assert_eq!(server.reached(Limit::EventWallMax), 1);
    assert!(
        start.elapsed() >= Duration::from_millis(500),
        "it took only {:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "it took {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_trap_names_its_cause_in_the_log_alone() {
    let server = TestServer::start(&[puppet()], |_| {}).unwrap();
    let mut client = server.connect("A").await.unwrap();
    let reply = client
        .run("/do", json!([["panic", "the secret cause"]]))
        .await
        .unwrap();
    assert_eq!(
        reply["error"],
        json!({ "code": 500, "message": "Internal Error" })
    );
    server
        .logged(&["puppet", "the secret cause"])
        .await
        .unwrap();
    client.run("/do", json!([["trap"]])).await.unwrap();
    server.logged(&["puppet", "unreachable"]).await.unwrap();
    client
        .run("/do", json!([["reply", "rubbish"]]))
        .await
        .unwrap();
    server.logged(&["puppet", "JSON"]).await.unwrap();
}

#[tokio::test]
async fn a_client_that_vanishes_does_not_stop_its_handler() {
    let server = TestServer::start(&[puppet()], |_| {}).unwrap();
    let mut watch = server.connect("watch").await.unwrap();
    watch.run("/do", json!([["join", "/watch"]])).await.unwrap();
    let mut gone = server.connect("gone").await.unwrap();
    let script = json!([
        ["broadcast", "began", 1, "/watch"],
        ["sleep", 200],
        ["broadcast", "ended", 1, "/watch"]
    ]);
    gone.send(json!({ "event": "do", "path": "/do", "data": script, "id": 1 }).to_string())
        .await
        .unwrap();
    assert_eq!(watch.receive_json().await.unwrap()["event"], "began");
    gone.vanish();
    assert_eq!(watch.receive_json().await.unwrap()["event"], "ended");
}

#[tokio::test]
async fn log_lines_and_output_of_guests_are_limited() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.log_lines_per_event_max = 5;
        config.limits.log_line_bytes_max = 200;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let script = json!([
        ["log", "info", "a line", [["key", "\"value\""]]],
        ["print", "printed"],
        ["eprint", "eprinted"]
    ]);
    assert_eq!(
        client.run("/do", script).await.unwrap(),
        json!(["ok", "ok", "ok"])
    );
    for line in ["a line", "printed", "eprinted"] {
        server.logged(&["puppet", line]).await.unwrap();
    }
    assert_eq!(server.reached(Limit::LogLinesPerEventMax), 0);
    let flood = json!([["repeat", 1000, ["log", "warn", "flooding", []]]]);
    assert_eq!(client.run("/do", flood).await.unwrap()[0]["ok"], 1000);
    server.logged(&["995"]).await.unwrap();
    assert_eq!(server.reached(Limit::LogLinesPerEventMax), 1);
    assert_eq!(
        server.log.lines_with(&["flooding"]).len(),
        5,
        "{}",
        server.log.text()
    );
    client
        .run("/do", json!([["repeat", 1000, ["print", "printing"]]]))
        .await
        .unwrap();
    client.barrier().await.unwrap();
    assert_eq!(
        server.log.lines_with(&["printing"]).len(),
        5,
        "{}",
        server.log.text()
    );
    // A long line is cut, and control characters cannot forge another one.
    assert_eq!(server.reached(Limit::LogLineBytesMax), 0);
    client
        .run(
            "/do",
            json!([["log", "warn", format!("long {}", "y".repeat(5000)), []]]),
        )
        .await
        .unwrap();
    client
        .run(
            "/do",
            json!([[
                "log",
                "warn",
                "forged\n2026 ERROR all is lost \u{1b}[31m",
                []
            ]]),
        )
        .await
        .unwrap();
    let long = server.logged(&["long y"]).await.unwrap();
    assert!(long.len() < 1000, "{long}");
    assert_eq!(server.reached(Limit::LogLineBytesMax), 1);
    let forged = server.logged(&["forged"]).await.unwrap();
    assert!(
        forged.contains("all is lost") && !forged.contains('\u{1b}'),
        "{forged}"
    );
}

#[tokio::test]
async fn unread_pings_of_a_dead_client_close_it() {
    let server = TestServer::start(&[puppet()], |config| {
        config.heartbeat_interval = Duration::from_millis(50);
        config.heartbeat_timeout = Duration::from_millis(50);
    })
    .unwrap();
    let mut watch = server.connect("watch").await.unwrap();
    watch.run("/do", json!([["value", 1]])).await.unwrap();
    let mut deaf = server.connect("deaf").await.unwrap();
    deaf.barrier().await.unwrap();
    // Only the watcher answers pings while it asks, again and again, until it is alone.
    let start = Instant::now();
    while watch
        .run("/do", json!([["connections", { "limit": 0 }, "local"]]))
        .await
        .unwrap()[0]["total"]
        != 1
    {
        assert!(
            start.elapsed() < wardroom_tests::WAIT,
            "the deaf connection is still counted"
        );
    }
    loop {
        match deaf.receive().await.unwrap() {
            Frame::Ping(_) => {}
            Frame::Closed(close) => break assert_eq!(close.code, Some(1001)),
            other => panic!("{other:?}"),
        }
    }
}
