//! Three hosts, each the real program: who is stopped, killed or ended, who comes, and whose clock is wrong. What they
//! say of all connections is said in time, and says how much of the whole it is.

use crate::cluster_queries::ask;
use crate::configuration::{folder, puppet, wardroom};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::{Broker, Client, WAIT, http, needed};

wardroom_tests::on_each_broker! {
    a_host_may_stop_and_go_on,
    a_host_may_end_and_another_one_come,
    a_host_may_be_killed,
    clocks_may_be_wrong,
}

/// Whoever is not heard of is not expected any more after this time.
pub(crate) const FORGOTTEN_MAX: Duration = Duration::from_secs(5);
/// How long a question may take: others have a second to answer it. The machine may be busy.
const ANSWER_MAX: Duration = Duration::from_millis(1_900);
/// A question that nobody has to be waited for.
const SOON: Duration = Duration::from_millis(900);

pub(crate) struct Host {
    pub(crate) program: Program,
    /// Who asks, and is one of the connections.
    client: Client,
    _folder: TempDir,
}

fn invocation(url: &str, folder: &TempDir, node: &str) -> Invocation {
    wardroom(folder.path(), &["serve", "--listen", "127.0.0.1:0"])
        .with("WARDROOM_CLUSTER_URL", url)
        .with("WARDROOM_NODE", node)
        .with("WARDROOM_DRAIN", "0")
}

impl Host {
    async fn start(broker: &Broker, node: &str) -> Self {
        Self::start_at(&broker.url(), node).await
    }

    pub(crate) async fn start_at(url: &str, node: &str) -> Self {
        Self::start_with(url, node, |invocation| invocation).await
    }

    /// Its client is there as soon as it is ready.
    async fn start_with(
        url: &str,
        node: &str,
        with: impl FnOnce(Invocation) -> Invocation,
    ) -> Self {
        let folder = folder(&[puppet("puppet")], "");
        let invocation = with(invocation(url, &folder, node));
        let program = Program::invoke(&invocation).await.unwrap();
        let deadline = Instant::now() + WAIT;
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        while http::ask(program.address, request).await.unwrap().status != 200 {
            assert!(Instant::now() < deadline, "{}", program.log.text());
            looks.tick().await;
        }
        let client = program.connect(node).await.unwrap();
        Self {
            program,
            client,
            _folder: folder,
        }
    }

    /// What all say together: how many connections there are, and of how many hosts how many have answered.
    pub(crate) async fn connections(&mut self) -> (Value, [u64; 2]) {
        let step = json!(["connections", { "limit": 0 }, "cluster"]);
        let page = ask(&mut self.client, step).await;
        let count = |place: usize| page["coverage"][place].as_u64().unwrap();
        (page["total"].clone(), [count(0), count(1)])
    }

    /// That there are so many connections on so many hosts, of which so many have answered, in time.
    async fn assert_says(&mut self, connections: u64, of_hosts: [u64; 2], in_time: Duration) {
        let began = Instant::now();
        let (total, coverage) = self.connections().await;
        let took = began.elapsed();
        assert_eq!((total, coverage), (json!(connections), of_hosts));
        assert!(took < in_time, "{took:?}");
        eprintln!("{coverage:?} in {took:?}");
    }
}

/// Each is asked at once: it knows the others when it is ready.
async fn three(broker: &Broker) -> [Host; 3] {
    let mut hosts = Vec::new();
    for node in ["one", "two", "three"] {
        let mut host = Host::start(broker, node).await;
        let count = hosts.len() as u64 + 1;
        host.assert_says(count, [count, count], SOON).await;
        hosts.push(host);
    }
    hosts.try_into().ok().unwrap()
}

async fn a_host_may_stop_and_go_on(broker: Broker) {
    let [mut one, mut two, mut three] = three(&broker).await;
    let began = Instant::now();
    three.program.signal("STOP").await.unwrap();
    one.assert_says(2, [3, 2], ANSWER_MAX).await;
    for host in [&mut one, &mut two] {
        host.program.logged(&["host lost", "three"]).await.unwrap();
        let took = began.elapsed();
        eprintln!("forgotten after {took:?}");
        assert!(took < FORGOTTEN_MAX, "{took:?}");
        host.assert_says(2, [2, 2], SOON).await;
    }
    let began = Instant::now();
    three.program.signal("CONT").await.unwrap();
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    for host in [&mut one, &mut two, &mut three] {
        while host.connections().await != (json!(3), [3, 3]) {
            assert!(began.elapsed() < FORGOTTEN_MAX);
            looks.tick().await;
        }
        eprintln!("3 of 3 again after {:?}", began.elapsed());
    }
    // It is not the others who were away.
    let log = three.program.log.text();
    assert!(!log.contains("host lost"), "{log}");
}

async fn a_host_may_end_and_another_one_come(broker: Broker) {
    let [mut one, mut two, three] = three(&broker).await;
    three.program.signal("TERM").await.unwrap();
    drop(three.client);
    let (status, log) = three.program.wait().await.unwrap();
    assert!(status.success(), "{log}");
    // It has said so before it ended.
    for host in [&mut one, &mut two] {
        host.program.logged(&["host gone", "three"]).await.unwrap();
        host.assert_says(2, [2, 2], SOON).await;
    }
    let mut three = Host::start(&broker, "three").await;
    three.assert_says(3, [3, 3], SOON).await;
    one.assert_says(3, [3, 3], SOON).await;
}

async fn a_host_may_be_killed(broker: Broker) {
    let [mut one, _two, three] = three(&broker).await;
    let began = Instant::now();
    three.program.signal("KILL").await.unwrap();
    one.assert_says(2, [3, 2], ANSWER_MAX).await;
    one.program.logged(&["host lost", "three"]).await.unwrap();
    let took = began.elapsed();
    eprintln!("forgotten after {took:?}");
    assert!(took < FORGOTTEN_MAX, "{took:?}");
    one.assert_says(2, [2, 2], SOON).await;
}

async fn clocks_may_be_wrong(broker: Broker) {
    needed!("faketime");
    let mut hosts = vec![Host::start(&broker, "now").await];
    for (node, offset) in [("late", "-1h"), ("early", "+1h")] {
        let with = |invocation: Invocation| invocation.with_clock(offset).unwrap();
        hosts.push(Host::start_with(&broker.url(), node, with).await);
    }
    let mut listed = Value::Null;
    for host in &mut hosts {
        host.assert_says(3, [3, 3], SOON).await;
        listed = ask(&mut host.client, json!(["connections", {}, "cluster"])).await;
        ask(&mut host.client, json!(["join", "/r"])).await;
    }
    // They are an hour apart, or this test shows nothing.
    let connected = listed["connections"].as_array().unwrap().iter();
    let connected: Vec<_> = connected
        .map(|info| info["connectedAt"].as_u64().unwrap())
        .collect();
    let (first, last) = (connected.iter().min(), connected.iter().max());
    assert!(last.unwrap() - first.unwrap() > 7_000_000, "{listed}");
    for from in 0..3 {
        let step = json!(["broadcast", "n", from, "/r", true]);
        ask(&mut hosts[from].client, step).await;
        for host in &mut hosts {
            assert_eq!(host.client.receive_json().await.unwrap()["data"], from);
        }
    }
    // Nobody is forgotten for it, by the time at which somebody would be.
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..5 {
        seconds.tick().await;
        hosts[0].assert_says(3, [3, 3], SOON).await;
    }
    for host in &hosts {
        let log = host.program.log.text();
        assert!(!log.contains("host lost"), "{log}");
    }
}
