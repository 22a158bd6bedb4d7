//! The hub against a model of it that is too simple to be wrong, and what the model does not show.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::cluster::{Bus, LocalBus};

mod away;
mod replaced;

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

fn hub_on(node: &str, bus: impl Bus, tenant: &str) -> Hub {
    let backlog = Arc::new(Backlog::new(usize::MAX));
    let exchange = Exchange::new(node, "", Arc::new(bus), backlog);
    Hub::new(&exchange, &tenant.parse().unwrap())
}

fn hub() -> Hub {
    hub_on("a", LocalBus::new(), "default")
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn open(hub: &Hub) -> Arc<Connection> {
    let connection = hub.connect(request(), &Limits::default());
    drop(hub.open(&connection));
    connection
}

/// Nothing here waits: the in-process bus confirms at once.
fn join(hub: &Hub, connection: &Arc<Connection>, name: &str) -> Result<(), JoinError> {
    join_within(hub, connection, name, &Limits::default())
}

fn join_within(
    hub: &Hub,
    connection: &Arc<Connection>,
    name: &str,
    limits: &Limits,
) -> Result<(), JoinError> {
    let room = room(name);
    let joining = std::pin::pin!(hub.join(connection, &room, limits));
    match joining.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the in-process bus confirms at once"),
    }
}

fn broadcast(hub: &Hub, name: &str, event: &str, except: Option<ConnectionId>) {
    let push = PushFrame {
        event,
        path: name,
        params: &[],
        data: None,
    };
    hub.broadcast(&room(name), &push, push.encode(), except);
}

fn received(connection: &Connection) -> Vec<Bytes> {
    let mut batch = VecDeque::new();
    let _ = connection
        .outbox
        .poll_take(&mut Context::from_waker(Waker::noop()), &mut batch);
    batch.into()
}

