//! Three hosts on one broker, a real one: what reaches a connection wherever it is, and what all of them answer
//! together.

use crate::cluster::{ROOM, host, run, up};
use serde_json::{Value, json};
use std::time::Duration;
use wardroom_tests::{Broker, Client, Frame, WAIT, needed};

#[tokio::test]
async fn three_hosts_are_one_server_on_redis() {
    needed!("redis-server");
    are_one_server(Broker::redis().await.unwrap()).await;
}

#[tokio::test]
async fn three_hosts_are_one_server_on_nats() {
    needed!("nats-server");
    are_one_server(Broker::nats().await.unwrap()).await;
}

async fn are_one_server(broker: Broker) {
    let mut hosts = Vec::new();
    for node in ["one", "two", "three"] {
        hosts.push(host(&broker, node, |_| {}));
    }
    let mut members = Vec::new();
    let mut ids = Vec::new();
    for host in &hosts {
        up(host, true).await;
        let mut member = host.connect("member").await.unwrap();
        run(&mut member, json!([["join", ROOM]])).await;
        ids.push(ask(&mut member, json!(["id"])).await);
        members.push(member);
    }
    know_each_other(&mut members[0], 3).await;
    let [first, others @ ..] = members.as_mut_slice() else {
        panic!("there are three")
    };
    // A list of all, sorted, from wherever it is asked.
    ids.sort_by_key(ToString::to_string);
    for member in others.iter_mut() {
        know_each_other(member, 3).await;
        let page = ask(member, json!(["connections", {}, "cluster"])).await;
        assert_eq!(page["total"], 3, "{page}");
        let listed = page["connections"].as_array().unwrap().iter();
        let listed: Vec<_> = listed.map(|info| info["id"].clone()).collect();
        assert_eq!(listed, ids);
        // Each host for itself, unless all are asked.
        let page = ask(member, json!(["connections", {}, "local"])).await;
        assert_eq!(
            (&page["total"], &page["coverage"]),
            (&json!(1), &json!([1, 1]))
        );
        let size = ask(member, json!(["room-size", ROOM, "local"])).await;
        assert_eq!(size, json!({ "size": 1, "coverage": [1, 1] }));
        let size = ask(member, json!(["room-size", ROOM, "cluster"])).await;
        assert_eq!(size, json!({ "size": 3, "coverage": [3, 3] }));
        let rooms = ask(member, json!(["rooms", "", {}, "cluster"])).await;
        assert_eq!(rooms["rooms"], json!([[ROOM, 3]]), "{rooms}");
    }
    // To all, to one, and the end of one.
    let push = json!({ "event": "e", "path": "/p", "data": 1 });
    run(first, json!([["server-broadcast", push]])).await;
    assert_eq!(first.receive_json().await.unwrap(), push);
    for member in others.iter_mut() {
        assert_eq!(member.receive_json().await.unwrap(), push);
    }
    let there = ask(&mut others[0], json!(["id"])).await;
    let sent = ask(first, json!(["server-send", there, push])).await;
    assert_eq!(sent, true);
    assert_eq!(others[0].receive_json().await.unwrap(), push);
    let info = ask(first, json!(["connection", there, "cluster"])).await;
    assert_eq!(info["connection"]["node"], "two", "{info}");
    let closed = ask(first, json!(["server-close", there, 4001, "out"])).await;
    assert_eq!(closed, true);
    let end = others[0].receive().await.unwrap();
    assert!(
        matches!(&end, Frame::Closed(close) if close.code == Some(4001)),
        "{end:?}"
    );
    // Nobody has it any more, and all have said so.
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while ask(first, json!(["server-send", there, push])).await != false {
        looks.tick().await;
    }
    // One that ends is asked no more.
    drop(hosts.pop());
    know_each_other(first, 2).await;
}

/// One step's result.
pub(crate) async fn ask(client: &mut Client, step: Value) -> Value {
    let mut results = client.run("/do", json!([step])).await.unwrap();
    results[0].take()
}

/// Waits until the host asks so many, and all of them answer.
async fn know_each_other(client: &mut Client, hosts: u64) {
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let knowing = async {
        loop {
            let size = ask(client, json!(["room-size", "/none", "cluster"])).await;
            if size["coverage"] == json!([hosts, hosts]) {
                return;
            }
            looks.tick().await;
        }
    };
    let known = tokio::time::timeout(WAIT, knowing).await;
    known.unwrap_or_else(|_| panic!("never {hosts} hosts"));
}
