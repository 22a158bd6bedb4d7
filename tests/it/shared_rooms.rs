//! What rooms keep with several hosts: until the last member of all of them has left.

use crate::shared_state::Three;
use serde_json::{Value, json};
use std::time::Duration;
use wardroom_tests::Broker;

wardroom_tests::on_each_broker! {
    a_rooms_state_goes_with_the_last_member_of_all_hosts,
    a_host_that_stops_ends_its_rooms,
    what_a_member_writes_is_not_taken_for_what_was_left,
}

fn in_r() -> Value {
    json!({ "room": "/r" })
}

fn get() -> Value {
    json!([["state-get", in_r(), "k"], ["state-keys", in_r(), ""]])
}

async fn three(broker: &Broker) -> Three {
    let mut three = Three::on(broker, |_| {}).await;
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    for host in 0..3 {
        let size = json!([["room-size", "/r", "cluster"]]);
        while three.run(host, size.clone()).await[0]["coverage"] != json!([3, 3]) {
            looks.tick().await;
        }
    }
    three
}

async fn a_rooms_state_goes_with_the_last_member_of_all_hosts(broker: Broker) {
    let mut three = three(&broker).await;
    let lent = json!(["state-set", in_r(), "lent", 1, 3_600_000]);
    let join = json!([["join", "/r"], ["state-increment", in_r(), "k"]]);
    three.run(0, json!([lent])).await;
    for _ in 0..5 {
        for host in 0..3 {
            let sum = three.run(host, join.clone()).await;
            assert_eq!(sum, json!(["ok", host + 1]));
        }
        for host in 0..2 {
            let left = three.run(host, json!([["leave", "/r"]])).await;
            assert_eq!(left, json!(["ok"]));
            // Also when it asks after its own end.
            for answer in three.at_once(&get()).await {
                assert_eq!(answer[0][0], 3, "the others are there");
                assert_eq!(answer[1]["total"], 2);
            }
        }
        three.run(2, json!([["leave", "/r"]])).await;
        // On the host of the last one at once, on the others by now.
        let gone = json!([null, { "total": 1, "keys": ["lent"] }]);
        for host in [2, 1, 0] {
            assert_eq!(three.run(host, get()).await, gone);
        }
    }
}

async fn a_host_that_stops_ends_its_rooms(broker: Broker) {
    let mut three = three(&broker).await;
    let steps = json!([["join", "/r"], ["state-set", in_r(), "k", 1]]);
    assert_eq!(three.run(2, steps).await, json!(["ok", 1]));
    three.clients.pop();
    three.hosts.pop().unwrap().stop().unwrap();
    let gone = json!([null, { "total": 0, "keys": [] }]);
    for host in 0..2 {
        assert_eq!(three.run(host, get()).await, gone);
    }
}

async fn what_a_member_writes_is_not_taken_for_what_was_left(broker: Broker) {
    let mut three = three(&broker).await;
    // The room is handed from host to host: it ends here and begins there, at the same time.
    for round in 0..50 {
        let (here, there) = (round % 3, (round + 1) % 3);
        let room = format!("/handed/{round}");
        let owner = json!({ "room": room });
        three
            .run(
                here,
                json!([["join", room], ["state-set", owner, "old", 1]]),
            )
            .await;
        let steps = json!([["join", room], ["state-set", owner, "new", round]]);
        let [leaves, joins] = {
            let mut clients = three.clients.iter_mut().enumerate();
            let mut pair = Vec::new();
            for (number, client) in clients.by_ref() {
                if number == here || number == there {
                    pair.push((number, client));
                }
            }
            pair.sort_by_key(|(number, _)| *number != here);
            let pair: [_; 2] = pair.try_into().unwrap_or_else(|_| panic!("there are two"));
            pair.map(|(_, client)| client)
        };
        let (left, joined) = tokio::join!(
            leaves.run("/do", json!([["leave", room]])),
            joins.run("/do", steps)
        );
        assert_eq!(left.unwrap(), json!(["ok"]));
        assert_eq!(joined.unwrap()[0], "ok");
        let kept = json!([["state-get", owner, "new"]]);
        for answer in three.at_once(&kept).await {
            assert_eq!(answer[0][0], round, "round {round}");
        }
        three.run(there, json!([["leave", room]])).await;
    }
}
