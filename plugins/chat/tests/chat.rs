//! Every line of the chat, without a host: `cargo test -p chat`.

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::{Client, Close, Server};

const ROOM: &str = "/chat/general";

/// A server with two connections in one room, which have read what they got so far.
fn ann_and_bob() -> (Server, Client, Client) {
    let server = Server::new::<chat::Plugin>();
    let (ann, bob) = (server.connect(), server.connect());
    ann.send("join", ROOM, json!({ "name": "Ann" }));
    bob.send("join", ROOM, json!({ "name": "Bob" }));
    ann.pushes();
    (server, ann, bob)
}

fn in_room(event: &str, data: &Value) -> Value {
    json!({ "event": event, "path": ROOM, "params": { "room": "general" }, "data": data })
}

#[test]
fn join_tells_the_others() {
    let server = Server::new::<chat::Plugin>();
    let (ann, bob) = (server.connect(), server.connect());
    let joined = json!({ "joined": true, "room": "general", "rooms": [ROOM] });
    assert_eq!(
        ann.request("join", ROOM, json!({ "name": "Ann" })),
        Ok(joined)
    );
    bob.send("join", ROOM, json!({ "name": "Bob" }));
    assert_eq!(
        ann.pushes(),
        [in_room("system", &json!({ "text": "Bob joined" }))]
    );
    assert!(bob.pushes().is_empty());
}

#[test]
fn join_needs_a_name() {
    let client = Server::new::<chat::Plugin>().connect();
    let error = client.request("join", ROOM, json!({})).unwrap_err();
    assert_eq!(error, WsError::bad_request("data: missing field `name`"));
    assert_eq!(client.request("join", ROOM, NoData).unwrap_err().code, 400);
    assert!(client.rooms().is_empty());
}

#[test]
fn leave_tells_the_others() {
    let (_, ann, bob) = ann_and_bob();
    assert_eq!(
        bob.request("leave", ROOM, NoData),
        Ok(json!({ "left": true, "rooms": [] }))
    );
    assert_eq!(
        ann.pushes(),
        [in_room("system", &json!({ "text": "Someone left" }))]
    );
    assert!(bob.pushes().is_empty());
}

#[test]
fn a_message_goes_to_the_others_and_a_shout_to_all() {
    let (_, ann, bob) = ann_and_bob();
    let said = json!({ "from": "Ann", "text": "Hello!" });
    assert_eq!(ann.request("message", ROOM, &said), Ok(json!(null)));
    assert_eq!(bob.pushes(), [in_room("message", &said)]);
    assert!(ann.pushes().is_empty());

    ann.send("shout", ROOM, &said);
    assert_eq!(bob.pushes(), [in_room("message", &said)]);
    assert_eq!(ann.pushes(), [in_room("message", &said)]);
}

#[test]
fn relay_reaches_another_room() {
    let (_, ann, bob) = ann_and_bob();
    let relay = json!({ "room": ROOM, "event": "ping", "data": [1] });
    assert_eq!(ann.request("relay", "/relay", relay), Ok(json!(null)));
    assert_eq!(
        bob.pushes(),
        [json!({ "event": "ping", "path": ROOM, "data": [1] })]
    );
    assert!(ann.pushes().is_empty());

    let relay = json!({ "room": ROOM, "event": "ping", "excludeSelf": false });
    ann.send("relay", "/relay", relay);
    assert_eq!(ann.pushes(), [json!({ "event": "ping", "path": ROOM })]);
    assert_eq!(bob.pushes().len(), 1);
}

#[test]
fn enter_and_exit_name_their_room() {
    let client = Server::new::<chat::Plugin>().connect();
    let room = json!({ "room": "/attic" });
    assert_eq!(
        client.request("enter", "/rooms", &room),
        Ok(json!({ "rooms": ["/attic"] }))
    );
    assert_eq!(
        client.request("exit", "/rooms", &room),
        Ok(json!({ "rooms": [] }))
    );
}

#[test]
fn notify_and_whoami_are_about_oneself() {
    let (_, ann, bob) = ann_and_bob();
    ann.send("notify", "/self", NoData);
    let push =
        json!({ "event": "notification", "path": "/alerts", "data": { "text": "Just for you" } });
    assert_eq!(ann.pushes(), [push]);
    assert!(bob.pushes().is_empty());
    assert_eq!(
        ann.request("whoami", "/self", NoData),
        Ok(json!({ "id": ann.id(), "rooms": [ROOM] }))
    );
}

