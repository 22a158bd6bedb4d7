//! Several tenants in one host: who comes to whom, that nothing crosses, and what a reload does to them.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::http::{ask, upgrade};
use wardroom_tests::{Client, Plugin};

const TWO: &str = "
    [tenants.acme]
    plugins = \"acme\"
    path    = \"/acme\"

    [tenants.umbra]
    plugins = \"umbra\"
    path    = \"/umbra\"
    hosts   = [\"umbra.example.com\"]
";

fn puppet() -> Plugin {
    Plugin::puppet(
        &json!({ "name": "puppet", "version": "1.2.3", "routes": [["do", "/do"], ["do", "/room/:n"]] }),
    )
}

/// A folder to run in, with such a plugin for each of two tenants, and this configuration.
fn folder(config: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for tenant in ["acme", "umbra"] {
        fs::create_dir(folder.path().join(tenant)).unwrap();
        puppet().write(&folder.path().join(tenant));
    }
    configure(&folder, config);
    folder
}

fn configure(folder: &TempDir, config: &str) {
    fs::write(folder.path().join("wardroom.toml"), config).unwrap();
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

async fn connect(program: &Program, path: &str, host: Option<&str>) -> Result<Client, u16> {
    let headers = host.map(|host| ("host", host));
    let connected = Client::connect(path, program.address, path, headers.as_slice()).await;
    connected.unwrap().map_err(|refusal| refusal.status)
}

async fn acme(program: &Program) -> Client {
    connect(program, "/acme", None).await.unwrap()
}

async fn umbra(program: &Program) -> Client {
    let host = Some("umbra.example.com:3000");
    connect(program, "/umbra", host).await.unwrap()
}

#[tokio::test]
async fn path_and_host_say_whose_a_connection_is() {
    let config = format!(
        "{TWO}
        [tenants.open]
        plugins = \"open\"
        path    = \"/umbra\"
        "
    );
    let folder = folder(&config);
    fs::create_dir(folder.path().join("open")).unwrap();
    let program = serve(&folder).await;
    let mut named = umbra(&program).await;
    assert_eq!(
        named.run("/do", json!([["value", 1]])).await.unwrap(),
        json!([1])
    );
    // No plugins there: it is the one who names no host.
    for host in ["other.example.com", "example.com", "UMBRA.example.com.evil"] {
        let mut open = connect(&program, "/umbra", Some(host)).await.unwrap();
        let reply = open.request("do", "/do", json!([])).await.unwrap();
        assert_eq!(reply["error"]["code"], 404, "{host}: {reply}");
    }
    // Names of hosts are spelled in either case.
    let mut client = connect(&program, "/umbra", Some("UMBRA.Example.com"))
        .await
        .unwrap();
    assert_eq!(
        client.run("/do", json!([["value", 2]])).await.unwrap(),
        json!([2])
    );
    for path in ["/ws", "/", "/acme/", "/umbra/ws"] {
        let status = connect(&program, path, None).await.err();
        assert_eq!(status, Some(404), "{path}");
    }
    let twice = upgrade("/umbra").replacen("\r\n", "\r\nHost: other.example.com\r\n", 1);
    assert_eq!(ask(program.address, &twice).await.unwrap().status, 400);
}

#[tokio::test]
async fn nothing_crosses() {
    let folder = folder(TWO);
    let program = serve(&folder).await;
    let mut near = acme(&program).await;
    let mut far = umbra(&program).await;
    let id = far
        .run("/room/r", json!([["join"], ["join", "s"], ["id"]]))
        .await
        .unwrap()[2]
        .clone();
    let push = json!({ "event": "stray", "path": "/" });
    let script = json!([
        ["join", "/room/r"],
        ["broadcast", "stray", 1, "/room/r", false],
        ["broadcast", "stray", 1, "umbra:room:/room/r", false],
        ["server-send", id, push],
        ["server-close", id, 4000, "out"],
        ["connection", id, "cluster"],
        ["room-size", "/room/r", "cluster"],
        ["rooms", "", {}, "cluster"],
        ["connections", {}, "cluster"],
        ["room-connections", "s", {}, "cluster"],
        ["server-broadcast", push],
    ]);
    let said = near.request("do", "/room/x", script).await.unwrap();
    let said = &said["data"];
    assert_eq!(said[3], false, "sent to another's: {said}");
    assert_eq!(said[4], false, "closed another's: {said}");
    assert_eq!(said[5]["connection"], Value::Null);
    assert_eq!(said[6]["size"], 1);
    assert_eq!(said[7]["total"], 1, "{said}");
    assert_eq!(said[8]["total"], 1, "{said}");
    assert_eq!(said[9]["total"], 0, "{said}");
    // Nothing of it came, and it is still there.
    far.barrier().await.unwrap();
    assert_eq!(
        far.run("/do", json!([["joined"], ["value", 1]]))
            .await
            .unwrap(),
        json!([["/room/r", "s"], 1])
    );
}

#[tokio::test]
async fn a_reload_adds_changes_and_removes_tenants() {
    let folder = folder(TWO);
    let program = serve(&folder).await;
    let (mut near, mut far) = (acme(&program).await, umbra(&program).await);
    far.run("/do", json!([["join", "r"]])).await.unwrap();
    let others = "
        [tenants.umbra]
        plugins = \"umbra\"
        path    = \"/umbra\"
        [tenants.umbra.limits]
        reply_bytes_max = 100
        [tenants.next]
        plugins = \"acme\"
        path    = \"/acme\"
    ";
    configure(&folder, others);
    program.signal("HUP").await.unwrap();
    let line = program.logged(&["configuration reloaded"]).await.unwrap();
    for change in [
        "tenant acme (removed)",
        "tenant umbra,",
        "tenant next (new)",
    ] {
        assert!(
            line.replace('"', ",").contains(change),
            "{change} in {line}"
        );
    }
    // Who was with the removed one has to go, who was with the other stays, with what it has and the new limits.
    let close = near.receive_close().await.unwrap();
    assert_eq!(close.code, Some(3501), "{close:?}");
    let long = json!([["joined"], ["value", "x".repeat(100)]]);
    let reply = far.request("do", "/do", long).await.unwrap();
    assert_eq!(reply["error"]["code"], 413, "{reply}");
    assert_eq!(
        far.run("/do", json!([["joined"]])).await.unwrap(),
        json!([["r"]])
    );
    // It names no hosts any more.
    assert!(connect(&program, "/umbra", None).await.is_ok());
    let mut new = acme(&program).await;
    let said = new
        .run("/do", json!([["connections", {}, "cluster"]]))
        .await;
    assert_eq!(said.unwrap()[0]["total"], 1);
}

#[tokio::test]
async fn tenants_come_in_place_of_the_default_one() {
    let folder = folder("plugins = \"acme\"\n");
    let program = serve(&folder).await;
    let mut old = program.connect("old").await.unwrap();
    configure(&folder, TWO);
    program.signal("HUP").await.unwrap();
    program.logged(&["configuration reloaded"]).await.unwrap();
    assert_eq!(old.receive_close().await.unwrap().code, Some(3501));
    assert_eq!(connect(&program, "/ws", None).await.err(), Some(404));
    let mut near = acme(&program).await;
    assert_eq!(
        near.run("/do", json!([["value", 1]])).await.unwrap(),
        json!([1])
    );
}

#[tokio::test]
async fn each_has_its_own_folder_watched() {
    let folder = folder(TWO);
    let program = serve(&folder).await;
    let (mut near, mut far) = (acme(&program).await, umbra(&program).await);
    let late = Plugin::puppet(&json!({ "name": "late", "routes": [["do", "/late"]] }));
    late.write(&folder.path().join("acme"));
    program.logged(&["plugin live", "acme/late"]).await.unwrap();
    let reply = near.run("/late", json!([["value", 1]])).await.unwrap();
    assert_eq!(reply, json!([1]));
    let reply = far.request("do", "/late", json!([])).await.unwrap();
    assert_eq!(reply["error"]["code"], 404, "{reply}");
    // Those of a tenant that comes later as well.
    let config = TWO.replace("tenants.acme", "tenants.later");
    configure(&folder, &config);
    program.signal("HUP").await.unwrap();
    program.logged(&["configuration reloaded"]).await.unwrap();
    fs::remove_file(folder.path().join("acme/late.wasm")).unwrap();
    program
        .logged(&["plugin removed", "later/late"])
        .await
        .unwrap();
    let mut later = acme(&program).await;
    let reply = later.request("do", "/late", json!([])).await.unwrap();
    assert_eq!(reply["error"]["code"], 404, "{reply}");
}

#[tokio::test]
async fn connections_max_is_the_hosts_and_each_tenants() {
    let config = format!(
        "{TWO}
        [tenants.acme.limits]
        connections_max = 1
        [limits]
        connections_max = 2
        "
    );
    let folder = folder(&config);
    let program = serve(&folder).await;
    let one = acme(&program).await;
    assert_eq!(connect(&program, "/acme", None).await.err(), Some(503));
    let other = umbra(&program).await;
    let host = Some("umbra.example.com");
    assert_eq!(connect(&program, "/umbra", host).await.err(), Some(503));
    drop((one, other));
}

#[tokio::test]
async fn check_says_which_plugins_each_would_have() {
    let folder = folder(TWO);
    fs::write(folder.path().join("umbra/bad.wasm"), "no wasm").unwrap();
    let check = wardroom(folder.path(), &["check"]).run().await.unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(1), "{said}");
    for part in [
        "[tenants.acme]",
        "acme/puppet.wasm",
        "umbra/puppet.wasm",
        "umbra/bad.wasm",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // Both have the same routes, and that is no conflict.
    assert!(!said.contains("conflict"), "{said}");
}
