//! The composables on the test kit's host: rooms, connections, queries, and what it refuses.

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::{Client, Close, Server};
use wardroom_sdk::{Coverage, Page};

#[derive(Default)]
struct Probe;

#[derive(Deserialize)]
struct To {
    room: String,
    include_self: bool,
}

#[controller]
impl Probe {
    #[message("join", "/room/:name")]
    fn join(&self) -> Result<(), HostError> {
        rooms().join()
    }

    #[message("join", "/named")]
    fn join_named(&self, #[data] room: String) -> Result<(), HostError> {
        rooms().join_room(room)
    }

    #[message("leave", "/room/:name")]
    fn leave(&self) -> Result<(), HostError> {
        rooms().leave()
    }

    #[message("say", "/room/:name")]
    #[message("say", "/elsewhere/:name")]
    fn say(&self, #[data] to: Option<To>) -> Result<(), HostError> {
        match to {
            None => rooms().broadcast("said", NoData),
            Some(To {
                room,
                include_self: true,
            }) => rooms().include_self().to(&room).broadcast("said", &1),
            Some(To {
                room,
                include_self: false,
            }) => rooms().to(&room).broadcast("said", &1),
        }
    }

    #[message("attributes")]
    fn attributes(&self) -> Result<Value, WsError> {
        let me = connection();
        me.set_attribute("secret", &1)?;
        me.set_public_attribute("name", "Ann")?;
        me.set_attribute("passing", &2)?;
        me.remove_attribute("passing")?;
        let info = server()
            .get_connection(&me.id())?
            .ok_or(HostError::NotFound)?;
        Ok(json!([
            me.attribute::<u8>("secret")?,
            me.attribute::<String>("passing")?,
            info.attribute::<String>("name")?,
            info.attribute::<u8>("secret")?,
            info.rooms,
        ]))
    }

    #[message("misread")]
    fn misread(&self) -> Result<Option<u8>, HostError> {
        connection().set_attribute("name", "Ann")?;
        connection().attribute("name")
    }

    #[message("pages")]
    fn pages(&self, #[data] size: u32) -> Result<Value, WsError> {
        let all = server().connections().page_size(size);
        let iterated = all.iter().collect::<Result<Vec<_>, _>>()?;
        let page = all.page()?;
        let whole = all.all()?;
        assert_eq!(whole.items, iterated);
        assert!(whole.coverage.is_complete());
        let next = all
            .clone()
            .after(page.items.last().map_or("", |last| last.id.as_str()))
            .page()?;
        Ok(json!([
            iterated.len(),
            page.items.len(),
            next.items.len(),
            all.total()?,
            server().cluster().connections().total()?
        ]))
    }

    #[message("rooms")]
    fn rooms(&self, #[data] prefix: &str) -> Result<Value, WsError> {
        let mut names = Vec::new();
        for room in server().rooms(prefix) {
            let room = room?;
            assert_eq!(room.size, server().room_size(&room.name)?);
            names.push((room.name, room.size));
        }
        Ok(json!(names))
    }

    #[message("close")]
    fn close(&self, #[data] id: ConnectionId) -> Result<Value, HostError> {
        let Some(other) = server().get_connection(&id)? else {
            return Ok(json!("nobody"));
        };
        let sent = other.send("bye", "/bye", NoData)?;
        let closed = other.close_with(4002, &"é".repeat(100))?;
        Ok(json!([
            sent,
            closed,
            other.close()?,
            server().close(&id)?,
            server().send(&id, "e", "/p", NoData)?
        ]))
    }

    #[message("leaving")]
    fn leaving(&self) -> Result<Value, HostError> {
        connection().close()?;
        Ok(json!([
            connection().close() == Err(HostError::Closed),
            connection().send("e", "/p", NoData) == Err(HostError::Closed)
        ]))
    }

    #[message("push")]
    fn push(&self) -> Result<(), HostError> {
        let push = Push::new("moved", "map")
            .param("a", "1")
            .param("b", "2")
            .param("a", "3")
            .data(&Some(4))?;
        connection().push(&push)?;
        server().push(&push)
    }

    #[message("invalid")]
    fn invalid(&self) -> Result<Vec<bool>, WsError> {
        let long = "x".repeat(1025);
        let results = [
            rooms().join_room(""),
            rooms().join_room(&long),
            rooms().leave_room(""),
            rooms().broadcast("", NoData),
            rooms().broadcast(&long[..129], NoData),
            connection().send("e", "", NoData),
            connection().send("e", &long, NoData),
            connection().close_with(1001, ""),
            connection().set_attribute("", &1),
            connection().set_attribute(&long[..257], &1),
            server().broadcast("", "/p", NoData),
            server().send("nobody", "e", &long, NoData).map(drop),
        ];
        Ok(results
            .iter()
            .map(|result| matches!(result, Err(HostError::Invalid(_))))
            .collect())
    }
}

wardroom_sdk::plugin!(Probe);

fn clients<const N: usize>() -> [Client; N] {
    let server = Server::new::<Plugin>();
    std::array::from_fn(|_| server.connect())
}

#[test]
fn joining_twice_is_joining_once() {
    let [ann] = clients();
    ann.send("join", "/room/a", NoData);
    ann.send("join", "/room/a", NoData);
    assert_eq!(ann.rooms(), ["/room/a"]);
    assert_eq!(ann.request("leave", "/room/b", NoData), Ok(json!(null)));
    assert_eq!(ann.request("leave", "/room/a", NoData), Ok(json!(null)));
    assert!(ann.rooms().is_empty());
}

