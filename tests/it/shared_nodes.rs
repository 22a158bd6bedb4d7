//! State on a cluster of Redis, a real one, of which the node that has it is another after a while.

use crate::shared_state::Three;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wardroom_tests::{Client, RedisCluster, WAIT};

/// One of the keys of the state; the others are in the same slot.
const KEY: &str = "ws:{default}:state:values";
/// How far that slot is in the range of the master that has it at the start.
const SLOTS: u32 = 5_718 - 5_461 + 1;

fn add() -> Value {
    json!([["state-increment", "tenant", "n"]])
}

/// Adds until it is told that enough is. Returns how often that was answered, and how often it was not.
async fn add_until(client: &mut Client, end: impl Fn() -> bool) -> (u64, u64) {
    let (mut done, mut failed) = (0, 0);
    while !end() {
        let answer = client.run("/do", add()).await.unwrap();
        if answer[0].is_u64() {
            done += 1;
        } else {
            assert_eq!(answer, json!([{ "unavailable": "the state" }]));
            failed += 1;
        }
    }
    (done, failed)
}

async fn value(three: &mut Three) -> u64 {
    let got = three.run(0, json!([["state-get", "tenant", "n"]])).await;
    got[0][0].as_u64().unwrap_or_else(|| panic!("{got}"))
}

#[tokio::test]
async fn state_is_found_on_whichever_node_has_it() {
    wardroom_tests::needed!("redis-server", "redis-cli");
    let mut cluster = RedisCluster::start(3, 1).await.unwrap();
    let mut three = Three::at(&cluster.url(), |_| {}).await;
    for answer in three.at_once(&add()).await {
        assert!(answer[0].is_u64(), "{answer}");
    }
    assert_eq!(cluster.owners(&[KEY.to_owned()]).await.unwrap(), [1]);
    // Its slot moves while it is written to.
    let is_moved = AtomicBool::new(false);
    let end = || is_moved.load(Ordering::Relaxed);
    let adding = join_all(
        three
            .clients
            .iter_mut()
            .map(|client| add_until(client, end)),
    );
    let moving = async {
        cluster.move_slots(1, 2, SLOTS).await.unwrap();
        is_moved.store(true, Ordering::Relaxed);
    };
    let (added, ()) = tokio::join!(adding, moving);
    assert_eq!(cluster.owners(&[KEY.to_owned()]).await.unwrap(), [2]);
    let (done, failed) = added.iter().fold((0, 0), |(done, failed), part| {
        (done + part.0, failed + part.1)
    });
    let sum = value(&mut three).await;
    eprintln!("while the slot moved: {done} increments done, {failed} unavailable, {sum} counted");
    assert!((3 + done..=3 + done + failed).contains(&sum));
    lose(&mut cluster, &mut three, 2, 5).await;
    assert!(value(&mut three).await >= sum + 3);
}

/// The node that has the state is killed, and all hosts find it at the one that takes over.
async fn lose(cluster: &mut RedisCluster, three: &mut Three, node: usize, heir: usize) {
    cluster.is_in_step(heir, node).await.unwrap();
    cluster.kill(node).await.unwrap();
    let killed = Instant::now();
    let answer = three.run(1, add()).await;
    assert_eq!(answer, json!([{ "unavailable": "the state" }]));
    cluster.is_promoted(heir).await.unwrap();
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    for host in 0..3 {
        while !three.run(host, add()).await[0].is_u64() {
            assert!(killed.elapsed() < WAIT);
            looks.tick().await;
        }
    }
    eprintln!(
        "a node was killed, and all was well after {:?}",
        killed.elapsed()
    );
}

#[tokio::test]
async fn one_node_that_is_named_knows_where_the_state_is() {
    wardroom_tests::needed!("redis-server", "redis-cli");
    let mut cluster = RedisCluster::start(3, 1).await.unwrap();
    let all = cluster.url();
    let (one, _) = all.split_once(',').unwrap();
    let mut three = Three::at(one, |_| {}).await;
    for answer in three.at_once(&add()).await {
        assert!(answer[0].is_u64(), "{answer}");
    }
    assert_eq!(cluster.owners(&[KEY.to_owned()]).await.unwrap(), [1]);
    lose(&mut cluster, &mut three, 1, 4).await;
    assert!(value(&mut three).await >= 6);
}

#[tokio::test]
async fn a_node_that_is_away_is_not_asked_first_for_ever() {
    wardroom_tests::needed!("redis-server", "redis-cli");
    let mut cluster = RedisCluster::start(3, 0).await.unwrap();
    let mut three = Three::at(&cluster.url(), |_| {}).await;
    // The first that is named, before anybody has learned from it where the state is: at the second.
    cluster.kill(0).await.unwrap();
    for host in 0..3 {
        assert!(three.run(host, add()).await[0].is_u64());
    }
    let began = Instant::now();
    for number in 0..9 {
        assert_eq!(three.run(number % 3, add()).await, json!([4 + number]));
    }
    let took = began.elapsed();
    eprintln!("9 increments while a node was away: {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// It is asked first, answers well, and has lost its cluster: that is there without it.
#[tokio::test]
async fn a_node_that_knows_of_no_cluster_is_not_believed() {
    wardroom_tests::needed!("redis-server", "redis-cli");
    let mut cluster = RedisCluster::start(3, 0).await.unwrap();
    let known = cluster.url();
    cluster.add().await.unwrap();
    let all = cluster.url();
    let (_, stranger) = all.rsplit_once(',').unwrap();
    let url = known.replacen("://", &format!("://{stranger},"), 1);
    let mut three = Three::at(&url, |_| {}).await;
    for number in 0..6 {
        assert_eq!(three.run(number % 3, add()).await, json!([1 + number]));
    }
}