#[test]
fn a_connection_is_seen_from_open_to_close() {
    let hub = hub();
    let connection = hub.connect(request(), &Limits::default());
    join(&hub, &connection, "/r").unwrap();
    assert_eq!(
        (hub.connection_count(), hub.room_size("/r")),
        (0, 0),
        "its connect handlers still run"
    );
    broadcast(&hub, "/r", "early", None);
    drop(hub.open(&connection));
    assert_eq!((hub.connection_count(), hub.room_size("/r")), (1, 1));
    broadcast(&hub, "/r", "now", None);
    hub.begin_close(&connection);
    assert_eq!((hub.connection_count(), hub.room_size("/r")), (0, 0));
    broadcast(&hub, "/r", "late", None);
    assert_eq!(received(&connection), [r#"{"event":"now","path":"/r"}"#]);
    assert_eq!(
        connection.joined(),
        [room("/r")],
        "its disconnect handlers still learn where it was"
    );
    assert_eq!(join(&hub, &connection, "/s"), Err(JoinError::Closed));
}

#[test]
fn rooms_per_connection_have_an_edge() {
    let hub = hub();
    let connection = open(&hub);
    // rooms_per_connection_max
    let join = |name: &str, rooms_max| {
        let limits = Limits {
            rooms_per_connection_max: rooms_max,
            ..Limits::default()
        };
        join_within(&hub, &connection, name, &limits)
    };
    join("/1", 2).unwrap();
    join("/2", 2).unwrap();
    assert_eq!(
        join("/3", 2),
        Err(JoinError::TooManyRooms(Limit::RoomsPerConnectionMax))
    );
    join("/2", 2).unwrap();
    hub.leave(&connection, &room("/1"));
    join("/3", 2).unwrap();
    assert_eq!(
        join("/4", 1),
        Err(JoinError::TooManyRooms(Limit::RoomsPerConnectionMax)),
        "it may have been lowered since"
    );
    join("/4", 3).unwrap();
}

#[test]
fn pages_are_sorted_and_complete() {
    let hub = hub();
    let connections: Vec<_> = (0..5).map(|_| open(&hub)).collect();
    for connection in &connections {
        join(&hub, connection, "/r").unwrap();
    }
    let mut expected: Vec<_> = connections.iter().map(|connection| connection.id).collect();
    expected.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = hub.connections(after, 2);
        let in_room = hub.room_connections("/r", after, 2);
        assert_eq!((page.total, in_room.total), (5, 5));
        let ids: Vec<_> = page.entries.iter().map(|info| info.id).collect();
        assert_eq!(
            ids,
            in_room
                .entries
                .iter()
                .map(|info| info.id)
                .collect::<Vec<_>>()
        );
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        seen.extend(ids);
    }
    assert_eq!(seen, expected);
    assert!(hub.connections(None, 0).entries.is_empty());
}

#[test]
fn rooms_are_found_by_prefix() {
    let hub = hub();
    let connection = open(&hub);
    for name in ["/chat/b", "/chat/a", "/chats", "/x"] {
        join(&hub, &connection, name).unwrap();
    }
    let names = |after| {
        let page = hub.rooms("/chat/", after, 10);
        (
            page.total,
            page.entries
                .iter()
                .map(|(name, _)| name.to_string())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        names(None),
        (2, vec!["/chat/a".to_owned(), "/chat/b".to_owned()])
    );
    assert_eq!(names(Some("/chat/a")), (2, vec!["/chat/b".to_owned()]));
    assert_eq!(names(Some("/")).1.len(), 2);
    for after in ["/chat/b", "/chat0", "/z"] {
        assert_eq!(names(Some(after)), (2, vec![]));
    }
}

#[test]
fn hosts_on_one_bus_share_a_room_and_nobody_gets_anything_twice() {
    let bus = LocalBus::new();
    let other_bus = bus.another();
    let (here, there) = (
        hub_on("a", bus, "default"),
        hub_on("b", other_bus, "default"),
    );
    let (alice, bob) = (open(&here), open(&there));
    join(&here, &alice, "/r").unwrap();
    join(&there, &bob, "/r").unwrap();
    let params = [("n".into(), "1".to_owned()), ("n".into(), "2".to_owned())];
    let push = PushFrame {
        event: "e",
        path: "/r",
        params: &params,
        data: Some("1.0"),
    };
    here.broadcast(&room("/r"), &push, push.encode(), None);
    let frame = r#"{"event":"e","path":"/r","params":{"n":["1","2"]},"data":1.0}"#;
    assert_eq!(received(&alice), [frame]);
    assert_eq!(received(&bob), [frame]);
    there.leave(&bob, &room("/r"));
    broadcast(&here, "/r", "gone", Some(alice.id));
    assert!(received(&alice).is_empty() && received(&bob).is_empty());
}

/// As a broker has it that was stopped: it reads on where the sender has given it up, beside what that sends anew. And as
/// masters have it that take turns: both pass on what one was given.
#[test]
fn what_comes_behind_a_later_connection_of_its_sender_or_twice_is_dropped() {
    struct Text(String);
    impl crate::cluster::Payload for Text {
        fn encode(&self) -> Bytes {
            self.0.clone().into()
        }
    }
    let bus = LocalBus::new();
    let elsewhere = hub_on("b", bus.another(), "default");
    let elsewhere = &elsewhere.inner.exchange.bus;
    let hub = hub_on("a", bus, "default");
    let exchange = &hub.inner.exchange;
    exchange.bus.subscribe("ws:nodes");
    let member = open(&hub);
    join(&hub, &member, "/r").unwrap();
    let run = "9e107d9d-372b-4b68-98ab-000000000000";
    let alive = format!(r#"{{"alive":{{"from":"{run}","node":"b"}}}}"#);
    elsewhere.publish("ws:nodes", &Text(alive));
    let sent = [
        ("first", 1, 0),
        ("next", 2, 2),
        ("late", 1, 1),
        ("last", 2, 3),
        ("last", 2, 3),
    ];
    for (event, link, number) in sent {
        let payload = format!(
            r#"{{"event":"{event}","path":"/r","node":"b","run":"{run}","seq":{number},"link":{link}}}"#
        );
        elsewhere.publish("ws:room:/r", &Text(payload));
    }
    let pushes = ["first", "next", "last"];
    let pushes = pushes.map(|event| format!(r#"{{"event":"{event}","path":"/r"}}"#));
    assert_eq!(received(&member), pushes);
    assert_eq!(exchange.bus_status().dropped, 1);
}

#[test]
fn tenants_share_no_room() {
    let backlog = Arc::new(Backlog::new(usize::MAX));
    let bus = LocalBus::new();
    let elsewhere = hub_on("b", bus.another(), "acme");
    let exchange = Exchange::new("a", "", Arc::new(bus), backlog);
    let hubs =
        ["acme", "other", "default"].map(|tenant| Hub::new(&exchange, &tenant.parse().unwrap()));
    let members = hubs.each_ref().map(|hub| {
        let member = open(hub);
        join(hub, &member, "/r").unwrap();
        member
    });
    broadcast(&elsewhere, "/r", "e", None);
    let received = members.each_ref().map(|member| received(member).len());
    assert_eq!(
        received,
        [1, 0, 0],
        "only the same tenant's, and on the other host as well"
    );
    assert!(hubs[1].find(members[0].id).is_none());
}

#[test]
fn attributes_have_an_edge() {
    let hub = hub();
    let connection = open(&hub);
    let set =
        |name: &str, value: &str| connection.set_attribute(name, Some(value.to_owned()), true, 10);
    assert_eq!(set("a", "123456789"), Ok(()));
    assert_eq!(set("a", "1234567890"), Err(AttributesTooLarge));
    assert_eq!(
        connection.attribute("a").as_deref(),
        Some("123456789"),
        "nothing has changed"
    );
    assert_eq!(set("b", ""), Err(AttributesTooLarge));
    assert_eq!(connection.set_attribute("a", None, true, 10), Ok(()));
    assert_eq!(set("b", "1"), Ok(()));
    assert_eq!(
        connection.public_attributes(),
        [("b".to_owned(), "1".to_owned())]
    );
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Join(usize, u8),
    Leave(usize, u8),
    Close(usize),
    Broadcast(u8, Option<usize>),
    BroadcastAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Open),
        4 => (0..6_usize, 0..4_u8).prop_map(|(who, room)| Step::Join(who, room)),
        2 => (0..6_usize, 0..4_u8).prop_map(|(who, room)| Step::Leave(who, room)),
        1 => (0..6_usize).prop_map(Step::Close),
        4 => (0..4_u8, proptest::option::of(0..6_usize)).prop_map(|(room, except)| Step::Broadcast(room, except)),
        1 => Just(Step::BroadcastAll),
    ]
}

/// Who is where, and what each was sent.
#[derive(Default)]
struct Model {
    members: BTreeMap<u8, BTreeSet<usize>>,
    open: BTreeSet<usize>,
    sent: BTreeMap<usize, Vec<String>>,
}

proptest! {
    #[test]
    fn it_behaves_as_its_model(steps in proptest::collection::vec(step(), 0..60)) {
        let hub = hub();
        let mut connections: Vec<Arc<Connection>> = Vec::new();
        let mut model = Model::default();
        for (number, step) in steps.iter().enumerate() {
            let event = format!("e{number}");
            match *step {
                Step::Open => {
                    model.open.insert(connections.len());
                    connections.push(open(&hub));
                }
                Step::Join(who, room) => if let Some(connection) = connections.get(who) {
                    let joined = join(&hub, connection, &format!("/{room}"));
                    prop_assert_eq!(joined.is_ok(), model.open.contains(&who));
                    if joined.is_ok() {
                        model.members.entry(room).or_default().insert(who);
                    }
                },
                Step::Leave(who, name) => if let Some(connection) = connections.get(who) {
                    hub.leave(connection, &room(&format!("/{name}")));
                    model.members.entry(name).or_default().remove(&who);
                },
                Step::Close(who) => if let Some(connection) = connections.get(who) {
                    hub.begin_close(connection);
                    model.open.remove(&who);
                    model.members.values_mut().for_each(|members| { members.remove(&who); });
                },
                Step::Broadcast(room, except) => {
                    let id = except.and_then(|except| connections.get(except)).map(|connection| connection.id);
                    broadcast(&hub, &format!("/{room}"), &event, id);
                    for who in model.members.entry(room).or_default().iter().filter(|who| Some(**who) != except) {
                        model.sent.entry(*who).or_default().push(format!(r#"{{"event":"{event}","path":"/{room}"}}"#));
                    }
                }
                Step::BroadcastAll => {
                    hub.broadcast_all(Bytes::from(event.clone()));
                    for who in &model.open {
                        model.sent.entry(*who).or_default().push(event.clone());
                    }
                }
            }
            prop_assert_eq!(hub.connection_count(), model.open.len());
            for room in 0..4 {
                let members = model.members.get(&room).map_or(0, BTreeSet::len);
                prop_assert_eq!(hub.room_size(&format!("/{room}")), members);
            }
        }
        let rooms = model.members.values().filter(|members| !members.is_empty()).count();
        prop_assert_eq!(hub.rooms("", None, 100).total, rooms, "a room exists while it has members");
        for (who, connection) in connections.iter().enumerate() {
            let sent = model.sent.remove(&who).unwrap_or_default();
            prop_assert_eq!(received(connection), sent);
        }
    }
}
