//! Two hosts on a cluster of Redis, a real one, of which masters are killed, stopped and replaced, and whose slots move.

mod liveness;
mod load;
mod refused;

use crate::cluster::{host_at, run, up};
use load::Load;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};
use tokio::time::{interval, timeout};
use wardroom::Config;
use wardroom_tests::{Broker, Client, RedisCluster, TestServer, needed};

/// So many that each of three masters has some.
const ROOMS: usize = 24;
/// After a fault, all has to be well again within this time. The machine may be busy; the aim is a second.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

fn rooms() -> impl Iterator<Item = String> {
    (0..ROOMS).map(|number| format!("/r/{number}"))
}

fn channel(room: &str) -> String {
    format!("ws:room:{room}")
}

/// A script that broadcasts a number to these rooms.
fn to_all<'a>(rooms: impl IntoIterator<Item = &'a String>, number: u64) -> Value {
    let broadcasts = rooms.into_iter();
    let broadcasts = broadcasts.map(|room| json!(["broadcast", "n", number, room]));
    broadcasts.collect()
}

/// Two hosts, each with a member of all rooms and with somebody who is none.
struct Stage {
    cluster: RedisCluster,
    hosts: [TestServer; 2],
    members: [Client; 2],
    senders: [Client; 2],
    /// The rooms by the server that has their channels at the start.
    rooms: HashMap<usize, Vec<String>>,
    sent: u64,
}

impl Stage {
    async fn on(cluster: RedisCluster) -> Self {
        // Clients that wait for as long as slots move answer no pings.
        let configure = |config: &mut Config| config.heartbeat_interval = Duration::ZERO;
        let hosts = ["one", "two"].map(|node| host_at(&cluster.url(), node, configure));
        for host in &hosts {
            up(host, true).await;
        }
        let mut rooms_of: HashMap<usize, Vec<String>> = HashMap::new();
        let channels = Vec::from_iter(rooms().map(|room| channel(&room)));
        for (room, owner) in rooms().zip(cluster.owners(&channels).await.unwrap()) {
            rooms_of.entry(owner).or_default().push(room);
        }
        assert_eq!(rooms_of.len(), 3, "{rooms_of:?}");
        let (mut members, mut senders) = (Vec::new(), Vec::new());
        for host in &hosts {
            let mut member = host.connect("member").await.unwrap();
            let joins = rooms().map(|room| json!(["join", room]));
            run(&mut member, joins.collect()).await;
            members.push(member);
            senders.push(host.connect("sender").await.unwrap());
        }
        Self {
            cluster,
            hosts,
            members: members.try_into().unwrap(),
            senders: senders.try_into().unwrap(),
            rooms: rooms_of,
            sent: 0,
        }
    }

    /// Whichever host it comes from, members of both get one broadcast in each of these rooms, and nothing else.
    async fn assert_once(&mut self, rooms: &[String]) {
        for from in [0, 1, 0, 1] {
            self.sent += 1;
            run(&mut self.senders[from], to_all(rooms, self.sent)).await;
            for member in &mut self.members {
                let mut got = BTreeSet::new();
                for _ in rooms {
                    let push = member.receive_json().await.unwrap();
                    assert_eq!(push["data"], self.sent, "{push}");
                    got.insert(push["path"].as_str().unwrap().to_owned());
                }
                assert_eq!(got.len(), rooms.len(), "{got:?}");
            }
        }
    }

    async fn assert_all(&mut self) {
        self.assert_once(&Vec::from_iter(rooms())).await;
    }

    /// The rooms of all other masters.
    fn rooms_but_of(&self, master: usize) -> Vec<String> {
        let others = self.rooms.iter().filter(|(owner, _)| **owner != master);
        others.flat_map(|(_, rooms)| rooms.clone()).collect()
    }

    /// Waits until both hosts are well again; from when on they had to is given.
    async fn recover(&self, since: Instant, what: &str) {
        for host in &self.hosts {
            up(host, true).await;
        }
        let took = since.elapsed();
        eprintln!("{what}: both hosts were ready after {took:?}");
        assert!(took < RECOVERY_MAX, "{took:?}");
    }

    /// Waits until both hosts hear each room from the server that has its channel now.
    async fn settle(&self) {
        let channels = Vec::from_iter(rooms().map(|room| channel(&room)));
        let mut looks = interval(Duration::from_millis(20));
        let deadline = Instant::now() + RECOVERY_MAX;
        loop {
            let owners = self.cluster.owners(&channels).await.unwrap();
            let mut heard = 0;
            for owner in BTreeSet::from_iter(owners.iter().copied()) {
                // One that was killed or stopped may still be thought to be it.
                let asking = self.cluster.subscribers(owner, &channels);
                let all = timeout(Duration::from_secs(1), asking).await;
                let all = all.map(Result::unwrap_or_default).unwrap_or_default();
                let of_owner = owners.iter().zip(all).filter(|(of, _)| **of == owner);
                heard += of_owner.filter(|(_, hosts)| *hosts == 2).count();
            }
            if heard == ROOMS {
                return;
            }
            assert!(Instant::now() < deadline, "{heard} of {ROOMS}");
            looks.tick().await;
        }
    }

