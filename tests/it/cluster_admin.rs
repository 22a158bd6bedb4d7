//! What operators see of several hosts: real programs on a real broker.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::http::ask;
use wardroom_tests::{Broker, WAIT, needed};

const BUILT: &str = env!("CARGO_BIN_EXE_wardroom-tested");

struct Host {
    program: Program,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Host {
    async fn start(node: &str, cluster: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let plugins = folder.path().to_str().unwrap();
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--plugins",
            plugins,
            "--node",
            node,
            "--cluster",
            cluster,
        ];
        let invocation = Invocation::new(BUILT, &arguments).within(folder.path());
        let invocation = invocation.with("WARDROOM_ADMIN_TOKEN", "t");
        let program = Program::invoke(&invocation).await.unwrap();
        let (_, admin) = program.ready.split_once(" admin=").unwrap();
        Self {
            admin: admin.parse().unwrap(),
            program,
            _folder: folder,
        }
    }

    async fn get(&self, path: &str) -> String {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n\r\n");
        let answer = ask(self.admin, &request).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// What it says of the cluster, as soon as that is right.
    async fn cluster(&self, is_right: impl Fn(&Value) -> bool) -> Value {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        let mut said = Value::Null;
        let looking = async {
            while !is_right(&said) {
                looks.tick().await;
                said = serde_json::from_str(&self.get("/api/cluster").await).unwrap();
            }
        };
        let in_time = tokio::time::timeout(WAIT, looking).await.is_ok();
        assert!(in_time, "{said}");
        said
    }

    async fn has_metric(&self, line: &str) {
        let metrics = self.get("/metrics").await;
        assert!(metrics.lines().any(|other| other == line), "{metrics}");
    }
}

fn names(said: &Value) -> Vec<&str> {
    let nodes = said["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    nodes
        .iter()
        .filter_map(|node| node["node"].as_str())
        .collect()
}

#[tokio::test]
async fn hosts_and_their_bus_are_shown() {
    needed!("redis-server");
    let mut broker = Broker::redis().await.unwrap();
    let one = Host::start("one", &broker.url()).await;
    let alone = one.cluster(|said| said["bus"]["ready"] == true).await;
    assert_eq!(alone["nodes"], json!([{ "node": "one", "self": true }]));
    assert_eq!(alone["bus"]["broker"], broker.url());
    assert_eq!(alone["bus"]["reconnects"], 0);
    one.has_metric("wardroom_nodes 1").await;

    let two = Host::start("two", &broker.url()).await;
    let both = one.cluster(|said| names(said).len() == 2).await;
    assert_eq!(names(&both), ["one", "two"]);
    assert!(
        both["nodes"][1]["silentSeconds"].as_f64().unwrap() < 3.5,
        "{both}"
    );
    one.has_metric("wardroom_nodes 2").await;
    assert_eq!(
        names(&two.cluster(|said| names(said).len() == 2).await),
        ["two", "one"]
    );

    broker.kill().await.unwrap();
    let away = one.cluster(|said| said["bus"]["ready"] == false).await;
    assert!(
        away["bus"]["sinceSeconds"].as_f64().unwrap() < 10.0,
        "{away}"
    );
    broker.start().await.unwrap();
    let back = one.cluster(|said| said["bus"]["ready"] == true).await;
    assert_eq!(back["bus"]["reconnects"], 1);
    one.cluster(|said| names(said).len() == 2).await;

    two.program.signal("TERM").await.unwrap();
    one.cluster(|said| names(said) == ["one"]).await;
    one.has_metric("wardroom_nodes 1").await;
}

#[tokio::test]
async fn a_password_is_never_shown() {
    // Nobody listens there.
    let host = Host::start("one", "redis://:hunter2@127.0.0.1:1").await;
    let said = host.cluster(|said| said["bus"]["ready"] == false).await;
    assert_eq!(said["bus"]["broker"], "redis://(set)@127.0.0.1:1");
    host.program.logged(&["the bus is away"]).await.unwrap();
    assert!(!host.program.log.text().contains("hunter2"));
}

#[tokio::test]
async fn a_flag_that_cannot_be_is_named() {
    for (flag, value, parts) in [
        (
            "--cluster",
            "ftp://x",
            ["--cluster: must be the URL", "redis://"],
        ),
        ("--node", "", ["--node: must", "1 to"]),
    ] {
        let invocation = Invocation::new(BUILT, &["check", flag, value]);
        let output = invocation.run().await.unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{errors}");
        for part in parts {
            assert!(errors.contains(part), "{errors}");
        }
    }
}
