//! Files that are no plugins: each is refused with its name, the reason and what to do, and the others go on.

use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use wardroom::{Config, Limit};
use wardroom_tests::{Plugin, TestServer};

/// Starts a host with this file and echo; returns what it says about the file.
async fn refused(plugin: Plugin, parts: &[&str]) -> String {
    let mut wanted = vec![plugin.file.as_str()];
    wanted.extend(parts);
    let server = TestServer::start(&[plugin.clone(), Plugin::built("echo")], |config| {
        config.limits.describe_cpu_max = Duration::from_millis(500);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.request("echo", "/echo", json!(1)).await.unwrap()["data"],
        1,
        "the others go on"
    );
    let line = server.logged(&wanted).await.unwrap();
    assert!(line.contains("ERROR") || line.contains("WARN"), "{line}");
    line
}

/// The same for a manifest, which is the puppet's.
async fn manifest_refused(manifest: Value, parts: &[&str]) {
    let mut manifest = manifest;
    let file = "broken-manifest.wasm";
    if manifest.get("name").is_none() {
        manifest["name"] = json!("puppet");
    }
    refused(Plugin::puppet(&manifest).named(file), parts).await;
}

#[tokio::test]
async fn files_that_are_no_components() {
    refused(
        Plugin::file("garbage.wasm", b"this is no WebAssembly"),
        &["component"],
    )
    .await;
    refused(Plugin::file("empty.wasm", b""), &["component"]).await;
    refused(Plugin::text("module.wasm", "(module)"), &["component"]).await;
    let whole = Plugin::built("echo");
    refused(
        Plugin::file("cut.wasm", &whole.bytes[..whole.bytes.len() / 2]),
        &["component"],
    )
    .await;
}

#[tokio::test]
async fn a_folder_of_that_name_and_other_files_are_no_plugins() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("folder.wasm")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not a plugin").unwrap();
    std::fs::write(folder.path().join(".hidden.wasm"), "not a plugin").unwrap();
    Plugin::built("echo").write(folder.path());
    let server = TestServer::start_in(folder, |_| {}).unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.request("echo", "/echo", json!(1)).await.unwrap()["data"],
        1
    );
    assert!(
        server.log.lines_with(&["notes.txt"]).is_empty(),
        "{}",
        server.log.text()
    );
}

#[tokio::test]
async fn no_plugins_at_all() {
    let server = TestServer::start(&[], |_| {}).unwrap();
    let mut client = server.connect("A").await.unwrap();
    client.barrier().await.unwrap();
}

#[tokio::test]
async fn imports_that_nobody_offers() {
    let foreign =
        r#"(component (import "example:evil/backdoor@1.0.0" (instance (export "open" (func)))))"#;
    refused(
        Plugin::text("foreign.wasm", foreign),
        &["example:evil/backdoor@1.0.0"],
    )
    .await;
    let root = r#"(component (import "shell" (func)))"#;
    refused(Plugin::text("root.wasm", root), &["shell"]).await;
    // A function that our interface does not have.
    let unknown = r#"(component (import "wardroom:plugin/rooms@0.1.0" (instance (export "destroy" (func)))))"#;
    refused(Plugin::text("unknown.wasm", unknown), &["destroy"]).await;
}

#[tokio::test]
async fn another_version_of_the_contract() {
    let puppet = json!({ "name": "puppet", "routes": [["do", "/do"]] });
    let next = Plugin::puppet(&puppet).of_contract("0.2.0");
    refused(next.named("next.wasm"), &["0.2.0", "0.1.0"]).await;
}

#[tokio::test]
async fn components_without_a_manifest_or_what_it_promises() {
    refused(Plugin::text("nothing.wasm", "(component)"), &["manifest"]).await;
    refused(Plugin::bare("routes"), &["messages"]).await;
    refused(Plugin::bare("hooks"), &["connections"]).await;
    // One that promises nothing is a plugin that does nothing.
    let server =
        TestServer::start(&[Plugin::bare("nothing"), Plugin::built("echo")], |_| {}).unwrap();
    server.connect("A").await.unwrap().barrier().await.unwrap();
    assert!(
        server.log.lines_with(&["bare.wasm", "ERROR"]).is_empty(),
        "{}",
        server.log.text()
    );
}

#[tokio::test]
async fn manifests_that_cannot_be() {
    manifest_refused(json!({ "name": "" }), &["name"]).await;
    manifest_refused(json!({ "name": "Capital" }), &["name", "Capital"]).await;
    manifest_refused(json!({ "name": "x".repeat(64) }), &["name"]).await;
    manifest_refused(json!({ "routes": [["", "/a"]] }), &["event"]).await;
    manifest_refused(json!({ "routes": [["e".repeat(129), "/a"]] }), &["event"]).await;
    manifest_refused(json!({ "routes": [["get", "/a/:id(["]] }), &["/a/:id(["]).await;
    manifest_refused(json!({ "routes": [["get", "/a/:x?/b"]] }), &["/a/:x?/b"]).await;
    manifest_refused(
        json!({ "routes": [["get", "/a/:x"], ["get", "/a/:y"]] }),
        &["/a/:y"],
    )
    .await;
    manifest_refused(json!({ "hooks": ["birthday"] }), &["birthday"]).await;
    manifest_refused(json!({ "mode": "forever" }), &["forever"]).await;
}

#[tokio::test]
async fn describe_that_fails_ends_or_does_not() {
    manifest_refused(json!({ "describe": [["trap"]] }), &["describe"]).await;
    manifest_refused(
        json!({ "describe": [["panic", "not today"]] }),
        &["describe"],
    )
    .await;
    manifest_refused(json!({ "describe": [["spin"]] }), &["describe"]).await;
    manifest_refused(json!({ "describe": [["sleep", 3_600_000]] }), &["describe"]).await;
    manifest_refused(json!({ "describe": [["exit", 0]] }), &["describe"]).await;
    manifest_refused(
        json!({ "describe": [["recurse", 100_000_000]] }),
        &["describe"],
    )
    .await;
}