    async fn down(&self) {
        for host in &self.hosts {
            up(host, false).await;
        }
    }

    fn sum(&self, metric: &str) -> f64 {
        self.hosts.iter().map(|host| host.metric(metric)).sum()
    }
}

#[tokio::test]
async fn members_of_both_hosts_get_a_broadcast_once() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 0).await.unwrap()).await;
    stage.assert_all().await;
    assert_eq!(stage.sum("wardroom_bus_dropped_total"), 0.0);
    assert_eq!(stage.sum("wardroom_bus_malformed_total"), 0.0);
    for host in &stage.hosts {
        let sent = 2.0 * ROOMS as f64;
        let count = host.counts("wardroom_bus_published_total", |count| count >= sent);
        count.await.unwrap();
        assert!(host.metric("wardroom_bus_round_trip_seconds") > 0.0);
    }
    // Each went to the master of its channel only.
    for (master, rooms) in stage.rooms.clone() {
        let listed = stage.cluster.shard_channels(master).await.unwrap();
        for room in stage.rooms_but_of(master) {
            assert!(!listed.contains(&channel(&room)), "{room}: {listed:?}");
        }
        assert!(rooms.iter().all(|room| listed.contains(&channel(room))));
    }
}

#[tokio::test]
async fn nothing_that_is_published_after_a_join_is_missed() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 0).await.unwrap()).await;
    let [_, member] = &mut stage.members;
    let [sender, _] = &mut stage.senders;
    for number in 0..50 {
        let room = format!("/fresh/{number}");
        run(member, json!([["join", room]])).await;
        run(sender, json!([["broadcast", "n", number, room]])).await;
        assert_eq!(member.receive_json().await.unwrap()["data"], number);
        run(member, json!([["leave", room], ["join", room]])).await;
        run(sender, json!([["broadcast", "n", number, room]])).await;
        assert_eq!(member.receive_json().await.unwrap()["data"], number);
        run(member, json!([["leave", room]])).await;
    }
}

#[tokio::test]
async fn a_master_that_is_killed_is_replaced_by_its_replica() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 1).await.unwrap()).await;
    let load = Load::begin(&stage).await;
    stage.cluster.kill(1).await.unwrap();
    stage.down().await;
    stage.cluster.is_promoted(4).await.unwrap();
    let (began, what) = (Instant::now(), "a master was killed and replaced");
    stage.settle().await;
    stage.recover(began, what).await;
    load.end(what, 1).await;
    stage.assert_all().await;
    // It comes back as a replica of the one that took over.
    stage.cluster.restart(1).await.unwrap();
    stage.cluster.know_each_other().await.unwrap();
    stage.assert_all().await;
}

#[tokio::test]
async fn a_master_that_was_stopped_comes_back_when_it_is_replaced() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 1).await.unwrap()).await;
    let load = Load::begin(&stage).await;
    stage.cluster.signal(1, "STOP").await.unwrap();
    stage.cluster.is_promoted(4).await.unwrap();
    let (began, what) = (Instant::now(), "a master was stopped and replaced");
    // The hosts may not have noticed yet that it is away.
    stage.settle().await;
    stage.recover(began, what).await;
    stage.assert_all().await;
    stage.cluster.signal(1, "CONT").await.unwrap();
    stage.cluster.is_replica(1).await.unwrap();
    load.end(what, 1).await;
    stage.assert_all().await;
}

#[tokio::test]
async fn a_replica_may_become_master_while_all_are_well() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 1).await.unwrap()).await;
    let load = Load::begin(&stage).await;
    for (replica, master) in [(4, 1), (1, 4)] {
        stage.cluster.fail_over(replica).await.unwrap();
        stage.cluster.is_replica(master).await.unwrap();
        let began = Instant::now();
        stage.settle().await;
        stage.recover(began, "a replica became master").await;
    }
    load.end("a replica became master, and the other again", 1)
        .await;
    stage.assert_all().await;
}

#[tokio::test]
async fn a_master_may_be_killed_and_come_back() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 0).await.unwrap()).await;
    let others = stage.rooms_but_of(1);
    for _ in 0..2 {
        stage.cluster.kill(1).await.unwrap();
        stage.down().await;
        stage.assert_once(&others).await;
        // A join does not wait for long, and counts afterwards.
        let began = Instant::now();
        let room = &stage.rooms[&1][0];
        run(&mut stage.senders[0], json!([["join", room]])).await;
        run(&mut stage.senders[0], json!([["leave", room]])).await;
        assert!(began.elapsed() < Duration::from_secs(3));
        stage.cluster.restart(1).await.unwrap();
        let what = "a master was killed and started";
        stage.recover(Instant::now(), what).await;
        stage.assert_all().await;
    }
}

