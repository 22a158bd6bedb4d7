//! `state()` on the test kit's host: what it keeps, for whom and for how long, and what it refuses.

use std::time::Duration;

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::{Client, Server};
use wardroom_sdk::{Comparison, KeyPage};

#[derive(Default)]
struct Probe;

#[derive(Default, Debug, Deserialize, PartialEq, Serialize)]
struct Board {
    names: Vec<String>,
}

#[controller]
impl Probe {
    #[message("join", "/room/:name")]
    fn join(&self) -> Result<(), HostError> {
        rooms().join()
    }

    #[message("leave", "/room/:name")]
    fn leave(&self) -> Result<(), HostError> {
        rooms().leave()
    }

    /// The same key of each owner is another value.
    #[message("set", "/room/:name")]
    fn set(&self, #[data] value: Value) -> Result<(), HostError> {
        state().set("k", &json!(["tenant", value]))?;
        state().of_plugin().set("k", &json!(["plugin", value]))?;
        state().room().set("k", &json!(["room", value]))?;
        state()
            .in_room("/other")
            .set("k", &json!(["other", value]))?;
        Ok(())
    }

    #[message("get", "/room/:name")]
    fn get(&self) -> Result<Vec<Option<Value>>, HostError> {
        let owners = [
            state(),
            state().of_plugin(),
            state().room(),
            state().in_room("/other"),
        ];
        owners.into_iter().map(|owner| owner.get("k")).collect()
    }

    #[message("lend", "/room/:name")]
    fn lend(&self) -> Result<i64, HostError> {
        state()
            .room()
            .set_for("k", "lent", Duration::from_secs(2))?;
        state().increment_for("n", 5, Duration::from_micros(1))?;
        state().increment("n", 1)
    }

    #[message("versions", "/")]
    fn versions(&self) -> Result<bool, HostError> {
        let first = state().set("v", &1)?;
        let wrong = state().compare_and_set("v", None, &2)?;
        assert_eq!(wrong, Comparison::Conflict(Some(first)));
        let Comparison::Written(second) = state().compare_and_set("v", Some(first), &2)? else {
            return Ok(false);
        };
        let entry = state().entry::<u8>("v")?;
        let entry = entry.map(|entry| (entry.value, entry.version));
        assert_eq!(entry, Some((2, second)));
        assert_eq!(state().delete("v"), Ok(true));
        assert_eq!(state().delete("v"), Ok(false));
        let gone = state().compare_and_set("v", Some(second), &3)?;
        assert_eq!(gone, Comparison::Conflict(None));
        let again = state().compare_and_set("v", None, &3)?;
        Ok(matches!(again, Comparison::Written(third) if third > second))
    }

    #[message("update", "/")]
    fn update(&self, #[data] name: String) -> Result<Board, HostError> {
        let mut tries = 0;
        state().update("board", |board: &mut Board| {
            tries += 1;
            if tries == 1 {
                // Somebody is faster.
                let faster = Board {
                    names: vec![format!("before {name}")],
                };
                assert!(state().set("board", &faster).is_ok());
            }
            board.names.push(name.clone());
        })
    }

    #[message("keys", "/")]
    fn keys(&self) -> Result<Vec<String>, HostError> {
        for number in 0..5 {
            state().set(format!("list/{number}"), &number)?;
        }
        state().set("other", &0)?;
        let keys = state().keys("list/").page_size(2);
        assert_eq!(keys.total(), Ok(5));
        let KeyPage { total, keys, .. } = keys.clone().after("list/1").page()?;
        assert_eq!((total, keys), (5, vec!["list/2".into(), "list/3".into()]));
        state().keys("list/").page_size(2).all()
    }

    #[message("wrong", "/")]
    fn wrong(&self) -> Result<Vec<String>, HostError> {
        state().set("text", "x")?;
        state().set("max", &i64::MAX)?;
        Ok(vec![
            said(state().get::<Value>("")),
            said(state().set("k".repeat(257), &1)),
            said(state().increment("text", 1)),
            said(state().increment("max", 1)),
            said(state().set_for("k", &1, Duration::ZERO)),
            said(state().set("k", &"x".repeat(64 * 1024))),
            said(state().get::<u8>("text")),
        ])
    }

