//! Each limit, just under it and just over it: those that transcripts cannot show. `tidy` knows where the others are.

use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wardroom::Limit;
use wardroom_tests::{Plugin, TestServer, WAIT};

fn puppet() -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]] }))
}

#[tokio::test]
async fn connections_max() {
    let server =
        TestServer::start(&[puppet()], |config| config.limits.connections_max = 2).unwrap();
    let mut first = server.connect("1").await.unwrap();
    let mut second = server.connect("2").await.unwrap();
    let refusal = server
        .connect_at("3", "/ws", &[])
        .await
        .unwrap()
        .map(|_| ())
        .unwrap_err();
    assert_eq!(refusal.status, 503, "{refusal:?}");
    second.barrier().await.unwrap();
    first.close(1000, "").await.unwrap();
    first.receive_close().await.unwrap();
    // The place is free as soon as the host has let go of the connection, which its client cannot see.
    let start = Instant::now();
    while let Err(refusal) = server.connect_at("4", "/ws", &[]).await.unwrap() {
        assert_eq!(refusal.status, 503, "{refusal:?}");
        assert!(start.elapsed() < WAIT, "the place never becomes free");
    }
}

#[tokio::test]
async fn handshake_timeout() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.handshake_timeout = Duration::from_millis(200)
    })
    .unwrap();
    for begun in ["", "GET /ws HT", "GET /ws HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Reset or ended, after an answer or without one: the socket is gone.
        let end = tokio::time::timeout(WAIT, stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "{begun:?} is still waited for");
    }
    server
        .connect("in time")
        .await
        .unwrap()
        .barrier()
        .await
        .unwrap();
}

#[tokio::test]
async fn close_timeout() {
    // The host closes; the client neither answers nor ends the socket.
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.close_timeout = Duration::from_millis(200)
    })
    .unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(wardroom_tests::http::upgrade("/ws").as_bytes())
        .await
        .unwrap();
    stream.write_all(&[0x81, 0x01, 0x61]).await.unwrap();
    let mut answer = Vec::new();
    let end = tokio::time::timeout(WAIT, stream.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "the socket is still open");
    assert!(
        answer
            .windows(4)
            .any(|window| window[..1] == [0x88] && window[2..] == 1002u16.to_be_bytes()),
        "{answer:?}"
    );
}

#[tokio::test]
async fn default_limits() {
    // With what is configured by default, a megabyte comes back; more is closed.
    let server = TestServer::start(&[Plugin::built("echo")], |_| {}).unwrap();
    let mut client = server.connect("A").await.unwrap();
    let data = "x".repeat((1 << 20) - 200);
    assert_eq!(
        client.request("echo", "/echo", json!(data)).await.unwrap()["data"],
        data
    );
    client.send("x".repeat((1 << 20) + 1)).await.unwrap();
    assert_eq!(client.receive_close().await.unwrap().code, Some(1009));
}

#[tokio::test]
async fn table_elements_max() {
    // The guest's table of functions has some hundred; the limit is met when it is loaded.
    let server =
        TestServer::start(&[puppet()], |config| config.limits.table_elements_max = 10).unwrap();
    let mut client = server.connect("A").await.unwrap();
    client.barrier().await.unwrap();
    server.logged(&["puppet.wasm", "table"]).await.unwrap();
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.table_elements_max = 2_000
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.run("/do", json!([["value", 1]])).await.unwrap(),
        json!([1])
    );
}

#[tokio::test]
async fn instances_memory_max() {
    // A puppet begins with some 1.2 MiB: there is room for one, and not for two.
    let single = Plugin::puppet(
        &json!({ "name": "single", "mode": "singleton", "routes": [["do", "/single"]] }),
    );
    let server = TestServer::start(&[puppet(), single], |config| {
        config.limits.instances_memory_max = 2 << 20;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let value = json!([["value", 1]]);
    assert_eq!(
        client.run("/single", value.clone()).await.unwrap(),
        json!([1])
    );
    assert_eq!(server.reached(Limit::InstancesMemoryMax), 0);
    let reply = client.run("/do", value).await.unwrap();
    assert_eq!(reply["error"]["code"], 503, "{reply}");
    assert_eq!(server.reached(Limit::InstancesMemoryMax), 1);
    server.logged(&["instances_memory_max"]).await.unwrap();
}

#[tokio::test]
async fn handles_max() {
    // How many a sleep takes is the guest's libraries' business: there is a number that does, and one less does not.
    let mut enough = 0;
    let refused = loop {
        assert!(enough < 20, "a sleep takes a handle or two");
        let server =
            TestServer::start(&[puppet()], |config| config.limits.handles_max = enough).unwrap();
        let mut client = server.connect("A").await.unwrap();
        let reply = client.run("/do", json!([["sleep", 1]])).await.unwrap();
        let reached = server.reached(Limit::HandlesMax);
        if reply == json!(["slept"]) {
            break reached;
        }
        assert_eq!(reply["error"]["code"], 500, "{reply}");
        assert_eq!(reached, 1, "with {enough}");
        enough += 1;
    };
    assert!(enough > 0 && refused == 0, "{enough} handles, {refused}");
}
