//! Clients that do not read: the outbox has a limit, and over it the connection is closed with 3008.

use serde_json::json;
use wardroom::{Config, Limit};
use wardroom_tests::{Client, Close, Frame, Plugin, TestServer};

fn start(configure: impl FnOnce(&mut Config)) -> TestServer {
    let puppet = json!({ "name": "puppet", "routes": [["do", "/do"]] });
    TestServer::start(&[Plugin::puppet(&puppet), Plugin::built("echo")], configure).unwrap()
}

/// Reads up to the end; returns how many messages came before it and the close frame.
async fn drain(client: &mut Client) -> (usize, Close) {
    let mut messages = 0;
    loop {
        match client.receive().await.unwrap() {
            Frame::Text(_) => messages += 1,
            Frame::Closed(close) => return (messages, close),
            other => panic!("after {messages} messages: {other:?}"),
        }
    }
}

#[tokio::test]
async fn one_handler_fills_the_outbox_by_number() {
    // All of one handler's pushes meet an outbox that nothing drains while it runs.
    let server = start(|config| config.limits.outbox_messages_max = 100);
    let mut under = server.connect("under").await.unwrap();
    under
        .run(
            "/do",
            json!([["repeat", 99, ["send", { "event": "e", "path": "/" }]]]),
        )
        .await
        .unwrap();
    assert!(matches!(under.receive().await.unwrap(), Frame::Text(_)));
    assert_eq!(server.reached(Limit::OutboxMessagesMax), 0);
    let mut over = server.connect("over").await.unwrap();
    let script = json!([["repeat", 900, ["send", { "event": "e", "path": "/" }]]]);
    over.send(json!({ "event": "do", "path": "/do", "data": script, "id": 1 }).to_string())
        .await
        .unwrap();
    assert_eq!(drain(&mut over).await.1.code, Some(3008));
    server.reaches(Limit::OutboxMessagesMax, 1).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_holds_nobody_up() {
    let server = start(|config| config.limits.outbox_bytes_max = 200_000);
    let mut deaf = server.connect("deaf").await.unwrap();
    deaf.run("/do", json!([["join", "/room"]])).await.unwrap();
    let mut reading = server.connect("reading").await.unwrap();
    reading
        .run("/do", json!([["join", "/room"]]))
        .await
        .unwrap();
    let mut sender = server.connect("sender").await.unwrap();
    // Far more than sockets buffer between them; the one who reads gets it all.
    let script = json!([["broadcast", "e", { "big": 100_000 }, "/room"]]);
    let mut sent = 0;
    loop {
        let reply = sender.run("/do", script.clone()).await.unwrap();
        assert_eq!(reply, json!(["ok"]));
        assert!(matches!(reading.receive().await.unwrap(), Frame::Text(_)));
        sent += 1;
        let members = sender
            .run("/do", json!([["room-size", "/room", "local"]]))
            .await
            .unwrap();
        if members[0]["size"] == 1 {
            break;
        }
        assert!(sent < 1000, "100 MB, and the deaf client is still a member");
    }
    let (received, close) = drain(&mut deaf).await;
    assert_eq!(close.code, Some(3008));
    assert!(received <= sent, "{received} of {sent}");
    server.logged(&["outbox"]).await.unwrap();
    server.reaches(Limit::OutboxBytesMax, 1).await.unwrap();
}

#[tokio::test]
async fn outboxes_bytes_max() {
    // Each within its own limit, and the two together over that of all: the one for which more waits goes.
    let server = start(|config| {
        config.limits.outbox_bytes_max = 100 << 20;
        config.limits.outbox_messages_max = 1_000_000;
        config.limits.outboxes_bytes_max = 8 << 20;
    });
    let mut deaf = Vec::new();
    for room in ["/much", "/little"] {
        let mut client = server.connect(room).await.unwrap();
        client.run("/do", json!([["join", room]])).await.unwrap();
        deaf.push(client);
    }
    let mut sender = server.connect("sender").await.unwrap();
    let script = json!([
        ["broadcast", "e", { "big": 200_000 }, "/much"],
        ["broadcast", "e", { "big": 100_000 }, "/little"],
        ["room-size", "/much", "local"],
        ["room-size", "/little", "local"]
    ]);
    let mut sent = 0;
    let sizes = loop {
        let results = sender.run("/do", script.clone()).await.unwrap();
        let sizes = (results[2]["size"].clone(), results[3]["size"].clone());
        sent += 1;
        if sizes != (json!(1), json!(1)) {
            break sizes;
        }
        assert!(sent < 1000, "300 MB, and both are still members");
    };
    assert_eq!(sizes, (json!(0), json!(1)));
    assert_eq!(drain(&mut deaf[0]).await.1.code, Some(3008));
    server.logged(&["outboxes_bytes_max"]).await.unwrap();
    server.reaches(Limit::OutboxesBytesMax, 1).await.unwrap();
    assert!(matches!(deaf[1].receive().await.unwrap(), Frame::Text(_)));
}

#[tokio::test]
async fn a_flood_of_pings_does_not_grow_the_outbox() {
    let server = start(|config| config.limits.outbox_bytes_max = 100_000);
    let mut client = server.connect("A").await.unwrap();
    let mut frame = vec![0x89, 0xfd, 0, 0, 0, 0];
    frame.extend([b'p'; 125]);
    let many = frame.repeat(1000);
    // Ten thousand pings, none of whose pongs is read meanwhile; then either it lives or it was closed for it.
    for _ in 0..10 {
        client.send_raw(&many).await.unwrap();
    }
    client
        .send(r#"{"event":"echo","path":"/echo","id":"after"}"#)
        .await
        .unwrap();
    loop {
        match client.receive().await.unwrap() {
            Frame::Pong(_) => {}
            Frame::Text(text) => break assert!(text.contains("after"), "{text}"),
            Frame::Closed(close) => break assert_eq!(close.code, Some(3008)),
            other => panic!("{other:?}"),
        }
    }
    let mut other = server.connect("B").await.unwrap();
    assert_eq!(
        other.request("echo", "/echo", json!(1)).await.unwrap()["data"],
        1
    );
}
