//! The real program: its ready line, its exit codes, its signals, its commands.

use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use wardroom_tests::binary::{Invocation, Program, run};
use wardroom_tests::{Plugin, guests, http};

/// The host's own `main`, or another build of it that `WARDROOM` names.
pub(crate) fn wardroom() -> String {
    let built = env!("CARGO_BIN_EXE_wardroom-tested");
    std::env::var("WARDROOM").unwrap_or_else(|_| built.to_owned())
}

fn folder(plugins: &[Plugin]) -> TempDir {
    let folder = TempDir::new().unwrap();
    plugins
        .iter()
        .for_each(|plugin| plugin.write(folder.path()));
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What starts it over this folder, on a free port.
fn serve(plugins: &TempDir) -> [&str; 5] {
    let folder = text(plugins.path());
    ["serve", "--plugins", folder, "--listen", "127.0.0.1:0"]
}

#[tokio::test]
async fn it_serves_and_ends_on_sigterm() {
    let plugins = folder(&[
        Plugin::built("echo"),
        Plugin::file("broken.wasm", b"broken"),
    ]);
    let arguments = serve(&plugins);
    let program = Program::start(&wardroom(), &arguments).await.unwrap();
    assert!(
        program.ready.starts_with("ready listen=127.0.0.1:"),
        "{}",
        program.ready
    );
    assert_ne!(program.address.port(), 0);
    let health = http::ask(program.address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(health.status, 200);
    let mut client = program.connect("A").await.unwrap();
    assert_eq!(
        client
            .request("echo", "/echo", json!("hello"))
            .await
            .unwrap()["data"],
        "hello"
    );
    program.signal("TERM").await.unwrap();
    let close = client.receive_close().await.unwrap();
    assert_eq!(close.code, Some(1012));
    assert_eq!(close.reason, "restarting, retry in 5000 ms");
    let (status, errors) = program.wait().await.unwrap();
    assert_eq!(status.code(), Some(0), "{errors}");
    let line = errors
        .lines()
        .find(|line| line.contains("broken.wasm"))
        .unwrap_or_else(|| panic!("{errors}"));
    assert!(line.contains("component"), "{line}");
}

#[tokio::test]
async fn it_drains_before_it_ends() {
    let puppet = Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]] }));
    let plugins = folder(&[puppet]);
    let arguments = serve(&plugins);
    let drain = Invocation::new(&wardroom(), &arguments).with("WARDROOM_DRAIN", "600ms");
    let program = Program::invoke(&drain).await.unwrap();
    let mut clients = Vec::new();
    for number in 0..3 {
        let mut client = program.connect(&number.to_string()).await.unwrap();
        client.run("/do", json!([["join", "/r"]])).await.unwrap();
        clients.push(client);
    }
    let busy = json!({ "event": "do", "path": "/do", "id": 1, "data":
        [["tell", "began", "/r", ["value", 1]], ["sleep", 300], ["value", "done"]] });
    clients[0].send(busy.to_string()).await.unwrap();
    clients[1].receive_json().await.unwrap();
    let start = std::time::Instant::now();
    program.signal("TERM").await.unwrap();
    // The event in flight ends and is answered, whoever is closed first.
    clients[0].receive_json().await.unwrap();
    assert_eq!(clients[0].receive_json().await.unwrap()["data"][2], "done");
    clients[2].receive_json().await.unwrap();
    for client in &mut clients {
        let close = client.receive_close().await.unwrap();
        assert_eq!(
            (close.code, close.reason.as_str()),
            (Some(1012), "restarting, retry in 600 ms")
        );
    }
    assert!(start.elapsed().as_millis() >= 400, "spread over 600 ms");
    let (status, errors) = program.wait().await.unwrap();
    assert_eq!(status.code(), Some(0), "{errors}");
}

#[tokio::test]
async fn it_ends_on_sigint_too() {
    let plugins = folder(&[]);
    let arguments = serve(&plugins);
    let program = Program::start(&wardroom(), &arguments).await.unwrap();
    program.signal("INT").await.unwrap();
    let (status, errors) = program.wait().await.unwrap();
    assert_eq!(status.code(), Some(0), "{errors}");
}

