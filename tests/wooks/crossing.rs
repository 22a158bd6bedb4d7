//! One broadcast at a time: who gets it, how often, and in which form.

use crate::servers::{Data, Member, Server, wooks_needed};
use serde_json::{Value, json};
use wardroom_tests::Broker;

const ROOM: &str = "/chat/general";

/// A wooks server and a wardroom host, each with two members of the room and one of another room.
struct Two {
    broker: Broker,
    _servers: [Server; 2],
    members: Vec<Member>,
    elsewhere: Vec<Member>,
}

impl Two {
    async fn start() -> Self {
        let broker = Broker::redis().await.unwrap();
        let servers = [
            Server::wooks(&broker).await,
            Server::wardroom(&broker, "host").await,
        ];
        let (mut members, mut elsewhere) = (Vec::new(), Vec::new());
        for server in &servers {
            for _ in 0..2 {
                members.push(server.member(ROOM).await);
            }
            elsewhere.push(server.member("/chat/other").await);
        }
        Self {
            broker,
            _servers: servers,
            members,
            elsewhere,
        }
    }

    /// Each says something, and all others get exactly that next. So a second copy of anything would be seen: it goes
    /// the same way as what follows.
    async fn assert_each_hears_the_others(&mut self) {
        for from in 0..self.members.len() {
            let data = json!({ "from": from });
            self.members[from].say(ROOM, data.clone()).await;
            let others = self.members.iter_mut().enumerate();
            for (_, member) in others.filter(|(number, _)| *number != from) {
                let expected = json!({ "event": "said", "path": ROOM, "params": { "room": "general" }, "data": data });
                assert_eq!(member.next().await, expected);
            }
        }
    }
}

#[tokio::test]
async fn broadcasts_cross_both_ways_and_nobody_gets_one_twice() {
    wooks_needed!();
    let mut two = Two::start().await;
    for _ in 0..5 {
        two.assert_each_hears_the_others().await;
    }
    for from in [0, 1] {
        two.elsewhere[from].say("/chat/other", from).await;
        two.elsewhere[1 - from].assert_next(from).await;
    }
}

/// Whoever is to be left out: the one who speaks, or one that somebody else's envelope names.
#[tokio::test]
async fn who_is_excluded_gets_nothing_wherever_they_are() {
    wooks_needed!();
    let mut two = Two::start().await;
    for from in 0..two.members.len() {
        two.members[from]
            .broadcast(ROOM, Data::Json(json!("all")), true)
            .await;
        for member in &mut two.members {
            member.assert_next("all").await;
        }
    }
    for excluded in 0..two.members.len() {
        let id = two.members[excluded].join(ROOM).await;
        let envelope = json!({ "event": "said", "path": ROOM, "data": excluded, "excludeId": id });
        let payload = envelope.to_string();
        two.broker
            .publish("ws:room:/chat/general", payload.as_bytes())
            .await
            .unwrap();
        for (number, member) in two.members.iter_mut().enumerate() {
            if number != excluded {
                member.assert_next(excluded).await;
            }
        }
    }
    two.assert_each_hears_the_others().await;
}

/// A member here and one there get the same JSON.
#[tokio::test]
async fn data_and_params_arrive_as_they_were() {
    wooks_needed!();
    let broker = Broker::redis().await.unwrap();
    let servers = [
        Server::wooks(&broker).await,
        Server::wardroom(&broker, "host").await,
    ];
    let deep = (0..40).fold(json!("end"), |inner, _| json!([{ "in": inner }]));
    let long = "ä€😀".repeat(10_000);
    let datas = [
        Data::Absent,
        Data::Json(Value::Null),
        Data::Json(json!(false)),
        Data::Json(json!(0)),
        Data::Json(json!("")),
        Data::Json(json!([])),
        Data::Json(json!({})),
        Data::Json(json!([null, { "a": null }])),
        Data::Json(deep),
        Data::Json(json!({ "日本": "\u{0}\u{7f}\u{2028}\"\\/", "é": [-1.5, 1e300] })),
        Data::Json(json!(long)),
    ];
    let rooms = [
        ("/chat/日本 50%.*>", json!({ "room": "日本 50%.*>" })),
        ("/pair/1/2", json!({ "n": ["1", "2"] })),
        ("/plain", Value::Null),
    ];
    for (path, params) in rooms {
        let mut members = Vec::new();
        for server in [&servers[0], &servers[0], &servers[1], &servers[1]] {
            members.push(server.member(path).await);
        }
        for data in &datas {
            let mut expected = json!({ "event": "said", "path": path });
            if !params.is_null() {
                expected["params"] = params.clone();
            }
            if let Data::Json(data) = data {
                expected["data"] = data.clone();
            }
            for from in 0..members.len() {
                members[from].broadcast(path, data.clone(), true).await;
                for (to, member) in members.iter_mut().enumerate() {
                    assert_eq!(member.next().await, expected, "from {from} to {to}");
                }
            }
        }
    }
}

/// Members come and go, so that subscriptions begin and end, and nothing that was said after a join is missed.
#[tokio::test]
async fn who_has_joined_misses_nothing_and_who_has_left_gets_nothing() {
    wooks_needed!();
    let mut two = Two::start().await;
    let room = "/chat/changing";
    for number in 0..30 {
        let [first, _, third, _] = two.members.as_mut_slice() else {
            panic!("there are four")
        };
        let (from, to) = if number % 2 == 0 {
            (first, third)
        } else {
            (third, first)
        };
        to.join(room).await;
        from.say(room, number).await;
        to.assert_next(number).await;
        to.leave(room).await;
        from.say(room, "after it").await;
    }
    two.assert_each_hears_the_others().await;
}

/// What the filter in the transport is for, and that these tests would see it missing.
#[tokio::test]
async fn without_a_filter_members_of_wooks_get_their_own_twice() {
    wooks_needed!();
    let broker = Broker::redis().await.unwrap();
    let wooks = Server::unfiltered_wooks(&broker).await;
    let wardroom = Server::wardroom(&broker, "host").await;
    let mut members = [
        wooks.member(ROOM).await,
        wooks.member(ROOM).await,
        wardroom.member(ROOM).await,
    ];
    members[0].say(ROOM, 1).await;
    members[1].assert_next(1).await;
    members[1].assert_next(1).await;
    members[2].assert_next(1).await;
    members[2].say(ROOM, 2).await;
    for member in &mut members[..2] {
        member.assert_next(2).await;
    }
}
