//! Each limit, just under it and just over it: those that transcripts cannot show. `tidy` knows where the others are.

use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wardroom::Limit;
use wardroom_tests::{Client, Plugin, TestServer, WAIT, http};

fn puppet() -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]] }))
}

/// The HTTP status with which a connection is refused.
async fn refused(server: &TestServer) -> Option<u16> {
    let connected = server.connect_at("one more", "/ws", &[]).await.unwrap();
    connected.err().map(|refusal| refusal.status)
}

/// Connects as soon as there is a place, which is when the host has let go of another; that no client can see.
async fn connect_at_last(server: &TestServer) -> Client {
    let start = Instant::now();
    loop {
        match server.connect_at("at last", "/ws", &[]).await.unwrap() {
            Ok(client) => return client,
            Err(refusal) => assert!([429, 503].contains(&refusal.status), "{refusal:?}"),
        }
        assert!(start.elapsed() < WAIT, "the place never becomes free");
    }
}

#[tokio::test]
async fn connections_max() {
    let server =
        TestServer::start(&[puppet()], |config| config.limits.connections_max = 2).unwrap();
    let mut first = server.connect("1").await.unwrap();
    let mut second = server.connect("2").await.unwrap();
    assert_eq!(server.reached(Limit::ConnectionsMax), 0);
    assert_eq!(refused(&server).await, Some(503));
    assert_eq!(server.reached(Limit::ConnectionsMax), 1);
    // What is no connection needs no place.
    let health = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(http::ask(server.address, health).await.unwrap().status, 200);
    second.barrier().await.unwrap();
    first.close(1000, "").await.unwrap();
    first.receive_close().await.unwrap();
    connect_at_last(&server).await;
}

#[tokio::test]
async fn connections_per_address_max() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.connections_per_address_max = 2;
    })
    .unwrap();
    let mut first = server.connect("1").await.unwrap();
    let _second = server.connect("2").await.unwrap();
    assert_eq!(server.reached(Limit::ConnectionsPerAddressMax), 0);
    assert_eq!(refused(&server).await, Some(429));
    assert_eq!(server.reached(Limit::ConnectionsPerAddressMax), 1);
    first.close(1000, "").await.unwrap();
    first.receive_close().await.unwrap();
    connect_at_last(&server).await;
}

#[tokio::test]
async fn connections_per_second_max() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.connections_per_second_max = 2;
    })
    .unwrap();
    let mut first = server.connect("1").await.unwrap();
    server.connect("2").await.unwrap();
    assert_eq!(server.reached(Limit::ConnectionsPerSecondMax), 0);
    // A slow machine may have earned another one or two by now, and earns two with each second.
    let mut last = None;
    for _ in 0..10 {
        last = refused(&server).await;
        if last.is_some() {
            break;
        }
    }
    assert_eq!(last, Some(503));
    assert!(server.reached(Limit::ConnectionsPerSecondMax) >= 1);
    first.barrier().await.unwrap();
    connect_at_last(&server).await;
}

#[tokio::test]
async fn handshakes_max() {
    let server = TestServer::start(&[puppet()], |config| config.limits.handshakes_max = 2).unwrap();
    let mut begun = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /ws HT").await.unwrap();
        begun.push(stream);
    }
    // Sockets are accepted in the order in which they came.
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let mut answer = Vec::new();
    third.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    server.reaches(Limit::HandshakesMax, 1).await.unwrap();
    // Those that have begun go on, and a place that is given up is free.
    let rest = http::upgrade("/ws")["GET /ws HT".len()..].to_owned();
    begun[0].write_all(rest.as_bytes()).await.unwrap();
    // One byte of text, masked with zeros; that it is answered proves that this is no handshake any more.
    begun[0]
        .write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x'])
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        assert!(begun[0].read_buf(&mut answer).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    server.connect("a place").await.unwrap();
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
    server.reaches(Limit::HandshakeTimeout, 3).await.unwrap();
    server
        .connect("in time")
        .await
        .unwrap()
        .barrier()
        .await
        .unwrap();
    assert_eq!(server.reached(Limit::HandshakeTimeout), 3);
}

#[tokio::test]
async fn close_timeout() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.close_timeout = Duration::from_millis(200)
    })
    .unwrap();
    let mut client = server.connect("in time").await.unwrap();
    client.close(1000, "").await.unwrap();
    client.receive_close().await.unwrap();
    // The host closes; the client neither answers nor ends the socket.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(http::upgrade("/ws").as_bytes())
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
    server.reaches(Limit::CloseTimeout, 1).await.unwrap();
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
    assert_eq!(server.reached(Limit::TableElementsMax), 1);
    // Another test has compiled it before, or this one; in either case it is not thrown away for that.
    let anew = server.log.lines_with(&["compiled anew"]);
    assert!(anew.is_empty(), "{anew:?}");
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.table_elements_max = 2_000
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.run("/do", json!([["value", 1]])).await.unwrap(),
        json!([1])
    );
    assert_eq!(server.reached(Limit::TableElementsMax), 0);
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

#[tokio::test]
async fn log_lines_per_second_max() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.log_lines_per_second_max = 10;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let lines = |count: u32| json!([["repeat", count, ["log", "warn", "flooding", []]]]);
    client.run("/do", lines(10)).await.unwrap();
    assert_eq!(server.log.lines_with(&["flooding"]).len(), 10);
    assert_eq!(server.reached(Limit::LogLinesPerSecondMax), 0);
    // Time passes meanwhile, and earns a few.
    let start = Instant::now();
    client.run("/do", lines(100)).await.unwrap();
    for _ in 0..100 {
        client.run("/do", json!([["trap"]])).await.unwrap();
    }
    let earned = 1 + (start.elapsed().as_secs_f64() * 10.0) as usize;
    let lines = server.log.lines_with(&["plugin=", "puppet"]);
    let caused = |line: &&String| line.contains("flooding") || line.contains("event failed");
    let caused = lines.iter().filter(caused).count();
    assert!(caused <= 10 + earned, "{caused} lines, {earned} earned");
    server
        .logged(&["puppet", "dropped=", "log_lines_per_second_max"])
        .await
        .unwrap();
    assert!(server.reached(Limit::LogLinesPerSecondMax) >= 1);
}

#[tokio::test]
async fn what_a_broadcast_costs_is_charged_to_its_event() {
    const MEMBERS: usize = 100;
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.event_cpu_max = Duration::from_millis(10);
    })
    .unwrap();
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let mut member = server.connect(&format!("member {number}")).await.unwrap();
        member.run("/do", json!([["join", "/r"]])).await.unwrap();
        members.push(member);
    }
    let mut sender = server.connect("sender").await.unwrap();
    let push = || json!(["broadcast", "e", null, "/r"]);
    let reply = sender.run("/do", json!([push()])).await.unwrap();
    assert_eq!(reply, json!(["ok"]));
    // As many as an event may cause: a hundred thousand deliveries, and ten milliseconds.
    let script = json!([["repeat", 1_000, push()]]);
    let reply = sender.run("/do", script).await.unwrap();
    assert_eq!(reply["error"]["code"], 504, "{reply}");
    assert_eq!(server.reached(Limit::PushesPerEventMax), 0);
    assert!(server.reached(Limit::EventCpuMax) >= 1);
}
