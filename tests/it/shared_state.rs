//! Three hosts that keep state at one broker, a real one: what one of them writes is there for all, whoever writes at the
//! same time, and whatever becomes of the broker. What rooms keep is in `shared_rooms.rs`.

use crate::cluster::{host_at, up};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wardroom::{Config, Limit};
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::{Broker, Client, TestServer};

wardroom_tests::on_each_broker! {
    six_hundred_increments_of_three_hosts_are_all_counted,
    of_those_who_compare_and_set_one_wins,
    a_quota_is_exact_whoever_writes,
    a_time_to_live_is_over_for_all_by_the_brokers_clock,
}

/// A client of each of three hosts.
pub(crate) struct Three {
    pub(crate) hosts: Vec<TestServer>,
    pub(crate) clients: Vec<Client>,
}

impl Three {
    pub(crate) async fn on(broker: &Broker, configure: impl Fn(&mut Config)) -> Self {
        Self::at(&broker.url(), configure).await
    }

    pub(crate) async fn at(url: &str, configure: impl Fn(&mut Config)) -> Self {
        let (mut hosts, mut clients) = (Vec::new(), Vec::new());
        for node in ["one", "two", "three"] {
            let host = host_at(url, node, |config| {
                config.limits.event_wall_max = Duration::from_secs(10);
                configure(config);
            });
            up(&host, true).await;
            clients.push(host.connect(node).await.unwrap());
            hosts.push(host);
        }
        Self { hosts, clients }
    }

    /// What each answers to the same steps, all asked at once.
    pub(crate) async fn at_once(&mut self, steps: &Value) -> Vec<Value> {
        let runs = self.clients.iter_mut();
        let runs = runs.map(|client| client.run("/do", steps.clone()));
        let answers = join_all(runs).await;
        answers.into_iter().map(Result::unwrap).collect()
    }

    /// What one of them answers.
    pub(crate) async fn run(&mut self, host: usize, steps: Value) -> Value {
        self.clients[host].run("/do", steps).await.unwrap()
    }
}

async fn six_hundred_increments_of_three_hosts_are_all_counted(broker: Broker) {
    const CLIENTS: usize = 4;
    const EACH: usize = 50;
    let mut three = Three::on(&broker, |_| {}).await;
    for host in &three.hosts {
        for _ in 1..CLIENTS {
            three.clients.push(host.connect("more").await.unwrap());
        }
    }
    let began = Instant::now();
    let steps = json!([["state-increment", "tenant", "n"]]);
    let adding = three.clients.iter_mut().map(async |client| {
        let mut sums = Vec::new();
        for _ in 0..EACH {
            let sum = client.run("/do", steps.clone()).await.unwrap();
            sums.push(sum[0].as_u64().unwrap_or_else(|| panic!("{sum}")));
        }
        sums
    });
    let mut sums: Vec<_> = join_all(adding).await.concat();
    sums.sort_unstable();
    let took = began.elapsed();
    eprintln!("600 increments of one value, by three hosts: {took:?}");
    let expected: Vec<_> = (1..=600).collect();
    assert_eq!(sums, expected);
    let kept = three.run(1, json!([["state-get", "tenant", "n"]])).await;
    assert_eq!(kept, json!([[600, 600]]));
}

async fn of_those_who_compare_and_set_one_wins(broker: Broker) {
    const ROUNDS: u64 = 30;
    let mut three = Three::on(&broker, |_| {}).await;
    let mut expected = Value::Null;
    for round in 1..=ROUNDS {
        let set = json!([["state-compare-and-set", "tenant", "k", expected, round]]);
        let answers = three.at_once(&set).await;
        let written = json!([{ "written": round }]);
        let lost = json!([{ "conflict": round }]);
        let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
        assert_eq!((count(written), count(lost)), (1, 2), "{answers:?}");
        expected = json!(round);
    }
}

