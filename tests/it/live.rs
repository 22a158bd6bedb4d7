//! Files that are dropped into the folder, replaced and taken out while connections are open.

use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use wardroom_tests::{Client, Plugin, TestServer};

/// A puppet that says which version it is.
fn puppet(version: &str) -> Plugin {
    with_routes(version, &json!([["do", "/do"]]))
}

fn with_routes(version: &str, routes: &Value) -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "version": version, "routes": routes }))
}

fn start(plugins: &[Plugin]) -> TestServer {
    TestServer::start(plugins, |_| {}).unwrap()
}

async fn version(client: &mut Client) -> Value {
    client.run("/do", json!([["version"]])).await.unwrap()[0].clone()
}

async fn code(client: &mut Client, event: &str, path: &str) -> Value {
    let reply = client.request(event, path, json!([])).await.unwrap();
    reply["error"]["code"].clone()
}

/// Written beside the folder and renamed into it, as a deployment does.
fn rename_into(server: &TestServer, plugin: &Plugin) {
    let beside = server.plugins.path().join("new.part");
    std::fs::write(&beside, &plugin.bytes).unwrap();
    std::fs::rename(beside, server.plugins.path().join(&plugin.file)).unwrap();
}

fn swaps(server: &TestServer) -> usize {
    server.log.lines_with(&["plugin swapped"]).len()
}

#[tokio::test]
async fn a_file_that_is_dropped_in_becomes_live() {
    let server = start(&[]);
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(code(&mut client, "do", "/do").await, 404);
    puppet("1").write(server.plugins.path());
    server.logged(&["plugin live", "puppet"]).await.unwrap();
    assert_eq!(version(&mut client).await, "1");
    rename_into(&server, &Plugin::built("echo"));
    server.logged(&["plugin live", "echo"]).await.unwrap();
    let reply = client.request("echo", "/echo", json!(7)).await.unwrap();
    assert_eq!(reply["data"], 7);
}

#[tokio::test]
async fn a_file_that_is_replaced_is_swapped_and_connections_stay() {
    let server = start(&[puppet("1")]);
    let mut client = server.connect("A").await.unwrap();
    client.run("/do", json!([["join", "/r"]])).await.unwrap();
    puppet("2").write(server.plugins.path());
    server.logged(&["plugin swapped", "1 -> 2"]).await.unwrap();
    assert_eq!(version(&mut client).await, "2");
    rename_into(&server, &puppet("3"));
    server.logged(&["plugin swapped", "2 -> 3"]).await.unwrap();
    let answers = json!([["version"], ["joined"]]);
    let answers = client.run("/do", answers).await.unwrap();
    assert_eq!(answers, json!(["3", ["/r"]]), "rooms are the host's");
    assert_eq!(swaps(&server), 2);
}

