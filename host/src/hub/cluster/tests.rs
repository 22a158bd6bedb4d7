//! Three hosts on one bus.

mod forged;
mod narrow;
mod renewed;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::cluster::{Bus, LocalBus, Payload, Receive};
use crate::config::{Limits, TenantName};
use crate::hub::{Backlog, Connection, Exchange, Request};

/// Hosts that know each other, and what keeps them so.
struct Hosts {
    hubs: Vec<Hub>,
    bus: LocalBus,
    announcing: JoinSet<()>,
}

/// As many as there are names; `default` on all of them, but for those that are called `bare`.
async fn hosts(names: &[&str]) -> Hosts {
    hosts_on(names, |bus| Arc::new(bus)).await
}

async fn hosts_on(names: &[&str], end: impl Fn(LocalBus) -> Arc<dyn Bus>) -> Hosts {
    let bus = LocalBus::new();
    let mut announcing = JoinSet::new();
    let hubs = names.iter().map(|node| {
        let backlog = Arc::new(Backlog::new(usize::MAX));
        let exchange = Exchange::new(node, "", end(bus.another()), backlog);
        let tenant = match *node {
            "bare" => "another".parse().unwrap(),
            _ => TenantName::default(),
        };
        let hub = Hub::new(&exchange, &tenant);
        announcing.spawn(async move { exchange.announce().await });
        hub
    });
    let hubs: Vec<_> = hubs.collect();
    let hosts = Hosts {
        hubs,
        bus,
        announcing,
    };
    while hosts
        .hubs
        .iter()
        .any(|hub| hub.inner.exchange.nodes().len() < names.len())
    {
        tokio::task::yield_now().await;
    }
    hosts
}

fn request() -> Request {
    Request {
        path: "/ws".to_owned(),
        query: None,
        headers: vec![],
        cookies: vec![],
        peer: ([127, 0, 0, 1], 1).into(),
        claims: None,
    }
}

fn open(hub: &Hub) -> Arc<Connection> {
    let connection = hub.connect(request(), &Limits::default());
    drop(hub.open(&connection));
    connection
}

async fn join(hub: &Hub, connection: &Arc<Connection>, name: &str) {
    let room = RoomName::new(name).unwrap();
    hub.join(connection, &room, &Limits::default())
        .await
        .unwrap();
}

fn push(data: u32) -> Bytes {
    json!({ "event": "e", "path": "/p", "data": data })
        .to_string()
        .into()
}

/// The data of what waits to be written to a connection.
fn waiting(connection: &Connection) -> Vec<u64> {
    let mut batch = VecDeque::new();
    let _ = connection
        .outbox
        .poll_take(&mut Context::from_waker(Waker::noop()), &mut batch);
    let data = |frame: Bytes| serde_json::from_slice::<Value>(&frame).unwrap()["data"].as_u64();
    batch
        .into_iter()
        .map(|frame| data(frame).unwrap())
        .collect()
}