#[tokio::test]
async fn a_master_may_be_stopped_and_go_on() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 0).await.unwrap()).await;
    let others = stage.rooms_but_of(1);
    let load = Load::begin(&stage).await;
    stage.cluster.signal(1, "STOP").await.unwrap();
    stage.down().await;
    stage.assert_once(&others).await;
    stage.cluster.signal(1, "CONT").await.unwrap();
    let what = "a master was stopped for some seconds";
    stage.recover(Instant::now(), what).await;
    load.end(what, 1).await;
    stage.assert_all().await;
}

#[tokio::test]
async fn slots_may_move_to_a_new_master_until_the_old_has_none() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 0).await.unwrap()).await;
    let load = Load::begin(&stage).await;
    let new = stage.cluster.add().await.unwrap();
    stage.cluster.introduce(new).await.unwrap();
    stage.cluster.know_each_other().await.unwrap();
    let began = Instant::now();
    stage.cluster.move_slots(1, new, 5_461).await.unwrap();
    eprintln!("5461 slots moved in {:?}", began.elapsed());
    let began = Instant::now();
    stage.settle().await;
    stage.recover(began, "slots moved").await;
    load.end("slots moved to a new master", 1).await;
    stage.assert_all().await;
    let channels = Vec::from_iter(stage.rooms[&1].iter().map(|room| channel(room)));
    let owners = stage.cluster.owners(&channels).await.unwrap();
    assert!(owners.iter().all(|owner| *owner == new), "{owners:?}");
    assert!(stage.cluster.shard_channels(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn garbage_is_counted_and_ignored() {
    needed!("redis-server", "redis-cli");
    let mut stage = Stage::on(RedisCluster::start(3, 0).await.unwrap()).await;
    let garbage: [&[u8]; 6] = [
        b"{",
        b"\xff\xfe\x00",
        b"null",
        br#"{"event":5,"path":"/r"}"#,
        br#"{"event":"n"}"#,
        "[".repeat(100_000).leak().as_bytes(),
    ];
    for room in ["/r/0", "/r/1", "/r/2"] {
        for payload in garbage {
            let channel = channel(room);
            stage.cluster.publish(&channel, payload).await.unwrap();
        }
    }
    for host in &stage.hosts {
        let count = host.counts("wardroom_bus_malformed_total", |count| count == 18.0);
        count.await.unwrap();
    }
    stage.assert_all().await;
}

#[tokio::test]
async fn hosts_may_come_before_the_cluster() {
    needed!("redis-server", "redis-cli");
    let mut cluster = RedisCluster::start(3, 0).await.unwrap();
    for number in 0..3 {
        cluster.kill(number).await.unwrap();
    }
    let host = host_at(&cluster.url(), "early", |_| {});
    host.logged(&["nobody says who has the slots"])
        .await
        .unwrap();
    let mut member = host.connect("early").await.unwrap();
    let mut sender = host.connect("sender").await.unwrap();
    run(&mut member, json!([["join", "/r/0"]])).await;
    run(&mut sender, json!([["broadcast", "n", 0, "/r/0"]])).await;
    assert_eq!(member.receive_json().await.unwrap()["data"], 0);
    up(&host, false).await;
    for number in 0..3 {
        cluster.restart(number).await.unwrap();
    }
    cluster.know_each_other().await.unwrap();
    up(&host, true).await;
    let mut stage = Stage::on(cluster).await;
    stage.assert_all().await;
    // It has heard the others all the while.
    for number in 1..=stage.sent {
        assert_eq!(member.receive_json().await.unwrap()["data"], number);
    }
}

#[tokio::test]
async fn what_is_no_cluster_is_said_to_be_none() {
    needed!("redis-server", "redis-cli");
    let broker = Broker::redis().await.unwrap();
    let url = broker.url().replace("redis://", "redis-cluster://");
    let host = host_at(&url, "lost", |_| {});
    let said = host.logged(&["nobody says who has the slots", "cluster support disabled"]);
    said.await.unwrap();
    up(&host, false).await;
}

#[tokio::test]
async fn a_host_that_ends_has_said_so_before() {
    needed!("redis-server", "redis-cli");
    let Stage {
        cluster: _cluster,
        hosts: [one, mut other],
        members,
        senders,
        ..
    } = Stage::on(RedisCluster::start(3, 0).await.unwrap()).await;
    drop((members, senders));
    one.logged(&["host found", "two"]).await.unwrap();
    tokio::task::spawn_blocking(move || other.stop())
        .await
        .unwrap()
        .unwrap();
    one.logged(&["host gone", "two"]).await.unwrap();
}