async fn a_quota_is_exact_whoever_writes(broker: Broker) {
    const KEYS: usize = 50;
    // So many keys of two bytes, each with a value of one.
    let configure = |config: &mut Config| {
        config.limits.state_keys_max = KEYS;
        config.limits.state_bytes_max = KEYS * 3 + 1;
    };
    let mut three = Three::on(&broker, configure).await;
    // Each its own, so that there would be 90.
    let sets = three.clients.iter_mut().zip(["a", "b", "c"]);
    let sets = sets.map(async |(client, letter)| {
        let mut written = 0;
        for number in 0..30_u8 {
            let key = format!("{letter}{}", char::from(b'A' + number));
            let set = json!([["state-set", "tenant", key, 1]]);
            let answer = client.run("/do", set).await.unwrap();
            if answer[0].is_u64() {
                written += 1;
            } else {
                assert_eq!(answer, json!([{ "limit": "state_keys_max" }]));
            }
        }
        written
    });
    let written: usize = join_all(sets).await.into_iter().sum();
    assert_eq!(written, KEYS);
    let refused = three.hosts.iter();
    let refused = refused.map(|host| host.reached(Limit::StateKeysMax));
    assert_eq!(refused.sum::<u64>(), 90 - 50);
    // One byte is left, whoever takes it.
    let longer = json!([["state-set", "tenant", "aA", 10]]);
    let answers = three
        .at_once(&json!([["state-set", "tenant", "aA", 100]]))
        .await;
    assert_eq!(answers, vec![json!([{ "limit": "state_bytes_max" }]); 3]);
    assert!(three.run(1, longer.clone()).await[0].is_u64());
    assert!(
        three.run(2, longer).await[0].is_u64(),
        "it is no longer than before"
    );
    let too_long = json!([["state-set", "tenant", "bA", 10]]);
    assert_eq!(
        three.run(0, too_long.clone()).await,
        json!([{ "limit": "state_bytes_max" }])
    );
    assert_eq!(
        three
            .run(1, json!([["state-delete", "tenant", "aA"]]))
            .await,
        json!([true])
    );
    assert!(three.run(0, too_long).await[0].is_u64());
}

async fn a_time_to_live_is_over_for_all_by_the_brokers_clock(broker: Broker) {
    const TTL: Duration = Duration::from_millis(1_500);
    wardroom_tests::needed!("faketime");
    let mut three = Three::on(&broker, |config| config.limits.state_keys_max = 2).await;
    // One whose clock is an hour ahead, and one whose clock is an hour behind.
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    crate::configuration::puppet("puppet").write(&folder.path().join("plugins"));
    let program = std::env::var("WARDROOM");
    let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_wardroom-tested").to_owned());
    let mut skewed = Vec::new();
    for offset in ["+1h", "-1h"] {
        let invocation = Invocation::new(&program, &["serve", "--listen", "127.0.0.1:0"])
            .with_clock(offset)
            .unwrap()
            .with("WARDROOM_CLUSTER_URL", &broker.url())
            .with("WARDROOM_NODE", offset)
            .within(folder.path());
        let program = Program::invoke(&invocation).await.unwrap();
        let client = program.connect(offset).await.unwrap();
        skewed.push((program, client));
    }
    let millis = u64::try_from(TTL.as_millis()).unwrap();
    let [(_, ahead), (_, behind)] = skewed.as_mut_slice() else {
        panic!("there are two")
    };
    for (key, client) in [("a", &mut *ahead), ("b", &mut *behind)] {
        let began = Instant::now();
        let set = json!([["state-set", "tenant", key, 1, millis]]);
        assert!(client.run("/do", set).await.unwrap()[0].is_u64());
        let get = json!([["state-get", "tenant", key]]);
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        for answer in three.at_once(&get).await {
            assert!(answer[0].is_array() || began.elapsed() > TTL, "{answer}");
        }
        while three.run(0, get.clone()).await[0].is_array() {
            looks.tick().await;
        }
        let lived = began.elapsed();
        assert!(lived >= TTL, "{lived:?}");
        assert!(lived < TTL + Duration::from_secs(10), "{lived:?}");
    }
    // They count no more.
    let steps = json!([
        ["state-set", "tenant", "c", 1],
        ["state-set", "tenant", "d", 1],
        ["state-keys", "tenant", ""]
    ]);
    let answers = three.run(2, steps).await;
    assert_eq!(
        answers[2],
        json!({ "total": 2, "keys": ["c", "d"] }),
        "{answers}"
    );
}
