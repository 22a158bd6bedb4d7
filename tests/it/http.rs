//! What is answered before the 101, and what is no upgrade at all.

use serde_json::json;
use wardroom_tests::{Plugin, TestServer, http};

fn start() -> TestServer {
    TestServer::start(&[Plugin::built("echo")], |_| {}).unwrap()
}

#[tokio::test]
async fn health_is_answered_on_the_same_listener() {
    let server = start();
    for path in ["/healthz", "/readyz"] {
        let answer = http::ask(
            server.address,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
        )
        .await
        .unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn requests_that_open_nothing() {
    let server = start();
    let good = http::upgrade("/ws");
    let without = |header: &str| {
        let lines: Vec<_> = good
            .split("\r\n")
            .filter(|line| !line.starts_with(header))
            .collect();
        lines.join("\r\n")
    };
    let cases = [
        ("another path", http::upgrade("/other"), 404),
        (
            "no WebSocket request",
            "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            400,
        ),
        (
            "another path without an upgrade",
            "GET /other HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            404,
        ),
        (
            "another version",
            good.replace("Version: 13", "Version: 8"),
            426,
        ),
        ("no version", without("Sec-WebSocket-Version"), 426),
        ("no key", without("Sec-WebSocket-Key"), 400),
        (
            "a key of the wrong length",
            good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            400,
        ),
        (
            "an upgrade to something else",
            good.replace("Upgrade: websocket", "Upgrade: h2c"),
            400,
        ),
        (
            "no Connection: Upgrade",
            good.replace("Connection: Upgrade", "Connection: keep-alive"),
            400,
        ),
        ("another method", good.replace("GET", "POST"), 400),
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
    ];
    for (what, request, status) in cases {
        let answer = http::ask(server.address, &request).await.unwrap();
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status == 426 {
            assert_eq!(
                answer.header("sec-websocket-version"),
                Some("13"),
                "{what}: {answer:?}"
            );
        }
    }
    // None of them left anything behind.
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.request("echo", "/echo", json!(1)).await.unwrap()["data"],
        1
    );
}

#[tokio::test]
async fn the_accept_key_is_the_one_of_the_rfc() {
    let server = start();
    let answer = http::ask(server.address, &http::upgrade("/ws"))
        .await
        .unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(
        answer.header("sec-websocket-extensions"),
        None,
        "none was offered"
    );
}

#[tokio::test]
async fn header_names_and_values_in_any_case() {
    let server = start();
    let request = http::upgrade("/ws")
        .replace("Connection: Upgrade", "CONNECTION: keep-alive, upgrade")
        .replace("Upgrade: websocket", "uPGRADE: WebSocket")
        .replace("Sec-WebSocket", "sec-websocket");
    assert_eq!(
        http::ask(server.address, &request).await.unwrap().status,
        101
    );
}

#[tokio::test]
async fn subprotocols_in_several_headers_are_one_list() {
    let server = start();
    let two = "Sec-WebSocket-Protocol: first\r\nSec-WebSocket-Protocol: wardroom.json\r\n\r\n";
    let request = http::upgrade("/ws").replace("\r\n\r\n", &format!("\r\n{two}"));
    let answer = http::ask(server.address, &request).await.unwrap();
    assert_eq!(
        answer.header("sec-websocket-protocol"),
        Some("wardroom.json"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn frames_that_come_with_the_upgrade_are_not_lost() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = start();
    let mut stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let text = br#"{"event":"echo","path":"/echo","data":"early","id":1}"#;
    let mut bytes = http::upgrade("/ws").into_bytes();
    bytes.extend([0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0]);
    bytes.extend(text);
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let reply = async {
        while !answer.windows(7).any(|window| window == b"\"early\"") {
            assert!(
                stream.read_buf(&mut answer).await.unwrap() > 0,
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
    };
    tokio::time::timeout(wardroom_tests::WAIT, reply)
        .await
        .expect("the early message is answered");
}
