//! State that three hosts share through a bucket of NATS: what is its own there, beside what all shared state does. The
//! server is a real one.

use crate::cluster::host;
use futures_util::future::join_all;
use serde_json::{Value, json};
use wardroom::Config;
use wardroom_tests::{Broker, Client, TestServer};

const BUCKET: &str = "KV_ws-state";

pub(crate) fn three(broker: &Broker, configure: impl Fn(&mut Config)) -> Vec<TestServer> {
    let start = |node: &&str| host(broker, node, &configure);
    ["one", "two", "three"].iter().map(start).collect()
}

pub(crate) async fn clients(hosts: &[TestServer]) -> Vec<Client> {
    join_all(
        hosts
            .iter()
            .map(async |host| host.connect("A").await.unwrap()),
    )
    .await
}

/// The answer to one step.
pub(crate) async fn ask(client: &mut Client, step: Value) -> Value {
    let mut answers = client.run("/do", json!([step])).await.unwrap();
    answers[0].take()
}

/// What the server says of a stream.
async fn info(broker: &Broker, stream: &str) -> Value {
    let mut answers = broker.listen("answers").await.unwrap();
    let request = format!("$JS.API.STREAM.INFO.{stream} answers");
    broker.publish(&request, b"").await.unwrap();
    answers.next().await.unwrap()
}

#[tokio::test]
async fn a_quota_is_exact_from_host_to_host() {
    wardroom_tests::needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    let hosts = three(&broker, |config| {
        config.limits.state_keys_max = 7;
        config.limits.state_bytes_max = 40;
    });
    let mut clients = clients(&hosts).await;
    let set = |key: String, value: Value| json!(["state-set", "tenant", key, value]);
    let full = |limit: &str| json!({ "limit": limit });
    for number in 0..7 {
        let written = ask(&mut clients[number % 3], set(number.to_string(), json!(1))).await;
        assert!(written.is_u64(), "{number}: {written}");
    }
    for client in &mut clients {
        assert_eq!(
            ask(client, set("8".to_owned(), json!(1))).await,
            full("state_keys_max")
        );
    }
    // 14 bytes are there, and 26 are free.
    let grown = |bytes: usize| set("0".to_owned(), json!("x".repeat(bytes - 2)));
    for client in &mut clients {
        assert_eq!(ask(client, grown(28)).await, full("state_bytes_max"));
    }
    assert!(ask(&mut clients[0], grown(27)).await.is_u64());
    for client in &mut clients {
        assert_eq!(
            ask(client, set("1".to_owned(), json!(12))).await,
            full("state_bytes_max")
        );
    }
    // What one takes away is room for another at once.
    for number in 0..30 {
        let (taker, giver) = (number % 3, (number + 1) % 3);
        let gone = json!(["state-delete", "tenant", ((number % 6) + 1).to_string()]);
        assert_eq!(ask(&mut clients[giver], gone).await, true, "{number}");
        let written = set(((number % 6) + 1).to_string(), json!(1));
        let written = ask(&mut clients[taker], written).await;
        assert!(written.is_u64(), "{number}: {written}");
    }
}

#[tokio::test]
async fn hosts_that_write_at_once_do_not_exceed_a_quota() {
    const KEYS_MAX: usize = 50;
    wardroom_tests::needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    let hosts = three(&broker, |config| config.limits.state_keys_max = KEYS_MAX);
    let hosts: Vec<_> = hosts.iter().flat_map(|host| [host; 4]).collect();
    let writers = hosts.iter().enumerate().map(async |(writer, host)| {
        let mut client = host.connect("writer").await.unwrap();
        let mut written = 0;
        for number in 0..10 {
            let set = json!(["state-set", "plugin", format!("{writer}-{number}"), 1]);
            let answer = ask(&mut client, set).await;
            if answer.is_u64() {
                written += 1;
            } else {
                assert_eq!(answer, json!({ "limit": "state_keys_max" }));
            }
        }
        written
    });
    let written: usize = join_all(writers).await.into_iter().sum();
    assert_eq!(written, KEYS_MAX, "of 120");
    let mut reader = hosts[0].connect("reader").await.unwrap();
    let keys = ask(&mut reader, json!(["state-keys", "plugin", ""])).await;
    assert_eq!(keys["total"], KEYS_MAX);
}

#[tokio::test]
async fn whatever_a_key_is_called_it_is_one_key() {
    wardroom_tests::needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    let hosts = three(&broker, |_| {});
    let mut clients = clients(&hosts).await;
    let room = "/".to_owned() + &"é".repeat(511);
    let keys = ["*", ">", "a.b", "a b", "=61", "a", "$KV", "ä\n", "k\u{0}"];
    let longest = "é".repeat(128);
    let keys: Vec<&str> = keys.into_iter().chain([longest.as_str()]).collect();
    let owners = [
        json!("tenant"),
        json!("plugin"),
        json!({ "room": "a.b" }),
        json!({ "room": room }),
    ];
    for (number, owner) in owners.iter().enumerate() {
        for (value, key) in keys.iter().enumerate() {
            let set = json!(["state-set", owner, key, value + 10 * number]);
            assert!(ask(&mut clients[value % 3], set).await.is_u64(), "{key:?}");
        }
    }
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    for (number, owner) in owners.iter().enumerate() {
        for (value, key) in keys.iter().enumerate() {
            let got = ask(&mut clients[number % 3], json!(["state-get", owner, key])).await;
            assert_eq!(got[0], value + 10 * number, "{key:?}");
        }
        let listed = ask(&mut clients[2], json!(["state-keys", owner, ""])).await;
        assert_eq!(listed, json!({ "total": keys.len(), "keys": sorted }));
    }
}

