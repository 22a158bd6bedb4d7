//! Polls, without a host: `cargo test -p poll`.

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::{Client, Server};

fn vote(client: &Client, choice: &str) -> Result<Value, WsError> {
    client.request("vote", "/poll/lunch", json!({ "choice": choice }))
}

#[test]
fn those_who_watch_see_every_vote() {
    let server = Server::new::<poll::Plugin>();
    let (ann, bob) = (server.connect(), server.connect());
    let empty = ann.request("watch", "/poll/lunch", NoData);
    assert_eq!(empty, Ok(json!({})));
    assert_eq!(vote(&bob, "soup"), Ok(json!({ "soup": 1 })));
    server.drop_instance();
    assert_eq!(vote(&ann, "soup"), Ok(json!({ "soup": 2 })));
    assert_eq!(ann.pushes()[0]["data"], json!({ "soup": 1 }));
    assert_eq!(bob.pushes()[0]["data"], json!({ "soup": 2 }));
}

#[test]
fn who_votes_again_has_changed_their_mind() {
    let ann = Server::new::<poll::Plugin>().connect();
    vote(&ann, "soup").unwrap();
    assert_eq!(vote(&ann, "soup"), Ok(json!({ "soup": 1 })));
    assert_eq!(vote(&ann, "pie"), Ok(json!({ "pie": 1, "soup": 0 })));
}

#[test]
fn a_poll_ends_when_nobody_watches() {
    let server = Server::new::<poll::Plugin>();
    let (ann, bob) = (server.connect(), server.connect());
    vote(&ann, "soup").unwrap();
    ann.close(1000);
    let tally = bob.request("watch", "/poll/lunch", NoData);
    assert_eq!(tally, Ok(json!({})));
}

#[test]
fn there_may_be_twenty_choices() {
    let server = Server::new::<poll::Plugin>();
    let watch = server.connect();
    for number in 0..20 {
        vote(&server.connect(), &format!("{number}")).unwrap();
    }
    assert_eq!(vote(&watch, "20").unwrap_err().code, 409);
    assert!(vote(&watch, "19").is_ok());
    assert_eq!(vote(&watch, "").unwrap_err().code, 400);
    assert_eq!(vote(&watch, &"x".repeat(101)).unwrap_err().code, 400);
}