#[test]
fn a_connection_is_in_128_rooms_at_most() {
    let [ann] = clients();
    for room in 0..128 {
        assert!(
            ann.request("join", &format!("/room/{room}"), NoData)
                .is_ok()
        );
    }
    assert_eq!(
        ann.request("join", "/room/x", NoData).unwrap_err().code,
        429
    );
    assert!(
        ann.request("join", "/room/127", NoData).is_ok(),
        "it is in there already"
    );
}

#[test]
fn a_push_has_params_only_for_the_room_of_the_path() {
    let [ann, bob] = clients();
    ann.send("join", "/room/a", NoData);
    bob.send("say", "/room/a", NoData);
    let push = json!({ "event": "said", "path": "/room/a", "params": { "name": "a" } });
    assert_eq!(ann.pushes(), [push], "the sender need not be a member");

    bob.send(
        "say",
        "/elsewhere/x",
        json!({ "room": "/room/a", "include_self": false }),
    );
    assert_eq!(
        ann.pushes(),
        [json!({ "event": "said", "path": "/room/a", "data": 1 })]
    );
}

#[test]
fn the_sender_is_left_out_unless_asked_for() {
    let [ann] = clients();
    ann.send("join", "/named", "lounge");
    ann.send(
        "say",
        "/room/a",
        json!({ "room": "lounge", "include_self": false }),
    );
    assert!(ann.frames().is_empty());
    ann.send(
        "say",
        "/room/a",
        json!({ "room": "lounge", "include_self": true }),
    );
    assert_eq!(
        ann.frames(),
        [r#"{"event":"said","path":"lounge","data":1}"#]
    );
}

#[test]
fn attributes_are_private_unless_public() {
    let [ann] = clients();
    ann.send("join", "/room/a", NoData);
    let reply = ann.request("attributes", "/attributes", NoData);
    assert_eq!(reply, Ok(json!([1, null, "Ann", null, ["/room/a"]])));
    assert_eq!(ann.attribute("secret"), Some(json!(1)));
    assert_eq!(
        ann.request("misread", "/misread", NoData),
        Err(WsError::new(500, "Internal Error"))
    );
}

#[test]
fn lists_come_whole_or_in_pages() {
    let [ann, _bob, _cid, _dan, _eve] = clients();
    assert_eq!(
        ann.request("pages", "/pages", json!(2)),
        Ok(json!([5, 2, 2, 5, 5]))
    );
    assert_eq!(
        ann.request("pages", "/pages", json!(5)),
        Ok(json!([5, 5, 0, 5, 5]))
    );
    assert_eq!(
        ann.request("pages", "/pages", json!(0)),
        Ok(json!([0, 0, 0, 5, 5]))
    );
}

#[test]
fn rooms_are_listed_by_prefix() {
    let [ann, bob] = clients();
    for room in ["/room/b", "/room/a"] {
        ann.send("join", room, NoData);
    }
    bob.send("join", "/room/a", NoData);
    bob.send("join", "/named", "lounge");
    assert_eq!(
        ann.request("rooms", "/rooms", "/room/"),
        Ok(json!([["/room/a", 2], ["/room/b", 1]]))
    );
    bob.close(1000);
    assert_eq!(
        ann.request("rooms", "/rooms", ""),
        Ok(json!([["/room/a", 1], ["/room/b", 1]]))
    );
}

#[test]
fn another_connection_can_be_closed_once() {
    let [ann, bob] = clients();
    let reply = ann.request("close", "/close", bob.id());
    assert_eq!(reply, Ok(json!([true, true, false, false, false])));
    assert_eq!(bob.pushes().len(), 1, "what was sent before the close");
    assert_eq!(
        bob.closed(),
        Some(Close {
            code: 4002,
            reason: "é".repeat(61)
        })
    );
    assert_eq!(
        ann.request("close", "/close", bob.id()),
        Ok(json!("nobody"))
    );
}

#[test]
fn a_closing_connection_takes_nothing_more() {
    let [ann] = clients();
    assert_eq!(
        ann.request("leaving", "/leaving", NoData),
        Ok(json!([true, true]))
    );
    assert_eq!(
        ann.closed(),
        Some(Close {
            code: 1000,
            reason: String::new()
        })
    );
}

#[test]
#[should_panic(expected = "the connection is closed")]
fn a_closed_client_cannot_send() {
    let [ann] = clients();
    ann.close(1000);
    ann.send("leaving", "/leaving", NoData);
}

#[test]
fn a_push_can_have_params() {
    let [ann] = clients();
    ann.send("push", "/push", NoData);
    let push = json!({ "event": "moved", "path": "/map", "params": { "a": ["1", "3"], "b": "2" }, "data": 4 });
    assert_eq!(ann.pushes(), [push.clone(), push]);
}

#[test]
fn what_cannot_be_is_invalid() {
    let [ann] = clients();
    assert_eq!(
        ann.request("invalid", "/invalid", NoData),
        Ok(json!(vec![true; 12]))
    );
    assert_eq!(ann.closed(), None);
}

#[test]
#[should_panic(expected = "only a handler that a test::Server runs can ask the host")]
fn nobody_but_a_handler_can_ask_the_host() {
    rooms().joined();
}

#[test]
fn an_incomplete_answer_says_so() {
    let coverage = Coverage {
        nodes_expected: 3,
        nodes_answered: 2,
    };
    assert!(!coverage.is_complete());
    let page = Page {
        items: vec![1, 2],
        total: 9,
        coverage,
    };
    assert_eq!(page.into_iter().sum::<i32>(), 3);
}
