//! The configuration of the real program: who overrules whom, what `check` says, what SIGHUP changes.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;
use wardroom::config::{ConfigFile, Flags, Sources};
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::guests::repository;
use wardroom_tests::{Client, Plugin, Refusal};

/// A folder to run in, with these plugins in `plugins` and this text in `wardroom.toml`.
fn folder(plugins: &[Plugin], config: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let below = folder.path().join("plugins");
    std::fs::create_dir(&below).unwrap();
    plugins.iter().for_each(|plugin| plugin.write(&below));
    configure(&folder, config);
    folder
}

fn configure(folder: &TempDir, config: &str) {
    std::fs::write(folder.path().join("wardroom.toml"), config).unwrap();
}

fn puppet(name: &str) -> Plugin {
    Plugin::puppet(&json!({ "name": name, "version": "1.2.3", "routes": [["do", "/do"]] }))
}

fn wardroom(folder: &Path, arguments: &[&str]) -> Invocation {
    let built = env!("CARGO_BIN_EXE_wardroom-tested");
    let program = std::env::var("WARDROOM").unwrap_or_else(|_| built.to_owned());
    Invocation::new(&program, arguments).within(folder)
}

async fn serve(folder: &TempDir) -> Program {
    let invocation = wardroom(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    Program::invoke(&invocation).await.unwrap()
}

/// Exit code, standard output, standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A message of so many bytes and more, which is answered unless it is too large.
fn large(bytes: usize) -> String {
    json!({ "event": "do", "path": "/do", "id": 1, "data": [["value", "x".repeat(bytes)]] })
        .to_string()
}

async fn refusal(program: &Program, path: &str) -> Option<Refusal> {
    let connected = Client::connect("refused", program.address, path, &[]).await;
    connected.unwrap().err()
}

#[tokio::test]
async fn check_says_what_would_be_served() {
    let folder = folder(
        &[puppet("puppet"), Plugin::built("echo")],
        "path = \"/chat\"\n\n[limits]\nmessage_bytes_max = \"64 KiB\"\nroutes_max = 7\n",
    );
    let check = wardroom(folder.path(), &["check", "--admin", "127.0.0.1:0"])
        .with("WARDROOM_LIMITS_ROUTES_MAX", "9")
        .with("WARDROOM_ADMIN_TOKEN", "c2VjcmV0");
    let (code, out, errors) = said(&check.run().await.unwrap());
    assert_eq!(code, Some(0), "{errors}");
    for line in [
        "listen = \"127.0.0.1:3000\"",
        "admin = \"127.0.0.1:0\" # --admin",
        "admin_token = \"(set)\" # WARDROOM_ADMIN_TOKEN",
        "path = \"/chat\" # wardroom.toml:1",
        "# cache is not set",
        "[limits]",
        "message_bytes_max = \"64 KiB\" # wardroom.toml:4",
        "routes_max = 9 # WARDROOM_LIMITS_ROUTES_MAX",
        "event_cpu_max = \"50ms\"",
        "# plugins/puppet.wasm: puppet 1.2.3, 1 route",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}\n{out}");
    }
    assert!(!out.contains("c2VjcmV0"), "{out}");

    let (code, out, _) = said(
        &wardroom(folder.path(), &["check", "--json"])
            .run()
            .await
            .unwrap(),
    );
    assert_eq!(code, Some(0));
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        out["configuration"]["limits"]["message_bytes_max"],
        64 * 1024
    );
    assert_eq!(
        out["from"],
        json!({ "path": "wardroom.toml:1", "limits.message_bytes_max": "wardroom.toml:4",
            "limits.routes_max": "wardroom.toml:5" })
    );
    assert_eq!(
        out["plugins"][1],
        json!({ "file": "plugins/puppet.wasm", "name": "puppet", "version": "1.2.3", "routes": 1 })
    );
}

#[tokio::test]
async fn what_check_says_is_a_configuration() {
    let folder = folder(
        &[],
        "node = \"north\"\n[limits]\nevent_cpu_max = \"20ms\"\n",
    );
    let (_, out, _) = said(&wardroom(folder.path(), &["check"]).run().await.unwrap());
    configure(&folder, &out);
    let (code, again, errors) = said(&wardroom(folder.path(), &["check"]).run().await.unwrap());
    assert_eq!(code, Some(0), "{errors}");
    let values = |text: &str| {
        let lines = text.lines().map(|line| line.split(" # ").next().unwrap());
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(values(&again), values(&out));
}

#[test]
fn the_example_in_the_readme_is_one() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, chapter) = readme.split_once("## Configure it").unwrap();
    let (_, example) = chapter.split_once("```toml\n").unwrap();
    let folder = folder(&[], example.split("```").next().unwrap());
    let sources = Sources {
        file: ConfigFile::Named(folder.path().join("wardroom.toml")),
        environment: vec![],
        flags: Flags::default(),
    };
    let config = sources.load().unwrap().config;
    assert_eq!(config.plugins, folder.path().join("live"));
    assert_eq!(config.limits.message_bytes_max, 64 * 1024);
}