#[tokio::test]
async fn help_and_version() {
    let help = run(&wardroom(), &["--help"]).await.unwrap();
    let help_text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert_eq!(help.status.code(), Some(0));
    for command in ["serve", "check", "dev", "build", "inspect"] {
        assert!(help_text.contains(command), "{help_text}");
    }
    let version = run(&wardroom(), &["--version"]).await.unwrap();
    assert_eq!(version.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("wardroom "));
}

#[tokio::test]
async fn wrong_usage_exits_with_2() {
    for arguments in [
        &["sail"][..],
        &["serve", "--lisen", "x"],
        &["inspect"],
        &["serve", "--listen", "nowhere"],
    ] {
        let output = run(&wardroom(), arguments).await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(
            !errors.is_empty() && output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn a_bad_configuration_exits_with_64() {
    let missing = folder(&[]);
    let missing = missing.path().join("missing");
    let arguments = [
        "serve",
        "--plugins",
        text(&missing),
        "--listen",
        "127.0.0.1:0",
    ];
    let output = run(&wardroom(), &arguments).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{errors}");
    assert!(
        errors.contains("missing") && errors.contains("plugins"),
        "{errors}"
    );
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn a_port_that_is_taken_exits_with_1() {
    let plugins = folder(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [
        "serve",
        "--plugins",
        text(plugins.path()),
        "--listen",
        &address,
    ];
    let output = run(&wardroom(), &arguments).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&address), "{errors}");
}

#[tokio::test]
async fn inspect_says_what_a_file_is() {
    let manifest = json!({ "name": "inspected", "version": "1.2.3", "description": "for a look",
        "routes": [["get", "/a/:b"]], "hooks": ["connect"], "mode": "fresh", "capabilities": ["http\u{1b}[31m"],
        "configKeys": ["greeting"], "headers": ["X-Request-Id"] });
    let plugins = folder(&[
        Plugin::puppet(&manifest),
        Plugin::file("broken.wasm", b"broken"),
    ]);
    let file = plugins.path().join("inspected.wasm");
    let output = run(&wardroom(), &["inspect", text(&file)]).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for part in [
        "inspected",
        "1.2.3",
        "for a look",
        "/a/:b",
        "connect",
        "wardroom:plugin/rooms@0.1.0",
        "wardroom:plugin/manifest@0.1.0",
        "wasi:io/streams@0.2.",
        "  mode       fresh\n",
        "  capability http [31m\n",
        "  config key greeting\n",
        "  header     x-request-id\n",
    ] {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
    let output = run(&wardroom(), &["inspect", "--json", text(&file)])
        .await
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said.to_string().contains("/a/:b"), "{said}");
    let config = plugins.path().join("none.toml");
    std::fs::write(&config, "[limits]\nroutes_max = 0\n").unwrap();
    let arguments = ["inspect", "--config", text(&config), text(&file)];
    let output = run(&wardroom(), &arguments).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("1 routes are more than routes_max (0)"),
        "{errors}"
    );
    let broken = plugins.path().join("broken.wasm");
    let output = run(&wardroom(), &["inspect", text(&broken)]).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("broken.wasm") && errors.contains("component"),
        "{errors}"
    );
}

#[tokio::test]
async fn build_makes_components() {
    let out = TempDir::new().unwrap();
    let plugins = guests::repository().join("plugins");
    let output = run(
        &wardroom(),
        &["build", text(&plugins), "--out", text(out.path())],
    )
    .await
    .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for plugin in ["echo.wasm", "chat.wasm"] {
        let bytes = std::fs::read(out.path().join(plugin)).unwrap();
        assert_eq!(bytes[..4], *b"\0asm", "{plugin}");
    }
    let nothing = TempDir::new().unwrap();
    let output = run(&wardroom(), &["build", text(nothing.path())])
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(text(nothing.path())), "{errors}");
}
