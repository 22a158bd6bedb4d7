//! What a plugin gets when it reaches for another tenant: through every import, and by everything that a client of the
//! other can see.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use tempfile::TempDir;
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::{Client, Plugin, Web};

const ROOM: &str = "/do/room";

/// One of them.
#[derive(Clone)]
struct Attempt {
    what: &'static str,
    step: Value,
    /// What it gets; of an object, this and more.
    gets: Value,
}

fn attempt(what: &'static str, step: Value, gets: Value) -> Attempt {
    Attempt { what, step, gets }
}

/// A host with two tenants of one plugin each, which have the same name and routes, and their state in the same place.
/// One of them is given a value and a web server.
async fn serve(folder: &TempDir, state: &str, web: &Web) -> (Program, SocketAddr) {
    let plugin = json!({ "name": "puppet", "routes": [["do", "/do"], ["do", "/do/room"]] });
    for tenant in ["hostile", "victim"] {
        let plugins = folder.path().join(tenant);
        fs::create_dir_all(&plugins).unwrap();
        Plugin::puppet(&plugin).write(&plugins);
    }
    configure(folder, state, web, &[]);
    let built = env!("CARGO_BIN_EXE_wardroom-tested");
    let program = std::env::var("WARDROOM").unwrap_or_else(|_| built.to_owned());
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let invocation = Invocation::new(&program, &arguments).within(folder.path());
    let program = Program::invoke(&invocation).await.unwrap();
    let (_, admin) = program.ready.split_once(" admin=").unwrap();
    let admin = admin.parse().unwrap();
    (program, admin)
}