const fn all(hosts: u32) -> Coverage {
    Coverage {
        expected: hosts,
        answered: hosts,
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_to_all_comes_to_each_once() {
    let hosts = hosts(&["a", "b", "bare"]).await;
    let members: Vec<_> = hosts.hubs.iter().map(open).collect();
    hosts.hubs[1].broadcast_all(push(1));
    assert_eq!(waiting(&members[0]), [1]);
    assert_eq!(waiting(&members[1]), [1]);
    // Another tenant's.
    assert_eq!(waiting(&members[2]), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_reached_wherever_it_is() {
    let hosts = hosts(&["a", "b", "c"]).await;
    let there = open(&hosts.hubs[2]);
    let hub = &hosts.hubs[0];
    let (is_found, _) = hub.send_elsewhere(there.id, &push(1)).await;
    assert!(is_found);
    assert_eq!(waiting(&there), [1]);
    let (info, coverage) = hub.connection_anywhere(there.id).await;
    assert_eq!(info.unwrap().node, "c");
    assert!(coverage.is_complete());
    let close = Close::by_plugin(Some(4001), Some("out")).unwrap();
    assert!(hub.close_elsewhere(there.id, &close).await.0);
    assert_eq!(there.outbox.closing(), Some(close));
    hosts.hubs[2].begin_close(&there);
    assert_eq!(
        hub.send_elsewhere(there.id, &push(2)).await,
        (false, all(3))
    );
    let (info, coverage) = hub.connection_anywhere(there.id).await;
    assert!(info.is_none());
    assert_eq!(coverage, all(3));
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_by_all_hosts_together() {
    let hosts = hosts(&["a", "b", "bare"]).await;
    let [a, b, _] = hosts.hubs.as_slice() else {
        panic!("there are three")
    };
    let members = [open(a), open(a), open(b), open(b), open(b)];
    for (hub, member) in [a, a, b, b, b].into_iter().zip(&members) {
        join(hub, member, "/r").await;
    }
    join(b, &members[4], "/s").await;
    let room = RoomName::new("/r").unwrap();
    assert_eq!(a.room_size_everywhere(&room).await, (5, all(3)));
    let mut ids: Vec<_> = members.iter().map(|member| member.id).collect();
    ids.sort();
    // Page by page, from whatever host.
    for asked in [a, b] {
        for of in [None, Some(&room)] {
            let mut seen = Vec::new();
            loop {
                let after = seen.last().copied();
                let (page, coverage) = asked.connections_everywhere(of, after, 2).await;
                assert_eq!((page.total, coverage), (5, all(3)));
                seen.extend(page.entries.iter().map(|info| info.id));
                if page.entries.len() < 2 {
                    break;
                }
            }
            assert_eq!(seen, ids);
        }
        let (rooms, _) = asked.rooms_everywhere("/", None, 10).await;
        let rooms: Vec<_> = rooms
            .entries
            .iter()
            .map(|(name, size)| (name.as_str(), *size))
            .collect();
        assert_eq!(rooms, [("/r", 5), ("/s", 1)]);
        let (rooms, _) = asked.rooms_everywhere("/", Some("/r"), 10).await;
        assert_eq!(rooms.entries.len(), 1);
        let (rooms, coverage) = asked.rooms_everywhere("/", None, 0).await;
        assert_eq!((rooms.total, rooms.entries.len(), coverage), (2, 0, all(3)));
    }
}

#[tokio::test(start_paused = true)]
async fn rooms_are_paged_over_all_hosts_and_each_is_counted_once() {
    let hosts = hosts(&["a", "b", "c"]).await;
    for (number, hub) in hosts.hubs.iter().enumerate() {
        let member = open(hub);
        // One on all, one on each, one on two; and one that is not asked for.
        join(hub, &member, "/r/all").await;
        join(hub, &member, &format!("/r/{number}")).await;
        join(hub, &member, ["/r/some", "/r/some", "other"][number]).await;
    }
    let expected = [
        ("/r/0", 1),
        ("/r/1", 1),
        ("/r/2", 1),
        ("/r/all", 3),
        ("/r/some", 2),
    ];
    for asked in &hosts.hubs {
        let mut seen = Vec::<(RoomName, usize)>::new();
        loop {
            let after = seen.last().map(|(name, _)| name.as_str());
            let (page, coverage) = asked.rooms_everywhere("/r/", after, 2).await;
            assert_eq!((page.total, coverage), (5, all(3)));
            let is_last = page.entries.len() < 2;
            seen.extend(page.entries);
            if is_last {
                break;
            }
        }
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, size)| (name.as_str(), *size))
            .collect();
        assert_eq!(seen, expected);
    }
}

/// More than fit into one answer.
#[tokio::test(start_paused = true)]
async fn rooms_are_paged_when_a_host_cannot_say_all_at_once() {
    const ROOMS: usize = 1_200;
    let hosts = hosts(&["a", "b"]).await;
    let name = |number: usize| format!("/{number:04}{}", "x".repeat(1_000));
    let limits = Limits {
        rooms_per_connection_max: ROOMS,
        ..Limits::default()
    };
    let member = open(&hosts.hubs[1]);
    for number in 0..ROOMS {
        let room = RoomName::new(&name(number)).unwrap();
        let joining = hosts.hubs[1].join(&member, &room, &limits);
        joining.await.unwrap();
    }
    let here = open(&hosts.hubs[0]);
    join(&hosts.hubs[0], &here, &name(0)).await;
    join(&hosts.hubs[0], &here, &name(ROOMS - 1)).await;
    let mut seen = Vec::<(RoomName, usize)>::new();
    loop {
        let after = seen.last().map(|(name, _)| name.as_str());
        let (page, _) = hosts.hubs[0].rooms_everywhere("/", after, 1_000).await;
        // The last is one that the other host could not say at first.
        assert_eq!(page.total, ROOMS + 1);
        if page.entries.is_empty() {
            break;
        }
        seen.extend(page.entries);
    }
    let expected = (0..ROOMS).map(|number| {
        (
            name(number),
            1 + usize::from([0, ROOMS - 1].contains(&number)),
        )
    });
    let seen = seen
        .iter()
        .map(|(name, size)| (name.as_str().to_owned(), *size));
    assert!(seen.eq(expected));
}

#[tokio::test(start_paused = true)]
async fn who_has_left_is_not_there_for_who_comes_after() {
    let mut hosts = hosts(&["a", "b"]).await;
    hosts.announcing.abort_all();
    while hosts.announcing.join_next().await.is_some() {}
    hosts.hubs[0].inner.exchange.leave().await;
    // It may hear for a while what is said.
    hosts.hubs[0].inner.exchange.bus.subscribe("ws:nodes");
    let backlog = Arc::new(Backlog::new(usize::MAX));
    let newcomer = Exchange::new("c", "", Arc::new(hosts.bus.another()), backlog);
    let announcing = Arc::clone(&newcomer);
    hosts
        .announcing
        .spawn(async move { announcing.announce().await });
    while newcomer.nodes().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(newcomer.nodes(), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_counted_and_then_forgotten() {
    let mut hosts = hosts(&["a", "b"]).await;
    let silent = Silent::on(&hosts.bus);
    let alive = json!({ "alive": { "from": "9e107d9d-372b-4b68-98ab-000000000000", "node": "c" } });
    silent.say(&alive.to_string());
    let hub = &hosts.hubs[0];
    let start = Instant::now();
    let (page, coverage) = hub.connections_everywhere(None, None, 10).await;
    assert_eq!(
        (page.total, coverage),
        (
            0,
            Coverage {
                expected: 3,
                answered: 2
            }
        )
    );
    assert_eq!(start.elapsed(), std::time::Duration::from_secs(1));
    // Nobody can say whether it is there.
    let unknown = open(hub).id;
    hub.begin_close(&hub.find(unknown).unwrap());
    assert!(!hub.send_elsewhere(unknown, &push(1)).await.1.is_complete());
    // One that says that it ends is not waited for, not even by who waits already.
    let gone = json!({ "gone": { "from": "9e107d9d-372b-4b68-98ab-000000000000" } }).to_string();
    let start = Instant::now();
    let asking = hub.connections_everywhere(None, None, 10);
    let leaving = async { silent.say(&gone) };
    let ((_, coverage), ()) = tokio::join!(asking, leaving);
    assert_eq!(
        coverage,
        Coverage {
            expected: 3,
            answered: 2
        }
    );
    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
    assert_eq!(hub.connections_everywhere(None, None, 10).await.1, all(2));
    hosts.announcing.abort_all();
}

#[tokio::test(start_paused = true)]
async fn garbage_is_ignored() {
    let hosts = hosts(&["a", "b"]).await;
    let stranger = Silent::on(&hosts.bus);
    let member = open(&hosts.hubs[0]);
    let from = "9e107d9d-372b-4b68-98ab-000000000000";
    for payload in [
        "".to_owned(),
        "{".to_owned(),
        "[]".to_owned(),
        r#"{"alive":{"from":"a","node":"x"}}"#.to_owned(),
        json!({ "alive": { "from": from, "node": "n".repeat(1000) } }).to_string(),
        json!({ "push": { "from": from, "tenant": "default", "push": { "path": "/p" } } }).to_string(),
        json!({ "push": { "from": from, "tenant": "de:fault", "push": { "event": "e", "path": "/p" } } }).to_string(),
        json!({ "answer": { "from": from, "number": 0, "answer": [] } }).to_string(),
        json!({ "ask": { "from": from, "number": 0, "tenant": "default", "question": { "roomSize": { "room": "" } } } })
            .to_string(),
        json!({ "ask": { "from": from, "number": 0, "tenant": "none", "question": { "rooms": { "prefix": "" } } } })
            .to_string(),
    ] {
        stranger.say(&payload);
    }
    assert_eq!(waiting(&member), [0; 0]);
    assert_eq!(
        hosts.hubs[0].connections_everywhere(None, None, 10).await.1,
        all(2)
    );
}

/// A host that says what it is told to, and never answers.
struct Silent(LocalBus);

struct Deaf;

impl Receive for Deaf {
    fn receive(&self, _: &str, _: &[u8]) {}
}

struct Text<'a>(&'a str);

impl Payload for Text<'_> {
    fn encode(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.as_bytes())
    }
}

impl Silent {
    fn on(bus: &LocalBus) -> Self {
        let bus = bus.another();
        bus.attach(Arc::new(Deaf));
        Self(bus)
    }

    fn say(&self, text: &str) {
        self.0.publish("ws:nodes", &Text(text));
    }
}
