//! What a bus on a broker refuses, how it is configured, and how it gets in.

use crate::cluster::{Pair, ROOM, host, run, up};
use crate::configuration::wardroom;
use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use tempfile::TempDir;
use wardroom::Limit;
use wardroom_tests::binary::Program;
use wardroom_tests::broker::Guard;
use wardroom_tests::{Broker, Client, TestServer, needed};

#[tokio::test]
async fn bus_messages_max() {
    needed!("redis-server");
    let reached = |host: &TestServer| host.reached(Limit::BusMessagesMax);
    what_does_not_fit_is_dropped("limits.bus_messages_max", "5", reached).await;
}

#[tokio::test]
async fn bus_bytes_max() {
    needed!("redis-server");
    let reached = |host: &TestServer| host.reached(Limit::BusBytesMax);
    what_does_not_fit_is_dropped("limits.bus_bytes_max", "1 KiB", reached).await;
}

async fn what_does_not_fit_is_dropped(
    key: &str,
    value: &str,
    reached: impl Fn(&TestServer) -> u64,
) {
    let broker = Broker::redis().await.unwrap();
    let host = host(&broker, "here", |config| config.set(key, value).unwrap());
    up(&host, true).await;
    let mut sender = host.connect("sender").await.unwrap();
    run(&mut sender, json!([["broadcast", "n", 1, ROOM]])).await;
    let published = host.counts("wardroom_bus_published_total", |count| count >= 1.0);
    published.await.unwrap();
    assert_eq!(reached(&host), 0);
    // It takes one batch more, and answers none.
    broker.pause().await.unwrap();
    let script = vec![json!(["broadcast", "n", "some text", ROOM]); 200];
    run(&mut sender, json!(script)).await;
    let dropped = reached(&host);
    assert!(dropped > 0);
    assert_eq!(host.metric("wardroom_bus_dropped_total"), dropped as f64);
    broker.resume().await.unwrap();
    let rest = 201.0 - dropped as f64;
    let published = host.counts("wardroom_bus_published_total", |count| count >= rest);
    published.await.unwrap();
}

#[tokio::test]
async fn what_the_bus_does_not_carry_is_refused_for_all() {
    needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    let hosts = ["one", "two"].map(|node| {
        host(&broker, node, |config| {
            config.limits.push_bytes_max = 4 << 20;
            config.limits.outbox_bytes_max = 8 << 20;
        })
    });
    let mut pair = Pair::of(hosts).await;
    let size = 1 << 20;
    let push = |size: usize| json!({ "event": "n", "path": ROOM, "data": { "big": size } });
    let id = run_one(&mut pair.members[1], json!(["id"])).await;
    for step in [
        json!(["broadcast", "n", { "big": size }, ROOM]),
        json!(["server-broadcast", push(size)]),
        json!(["server-send", id, push(size)]),
    ] {
        let refused = run_one(&mut pair.senders[0], step).await;
        let expected = json!({ "too-large": "the bus between hosts" });
        assert_eq!(refused, expected);
    }
    pair.assert_one().await;
    let script = json!([["broadcast", "n", { "big": size - 4096 }, ROOM]]);
    run(&mut pair.senders[0], script).await;
    for member in &mut pair.members {
        assert_eq!(data_bytes(member).await, size - 4098);
    }
    let sent = run_one(
        &mut pair.senders[0],
        json!(["server-send", id, push(size - 4096)]),
    );
    assert_eq!(sent.await, json!(true));
    assert_eq!(data_bytes(&mut pair.members[1]).await, size - 4098);
    run(
        &mut pair.senders[0],
        json!([["server-broadcast", push(size - 4096)]]),
    )
    .await;
    for member in &mut pair.members {
        assert_eq!(data_bytes(member).await, size - 4098);
    }
}

/// What one step results in.
async fn run_one(client: &mut Client, step: Value) -> Value {
    let results = client.run("/do", json!([step])).await.unwrap();
    results[0].clone()
}

/// Of the next push.
async fn data_bytes(member: &mut Client) -> usize {
    let push = member.receive_json().await.unwrap();
    push["data"].as_str().map_or(0, str::len)
}

#[tokio::test]
async fn a_broker_is_configured_and_its_password_is_shown_nowhere() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let check = |url: &str| wardroom(folder.path(), &["check"]).with("WARDROOM_CLUSTER_URL", url);
    let output = check("nats://me:s3cret@broker").run().await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = "url = \"nats://(set)@broker\" # WARDROOM_CLUSTER_URL";
    assert!(
        shown.contains("[cluster]") && shown.contains(line),
        "{shown}"
    );
    let output = check("nats//me:s3cret@broker").run().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    let expected = "error: WARDROOM_CLUSTER_URL: must be the URL of a broker: redis://";
    assert!(
        said.starts_with(expected) && !said.contains("s3cret"),
        "{said}"
    );
}

#[tokio::test]
async fn brokers_are_reached_by_tls_and_with_a_password() {
    needed!("redis-server", "nats-server");
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let issued = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let guard = Guard {
        certificate: folder.path().join("certificate.pem"),
        key: folder.path().join("key.pem"),
        password: "s3cr%t".to_owned(),
    };
    std::fs::write(&guard.certificate, issued.cert.pem()).unwrap();
    std::fs::write(&guard.key, issued.signing_key.serialize_pem()).unwrap();
    let trusted = guard.certificate.display().to_string();
    let brokers = [
        Broker::redis_behind(guard.clone()).await.unwrap(),
        Broker::nats_behind(guard).await.unwrap(),
    ];
    let serve = |url: String| {
        wardroom(folder.path(), &["serve", "--listen", "127.0.0.1:0"])
            .with("WARDROOM_CLUSTER_URL", &url)
            .with("WARDROOM_LOG", "debug")
    };
    for broker in &brokers {
        let trusting = serve(broker.url()).with("SSL_CERT_FILE", &trusted);
        let program = Program::invoke(&trusting).await.unwrap();
        program
            .logged(&["the bus is ready", "(set)@localhost"])
            .await
            .unwrap();
        let log = program.log.text();
        assert!(!log.contains("s3cr"), "{log}");
        let wrong = serve(broker.url().replace("s3cr", "guess")).with("SSL_CERT_FILE", &trusted);
        let program = Program::invoke(&wrong).await.unwrap();
        program.logged(&["the bus is away"]).await.unwrap();
        let log = program.log.text();
        assert!(
            !log.contains("guess") && !log.contains("ready broker"),
            "{log}"
        );
        // Whom nobody vouches for is not believed.
        let program = Program::invoke(&serve(broker.url())).await.unwrap();
        let line = program.logged(&["the bus is away"]).await.unwrap();
        assert!(line.to_lowercase().contains("certificate"), "{line}");
    }
}
