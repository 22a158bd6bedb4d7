//! What plugins keep, through sockets: with rooms that end, plugins that are swapped, hosts that end and hosts that are
//! killed. What one operation does is in the transcripts, and that memory, file and Redis do the same beside
//! the code.

use crate::program::wardroom;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wardroom::config::StateStore;
use wardroom::metrics::Metrics;
use wardroom::plugin::{Engine, load};
use wardroom::{Config, Limits};
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::needed::is_there;
use wardroom_tests::{Broker, Client, Plugin, TestServer};

fn puppet(version: &str) -> Plugin {
    Plugin::puppet(&json!({
        "name": "puppet", "version": version, "routes": [["do", "/do"]], "hooks": ["connect", "disconnect"],
    }))
}

/// In memory, in a file in this folder, and at a broker if there is one.
fn stores(folder: &Path, broker: Option<&Broker>) -> Vec<StateStore> {
    let file = StateStore::File(folder.join("state.redb"));
    let shared = broker.map(|_| StateStore::Cluster);
    let mut stores = vec![StateStore::Memory, file];
    stores.extend(shared);
    stores
}

async fn broker() -> Option<Broker> {
    if !is_there("redis-server") {
        return None;
    }
    Some(Broker::redis().await.unwrap())
}

fn start_at(store: &StateStore, broker: Option<&Broker>) -> TestServer {
    TestServer::start(&[puppet("1")], |config: &mut Config| {
        config.state = store.clone();
        if let Some(broker) = broker {
            config.set("cluster.url", &broker.url()).unwrap();
        }
    })
    .unwrap()
}

fn start(store: &StateStore) -> TestServer {
    TestServer::start(&[puppet("1")], |config: &mut Config| {
        config.state = store.clone()
    })
    .unwrap()
}

async fn run(client: &mut Client, script: Value) -> Value {
    client.run("/do", script).await.unwrap()
}

#[tokio::test]
async fn a_restart_forgets_memory_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let broker = broker().await;
    for store in stores(folder.path(), broker.as_ref()) {
        let server = start_at(&store, broker.as_ref());
        let mut client = server.connect("before").await.unwrap();
        let lent = json!(["state-set", { "room": "/r" }, "lent", 4, 3_600_000]);
        let set = json!([
            ["join", "/r"],
            ["state-set", "tenant", "k", 1],
            ["state-set", "plugin", "k", 2],
            ["state-set", { "room": "/r" }, "k", 3],
            lent
        ]);
        assert_eq!(run(&mut client, set).await, json!(["ok", 1, 2, 3, 4]));
        drop(server);
        let server = start_at(&store, broker.as_ref());
        let mut client = server.connect("after").await.unwrap();
        let get = json!([
            ["state-get", "tenant", "k"],
            ["state-get", "plugin", "k"],
            ["state-get", { "room": "/r" }, "k"],
            ["state-get", { "room": "/r" }, "lent"],
            ["state-set", "tenant", "new", 0]
        ]);
        let kept = match store {
            StateStore::Memory => json!([null, null, null, null, 1]),
            _ => json!([[1, 1], [2, 2], null, [4, 4], 5]),
        };
        assert_eq!(run(&mut client, get).await, kept);
    }
}

