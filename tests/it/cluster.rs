//! Two hosts on one broker, a real one, that is killed, stopped and fed with garbage: the same for Redis and NATS.

use crate::configuration::puppet;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::timeout;
use wardroom::Config;
use wardroom::config::StateStore;
use wardroom_tests::http::ask;
use wardroom_tests::{Broker, Client, TestServer, WAIT};

wardroom_tests::on_each_broker! {
    members_of_both_hosts_get_a_broadcast_once,
    nothing_that_is_published_after_a_join_is_missed,
    any_room_may_be_shared,
    hosts_of_one_prefix_are_one_server,
    a_broker_may_be_killed_and_come_back_empty,
    a_broker_may_be_stopped_and_go_on,
    a_broker_may_come_after_the_hosts,
    garbage_is_counted_and_ignored,
    a_broker_that_is_away_is_asked_now_and_then,
}

pub(crate) const ROOM: &str = "/r";
/// After a fault, all has to be well again within this time. The machine may be busy; the aim is a second.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

pub(crate) fn host(broker: &Broker, node: &str, configure: impl FnOnce(&mut Config)) -> TestServer {
    host_at(&broker.url(), node, configure)
}

pub(crate) fn host_at(url: &str, node: &str, configure: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start(&[puppet("puppet")], |config| {
        config.node = node.to_owned();
        config.set("cluster.url", url).unwrap();
        configure(config);
    })
    .unwrap()
}

async fn is_ready(host: &TestServer) -> bool {
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = ask(host.address, request).await.unwrap();
    let unready = ["the bus is away\n", "the other hosts are not known yet\n"];
    assert!(
        answer.status == 200 || unready.contains(&answer.body.as_str()),
        "{answer:?}"
    );
    answer.status == 200
}

pub(crate) async fn up(host: &TestServer, is_up: bool) {
    let wanted = f64::from(u8::from(is_up));
    let count = host.counts("wardroom_bus_up", |up| up == wanted).await;
    count.unwrap();
    // Once it is up, it has to hear first who else is there.
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let deadline = Instant::now() + WAIT;
    while is_ready(host).await != is_up {
        assert!(is_up && Instant::now() < deadline);
        looks.tick().await;
    }
}

pub(crate) async fn run(client: &mut Client, script: Value) {
    let results = client.run("/do", script).await.unwrap();
    let results = results.as_array().unwrap();
    assert!(results.iter().all(|result| result == "ok"), "{results:?}");
}

/// Two hosts, each with a member of the room and with somebody who is none.
pub(crate) struct Pair {
    pub(crate) hosts: [TestServer; 2],
    pub(crate) members: [Client; 2],
    pub(crate) senders: [Client; 2],
    sent: u64,
}

impl Pair {
    async fn on(broker: &Broker) -> Self {
        let hosts = ["one", "two"].map(|node| host(broker, node, |_| {}));
        Self::of(hosts).await
    }

    pub(crate) async fn of(hosts: [TestServer; 2]) -> Self {
        for host in &hosts {
            up(host, true).await;
        }
        let mut members = Vec::new();
        let mut senders = Vec::new();
        for host in &hosts {
            let mut member = host.connect("member").await.unwrap();
            run(&mut member, json!([["join", ROOM]])).await;
            members.push(member);
            senders.push(host.connect("sender").await.unwrap());
        }
        Self {
            hosts,
            members: members.try_into().unwrap(),
            senders: senders.try_into().unwrap(),
            sent: 0,
        }
    }

    /// Broadcasts a number from a host, and returns it.
    async fn broadcast(&mut self, from: usize) -> u64 {
        self.sent += 1;
        let script = json!([["broadcast", "n", self.sent, ROOM]]);
        run(&mut self.senders[from], script).await;
        self.sent
    }

    async fn assert_next(&mut self, member: usize, number: u64) {
        let push = self.members[member].receive_json().await.unwrap();
        assert_eq!(push, json!({ "event": "n", "path": ROOM, "data": number }));
    }

    /// Whoever broadcasts, all get it, and nothing else in between.
    pub(crate) async fn assert_one(&mut self) {
        for from in [0, 1, 0, 1] {
            let number = self.broadcast(from).await;
            for member in [0, 1] {
                self.assert_next(member, number).await;
            }
        }
    }

    /// Each host for itself.
    async fn assert_alone(&mut self) {
        for host in [0, 1] {
            let began = Instant::now();
            let number = self.broadcast(host).await;
            self.assert_next(host, number).await;
            assert!(began.elapsed() < Duration::from_secs(2));
        }
    }

