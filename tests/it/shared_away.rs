//! The broker that keeps state is killed, stopped, started empty and fed with garbage: who asks is answered in time, and
//! all goes on when it is back.

use crate::shared_state::Three;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wardroom_tests::Broker;

wardroom_tests::on_each_broker! {
    a_broker_may_be_killed_and_come_back_empty,
    a_broker_may_be_stopped_and_go_on,
}

/// How long an operation may take; the machine may be busy.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// After a fault, all has to be well again within this time.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

fn unavailable() -> Value {
    json!({ "unavailable": "the state" })
}

/// Every operation is answered in time, by everyone.
async fn assert_away(three: &mut Three, what: &str) {
    let steps = [
        json!(["state-get", "tenant", "n"]),
        json!(["state-set", "tenant", "k", 1]),
        json!(["state-increment", "plugin", "n"]),
        json!(["state-keys", "tenant", ""]),
    ];
    let mut longest = Duration::ZERO;
    for step in steps {
        let began = Instant::now();
        for answer in three.at_once(&json!([step])).await {
            assert_eq!(answer, json!([unavailable()]), "{step}");
        }
        longest = longest.max(began.elapsed());
    }
    eprintln!("{what}: the longest operation took {longest:?}");
    assert!(longest < ANSWER_MAX, "{longest:?}");
}

/// Until a first operation succeeds, for each of them.
async fn recover(three: &mut Three, what: &str) {
    let began = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    for host in 0..3 {
        while three.run(host, json!([["state-get", "tenant", "n"]])).await == json!([unavailable()])
        {
            assert!(began.elapsed() < RECOVERY_MAX);
            looks.tick().await;
        }
    }
    eprintln!("{what}: all hosts were well after {:?}", began.elapsed());
}

async fn a_broker_may_be_killed_and_come_back_empty(mut broker: Broker) {
    let mut three = Three::on(&broker, |_| {}).await;
    let add = json!([["state-increment", "tenant", "n"]]);
    assert_eq!(three.run(0, add.clone()).await, json!([1]));
    for _ in 0..2 {
        broker.kill().await.unwrap();
        assert_away(&mut three, "killed").await;
        broker.forget().unwrap();
        broker.start().await.unwrap();
        recover(&mut three, "killed and started").await;
        assert_eq!(three.run(1, add.clone()).await, json!([1]), "it is empty");
        assert_eq!(three.run(2, add.clone()).await, json!([2]));
    }
}

async fn a_broker_may_be_stopped_and_go_on(broker: Broker) {
    let mut three = Three::on(&broker, |_| {}).await;
    let set = json!([["state-set", "tenant", "kept", 7]]);
    assert_eq!(three.run(0, set).await, json!([1]));
    broker.pause().await.unwrap();
    assert_away(&mut three, "stopped").await;
    broker.resume().await.unwrap();
    recover(&mut three, "stopped for some seconds").await;
    let get = json!([["state-get", "tenant", "kept"]]);
    for answer in three.at_once(&get).await {
        assert_eq!(answer, json!([[7, 1]]));
    }
}

/// Does behind the hosts' backs what is asked for.
async fn redis(broker: &Broker, words: &[&[u8]]) {
    broker.redis_command(words).await.unwrap();
}

#[tokio::test]
async fn what_somebody_else_has_written_is_believed_in_nothing() {
    wardroom_tests::needed!("redis-server");
    let broker = Broker::redis().await.unwrap();
    let mut three = Three::on(&broker, |_| {}).await;
    let key = |name: &str| format!("ws:{{default}}:state:{name}").into_bytes();
    let get = json!([
        ["state-get", "tenant", "k"],
        ["state-set", "tenant", "k", 1],
        ["state-delete", "tenant", "k"]
    ]);
    // Too short, no UTF-8, and an end that never comes.
    for value in [
        &b"short"[..],
        b"\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
        b"",
    ] {
        redis(&broker, &[b"HSET", &key("values"), b"t\xffk", value]).await;
        let answers = three.run(0, get.clone()).await;
        assert_eq!(
            answers,
            json!([unavailable(), unavailable(), unavailable()])
        );
    }
    three.hosts[0]
        .logged(&["the state is unavailable", "damaged"])
        .await
        .unwrap();
    redis(&broker, &[b"DEL", &key("values")]).await;
    // Keys of another type, and numbers that are none.
    for name in ["values", "names", "expiries", "usage", "rooms"] {
        redis(&broker, &[b"SET", &key(name), b"foreign"]).await;
        let set = json!([["state-set", "tenant", "k", 1]]);
        assert_eq!(three.run(1, set).await, json!([unavailable()]), "{name}");
        redis(&broker, &[b"DEL", &key(name)]).await;
    }
    redis(&broker, &[b"HSET", &key("usage"), b"bytes", b"many"]).await;
    let set = json!([
        ["state-set", "tenant", "k", 1],
        ["state-keys", "tenant", ""]
    ]);
    assert_eq!(
        three.run(1, set.clone()).await,
        json!([unavailable(), unavailable()])
    );
    redis(&broker, &[b"DEL", &key("usage")]).await;
    // A name that no host could have written.
    redis(&broker, &[b"ZADD", &key("names"), b"0", b"t\xff\xc3"]).await;
    let keys = json!([["state-keys", "tenant", ""]]);
    assert_eq!(three.run(2, keys).await, json!([unavailable()]));
    redis(&broker, &[b"DEL", &key("names")]).await;
    // Nothing of it has been in anybody's way for longer than it was there.
    let answers = three.run(2, set).await;
    assert_eq!(answers, json!([1, { "total": 1, "keys": ["k"] }]));
}