#[tokio::test]
async fn check_fails_for_plugins_that_would_be_refused() {
    let other = puppet("zebra");
    let folder = folder(
        &[
            puppet("puppet"),
            other,
            Plugin::file("broken.wasm", b"broken"),
        ],
        "",
    );
    let check = wardroom(folder.path(), &["check"]);
    let (code, out, errors) = said(&check.run().await.unwrap());
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("2 of 3 plugins"), "{errors}");
    let refused = |file: &str, why: &str| {
        let line = out.lines().find(|line| line.contains(file));
        line.is_some_and(|line| line.contains("REFUSED") && line.contains(why))
    };
    assert!(refused("broken.wasm", "not WebAssembly"), "{out}");
    assert!(
        refused("zebra.wasm", "which plugin puppet handles"),
        "{out}"
    );
    let check = wardroom(folder.path(), &["check", "--json"]);
    let (code, out, _) = said(&check.run().await.unwrap());
    assert_eq!(code, Some(1));
    let out: Value = serde_json::from_str(&out).unwrap();
    let reason = out["plugins"][0]["refused"].as_str();
    assert!(
        reason.is_some_and(|reason| reason.contains("not WebAssembly")),
        "{out}"
    );
}

#[tokio::test]
async fn every_mistake_is_named_and_exits_with_64() {
    let folder = folder(
        &[],
        "lisen = \"127.0.0.1:0\"\n[limits]\nmesage_bytes_max = 5\nevent_cpu_max = \"soon\"\n",
    );
    for command in [&["serve"][..], &["check"], &["inspect", "puppet.wasm"]] {
        let invocation = wardroom(folder.path(), command).with("WARDROOM_NOD", "x");
        let (code, out, errors) = said(&invocation.run().await.unwrap());
        assert_eq!((code, out.as_str()), (Some(64), ""), "{errors}");
        for (line, start, end) in [
            (
                0,
                "error: wardroom.toml:1: lisen: ",
                "the nearest is listen",
            ),
            (
                1,
                "error: wardroom.toml:3: limits.mesage_bytes_max: ",
                "the nearest is limits.message_bytes_max",
            ),
            (
                2,
                "error: wardroom.toml:4: limits.event_cpu_max: must be a time",
                "not \"soon\"",
            ),
            (3, "error: WARDROOM_NOD: ", "the nearest is WARDROOM_NODE"),
        ] {
            let line = errors.lines().nth(line).unwrap_or_default();
            assert!(line.starts_with(start) && line.ends_with(end), "{errors}");
        }
    }
    for command in [
        &["check", "--json"][..],
        &["inspect", "--json", "puppet.wasm"],
    ] {
        let (code, out, errors) = said(&wardroom(folder.path(), command).run().await.unwrap());
        assert_eq!(code, Some(64), "{errors}");
        let faults: Value = serde_json::from_str(&out).unwrap();
        let faults = faults["faults"].as_array().unwrap().iter();
        let lines = faults.map(|fault| format!("error: {}\n", fault.as_str().unwrap()));
        assert_eq!(lines.collect::<String>(), errors);
    }
    // `dev` looks for no file; it fails for another reason, which is that there is nothing to build.
    let (code, _, errors) = said(&wardroom(folder.path(), &["dev"]).run().await.unwrap());
    assert_eq!(code, Some(1), "{errors}");
    let dev = wardroom(folder.path(), &["dev", "--config", "wardroom.toml"]);
    let (code, _, errors) = said(&dev.run().await.unwrap());
    assert_eq!(code, Some(64), "{errors}");
    let missing = wardroom(folder.path(), &["check", "--config", "missing.toml"]);
    let (code, _, errors) = said(&missing.run().await.unwrap());
    assert_eq!(code, Some(64), "{errors}");
    assert!(errors.contains("missing.toml: cannot be read"), "{errors}");
}

#[tokio::test]
async fn flags_go_before_the_environment_which_goes_before_the_file() {
    // Nobody can listen there.
    let folder = folder(
        &[puppet("puppet")],
        "listen = \"192.0.2.1:1\"\npath = \"/file\"\nplugins = \"missing\"\n[limits]\nmessage_bytes_max = 1\n",
    );
    let invocation = wardroom(
        folder.path(),
        &["serve", "--listen", "127.0.0.1:0", "--plugins", "plugins"],
    );
    let invocation = invocation
        .with("WARDROOM_LISTEN", "192.0.2.2:2")
        .with("WARDROOM_PLUGINS", "missing too")
        .with("WARDROOM_PATH", "/variable")
        .with("WARDROOM_LIMITS_MESSAGE_BYTES_MAX", "1 kB");
    let program = Program::invoke(&invocation).await.unwrap();
    assert_eq!(refusal(&program, "/file").await.unwrap().status, 404);
    let connected = Client::connect("A", program.address, "/variable", &[]).await;
    let mut client = connected.unwrap().unwrap();
    client.send(large(800)).await.unwrap();
    assert!(client.receive_json().await.unwrap()["data"].is_array());
    client.send(large(1_000)).await.unwrap();
    assert_eq!(client.receive_close().await.unwrap().code, Some(1009));
}