#[tokio::test]
async fn hosts_of_another_prefix_have_a_bucket_of_their_own() {
    wardroom_tests::needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    let mut clients = Vec::new();
    for prefix in ["", "blue:", "blue/", "a.b_"] {
        let host = host(&broker, "one", |config| {
            config.cluster_prefix = prefix.to_owned()
        });
        let mut client = host.connect("A").await.unwrap();
        let got = ask(&mut client, json!(["state-increment", "tenant", "k"])).await;
        assert_eq!(got, 1, "{prefix}");
        clients.push((client, host));
    }
    for stream in [
        BUCKET,
        "KV_blue_3Aws-state",
        "KV_blue_2Fws-state",
        "KV_a_2Eb_5Fws-state",
    ] {
        let info = info(&broker, stream).await;
        assert_eq!(info["state"]["messages"], 1, "{info}");
    }
}

#[tokio::test]
async fn what_others_write_there_is_unavailable_and_the_rest_is_not() {
    wardroom_tests::needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    let hosts = three(&broker, |_| {});
    let mut clients = clients(&hosts).await;
    assert_eq!(
        ask(
            &mut clients[0],
            json!(["state-increment", "tenant", "good"])
        )
        .await,
        1
    );
    let garbage: [&[u8]; 4] = [b"", b"{", b"\xff\xfe", &[b'['; 1000]];
    for (number, payload) in garbage.iter().enumerate() {
        let subject = format!("$KV.ws-state.default.t.bad{number}");
        broker.publish(&subject, payload).await.unwrap();
    }
    // Names that nobody here gives.
    for key in [
        "x",
        "default",
        "default.t",
        "default.q.k",
        "default.t.=6",
        "default.t.=61",
        "a.b.c.d.e.f",
    ] {
        let subject = format!("$KV.ws-state.{key}");
        broker.publish(&subject, b"1").await.unwrap();
    }
    for client in &mut clients {
        for number in 0..garbage.len() {
            let got = ask(
                client,
                json!(["state-get", "tenant", format!("bad{number}")]),
            )
            .await;
            assert!(got["unavailable"].is_string(), "{got}");
        }
        let got = ask(client, json!(["state-get", "tenant", "good"])).await;
        assert_eq!(got[0], 1);
        let got = ask(client, json!(["state-get", "tenant", "a"])).await;
        assert_eq!(got, json!(null));
        let keys = ask(client, json!(["state-keys", "tenant", "g"])).await;
        assert_eq!(keys, json!({ "total": 1, "keys": ["good"] }));
    }
    hosts[0]
        .logged(&["somebody else has written a value"])
        .await
        .unwrap();
    // JSON of others is a value.
    broker
        .publish("$KV.ws-state.default.t.other", b"[1]")
        .await
        .unwrap();
    let got = ask(&mut clients[1], json!(["state-get", "tenant", "other"])).await;
    assert_eq!(got[0], json!([1]));
}

#[tokio::test]
async fn the_size_of_a_value_is_what_the_server_says() {
    wardroom_tests::needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    let hosts = three(&broker, |config| config.limits.state_bytes_max = 8);
    let mut clients = clients(&hosts).await;
    let written = ask(&mut clients[0], json!(["state-set", "tenant", "a", 1])).await;
    assert!(written.is_u64(), "{written}");
    // Others add a header that has the server's name for it: more than a host can count, and less than it is.
    for (key, size) in [("b", "18446744073709551615"), ("c", "0")] {
        let headers = format!("NATS/1.0\r\nNats-Msg-Size: {size}\r\n\r\n");
        let request = format!(
            "HPUB $KV.ws-state.default.t.{key} {} {}\r\n{headers}1\r\n",
            headers.len(),
            headers.len() + 1
        );
        broker.nats_request(&request).await.unwrap();
    }
    for client in &mut clients {
        let keys = ask(client, json!(["state-keys", "tenant", ""])).await;
        assert_eq!(keys, json!({ "total": 3, "keys": ["a", "b", "c"] }));
        // Of 8 bytes, 6 are there.
        let set = |value: u32| json!(["state-set", "tenant", "d", value]);
        let full = json!({ "limit": "state_bytes_max" });
        assert_eq!(ask(client, set(12)).await, full);
        let written = ask(client, set(1)).await;
        assert!(written.is_u64(), "{written}");
        let gone = ask(client, json!(["state-delete", "tenant", "d"])).await;
        assert_eq!(gone, true);
    }
}

#[tokio::test]
async fn what_is_over_or_gone_leaves_the_bucket() {
    wardroom_tests::needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    let hosts = three(&broker, |_| {});
    let mut clients = clients(&hosts).await;
    for (number, client) in clients.iter_mut().enumerate() {
        let (lent, gone) = (format!("lent{number}"), format!("gone{number}"));
        let steps = json!([
            ["state-set", "tenant", lent, 1, 50],
            ["state-set", "tenant", gone, 1],
            ["state-delete", "tenant", gone],
            ["state-increment", "tenant", "kept"]
        ]);
        client.run("/do", steps).await.unwrap();
    }
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(200));
    let began = std::time::Instant::now();
    while info(&broker, BUCKET).await["state"]["messages"] != 1 {
        assert!(
            began.elapsed() < 2 * wardroom_tests::WAIT,
            "it is still there"
        );
        looks.tick().await;
    }
    let got = ask(&mut clients[0], json!(["state-get", "tenant", "kept"])).await;
    assert_eq!(got[0], 3);
}
