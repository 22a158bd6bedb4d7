//! The admin listener of the real program.

use serde_json::{Value, json};
use std::net::SocketAddr;
use tempfile::TempDir;
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::http::{Answer, ask};
use wardroom_tests::{Frame, Plugin, WAIT};

const TOKEN: &str = "c2VjcmV0";

fn puppet(version: &str) -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "version": version, "routes": [["do", "/do"]] }))
}

/// The program with its admin listener on a free port, over a folder with this plugin.
struct Host {
    program: Program,
    admin: SocketAddr,
    folder: TempDir,
    /// Where it runs, and has its `wardroom.toml`.
    home: TempDir,
}

impl Host {
    async fn start(more: &[(&str, &str)]) -> Self {
        Self::start_in("", more).await
    }

    /// With this in its file.
    async fn start_in(configuration: &str, more: &[(&str, &str)]) -> Self {
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
        let home = TempDir::new().unwrap();
        std::fs::write(home.path().join("wardroom.toml"), configuration).unwrap();
        let mut invocation = Invocation::new(built, &arguments).within(home.path());
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
            home,
        }
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.home.path().join("wardroom.toml"), text).unwrap();
    }

    /// Whether a new connection may send a message of so many bytes.
    async fn accepts(&self, bytes: usize) -> bool {
        let mut client = self.program.connect("B").await.unwrap();
        let data = json!([["value", "x".repeat(bytes)]]);
        let message = json!({ "event": "do", "path": "/do", "id": 1, "data": data });
        client.send(message.to_string()).await.unwrap();
        matches!(client.receive().await, Ok(Frame::Text(_)))
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
    for path in [
        "/metrics",
        "/api/plugins",
        "/api/cluster",
        "/api/reload",
        "/",
        "/nowhere",
    ] {
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
    assert_eq!(
        host.metric(r#"wardroom_plugins_refused{tenant="default"}"#)
            .await,
        1.0
    );
    assert_eq!(
        host.metric(r#"wardroom_swaps_total{tenant="default"}"#)
            .await,
        2.0
    );
}

#[tokio::test]
async fn a_reload_reads_the_configuration_as_well() {
    let host = Host::open().await;
    let mut old = host.program.connect("A").await.unwrap();
    assert!(host.accepts(2_000).await);
    let nothing = json!({ "changes": [], "problems": [] });
    assert_eq!(host.json("POST", "/api/reload").await, nothing);

    host.configure("[limits]\nmessage_bytes_max = 1_000\n");
    let said = host.json("POST", "/api/reload").await;
    // It is loaded anew, for its limits.
    assert_eq!(said["changes"][0]["plugin"], "puppet", "{said}");
    assert_eq!(said["problems"], json!([]));
    assert!(!host.accepts(2_000).await);
    let reloaded = ["configuration reloaded", "limits.message_bytes_max"];
    host.program.logged(&reloaded).await.unwrap();

    // Only the plugins are others now.
    std::fs::write(host.folder.path().join("broken.wasm"), "rubbish").unwrap();
    let said = host.json("POST", "/api/reload").await;
    assert_eq!(said["changes"], json!([]));
    let reason = said["problems"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("not WebAssembly"), "{said}");
    old.run("/do", json!([])).await.unwrap();
}

#[tokio::test]
async fn a_reload_changes_the_token() {
    let host = Host::start_in("admin_token = \"b2xk\"", &[]).await;
    let with = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let answer = host.ask_as("POST", "/api/reload", "127.0.0.1", &bearer);
        answer.await.status
    };
    assert_eq!((with("b2xk").await, with(TOKEN).await), (200, 401));
    host.configure(&format!("admin_token = \"{TOKEN}\""));
    assert_eq!((with("b2xk").await, with("b2xk").await), (200, 401));
    assert_eq!(with(TOKEN).await, 200);
    // Without one nobody gets in: the one that would have been made up was never said.
    host.configure("");
    assert_eq!((with(TOKEN).await, with(TOKEN).await), (200, 401));
}

#[tokio::test]
async fn a_reload_that_cannot_be_says_all_that_is_wrong_and_changes_nothing() {
    let host = Host::open().await;
    std::fs::write(host.folder.path().join("puppet.wasm"), puppet("2").bytes).unwrap();
    host.program.logged(&["plugin swapped"]).await.unwrap();
    let refused = async |config: &str, status: u16| {
        host.configure(config);
        let answer = host.ask("POST", "/api/reload").await;
        assert_eq!(answer.status, status, "{answer:?}");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["error"]["code"], status);
        assert!(host.accepts(2_000).await, "the old one stays");
        let faults = body["error"]["faults"].as_array().unwrap().clone();
        faults
            .into_iter()
            .map(|fault| fault.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let typing_errors = "[limits]\nmesage_bytes_max = 1_000\nevent_cpu_max = \"soon\"\n";
    let faults = refused(typing_errors, 422).await;
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("wardroom.toml:2: limits.mesage_bytes_max"));
    assert!(faults[1].starts_with("wardroom.toml:3: limits.event_cpu_max"));
    let faults = refused("[limits\n", 422).await;
    assert!(faults[0].starts_with("wardroom.toml:1: "), "{faults:?}");
    let fixed = "node = \"other\"\n[limits]\nmessage_bytes_max = 1_000\n";
    let faults = refused(fixed, 409).await;
    assert_eq!(
        faults,
        ["node cannot change while the host runs: restart it for that"]
    );
    // The log has it too.
    let logged = ["configuration not reloaded", "limits.mesage_bytes_max"];
    host.program.logged(&logged).await.unwrap();
}

#[tokio::test]
async fn reloads_come_one_after_another() {
    let host = Host::open().await;
    host.configure("[limits]\nmessage_bytes_max = 1_000\n");
    let reload = || host.json("POST", "/api/reload");
    let answers = futures_util::future::join_all((0..8).map(|_| reload())).await;
    let changed = answers.iter().filter(|said| said["changes"] != json!([]));
    assert_eq!(changed.count(), 1, "{answers:?}");
    host.program.signal("HUP").await.unwrap();
    let last = host.json("POST", "/api/reload").await;
    assert_eq!(last, json!({ "changes": [], "problems": [] }));
    assert!(!host.accepts(2_000).await);
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
    assert_eq!(
        host.metric(r#"wardroom_connections{tenant="default"}"#)
            .await,
        1.0
    );
    assert_eq!(
        host.metric(r#"wardroom_connections_opened_total{tenant="default"}"#)
            .await,
        1.0
    );
    assert_eq!(
        host.metric(r#"wardroom_rooms{tenant="default"}"#).await,
        1.0
    );
    assert_eq!(
        host.metric(r#"wardroom_messages_received_total{tenant="default"}"#)
            .await,
        3.0
    );
    assert_eq!(
        host.metric(r#"wardroom_messages_sent_total{tenant="default"}"#)
            .await,
        1003.0
    );
    assert_eq!(
        host.metric(r#"wardroom_event_seconds_count{tenant="default",plugin="puppet",event="do"}"#)
            .await,
        3.0
    );
    assert_eq!(
        host.metric(
            r#"wardroom_events_failed_total{tenant="default",plugin="puppet",cause="trap"}"#
        )
        .await,
        1.0
    );
    assert_eq!(
        host.metric(
            r#"wardroom_limit_reached_total{tenant="default",limit="pushes_per_event_max"}"#
        )
        .await,
        1.0
    );
    assert_eq!(
        host.metric(r#"wardroom_instances{tenant="default",plugin="puppet",state="idle"}"#)
            .await,
        1.0
    );
    client.vanish();
    // The host lets go of it a moment later.
    let start = std::time::Instant::now();
    while host
        .metric(r#"wardroom_connections{tenant="default"}"#)
        .await
        != 0.0
    {
        assert!(start.elapsed() < WAIT);
    }
}