#[tokio::test]
async fn a_reload_takes_effect_for_what_begins_after_it() {
    let folder = folder(
        &[puppet("puppet")],
        "[limits]\nconnections_max = 1\nmessage_bytes_max = 100_000\n",
    );
    let program = serve(&folder).await;
    let mut old = program.connect("old").await.unwrap();
    assert_eq!(refusal(&program, "/ws").await.unwrap().status, 503);
    configure(
        &folder,
        "[limits]\nconnections_max = 2\nmessage_bytes_max = \"1 kB\"\nreply_bytes_max = 100\n",
    );
    program.signal("HUP").await.unwrap();
    let line = program.logged(&["configuration reloaded"]).await.unwrap();
    for key in ["connections_max", "message_bytes_max", "reply_bytes_max"] {
        assert!(line.contains(&format!("limits.{key}")), "{line}");
    }
    assert!(!line.contains("listen"), "{line}");

    let mut new = program.connect("new").await.unwrap();
    assert_eq!(refusal(&program, "/ws").await.unwrap().status, 503);
    new.send(large(1_000)).await.unwrap();
    assert_eq!(new.receive_close().await.unwrap().code, Some(1009));
    // The connection that was open has its own, its events have those of the moment.
    old.send(large(1_000)).await.unwrap();
    assert_eq!(old.receive_json().await.unwrap()["error"]["code"], 413);
    old.send(large(10)).await.unwrap();
    assert!(old.receive_json().await.unwrap()["data"].is_array());
}

#[tokio::test]
async fn a_reload_of_what_cannot_change_is_refused_as_a_whole() {
    let folder = folder(&[puppet("puppet")], "[limits]\nmessage_bytes_max = 1_000\n");
    let program = serve(&folder).await;
    configure(
        &folder,
        "node = \"other\"\n[limits]\ninstances_max = 2_000\nmessage_bytes_max = 100_000\n",
    );
    program.signal("HUP").await.unwrap();
    let line = program
        .logged(&["configuration not reloaded"])
        .await
        .unwrap();
    assert!(
        line.contains("node, limits.instances_max cannot change while the host runs"),
        "{line}"
    );
    let mut client = program.connect("A").await.unwrap();
    client.send(large(2_000)).await.unwrap();
    assert_eq!(client.receive_close().await.unwrap().code, Some(1009));

    configure(&folder, "[limits]\nmessage_bytes_max = 100_000\n");
    program.signal("HUP").await.unwrap();
    program.logged(&["configuration reloaded"]).await.unwrap();
    let mut client = program.connect("B").await.unwrap();
    client.send(large(2_000)).await.unwrap();
    assert!(client.receive_json().await.unwrap()["data"].is_array());
}

#[tokio::test]
async fn a_broken_or_missing_file_changes_nothing() {
    let folder = folder(&[puppet("puppet")], "[limits]\nmessage_bytes_max = 1_000\n");
    let program = serve(&folder).await;
    let mut old = program.connect("old").await.unwrap();
    configure(&folder, "[limits]\nmesage_bytes_max = 100_000\n");
    program.signal("HUP").await.unwrap();
    program
        .logged(&[
            "configuration not reloaded",
            "wardroom.toml:2",
            "limits.message_bytes_max",
        ])
        .await
        .unwrap();
    configure(&folder, "[limits\n");
    program.signal("HUP").await.unwrap();
    program
        .logged(&["configuration not reloaded", "wardroom.toml:1: "])
        .await
        .unwrap();
    std::fs::remove_file(folder.path().join("wardroom.toml")).unwrap();
    program.signal("HUP").await.unwrap();
    program
        .logged(&["configuration not reloaded", "cannot be read"])
        .await
        .unwrap();
    old.send(large(10)).await.unwrap();
    let reply = old.receive_json().await.unwrap();
    assert!(reply["data"].is_array(), "{reply}");
    let mut new = program.connect("new").await.unwrap();
    new.send(large(2_000)).await.unwrap();
    assert_eq!(new.receive_close().await.unwrap().code, Some(1009));
}

#[tokio::test]
async fn a_reload_loads_the_plugins_anew() {
    // Before anyone connects: it may have to be built, and until then nobody answers a ping.
    let echo = Plugin::built("echo");
    let folder = folder(&[puppet("puppet")], "");
    let program = serve(&folder).await;
    let mut client = program.connect("A").await.unwrap();
    let reply = client.request("echo", "/echo", json!(1)).await.unwrap();
    assert_eq!(reply["error"]["code"], 404, "{reply}");
    echo.write(&folder.path().join("plugins"));
    program.signal("HUP").await.unwrap();
    program.logged(&["configuration reloaded"]).await.unwrap();
    let reply = client.request("echo", "/echo", json!(1)).await.unwrap();
    assert_eq!(reply["data"], 1, "{reply}");
    // A folder that is gone takes nothing with it.
    std::fs::remove_dir_all(folder.path().join("plugins")).unwrap();
    program.signal("HUP").await.unwrap();
    program
        .logged(&["configuration not reloaded", "plugins"])
        .await
        .unwrap();
    let reply = client.request("echo", "/echo", json!(2)).await.unwrap();
    assert_eq!(reply["data"], 2, "{reply}");
}