/// With these hosts granted to the plugin that is hostile.
fn configure(folder: &TempDir, state: &str, web: &Web, granted: &[String]) {
    let web = web.url();
    let config = format!(
        "state = \"{state}\"
        [tenants.hostile]
        plugins = \"hostile\"
        path    = \"/hostile\"
        [tenants.hostile.plugin.puppet]
        http = {granted:?}
        [tenants.victim]
        plugins = \"victim\"
        path    = \"/victim\"
        [tenants.victim.plugin.puppet]
        http   = [{web:?}]
        config = {{ key = \"the victim's\" }}
        "
    );
    fs::write(folder.path().join("wardroom.toml"), config).unwrap();
}

async fn connect(program: &Program, tenant: &str) -> Client {
    let path = format!("/{tenant}");
    let connected = Client::connect(tenant, program.address, &path, &[]).await;
    connected
        .unwrap()
        .map_err(|refusal| refusal.status)
        .unwrap()
}

/// What tells of everybody.
fn at_large(room: &str) -> Vec<Attempt> {
    let from = json!({ "after": room });
    vec![
        attempt(
            "server.broadcast",
            json!(["server-broadcast", push()]),
            json!("ok"),
        ),
        attempt(
            "server.connections",
            json!(["connections", {}, "cluster"]),
            json!({ "total": 1 }),
        ),
        attempt("server.rooms", json!(["rooms", "", {}, "cluster"]), none()),
        attempt(
            "server.rooms, from a place",
            json!(["rooms", "", from, "cluster"]),
            none(),
        ),
    ]
}

fn by_id(id: &str) -> Vec<Attempt> {
    let (upper, qualified) = (id.to_uppercase(), format!("victim/{id}"));
    let spelled = [
        ("a client's id", id),
        ("its id, spelled differently", &upper),
        ("its id with the tenant's name", &qualified),
    ];
    let missing = json!({ "connection": null });
    let calls = |(what, id)| {
        [
            attempt(what, json!(["server-send", id, push()]), json!(false)),
            attempt(what, json!(["server-close", id, 4000, "out"]), json!(false)),
            attempt(what, json!(["connection", id, "local"]), missing.clone()),
            attempt(what, json!(["connection", id, "cluster"]), missing.clone()),
        ]
    };
    spelled.into_iter().flat_map(calls).collect()
}

fn by_room(room: &str) -> Vec<Attempt> {
    let spelled = [
        ("a room", room.to_owned()),
        ("a room with the tenant's name", format!("victim{room}")),
        (
            "a room as the bus may call it",
            format!("victim:room:{room}"),
        ),
        ("a room by a path", format!("../victim{room}")),
        ("a room behind a zero byte", format!("victim\0{room}")),
    ];
    let calls = |(what, room): (_, String)| {
        let owner = json!({ "room": room });
        [
            attempt(
                what,
                json!(["broadcast", "stray", 1, room, true]),
                json!("ok"),
            ),
            attempt(
                what,
                json!(["room-size", room, "cluster"]),
                json!({ "size": 0 }),
            ),
            attempt(
                what,
                json!(["room-connections", room, {}, "cluster"]),
                none(),
            ),
            attempt(what, json!(["state-get", owner, "k"]), Value::Null),
            attempt(what, json!(["state-keys", owner, ""]), none()),
            attempt(what, json!(["leave", room]), json!("ok")),
        ]
    };
    spelled.into_iter().flat_map(calls).collect()
}

/// Not of a room: writing there would make it one of its own.
fn by_key() -> Vec<Attempt> {
    let calls = |(what, owner)| {
        let conflict = json!({ "conflict": null });
        [
            attempt(what, json!(["state-get", owner, "k"]), Value::Null),
            attempt(what, json!(["state-keys", owner, ""]), none()),
            attempt(what, json!(["state-delete", owner, "k"]), json!(false)),
            attempt(
                what,
                json!(["state-compare-and-set", owner, "k", 1, 0]),
                conflict,
            ),
            attempt(what, json!(["state-increment", owner, "k", 1]), json!(1)),
        ]
    };
    let owners = [
        ("the tenant's state", "tenant"),
        ("a plugin's state", "plugin"),
    ];
    owners.into_iter().flat_map(calls).collect()
}

fn by_value() -> Vec<Attempt> {
    let get = |key| attempt("a configured value", json!(["config", key]), Value::Null);
    vec![
        get("key"),
        get("victim.key"),
        get("tenants.victim.plugin.puppet.config.key"),
        get("admin_token"),
        attempt("a configured value", json!(["config-keys"]), json!([])),
    ]
}

/// By HTTP: the first of these it was not granted; to the second it was, by names that lead to this machine.
fn by_request(servers: &[(&'static str, SocketAddr, &str)]) -> Vec<Attempt> {
    let calls = |&(what, server, path): &(&'static str, SocketAddr, &str)| {
        let port = server.port();
        let to = |authority: String, gets| {
            let request = json!({ "authority": authority, "path": path });
            attempt(what, json!(["http", request]), json!({ "error": gets }))
        };
        [
            to(server.to_string(), "HttpRequestDenied"),
            to(format!("127.1:{port}"), "HttpRequestDenied"),
            to(format!("[::ffff:127.0.0.1]:{port}"), "HttpRequestDenied"),
            to(format!("0.0.0.0:{port}"), "HttpRequestDenied"),
            to(format!("localhost:{port}"), "DestinationIpProhibited"),
        ]
    };
    servers.iter().flat_map(calls).collect()
}

fn push() -> Value {
    json!({ "event": "stray", "path": ROOM, "data": 1 })
}

fn none() -> Value {
    json!({ "total": 0 })
}

fn is(got: &Value, gets: &Value) -> bool {
    match gets.as_object() {
        Some(fields) => fields.iter().all(|(name, value)| got[name] == *value),
        None => got == gets,
    }
}

#[tokio::test]
async fn nothing_of_another_tenant_is_reached() {
    for state in ["memory", "state.redb"] {
        let folder = TempDir::new().unwrap();
        let web = Web::start().await.unwrap();
        let (program, admin) = serve(&folder, state, &web).await;
        let servers = [
            ("the host, by HTTP", program.address, "/readyz"),
            ("its admin listener, by HTTP", admin, "/metrics"),
            ("what the other is granted", web.address, "/"),
        ];
        let names = servers.map(|(_, server, _)| format!("http://localhost:{}", server.port()));
        configure(&folder, state, &web, &names);
        program.signal("HUP").await.unwrap();
        program.logged(&["configuration reloaded"]).await.unwrap();
        let mut victim = connect(&program, "victim").await;
        let mut hostile = connect(&program, "hostile").await;
        let owners = [json!("tenant"), json!("plugin"), json!({ "room": ROOM })];
        let mut settle = vec![json!(["join", ROOM]), json!(["id"])];
        settle.extend(
            owners
                .clone()
                .map(|owner| json!(["state-set", owner, "k", 41])),
        );
        let settled = victim.run(ROOM, Value::from(settle)).await.unwrap();
        let id = settled[1].as_str().unwrap();
        let attempts = [
            at_large(ROOM),
            by_id(id),
            by_room(ROOM),
            by_key(),
            by_value(),
            by_request(&servers),
        ]
        .concat();
        let mut table = format!("state = {state}\n");
        let mut wrong = 0;
        for Attempt { what, step, gets } in &attempts {
            let got = hostile.run("/do", json!([step])).await.unwrap()[0].take();
            let verdict = if is(&got, gets) { "-" } else { "WRONG" };
            wrong += usize::from(verdict == "WRONG");
            let _ = writeln!(table, "{verdict:<6}{what:<31}{step}  =>  {got}");
        }
        eprintln!("{table}");
        assert_eq!(wrong, 0, "{table}");
        // Nothing has come to the other, and all of its own is as it was.
        assert_eq!(web.accepted(), 0);
        victim.barrier().await.unwrap();
        let mut look = vec![json!(["joined"]), json!(["room-size", ROOM, "cluster"])];
        look.extend(owners.map(|owner| json!(["state-get", owner, "k"])));
        look.push(json!(["config", "key"]));
        look.push(json!(["http", { "authority": web.authority() }]));
        let seen = victim.run(ROOM, Value::from(look)).await.unwrap();
        assert_eq!(seen[0], json!([ROOM]));
        assert_eq!(seen[1]["size"], 1);
        for (place, version) in [(2, 1), (3, 2), (4, 3)] {
            assert_eq!(seen[place], json!([41, version]), "{seen}");
        }
        assert_eq!(seen[5], "the victim's");
        assert_eq!(seen[6]["status"], 200, "{seen}");
    }
}