    /// Waits until both are well again; from when on they had to is given.
    async fn recover(&self, since: Instant, what: &str) {
        for host in &self.hosts {
            up(host, true).await;
        }
        let took = since.elapsed();
        eprintln!("{what}: both hosts were ready after {took:?}");
        assert!(took < RECOVERY_MAX, "{took:?}");
    }

    fn sum(&self, metric: &str) -> f64 {
        self.hosts.iter().map(|host| host.metric(metric)).sum()
    }
}

async fn members_of_both_hosts_get_a_broadcast_once(broker: Broker) {
    // Also when both have the same name.
    for nodes in [["one", "two"], ["same", "same"]] {
        let hosts = nodes.map(|node| host(&broker, node, |_| {}));
        let mut pair = Pair::of(hosts).await;
        pair.assert_one().await;
        assert_eq!(pair.sum("wardroom_bus_dropped_total"), 0.0);
        assert_eq!(pair.sum("wardroom_bus_malformed_total"), 0.0);
        // Each hears the other and itself; and that both are there, each second.
        for host in &pair.hosts {
            let heard = host.counts("wardroom_bus_received_total", |count| count >= 4.0);
            heard.await.unwrap();
            let sent = host.counts("wardroom_bus_published_total", |count| count >= 2.0);
            sent.await.unwrap();
        }
    }
}

async fn nothing_that_is_published_after_a_join_is_missed(broker: Broker) {
    let mut pair = Pair::on(&broker).await;
    let [_, member] = &mut pair.members;
    let [sender, _] = &mut pair.senders;
    for number in 0..50 {
        let room = format!("/fresh/{number}");
        run(member, json!([["join", room]])).await;
        run(sender, json!([["broadcast", "n", number, room]])).await;
        assert_eq!(member.receive_json().await.unwrap()["data"], number);
        run(member, json!([["leave", room]])).await;
    }
    // Left and joined faster than the bus is told.
    for number in 0..50 {
        run(
            member,
            json!([["join", "/again"], ["leave", "/again"], ["join", "/again"]]),
        )
        .await;
        run(sender, json!([["broadcast", "n", number, "/again"]])).await;
        assert_eq!(member.receive_json().await.unwrap()["data"], number);
        run(member, json!([["leave", "/again"]])).await;
    }
}

async fn any_room_may_be_shared(broker: Broker) {
    let mut pair = Pair::on(&broker).await;
    let long = "é.".repeat(341);
    for room in [
        "/a.b",
        "/a%2Eb",
        "/a b",
        "a*",
        "/>",
        "/\u{7f}\u{1}",
        "/日本",
        ".",
        &long,
    ] {
        run(&mut pair.members[0], json!([["join", room]])).await;
        run(
            &mut pair.senders[1],
            json!([["broadcast", "n", room, room]]),
        )
        .await;
        assert_eq!(pair.members[0].receive_json().await.unwrap()["data"], room);
    }
}

async fn hosts_of_one_prefix_are_one_server(broker: Broker) {
    let prefixed = |node| {
        host(&broker, node, |config| {
            config.cluster_prefix = "blue.".to_owned()
        })
    };
    let mut pair = Pair::of(["one", "two"].map(prefixed)).await;
    let mut others = Pair::on(&broker).await;
    let mut blue = broker.listen("blue.ws:default:room:/r").await.unwrap();
    let mut plain = broker.listen("ws:room:/r").await.unwrap();
    pair.assert_one().await;
    others.broadcast(0).await;
    others.assert_next(1, 1).await;
    let envelope = plain.next().await.unwrap();
    assert_eq!(envelope["event"], "n");
    assert_eq!(envelope["path"], ROOM);
    assert_eq!(
        (&envelope["node"], &envelope["seq"]),
        (&json!("one"), &json!(0))
    );
    assert_eq!(blue.next().await.unwrap()["node"], "one");
}