#[tokio::test]
async fn describe_has_none() {
    let steps = json!([["state-get", "tenant", "k"], ["state-set", "plugin", "k", 1], ["state-delete", "tenant", "k"],
        ["state-increment", { "room": "/r" }, "k"], ["state-compare-and-set", "tenant", "k", null, 1],
        ["state-keys", "tenant", ""]]);
    let asks = Plugin::puppet(&json!({ "name": "puppet", "describe": steps }));
    let limits = Limits {
        instances_max: 4,
        instances_per_plugin_max: 1,
        ..Limits::default()
    };
    let engine = Engine::new(&limits, Metrics::of_host()).unwrap();
    let plugin = load(&engine, "puppet", asks.bytes.into()).await.unwrap();
    let answers: Value = serde_json::from_str(&plugin.manifest.description).unwrap();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 6);
    assert!(
        answers.iter().all(|answer| answer["denied"].is_string()),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_plugins_own_goes_by_the_name_in_its_manifest() {
    let server = TestServer::start(&[puppet("1")], |config: &mut Config| {
        // The key, the value, and `puppet`.
        config.limits.state_bytes_max = 1 + 5 + 6;
        let tenant = config.mounted().into_values().next().unwrap();
        config.tenants.insert("acme".parse().unwrap(), tenant);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let set = |value| json!(["state-set", "plugin", "k", value]);
    let answers = run(&mut client, json!([set(12_345), set(123_456)])).await;
    assert_eq!(answers, json!([1, { "limit": "state_bytes_max" }]));
}

#[tokio::test]
async fn a_swap_leaves_all_of_it() {
    let server = start(&StateStore::Memory);
    let mut client = server.connect("A").await.unwrap();
    let set = json!([["join", "/r"], ["state-set", "plugin", "k", 1], ["state-set", { "room": "/r" }, "k", 2]]);
    assert_eq!(run(&mut client, set).await, json!(["ok", 1, 2]));
    puppet("2").write(server.plugins.path());
    server.logged(&["plugin swapped", "1 -> 2"]).await.unwrap();
    let get =
        json!([["version"], ["state-get", "plugin", "k"], ["state-get", { "room": "/r" }, "k"]]);
    assert_eq!(run(&mut client, get).await, json!(["2", [1, 1], [2, 2]]));
}

#[tokio::test]
async fn a_rooms_state_goes_with_its_last_member() {
    let folder = TempDir::new().unwrap();
    let broker = broker().await;
    for store in stores(folder.path(), broker.as_ref()) {
        let server = start_at(&store, broker.as_ref());
        let mut watch = server.connect("watch").await.unwrap();
        let in_r = || json!({ "room": "/r" });
        let get = || json!([["state-get", in_r(), "k"], ["state-keys", in_r(), ""]]);
        let nothing = json!([null, { "total": 0, "keys": [] }]);
        let mut members = Vec::new();
        for name in ["A", "B"] {
            let mut member = server.connect(name).await.unwrap();
            run(
                &mut member,
                json!([["join", "/r"], ["state-increment", in_r(), "k"]]),
            )
            .await;
            members.push(member);
        }
        let [a, b] = &mut members[..] else { panic!() };
        run(a, json!([["leave", "/r"]])).await;
        let kept = run(&mut watch, get()).await;
        assert_eq!(
            kept,
            json!([[2, 2], { "total": 1, "keys": ["k"] }]),
            "B is there"
        );
        run(b, json!([["leave", "/r"]])).await;
        assert_eq!(run(&mut watch, get()).await, nothing, "{store:?}");
        // A connection that closes leaves, too; its disconnect handler finds nothing, and says so to others.
        run(&mut watch, json!([["join", "/watch"]])).await;
        let tells = json!([["tell", "gone", "/watch", ["state-get", in_r(), "k"]]]);
        let path = format!("/ws?connect=[[\"join\",\"/r\"]]&disconnect={tells}");
        let path = path.replace('"', "%22").replace(' ', "%20");
        let mut closing = server.connect_at("C", &path, &[]).await.unwrap().unwrap();
        let lent = json!(["state-set", in_r(), "lent", 1, 3_600_000]);
        run(&mut closing, json!([["state-set", in_r(), "k", 1], lent])).await;
        closing.vanish();
        let gone = watch.receive_json().await.unwrap();
        assert_eq!(
            (&gone["event"], &gone["data"]),
            (&json!("gone"), &json!(null))
        );
        let left = run(&mut watch, get()).await;
        assert_eq!(left, json!([null, { "total": 1, "keys": ["lent"] }]));
    }
}

#[tokio::test]
async fn a_list_counts_for_how_long_it_is() {
    const KEYS: u32 = 1_000;
    let server = TestServer::start(&[puppet("1")], |config: &mut Config| {
        config.limits.state_operations_per_event_max = KEYS + 1;
        config.limits.event_cpu_max = Duration::from_secs(2);
        config.limits.event_wall_max = Duration::from_secs(60);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let get = json!(["repeat", KEYS - 1, ["state-get", "tenant", "1"]]);
    let total = json!(["state-keys", "tenant", "", null, 0]);
    let set = |key: u32| json!(["state-set", "tenant", key.to_string(), 0]);
    run(&mut client, (1..KEYS).map(set).collect()).await;
    let script = json!([
        total,
        set(KEYS),
        ["state-keys", "tenant", "1", null, 0],
        get
    ]);
    let answers = run(&mut client, script).await;
    let none = json!([]);
    assert_eq!(answers[0], json!({ "total": KEYS - 1, "keys": none }));
    assert_eq!(
        answers[3]["last"]["limit"],
        "state_operations_per_event_max"
    );
    let answers = run(
        &mut client,
        json!([total, get, ["state-get", "tenant", "1"]]),
    )
    .await;
    assert_eq!(answers[0], json!({ "total": KEYS, "keys": none }));
    assert_eq!(answers[1]["last"], json!([0, 1]));
    assert!(answers[2]["limit"].is_string(), "{answers}");
}

#[tokio::test]
async fn a_poll_counts_every_vote() {
    const VOTERS: i64 = 8;
    let folder = TempDir::new().unwrap();
    let store = StateStore::File(folder.path().join("state.redb"));
    let server =
        TestServer::start(&[Plugin::built("poll")], |config| config.state = store).unwrap();
    let mut watch = server.connect("watch").await.unwrap();
    let watching = watch.request("watch", "/poll/lunch", Value::Null).await;
    assert_eq!(watching.unwrap()["data"], json!({}));
    let mut voters = Vec::new();
    for number in 0..VOTERS {
        voters.push(server.connect(&format!("voter {number}")).await.unwrap());
    }
    // All at once, on several instances.
    for voter in &mut voters {
        let vote = json!({ "event": "vote", "path": "/poll/lunch", "data": { "choice": "soup" } });
        voter.send(vote.to_string()).await.unwrap();
    }
    for _ in 0..VOTERS {
        assert_eq!(watch.receive_json().await.unwrap()["event"], "tally");
    }
    let tally = watch.request("watch", "/poll/lunch", Value::Null).await;
    assert_eq!(tally.unwrap()["data"], json!({ "soup": VOTERS }));
}

/// Numbers that are the same in each run.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    *seed >> 33
}

/// What a client was told, until the host was gone.
async fn acknowledged(client: &mut Client, kept: &mut BTreeMap<String, u64>, most: u64) {
    for _ in 0..most {
        let Ok(reply) = client.receive_json().await else {
            return;
        };
        let (key, version) = (&reply["id"], &reply["data"][0]);
        let key = key.as_str().unwrap_or_default().to_owned();
        kept.insert(key, version.as_u64().unwrap_or_else(|| panic!("{reply}")));
    }
}

/// Checks that all of it is there, in the versions that were answered.
async fn check(client: &mut Client, kept: &BTreeMap<String, u64>) {
    let mut found = BTreeMap::new();
    let keys: Vec<_> = kept.keys().collect();
    for keys in keys.chunks(100) {
        let gets: Vec<_> = keys
            .iter()
            .map(|key| json!(["state-get", "tenant", key]))
            .collect();
        let entries = run(client, json!(gets)).await;
        let entries = entries.as_array().unwrap_or_else(|| panic!("{entries}"));
        for (key, entry) in keys.iter().zip(entries) {
            assert_eq!(entry[0], json!(key), "{key} is lost: {entry}");
            found.insert((*key).clone(), entry[1].as_u64().unwrap());
        }
    }
    assert_eq!(&found, kept);
}

#[tokio::test]
async fn a_host_that_is_killed_a_hundred_times_keeps_what_it_acknowledged() {
    const ROUNDS: u64 = 100;
    const CLIENTS: u64 = 4;
    const WRITES: u64 = 50;
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    puppet("1").write(&folder.path().join("plugins"));
    let invocation = Invocation::new(&wardroom(), &["serve", "--listen", "127.0.0.1:0"])
        .with("WARDROOM_STATE", "state.redb")
        .with("WARDROOM_LIMITS_EVENT_CPU_MAX", "2s")
        // A machine may be busy: each of the reads below has to wait for a thread.
        .with("WARDROOM_LIMITS_EVENT_WALL_MAX", "60s")
        .within(folder.path());
    let began = Instant::now();
    let (mut kept, mut last) = (BTreeMap::new(), BTreeMap::new());
    let mut seed = 1;
    for round in 0..ROUNDS {
        let program = Program::invoke(&invocation).await.unwrap();
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            clients.push(program.connect(&format!("{number}")).await.unwrap());
        }
        check(&mut clients[0], &last).await;
        last.clear();
        for (number, client) in clients.iter_mut().enumerate() {
            for write in 0..WRITES {
                let key = format!("{round}/{number}/{write}");
                let script = json!([["state-set", "tenant", key, key]]);
                let message = json!({ "event": "do", "path": "/do", "id": key, "data": script });
                client.send(message.to_string()).await.unwrap();
            }
        }
        // Killed behind some reply, while others are on their way.
        let most = next(&mut seed) % WRITES;
        acknowledged(&mut clients[0], &mut last, most).await;
        program.signal("KILL").await.unwrap();
        for client in &mut clients {
            acknowledged(client, &mut last, WRITES).await;
        }
        program.wait().await.unwrap();
        kept.append(&mut last.clone());
    }
    let program = Program::invoke(&invocation).await.unwrap();
    check(&mut program.connect("last").await.unwrap(), &kept).await;
    let (count, time) = (kept.len(), began.elapsed());
    eprintln!("{count} acknowledged writes in {ROUNDS} rounds, {time:?}");
    assert!(count > 100, "{count}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_keeps_the_host_from_starting() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let program = |arguments: &[&str]| {
        Invocation::new(&wardroom(), arguments)
            .with("WARDROOM_STATE", "state.redb")
            .within(folder.path())
    };
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    // What only checks makes no file, and minds none that is in use.
    let checked = program(&["check"]).run().await.unwrap();
    assert!(checked.status.success());
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        text.contains("state = \"state.redb\" # WARDROOM_STATE"),
        "{text}"
    );
    assert!(!folder.path().join("state.redb").exists());
    let first = Program::invoke(&program(&serve)).await.unwrap();
    assert!(program(&["check"]).run().await.unwrap().status.success());
    let second = program(&serve).run().await.unwrap();
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot keep state in state.redb"), "{error}");
    first.signal("TERM").await.unwrap();
    assert!(first.wait().await.unwrap().0.success());
}