#[test]
fn bye_closes_after_the_reply() {
    let (_, ann, bob) = ann_and_bob();
    let bye = json!({ "code": 4001, "reason": "tired" });
    assert_eq!(ann.request("bye", "/self", bye), Ok(json!(null)));
    assert_eq!(
        ann.closed(),
        Some(Close {
            code: 4001,
            reason: "tired".to_owned()
        })
    );
    assert_eq!(bob.request("bye", "/self", NoData), Ok(json!(null)));
    assert_eq!(
        bob.closed(),
        Some(Close {
            code: 1000,
            reason: String::new()
        })
    );
}

#[test]
fn bye_takes_only_codes_that_a_plugin_may_use() {
    let (_, ann, _) = ann_and_bob();
    assert_eq!(
        ann.request("bye", "/self", json!({ "code": 1011 }))
            .unwrap_err()
            .code,
        400
    );
    assert_eq!(ann.closed(), None);
}

#[test]
fn an_announcement_reaches_everybody() {
    let (server, ann, bob) = ann_and_bob();
    let outsider = server.connect();
    let reply = ann.request("admin", "/announce", json!({ "text": "Hear, hear" }));
    assert_eq!(reply, Ok(json!({ "announced": true })));
    let push =
        json!({ "event": "announcement", "path": "/announce", "data": { "text": "Hear, hear" } });
    for client in [ann, bob, outsider] {
        assert_eq!(client.pushes(), std::slice::from_ref(&push));
    }
}

#[test]
fn a_direct_message_reaches_one() {
    let (_, ann, bob) = ann_and_bob();
    let message = json!({ "targetId": bob.id(), "text": "psst" });
    assert_eq!(
        ann.request("dm", "/direct", &message),
        Ok(json!({ "sent": true }))
    );
    assert_eq!(
        bob.pushes(),
        [json!({ "event": "dm", "path": "/direct", "data": { "text": "psst" } })]
    );
    assert!(ann.pushes().is_empty());

    bob.close(1001);
    assert_eq!(
        ann.request("dm", "/direct", &message),
        Ok(json!({ "sent": false }))
    );
}

#[test]
fn queries_count_and_list() {
    let (server, ann, bob) = ann_and_bob();
    let outsider = server.connect();
    let mut ids = [ann.id(), bob.id(), outsider.id()];
    ids.sort();
    let all = outsider.request("query", "/connections", NoData);
    assert_eq!(all, Ok(json!({ "total": 3, "ids": ids })));

    let mut ids = [ann.id(), bob.id()];
    ids.sort();
    let members = outsider.request("query", "/room//chat/general", NoData);
    assert_eq!(members, Ok(json!({ "room": ROOM, "size": 2, "ids": ids })));
    let nobody = outsider.request("query", "/room/attic", NoData);
    assert_eq!(nobody, Ok(json!({ "room": "attic", "size": 0, "ids": [] })));
}

#[test]
fn queries_are_told_whom_to_ask() {
    let client = Server::new::<chat::Plugin>().connect();
    let ask = |data| client.request("query", "/room/attic", data);
    let nobody = json!({ "room": "attic", "size": 0, "ids": [] });
    for data in [
        json!({}),
        json!({ "scope": "local" }),
        json!({ "scope": "cluster" }),
    ] {
        assert_eq!(ask(data), Ok(nobody.clone()));
    }
    assert_eq!(ask(json!({ "scope": "world" })).unwrap_err().code, 400);
    let all = client.request("query", "/connections", json!({ "scope": "cluster" }));
    assert_eq!(all, Ok(json!({ "total": 1, "ids": [client.id()] })));
}

#[test]
fn a_disconnect_is_told_to_all_rooms() {
    let (server, ann, bob) = ann_and_bob();
    for client in [&ann, &bob] {
        client.send("enter", "/rooms", json!({ "room": "attic" }));
    }
    ann.close(1001);
    let left =
        |room: &str| json!({ "event": "system", "path": room, "data": { "text": "Someone left" } });
    assert_eq!(bob.pushes(), [left(ROOM), left("attic")]);
    let sizes: Vec<_> = server
        .rooms()
        .into_iter()
        .map(|room| (room.name, room.size))
        .collect();
    assert_eq!(sizes, [(ROOM.to_owned(), 1), ("attic".to_owned(), 1)]);
}