async fn a_broker_may_be_killed_and_come_back_empty(mut broker: Broker) {
    let mut pair = Pair::on(&broker).await;
    for _ in 0..2 {
        broker.kill().await.unwrap();
        for host in &pair.hosts {
            up(host, false).await;
        }
        pair.assert_alone().await;
        // A join does not wait for long, and counts afterwards.
        let began = Instant::now();
        run(&mut pair.members[0], json!([["join", "/later"]])).await;
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
        broker.start().await.unwrap();
        pair.recover(Instant::now(), "killed and started").await;
        pair.assert_one().await;
        run(
            &mut pair.senders[1],
            json!([["broadcast", "n", 0, "/later"]]),
        )
        .await;
        assert_eq!(pair.members[0].receive_json().await.unwrap()["data"], 0);
        run(&mut pair.members[0], json!([["leave", "/later"]])).await;
    }
    assert_eq!(pair.sum("wardroom_bus_reconnects_total"), 4.0);
    // Of what was sent meanwhile, which only members there have got; and that the hosts are there.
    assert!(pair.sum("wardroom_bus_dropped_total") >= 4.0);
}

async fn a_broker_may_be_stopped_and_go_on(broker: Broker) {
    let mut pair = Pair::on(&broker).await;
    broker.pause().await.unwrap();
    for host in &pair.hosts {
        up(host, false).await;
    }
    pair.assert_alone().await;
    broker.resume().await.unwrap();
    pair.recover(Instant::now(), "stopped for some seconds")
        .await;
    pair.assert_one().await;
    // Not long enough to be given up: it is only late.
    broker.pause().await.unwrap();
    let number = pair.broadcast(0).await;
    pair.assert_next(0, number).await;
    broker.resume().await.unwrap();
    pair.assert_next(1, number).await;
    pair.assert_one().await;
}

async fn a_broker_may_come_after_the_hosts(mut broker: Broker) {
    broker.kill().await.unwrap();
    let hosts = ["one", "two"].map(|node| host(&broker, node, |_| {}));
    for host in &hosts {
        host.logged(&["the bus is away", &broker.url()])
            .await
            .unwrap();
        let mut member = host.connect("early").await.unwrap();
        run(
            &mut member,
            json!([["join", ROOM], ["broadcast", "n", 1, ROOM]]),
        )
        .await;
        assert!(!is_ready(host).await);
    }
    broker.start().await.unwrap();
    Pair::of(hosts).await.assert_one().await;
}

async fn garbage_is_counted_and_ignored(broker: Broker) {
    let small = |node| host(&broker, node, |config| config.limits.push_bytes_max = 1_000);
    let mut pair = Pair::of(["one", "two"].map(small)).await;
    let big = json!({ "event": "n", "path": ROOM, "data": "x".repeat(970) }).to_string();
    let bigger = json!({ "event": "n", "path": ROOM, "data": "x".repeat(600_000) }).to_string();
    let garbage: [&[u8]; 12] = [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        br#"{"event":5,"path":"/r"}"#,
        br#"{"event":"","path":"/r"}"#,
        br#"{"event":"n"}"#,
        br#"{"event":"n","path":"/r","params":7}"#,
        "[".repeat(100_000).leak().as_bytes(),
        big.as_bytes(),
        bigger.as_bytes(),
    ];
    for payload in garbage {
        broker.publish("ws:room:/r", payload).await.unwrap();
    }
    // What other servers publish has neither a node nor a number.
    let foreign = json!({ "event": "n", "path": ROOM, "data": "foreign", "more": {} }).to_string();
    broker
        .publish("ws:room:/r", foreign.as_bytes())
        .await
        .unwrap();
    for member in &mut pair.members {
        assert_eq!(member.receive_json().await.unwrap()["data"], "foreign");
    }
    for host in &pair.hosts {
        assert_eq!(host.metric("wardroom_bus_malformed_total"), 12.0);
    }
    pair.assert_one().await;
}

async fn a_broker_that_is_away_is_asked_now_and_then(mut broker: Broker) {
    const TIME: Duration = Duration::from_secs(3);
    // What hosts share has a connection of its own, which is made again in the same way: here it is the bus's that counts.
    let alone = |config: &mut Config| config.state = StateStore::Memory;
    let hosts = ["one", "two"].map(|node| host(&broker, node, alone));
    let pair = Pair::of(hosts).await;
    broker.kill().await.unwrap();
    // In its place somebody who takes every connection and ends it.
    let nobody = TcpListener::bind(broker.address).await.unwrap();
    let mut attempts = 0;
    let counting = async {
        while nobody.accept().await.is_ok() {
            attempts += 1;
        }
    };
    assert!(timeout(TIME, counting).await.is_err());
    eprintln!("attempts of two hosts in {TIME:?}: {attempts}");
    // Each waits for at most half a second, and for a quarter at least once it has waited for long.
    assert!((6..=40).contains(&attempts), "{attempts}");
    drop(nobody);
    broker.start().await.unwrap();
    pair.recover(Instant::now(), "away").await;
}