#[tokio::test]
async fn a_file_that_is_taken_out_is_gone() {
    let server = start(&[puppet("1"), Plugin::built("echo")]);
    let mut client = server.connect("A").await.unwrap();
    assert_eq!(version(&mut client).await, "1");
    std::fs::remove_file(server.plugins.path().join("puppet.wasm")).unwrap();
    let line = server.logged(&["plugin removed", "puppet"]).await.unwrap();
    assert!(
        line.contains("1 is gone; - do /do (used by 1 open connections)"),
        "{line}"
    );
    assert_eq!(code(&mut client, "do", "/do").await, 404);
    let reply = client.request("echo", "/echo", json!(7)).await.unwrap();
    assert_eq!(reply["data"], 7);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_a_repaired_one_is_swapped_in() {
    let server = start(&[puppet("1"), Plugin::built("echo")]);
    let mut client = server.connect("A").await.unwrap();
    let whole = puppet("2");
    let half = &whole.bytes[..whole.bytes.len() / 2];
    for broken in [half, b"rubbish".as_slice()] {
        Plugin::file("puppet.wasm", broken).write(server.plugins.path());
        let said = if broken == half {
            "not a valid component"
        } else {
            "not WebAssembly"
        };
        let line = server.logged(&["puppet.wasm", said]).await.unwrap();
        assert!(line.contains("1 stays live"), "{line}");
        assert_eq!(version(&mut client).await, "1");
    }
    whole.write(server.plugins.path());
    server.logged(&["plugin swapped", "1 -> 2"]).await.unwrap();
    assert_eq!(version(&mut client).await, "2");
}

#[tokio::test]
async fn a_file_that_is_written_slowly_is_no_error() {
    use std::io::Write as _;
    // To take one out shows that the host has looked at the folder.
    let marker = |number: usize| Plugin::puppet(&json!({ "name": format!("marker-{number}") }));
    let server = start(&[marker(0), marker(1), marker(2)]);
    let mut client = server.connect("A").await.unwrap();
    let plugin = puppet("1");
    let mut file = std::fs::File::create(server.plugins.path().join("puppet.wasm")).unwrap();
    let pieces = plugin.bytes.chunks(plugin.bytes.len() / 3 + 1);
    for (number, piece) in pieces.enumerate() {
        file.write_all(piece).unwrap();
        let marker = marker(number);
        std::fs::remove_file(server.plugins.path().join(&marker.file)).unwrap();
        let name = format!("marker-{number}");
        server.logged(&["plugin removed", &name]).await.unwrap();
    }
    drop(file);
    server.logged(&["plugin live", "puppet"]).await.unwrap();
    assert_eq!(version(&mut client).await, "1");
    let errors = server.log.lines_with(&["ERROR"]);
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn a_renamed_file_and_a_rewritten_time_change_nothing() {
    let server = start(&[puppet("1"), Plugin::built("echo")]);
    let mut client = server.connect("A").await.unwrap();
    client.run("/do", json!([["events"]])).await.unwrap();
    let folder = server.plugins.path();
    std::fs::rename(folder.join("puppet.wasm"), folder.join("other.wasm")).unwrap();
    rename_into(&server, &Plugin::puppet(&json!({ "name": "marker" })));
    server.logged(&["plugin live", "marker"]).await.unwrap();
    assert_eq!(version(&mut client).await, "1");
    let changed = server.log.lines_with(&["plugin", "puppet", "-"]);
    let changed = changed
        .iter()
        .filter(|line| !line.contains("plugin live") && !line.contains("plugin loaded"));
    assert_eq!(changed.count(), 0, "{}", server.log.text());
}

#[tokio::test]
async fn a_burst_of_changes_is_one_swap() {
    let server = start(&[puppet("0"), Plugin::built("echo")]);
    let mut client = server.connect("A").await.unwrap();
    for number in 1..=20 {
        rename_into(&server, &puppet(&number.to_string()));
    }
    server.logged(&["plugin swapped", "-> 20"]).await.unwrap();
    assert_eq!(version(&mut client).await, "20");
    // A machine that is busy with something else may make two of one burst.
    assert!(swaps(&server) <= 3, "{}", server.log.text());
}

#[tokio::test]
async fn what_is_live_stays_when_a_new_file_conflicts_with_it() {
    let named = |name: &str| {
        Plugin::puppet(&json!({ "name": name, "version": name, "routes": [["do", "/do"]] }))
    };
    let server = start(&[named("middle")]);
    let mut client = server.connect("A").await.unwrap();
    // The first by name, but not the first to be live.
    rename_into(&server, &named("alpha"));
    let line = server
        .logged(&["alpha.wasm", "plugin not loaded"])
        .await
        .unwrap();
    assert!(
        line.contains("plugin alpha handles do /do, which plugin middle handles already"),
        "{line}"
    );
    assert_eq!(version(&mut client).await, "middle");
    // And it becomes live when it can.
    std::fs::remove_file(server.plugins.path().join("middle.wasm")).unwrap();
    server.logged(&["plugin live", "alpha"]).await.unwrap();
    assert_eq!(version(&mut client).await, "alpha");
    // A new version of what is live conflicts: the one before it stays.
    rename_into(&server, &Plugin::built("echo"));
    server.logged(&["plugin live", "echo"]).await.unwrap();
    let greedy = Plugin::puppet(&json!({ "name": "alpha", "version": "greedy",
        "routes": [["do", "/do"], ["echo", "/echo"]] }));
    rename_into(&server, &greedy);
    let line = server.logged(&["alpha.wasm", "echo /echo"]).await.unwrap();
    assert!(line.contains("alpha stays live"), "{line}");
    assert_eq!(version(&mut client).await, "alpha");
    let reply = client.request("echo", "/echo", json!(7)).await.unwrap();
    assert_eq!(reply["data"], 7);
}

#[tokio::test]
async fn a_swap_says_which_routes_come_and_go_and_who_used_them() {
    let server = start(&[with_routes(
        "1",
        &json!([["do", "/do"], ["old", "/old/:id"], ["unused", "/unused"]]),
    )]);
    let mut clients = Vec::new();
    for number in 0..3 {
        let mut client = server.connect(&number.to_string()).await.unwrap();
        client.request("old", "/old/1", json!(0)).await.unwrap();
        client.request("old", "/old/2", json!(0)).await.unwrap();
        clients.push(client);
    }
    let mut gone = server.connect("gone").await.unwrap();
    gone.request("old", "/old/1", json!(0)).await.unwrap();
    gone.close(1000, "").await.unwrap();
    gone.receive_close().await.unwrap();
    server.logged(&["closed", "code=1000"]).await.unwrap();
    rename_into(
        &server,
        &with_routes("2", &json!([["do", "/do"], ["new", "/new"]])),
    );
    let line = server.logged(&["plugin swapped"]).await.unwrap();
    assert!(
        line.contains(
            "1 -> 2; + new /new; - old /old/:id (used by 3 open connections), - unused /unused"
        ),
        "{line}"
    );
    assert_eq!(code(&mut clients[0], "old", "/old/1").await, 404);
}

#[tokio::test]
async fn links_inside_the_folder_are_followed_and_others_are_not() {
    let server = start(&[]);
    let mut client = server.connect("A").await.unwrap();
    let folder = server.plugins.path();
    // As a configuration volume is mounted: the files are links through `..data`, which is swapped as a whole.
    let release = |name: &str, version: &str| {
        std::fs::create_dir(folder.join(name)).unwrap();
        puppet(version).write(&folder.join(name));
        symlink(name, folder.join("..new")).unwrap();
        std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    };
    release("..1", "1");
    symlink(Path::new("..data/puppet.wasm"), folder.join("puppet.wasm")).unwrap();
    server.logged(&["plugin live", "puppet"]).await.unwrap();
    release("..2", "2");
    server.logged(&["plugin swapped", "1 -> 2"]).await.unwrap();
    assert_eq!(version(&mut client).await, "2");

    let outside = tempfile::TempDir::new().unwrap();
    Plugin::built("echo").write(outside.path());
    symlink(outside.path().join("echo.wasm"), folder.join("echo.wasm")).unwrap();
    server
        .logged(&["echo.wasm", "a link that leaves the folder"])
        .await
        .unwrap();
    assert_eq!(code(&mut client, "echo", "/echo").await, 404);
}

#[tokio::test]
async fn what_is_refused_is_asked_once_what_it_is() {
    let named = |name: &str, routes: Value| {
        Plugin::puppet(
            &json!({ "name": name, "routes": routes, "describe": [["log", "info", "asked"]] }),
        )
    };
    let nothing = json!([]);
    let server = start(&[
        named("first", json!([["do", "/do"]])),
        named("second", json!([["do", "/do"]])),
    ]);
    server.connect("A").await.unwrap().barrier().await.unwrap();
    // It cannot be looked at, now or later.
    let nowhere = server.plugins.path().join("outside.wasm");
    symlink("/etc/hostname", nowhere).unwrap();
    let outside = ["outside.wasm", "a link that leaves the folder"];
    server.logged(&outside).await.unwrap();
    for name in ["one", "two", "three"] {
        rename_into(&server, &named(name, nothing.clone()));
        server.logged(&["plugin live", name]).await.unwrap();
    }
    for said in ["plugin loaded,", "plugin second handles do /do"] {
        let lines = server.log.lines_with(&[said, "second"]);
        assert_eq!(lines.len(), 1, "{}", server.log.text());
    }
    assert_eq!(server.log.lines_with(&outside).len(), 1);
}

#[tokio::test]
async fn a_folder_that_is_away_for_a_while_loses_nothing() {
    let server = start(&[puppet("1")]);
    let mut client = server.connect("A").await.unwrap();
    let folder = server.plugins.path();
    let away = folder.with_extension("away");
    std::fs::rename(folder, &away).unwrap();
    server
        .logged(&["cannot read the plugins", "stays live"])
        .await
        .unwrap();
    assert_eq!(version(&mut client).await, "1");
    std::fs::create_dir(folder).unwrap();
    puppet("2").write(folder);
    server.logged(&["plugin swapped", "1 -> 2"]).await.unwrap();
    assert_eq!(version(&mut client).await, "2");
    std::fs::remove_dir_all(away).unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_watched_is_left_alone() {
    // The same folder, watched by another host, which shows when there is something to be seen.
    let watching = start(&[puppet("1")]);
    let other = TestServer::start(&[], |config| {
        config.plugins = watching.plugins.path().to_owned();
        config.watch = false;
    })
    .unwrap();
    let mut client = other.connect("A").await.unwrap();
    assert_eq!(version(&mut client).await, "1");
    puppet("2").write(watching.plugins.path());
    let swapped = watching.logged(&["plugin swapped", "1 -> 2"]).await;
    swapped.unwrap();
    assert_eq!(version(&mut client).await, "1");
}