    #[connect]
    fn connected(&self) {
        // There is no path to take a room from.
        assert!(matches!(
            state().room().get::<u8>("k"),
            Err(HostError::Invalid(_))
        ));
    }
}

wardroom_sdk::plugin!(Probe);

fn said<T: std::fmt::Debug>(result: Result<T, HostError>) -> String {
    result.map_or_else(|error| error.to_string(), |value| format!("{value:?}"))
}

fn ask(client: &Client, event: &str, path: &str) -> Value {
    client
        .request(event, path, NoData)
        .expect("the handler succeeds")
}

#[test]
fn the_same_key_is_another_value_for_each_owner() {
    let server = Server::new::<Plugin>();
    let (ann, bob) = (server.connect(), server.connect());
    ann.send("set", "/room/a", &1);
    server.drop_instance();
    let all = json!([["tenant", 1], ["plugin", 1], ["room", 1], ["other", 1]]);
    assert_eq!(ask(&bob, "get", "/room/a"), all);
    let elsewhere = json!([["tenant", 1], ["plugin", 1], null, ["other", 1]]);
    assert_eq!(ask(&bob, "get", "/room/b"), elsewhere);
}

#[test]
fn a_rooms_values_go_with_its_last_member() {
    let server = Server::new::<Plugin>();
    let (ann, bob, eve) = (server.connect(), server.connect(), server.connect());
    let room = || ask(&eve, "get", "/room/a")[2].clone();
    ann.send("join", "/room/a", NoData);
    bob.send("join", "/room/a", NoData);
    ann.send("set", "/room/a", &1);
    ann.send("leave", "/room/a", NoData);
    assert_eq!(room(), json!(["room", 1]), "bob is there");
    bob.close(1000);
    assert_eq!(room(), json!(null));
    ann.send("join", "/room/a", NoData);
    ann.send("lend", "/room/a", NoData);
    ann.send("leave", "/room/a", NoData);
    assert_eq!(room(), json!("lent"), "its time is not over");
    server.pass(Duration::from_millis(1_999));
    assert_eq!(room(), json!("lent"));
    server.pass(Duration::from_millis(1));
    assert_eq!(room(), json!(null));
}

#[test]
fn a_counter_keeps_the_time_that_it_began_with() {
    let server = Server::new::<Plugin>();
    let ann = server.connect();
    assert_eq!(ask(&ann, "lend", "/room/a"), 6);
    assert_eq!(ask(&ann, "lend", "/room/a"), 12);
    server.pass(Duration::from_millis(1));
    assert_eq!(ask(&ann, "lend", "/room/a"), 6);
}

#[test]
fn versions_never_come_back() {
    let ann = Server::new::<Plugin>().connect();
    assert_eq!(ask(&ann, "versions", "/"), true);
}

#[test]
fn an_update_that_somebody_else_overtakes_begins_anew() {
    let ann = Server::new::<Plugin>().connect();
    let board = ann.request("update", "/", "Ann");
    assert_eq!(board, Ok(json!({ "names": ["before Ann", "Ann"] })));
}

#[test]
fn keys_come_in_pages() {
    let ann = Server::new::<Plugin>().connect();
    let all = json!(["list/0", "list/1", "list/2", "list/3", "list/4"]);
    assert_eq!(ask(&ann, "keys", "/"), all);
}

#[test]
fn mistakes_are_errors() {
    let ann = Server::new::<Plugin>().connect();
    let texts = ask(&ann, "wrong", "/");
    let begins = [
        "invalid",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
        "too large",
        "state `text`",
    ];
    for (text, begin) in texts.as_array().unwrap().iter().zip(begins) {
        assert!(text.as_str().unwrap().starts_with(begin), "{text} {begin}");
    }
    assert_eq!(texts.as_array().map(Vec::len), Some(begins.len()));
}
