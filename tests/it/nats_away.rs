//! State in NATS while the server is away, without JetStream, or without the bucket: answered in time, and well again
//! by itself.

use crate::nats_state::{ask, clients, three};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wardroom_tests::{Broker, Client, TestServer, WAIT};

/// How long a call may take while the server is away: two seconds, and what a busy machine adds.
const ANSWER_MAX: Duration = Duration::from_secs(4);

fn is_unavailable(answer: &Value) -> bool {
    answer["unavailable"].is_string()
}

/// All kinds of calls are answered in time.
async fn assert_away(clients: &mut [Client]) {
    for client in clients {
        let steps = [
            json!(["state-get", "tenant", "k"]),
            json!(["state-increment", "tenant", "k"]),
            json!(["state-keys", "tenant", ""]),
        ];
        for step in steps {
            let began = Instant::now();
            let answer = ask(client, step).await;
            assert!(is_unavailable(&answer), "{answer}");
            assert!(began.elapsed() < ANSWER_MAX, "{:?}", began.elapsed());
        }
    }
}

/// Asks until it is answered; how long that took is said.
async fn recover(client: &mut Client, what: &str) -> Value {
    let began = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    loop {
        let answer = ask(client, json!(["state-get", "tenant", "k"])).await;
        if !is_unavailable(&answer) {
            eprintln!("{what}: well again after {:?}", began.elapsed());
            return answer;
        }
        assert!(began.elapsed() < WAIT, "{what}: it is still away");
        looks.tick().await;
    }
}

async fn begin() -> (Broker, Vec<TestServer>, Vec<Client>) {
    let broker = Broker::nats().await.unwrap();
    let hosts = three(&broker, |_| {});
    let mut clients = clients(&hosts).await;
    let set = json!(["state-set", "tenant", "k", "kept"]);
    assert!(ask(&mut clients[0], set).await.is_u64());
    (broker, hosts, clients)
}

#[tokio::test]
async fn a_server_may_be_killed_and_come_back_with_its_bucket() {
    wardroom_tests::needed!("nats-server");
    let (mut broker, hosts, mut clients) = begin().await;
    broker.kill().await.unwrap();
    assert_away(&mut clients).await;
    broker.start().await.unwrap();
    for client in &mut clients {
        assert_eq!(recover(client, "killed").await[0], "kept");
        let counted = ask(client, json!(["state-increment", "tenant", "n"])).await;
        assert!(counted.is_i64(), "{counted}");
    }
    for host in &hosts {
        let told = host.log.lines_with(&["NATS is away"]);
        assert!((1..=2).contains(&told.len()), "lost, and refused: {told:?}");
    }
}

#[tokio::test]
async fn a_bucket_may_be_deleted_under_the_hosts() {
    wardroom_tests::needed!("nats-server");
    let (broker, _hosts, mut clients) = begin().await;
    let delete = "$JS.API.STREAM.DELETE.KV_ws-state nobody";
    broker.publish(delete, b"").await.unwrap();
    for client in &mut clients {
        // The answer may be from before.
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while recover(client, "deleted").await != json!(null) {
            looks.tick().await;
        }
    }
    for (number, client) in clients.iter_mut().enumerate() {
        recover(client, "made anew").await;
        let counted = ask(client, json!(["state-increment", "tenant", "n"])).await;
        assert_eq!(counted, number + 1);
    }
}

#[tokio::test]
async fn a_server_may_come_after_the_hosts() {
    wardroom_tests::needed!("nats-server");
    let mut broker = Broker::nats().await.unwrap();
    broker.kill().await.unwrap();
    let hosts = three(&broker, |_| {});
    let mut clients = clients(&hosts).await;
    assert_away(&mut clients).await;
    broker.start().await.unwrap();
    for client in &mut clients {
        assert_eq!(recover(client, "late").await, json!(null));
    }
}

#[tokio::test]
async fn without_jetstream_it_is_said_what_is_missing() {
    wardroom_tests::needed!("nats-server");
    let broker = Broker::plain_nats().await.unwrap();
    let hosts = three(&broker, |_| {});
    let mut clients = clients(&hosts).await;
    assert_away(&mut clients).await;
    for host in &hosts {
        host.logged(&["state is unavailable", "start it with -js"])
            .await
            .unwrap();
        assert_eq!(host.log.lines_with(&["NATS is away"]).len(), 1);
    }
}
