//! Hosts that say what no host would say now.

use super::*;
use crate::hub::exchange::MESSAGE_BYTES_MAX;
use crate::hub::remote::ENVELOPE_BYTES_MAX;

const FROM: &str = "9e107d9d-372b-4b68-98ab-000000000000";

fn alive() -> String {
    json!({ "alive": { "from": FROM, "node": "c" } }).to_string()
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_anything_that_hosts_say_is_not_read() {
    let hosts = hosts(&["a", "b"]).await;
    let hub = &hosts.hubs[0];
    let exchange = &hub.inner.exchange;
    let stranger = Silent::on(&hosts.bus);
    let padded = |bytes: usize| alive() + &" ".repeat(bytes - alive().len());
    hub.set_push_bytes_max(1);
    stranger.say(&padded(MESSAGE_BYTES_MAX + 1));
    assert_eq!((exchange.nodes().len(), exchange.malformed()), (2, 1));
    // There may be larger pushes.
    hub.set_push_bytes_max(MESSAGE_BYTES_MAX);
    stranger.say(&padded(MESSAGE_BYTES_MAX + 1));
    assert_eq!((exchange.nodes().len(), exchange.malformed()), (3, 1));
    // But none that is larger than this tenant's.
    let member = open(hub);
    hub.set_push_bytes_max(100);
    let data = "x".repeat(100 + ENVELOPE_BYTES_MAX);
    for push in [
        json!({ "event": "e", "path": "/p", "data": 1 }),
        json!({ "event": "e", "path": "/p", "data": data }),
    ] {
        let push = json!({ "push": { "from": FROM, "tenant": "default", "push": push } });
        stranger.say(&push.to_string());
    }
    assert_eq!(waiting(&member), [1]);
    assert_eq!(exchange.malformed(), 2);
}

/// As a broker has it that was stopped: it reads on where the sender has given it up, beside what that sends anew. And as
/// masters have it that take turns: both pass on what one was given.
#[tokio::test(start_paused = true)]
async fn what_was_given_up_or_done_takes_no_effect_later() {
    let hosts = hosts(&["a", "b"]).await;
    let hub = &hosts.hubs[0];
    let member = open(hub);
    let stranger = Silent::on(&hosts.bus);
    stranger.say(&alive());
    let push = |data: u64| json!({ "event": "e", "path": "/p", "data": data });
    let to_all = |data, link: Value, seq: u64| {
        let push = json!({ "from": FROM, "link": link, "seq": seq, "tenant": "default", "push": push(data) });
        stranger.say(&json!({ "push": push }).to_string());
    };
    let ask = |link: u64, seq: u64, question: Value| {
        let ask = json!({
            "from": FROM, "link": link, "seq": seq, "number": 1, "tenant": "default", "question": question
        });
        stranger.say(&json!({ "ask": ask }).to_string());
    };
    let send = |data: u64| json!({ "send": { "id": member.id, "push": push(data) } });
    let close = json!({ "close": { "id": member.id, "code": 4001, "reason": "" } });
    to_all(1, json!(1), 0);
    ask(1, 1, send(2));
    to_all(3, json!(2), 5);
    // Late, all of them.
    to_all(4, json!(1), 2);
    ask(1, 3, send(5));
    ask(1, 4, close.clone());
    // Once more.
    to_all(3, json!(2), 5);
    ask(2, 6, send(6));
    ask(2, 6, send(6));
    // Not every server says on which it is.
    to_all(7, Value::Null, 5);
    assert_eq!(waiting(&member), [1, 2, 3, 6, 7]);
    assert_eq!(member.outbox.closing(), None);
    assert_eq!(hub.inner.exchange.bus_status().dropped, 3);
    ask(2, 7, close);
    assert!(member.outbox.closing().is_some());
}

/// A host that answers no question but those from a number on, and has nothing.
struct Forgetful {
    bus: LocalBus,
    from: u64,
}

impl Receive for Forgetful {
    fn receive(&self, _: &str, payload: &[u8]) {
        let message: Value = serde_json::from_slice(payload).unwrap();
        let ask = &message["ask"];
        if let Some(number) = ask["number"].as_u64().filter(|number| *number >= self.from) {
            let channel = format!("ws:node:{}", ask["from"].as_str().unwrap());
            let nothing = json!({ "total": 0, "entries": [], "is_cut": false });
            let answer = json!({ "answer": { "from": FROM, "number": number, "answer": nothing } });
            self.bus.publish(&channel, &Text(&answer.to_string()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_page_is_as_partial_as_its_total() {
    let hosts = hosts(&["a", "b"]).await;
    let limits = Limits {
        rooms_per_connection_max: usize::MAX,
        ..Limits::default()
    };
    let member = open(&hosts.hubs[1]);
    for number in 0..600 {
        let room = RoomName::new(&format!("/{number:03}{}", "x".repeat(1_000))).unwrap();
        let joining = hosts.hubs[1].join(&member, &room, &limits);
        joining.await.unwrap();
    }
    let bus = hosts.bus.another();
    let end = hosts.bus.another();
    end.attach(Arc::new(Forgetful { bus, from: 1 }));
    end.subscribe("ws:nodes");
    end.publish("ws:nodes", &Text(&alive()));
    let (page, coverage) = hosts.hubs[0].rooms_everywhere("/", Some("/0"), 10).await;
    assert_eq!((page.total, page.entries.len()), (600, 10));
    let partial = Coverage {
        expected: 3,
        answered: 2,
    };
    assert_eq!(coverage, partial);
    assert_eq!(
        hosts.hubs[0].rooms_everywhere("/", None, 10).await.1,
        all(3)
    );
}

#[test]
fn what_hosts_count_is_no_more_than_there_can_be() {
    let part = |total: usize| {
        let part = json!({ "total": total, "entries": [], "is_cut": false });
        serde_json::from_value::<Part<ConnectionInfo>>(part).unwrap()
    };
    let here = Page {
        total: 1,
        entries: Vec::new(),
    };
    let page = all_connections(here, vec![part(usize::MAX), part(2)], 1);
    assert_eq!(page.total, usize::MAX);
}

#[test]
fn of_two_answers_the_one_that_more_are_missing_from_counts() {
    let of = |expected, answered| Coverage { expected, answered };
    for (one, other, worse) in [
        (of(3, 3), of(3, 2), of(3, 2)),
        (of(3, 2), of(3, 3), of(3, 2)),
        (of(2, 2), of(3, 3), of(3, 3)),
        (of(3, 1), of(4, 3), of(3, 1)),
    ] {
        assert_eq!(one.worse(other), worse);
    }
}
