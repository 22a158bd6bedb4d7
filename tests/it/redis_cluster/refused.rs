//! What a user of the cluster may not do.

use crate::cluster::{host_at, run, up};
use serde_json::json;
use wardroom_tests::{RedisCluster, needed};

#[tokio::test]
async fn a_channel_that_is_not_permitted_is_told_once() {
    needed!("redis-server", "redis-cli");
    let cluster = RedisCluster::start(3, 0).await.unwrap();
    let host = host_at(&cluster.url(), "here", |_| {});
    up(&host, true).await;
    let but_rooms = ["&ws:nodes", "&ws:node:*", "&ws:probe:*"];
    let command = [
        &["ACL", "SETUSER", "default", "resetchannels"],
        &but_rooms[..],
    ];
    cluster.tell_all(&command.concat()).await.unwrap();
    let mut member = host.connect("member").await.unwrap();
    run(&mut member, json!([["join", "/r"], ["join", "/s"]])).await;
    let told = ["channels do not arrive"];
    let line = host.logged(&told).await.unwrap();
    assert!(
        line.contains("ws:room:/") && line.contains("permission"),
        "{line}"
    );
    up(&host, false).await;
    let command = ["ACL", "SETUSER", "default", "allchannels"];
    cluster.tell_all(&command).await.unwrap();
    up(&host, true).await;
    // It was asked for again all the while. Of two masters each is told of.
    let lines = host.log.lines_with(&told);
    assert!(lines.len() <= 2, "{lines:?}");
}

#[tokio::test]
async fn payloads_that_are_not_permitted_are_told() {
    needed!("redis-server", "redis-cli");
    let cluster = RedisCluster::start(3, 0).await.unwrap();
    let host = host_at(&cluster.url(), "here", |_| {});
    up(&host, true).await;
    let command = ["ACL", "SETUSER", "default", "-spublish"];
    cluster.tell_all(&command).await.unwrap();
    host.logged(&["refuses payloads", "spublish"])
        .await
        .unwrap();
    // So are probes.
    up(&host, false).await;
    let command = ["ACL", "SETUSER", "default", "+spublish"];
    cluster.tell_all(&command).await.unwrap();
    up(&host, true).await;
}