#[tokio::test]
async fn describe_cpu_max() {
    let puppet = |steps: Value| {
        Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]], "describe": steps }))
    };
    let start = |plugin: Plugin| {
        TestServer::start(&[plugin], |config| {
            config.cache = None;
            config.limits.describe_cpu_max = Duration::from_millis(500);
        })
        .unwrap()
    };
    let server = start(puppet(json!([["work", 1]])));
    let mut client = server.connect("A").await.unwrap();
    let results = client.run("/do", json!([["value", 1]])).await.unwrap();
    assert_eq!(results, json!([1]));
    assert_eq!(server.reached(Limit::DescribeCpuMax), 0);
    let server = start(puppet(json!([["work", 10_000]])));
    server
        .logged(&["puppet.wasm", "describe_cpu_max"])
        .await
        .unwrap();
    assert_eq!(server.reached(Limit::DescribeCpuMax), 1);
}

#[tokio::test]
async fn describe_can_do_nothing_but_log() {
    // Every import refuses; memory has its limit; the plugin is loaded nevertheless.
    let puppet = Plugin::puppet(&json!({
        "name": "puppet",
        "routes": [["do", "/do"]],
        "describe": [["join", "r"], ["broadcast", "e", 1, "r"], ["server-broadcast", { "event": "e", "path": "/" }],
            ["connections", {}, "local"], ["state-get", "tenant", "k"], ["state-set", "plugin", "k", 1], ["joined"], ["frame"], ["log", "warn", "describing", []], ["hog"]],
    }));
    // From the cache, it would not be asked again.
    let server = TestServer::start(&[puppet], |config| config.cache = None).unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.run("/do", json!([["value", 1]])).await.unwrap(),
        json!([1]),
        "{}",
        server.log.text()
    );
    // Its name is not known yet.
    server.logged(&["describing"]).await.unwrap();
}

#[tokio::test]
async fn limits_of_routes_and_size() {
    let many =
        |routes: u32| Plugin::puppet(&json!({ "name": "many", "routes": { "generate": routes } }));
    let start = |plugin: Plugin, bytes: usize| {
        TestServer::start(&[plugin], move |config| {
            config.limits.routes_max = 50;
            config.limits.component_bytes_max = bytes;
        })
        .unwrap()
    };
    let size = many(50).bytes.len();
    let server = start(many(50), size);
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client
            .request("generated", "/generated/49", Value::Null)
            .await
            .unwrap()["data"]["route"],
        49
    );
    assert_eq!(server.reached(Limit::RoutesMax), 0);
    assert_eq!(server.reached(Limit::ComponentBytesMax), 0);
    let server = start(many(51), size);
    server.connect("A").await.unwrap().barrier().await.unwrap();
    server.logged(&["many.wasm", "50"]).await.unwrap();
    assert_eq!(server.reached(Limit::RoutesMax), 1);
    let server = start(many(50), size - 1);
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client
            .request("generated", "/generated/49", Value::Null)
            .await
            .unwrap()["error"]["code"],
        404
    );
    server
        .logged(&["many.wasm", &(size - 1).to_string()])
        .await
        .unwrap();
    assert_eq!(server.reached(Limit::ComponentBytesMax), 1);
}

#[tokio::test]
async fn manifest_bytes_max() {
    // Its name, and a hundred texts in a list.
    let max = 4 + 100 * (24 + 100);
    for (max, said, reached) in [
        (max, &["plugin live", "plugin=many"][..], 0),
        (
            max - 1,
            &["many.wasm", "more than manifest_bytes_max (12403) bytes"],
            1,
        ),
    ] {
        let many = Plugin::repeating("many", 100, 100);
        let limit = |config: &mut Config| config.limits.manifest_bytes_max = max;
        let server = TestServer::start(&[many], limit).unwrap();
        server.logged(said).await.unwrap();
        assert_eq!(server.reached(Limit::ManifestBytesMax), reached);
    }
}

#[tokio::test]
async fn conflicts_name_both_and_keep_the_first() {
    let first = Plugin::puppet(&json!({ "name": "first", "routes": [["get", "/a/:x"]] }));
    let second =
        Plugin::puppet(&json!({ "name": "second", "routes": [["get", "/a/:y"], ["get", "/b"]] }));
    // By the plugins' names, whatever the files are called.
    let server =
        TestServer::start(&[first.named("z.wasm"), second.named("a.wasm")], |_| {}).unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.request("get", "/a/1", Value::Null).await.unwrap()["data"]["plugin"],
        "first"
    );
    assert_eq!(
        client.request("get", "/b", Value::Null).await.unwrap()["error"]["code"],
        404
    );
    server
        .logged(&["a.wasm", "first", "second", "/a/:x"])
        .await
        .unwrap();
    // The same name twice.
    let twice =
        |route: &str| Plugin::puppet(&json!({ "name": "twin", "routes": [["get", route]] }));
    let server = TestServer::start(
        &[twice("/1").named("1.wasm"), twice("/2").named("2.wasm")],
        |_| {},
    )
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(
        client.request("get", "/1", Value::Null).await.unwrap()["data"]["plugin"],
        "twin"
    );
    assert_eq!(
        client.request("get", "/2", Value::Null).await.unwrap()["error"]["code"],
        404
    );
    server.logged(&["2.wasm", "twin", "1.wasm"]).await.unwrap();
}
