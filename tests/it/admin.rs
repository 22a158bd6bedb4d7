//! The admin listener of the real program.

use serde_json::{Value, json};
use std::net::SocketAddr;
use tempfile::TempDir;
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::http::{Answer, ask};
use wardroom_tests::{Plugin, WAIT};

const TOKEN: &str = "c2VjcmV0";

fn puppet(version: &str) -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "version": version, "routes": [["do", "/do"]] }))
}

/// The program with its admin listener on a free port, over a folder with this plugin.
struct Host {
    program: Program,
    admin: SocketAddr,
    folder: TempDir,
}

impl Host {
    async fn start(more: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        puppet("1").write(folder.path());
        let plugins = folder.path().to_str().unwrap();
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--plugins",
            plugins,
        ];
        let built = env!("CARGO_BIN_EXE_wardroom-tested");
        let mut invocation = Invocation::new(built, &arguments);
        for (name, value) in more {
            invocation = invocation.with(name, value);
        }
        let program = Program::invoke(&invocation).await.unwrap();
        let admin = program
            .ready
            .split_once(" admin=")
            .unwrap()
            .1
            .parse()
            .unwrap();
        Self {
            program,
            admin,
            folder,
        }
    }

    async fn open() -> Self {
        Self::start(&[("WARDROOM_ADMIN_TOKEN", TOKEN)]).await
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        self.ask_as(method, path, "127.0.0.1", &format!("Bearer {TOKEN}"))
            .await
    }

    async fn ask_as(&self, method: &str, path: &str, host: &str, authorization: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\nContent-Length: 0\r\n\r\n"
        );
        ask(self.admin, &request).await.unwrap()
    }

    async fn json(&self, method: &str, path: &str) -> Value {
        let answer = self.ask(method, path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The value of a series, by the whole of its name and labels.
    async fn metric(&self, series: &str) -> f64 {
        let text = self.ask("GET", "/metrics").await.body;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .parse()
            .unwrap()
    }
}

#[tokio::test]
async fn nothing_but_health_is_answered_without_the_token() {
    let host = Host::open().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            host.ask_as("GET", path, "anywhere.example", "")
                .await
                .status,
            200
        );
    }
    for path in ["/metrics", "/api/plugins", "/api/reload", "/", "/nowhere"] {
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            "Basic c2VjcmV0",
            TOKEN,
        ] {
            let answer = host.ask_as("GET", path, "127.0.0.1", wrong).await;
            assert_eq!(answer.status, 401, "{path} {wrong:?}: {answer:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        let right = format!("Bearer {TOKEN}");
        let answer = host
            .ask_as("GET", path, "rebound.example:3001", &right)
            .await;
        assert_eq!(answer.status, 421, "{path}: {answer:?}");
    }
    assert_eq!(host.ask("GET", "/nowhere").await.status, 404);
    let answer = host.ask("GET", "/api/reload").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["error"]["code"], 405);
}

#[tokio::test]
async fn a_token_is_made_up_when_none_is_configured() {
    let host = Host::start(&[]).await;
    let line = host.program.logged(&["admin token"]).await.unwrap();
    let token = line.rsplit(' ').next().unwrap();
    assert_eq!(token.len(), 64, "{line}");
    let answer = host
        .ask_as(
            "GET",
            "/api/plugins",
            "localhost",
            &format!("Bearer {token}"),
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn plugins_and_swaps_are_listed() {
    let host = Host::open().await;
    let mut client = host.program.connect("A").await.unwrap();
    client.run("/do", json!([])).await.unwrap();
    let said = host.json("GET", "/api/plugins").await;
    let plugin = &said["plugins"][0];
    assert_eq!(
        (&plugin["name"], &plugin["version"], &plugin["mode"]),
        (&json!("puppet"), &json!("1"), &json!("pooled"))
    );
    assert_eq!(
        plugin["routes"],
        json!([{ "event": "do", "path": "/do", "connections": 1 }])
    );
    assert_eq!(said["swaps"][0]["changes"][0]["added"], json!(["do /do"]));

    Plugin::file("broken.wasm", b"rubbish").write(host.folder.path());
    std::fs::write(host.folder.path().join("puppet.wasm"), puppet("2").bytes).unwrap();
    // It may be live already: the folder is watched as well.
    host.json("POST", "/api/reload").await;
    let said = host.json("GET", "/api/plugins").await;
    assert_eq!(said["plugins"][0]["version"], "2", "{said}");
    let broken = said["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["file"].as_str().unwrap().ends_with("broken.wasm"));
    assert!(
        broken.unwrap()["problem"]
            .as_str()
            .unwrap()
            .contains("not WebAssembly"),
        "{said}"
    );
    let last = said["swaps"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["changes"][0]["from"], &last["changes"][0]["to"]),
        (&json!("1"), &json!("2"))
    );
    assert_eq!(host.metric("wardroom_plugins_refused").await, 1.0);
    assert_eq!(host.metric("wardroom_swaps_total").await, 2.0);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let host = Host::open().await;
    let mut client = host.program.connect("A").await.unwrap();
    client.run("/do", json!([["join", "/r"]])).await.unwrap();
    let trapped = client
        .request("do", "/do", json!([["trap"]]))
        .await
        .unwrap();
    assert_eq!(trapped["error"]["code"], 500);
    let many = json!([["repeat", 1001, ["send", { "event": "e", "path": "/" }]]]);
    let sent = client.run("/do", many).await.unwrap();
    assert_eq!(sent[0]["ok"], 1000);
    assert_eq!(host.metric("wardroom_connections").await, 1.0);
    assert_eq!(host.metric("wardroom_connections_opened_total").await, 1.0);
    assert_eq!(host.metric("wardroom_rooms").await, 1.0);
    assert_eq!(host.metric("wardroom_messages_received_total").await, 3.0);
    assert_eq!(host.metric("wardroom_messages_sent_total").await, 1003.0);
    assert_eq!(
        host.metric(r#"wardroom_event_seconds_count{plugin="puppet",event="do"}"#)
            .await,
        3.0
    );
    assert_eq!(
        host.metric(r#"wardroom_events_failed_total{plugin="puppet",cause="trap"}"#)
            .await,
        1.0
    );
    assert_eq!(
        host.metric(r#"wardroom_limit_reached_total{limit="pushes_per_event_max"}"#)
            .await,
        1.0
    );
    assert_eq!(
        host.metric(r#"wardroom_instances{plugin="puppet",state="idle"}"#)
            .await,
        1.0
    );
    client.vanish();
    // The host lets go of it a moment later.
    let start = std::time::Instant::now();
    while host.metric("wardroom_connections").await != 0.0 {
        assert!(start.elapsed() < WAIT);
    }
}
