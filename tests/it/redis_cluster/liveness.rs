//! Who is there, while a master is away that has no part in saying so.

use crate::hosts::{FORGOTTEN_MAX, Host};
use std::time::{Duration, Instant};
use tokio::time::interval;
use wardroom_tests::{RedisCluster, needed};

#[tokio::test]
async fn a_host_is_missed_while_another_master_is_away() {
    needed!("redis-server", "redis-cli");
    let mut cluster = RedisCluster::start(3, 0).await.unwrap();
    let mut hosts = Vec::new();
    for node in ["one", "two", "three"] {
        hosts.push(Host::start_at(&cluster.url(), node).await);
    }
    let all = cluster.owners(&["ws:nodes".to_owned()]).await.unwrap();
    let other = (0..3).find(|master| !all.contains(master)).unwrap();
    cluster.kill(other).await.unwrap();
    for host in &hosts {
        host.program
            .logged(&["a master of the bus is away"])
            .await
            .unwrap();
    }
    let killed = hosts.pop().unwrap();
    let began = Instant::now();
    killed.program.signal("KILL").await.unwrap();
    let mut looks = interval(Duration::from_millis(10));
    for host in &mut hosts {
        // An answer may have to come by the master that is away: what counts is when it was asked for.
        let mut asked = began.elapsed();
        while host.connections().await.1[0] != 2 {
            assert!(asked < FORGOTTEN_MAX, "expected {asked:?} after its end");
            looks.tick().await;
            asked = began.elapsed();
        }
        eprintln!("not expected any more after {asked:?}");
    }
}
