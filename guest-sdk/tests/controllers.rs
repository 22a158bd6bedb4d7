//! What the macros make of arguments, returned values, guards, hooks and nested controllers.

use std::cell::Cell;
use std::num::ParseIntError;

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::{Client, Close, Refused, Server};

/// Every kind of argument and of reply.
mod shapes {
    use super::*;

    #[derive(Debug, Deserialize, Serialize)]
    pub(crate) struct Point<'a> {
        pub x: i32,
        #[serde(borrow, default)]
        pub label: Option<&'a str>,
    }

    #[derive(Debug)]
    pub(crate) struct Odd(ParseIntError);

    impl From<Odd> for WsError {
        fn from(Odd(error): Odd) -> Self {
            WsError::conflict(error.to_string())
        }
    }

    type Aliased = Result<u8, Odd>;

    #[derive(Default)]
    pub(crate) struct Shapes;

    #[controller("shapes/:board")]
    impl Shapes {
        #[message("params", ":a-:b/:c?")]
        fn params(
            &self,
            #[param] board: &str,
            #[param] a: u8,
            #[param("b")] text: String,
            #[param] c: Option<u8>,
            #[params] all: &Params,
        ) -> (String, u8, String, Option<u8>, usize) {
            (board.to_owned(), a, text, c, all.len())
        }

        #[message("repeated", ":n/:n/*")]
        fn repeated(
            #[param] n: Vec<u32>,
            #[param("n")] texts: Vec<&str>,
            #[param("*")] rest: Option<&str>,
            #[params] all: Params,
        ) -> Value {
            json!([
                n,
                texts,
                rest,
                all.iter().count(),
                all.get("n"),
                all.all("n").last()
            ])
        }

        #[message("borrowed", "data")]
        fn borrowed(&self, #[data] Point { x, label }: Point<'_>) -> Option<String> {
            (x > 0).then(|| label.unwrap_or("none").to_owned())
        }

        #[message("about")]
        fn about(
            &self,
            #[event] event: &str,
            #[event] owned: String,
            #[path] path: &str,
            #[connection_id] id: ConnectionId,
            #[message_id] message: Option<MessageId>,
            #[message_id] borrowed: Option<&MessageId>,
            #[raw] raw: String,
            #[request] request: &Request,
        ) -> Value {
            assert_eq!(message.as_ref(), borrowed);
            assert_eq!(event, owned);
            let message = message.map(|id| id.as_json().to_owned());
            json!([event, path, id, message, raw, request.path])
        }

        #[message("fallible", "aliased")]
        fn aliased(&self, #[data] text: &str) -> Aliased {
            text.parse().map_err(Odd)
        }

        #[message("fallible", "unit")]
        fn unit(&self) -> Result<(), HostError> {
            Err(HostError::Denied("not today".to_owned()))
        }

        #[message("fallible", "internal")]
        fn internal(&self) -> Result<u8, WsError> {
            Err(WsError::internal("the cause"))
        }

        #[message("nothing")]
        fn nothing() {}

        #[message("r#type")]
        fn r#type(&self) -> impl Serialize + use<> {
            [1, 2]
        }

        #[message("boom")]
        fn boom(&self, #[data] code: i32) -> u8 {
            assert_ne!(code, 7, "seven");
            0
        }
    }

    wardroom_sdk::plugin!(Shapes);
}

fn shapes() -> Client {
    Server::new::<shapes::Plugin>().connect()
}

#[test]
fn params_are_parsed_by_name() {
    let client = shapes();
    let reply = client.request("params", "/shapes/x%20y/1-two/3", NoData);
    assert_eq!(reply, Ok(json!(["x y", 1, "two", 3, 4])));
    let reply = client.request("params", "shapes/z/1-two", NoData);
    assert_eq!(reply, Ok(json!(["z", 1, "two", null, 3])));
    let error = client
        .request("params", "/shapes/z/999-two", NoData)
        .unwrap_err();
    assert_eq!(error.code, 400);
    assert!(
        error.message.starts_with("`a` in the path is no u8: "),
        "{}",
        error.message
    );
    let error = client
        .request("params", "/shapes/z/1-two/x", NoData)
        .unwrap_err();
    assert!(
        error.message.starts_with("`c` in the path is no u8: "),
        "{}",
        error.message
    );
}

#[test]
fn repeated_names_and_wildcards() {
    let reply = shapes().request("repeated", "/shapes/b/1/02/a/b", NoData);
    assert_eq!(reply, Ok(json!([[1, 2], ["1", "02"], "a/b", 4, "1", "02"])));
}

#[test]
fn data_may_borrow_from_the_message() {
    let client = shapes();
    let path = "/shapes/b/data";
    assert_eq!(
        client.request("borrowed", path, json!({ "x": 1, "label": "L" })),
        Ok(json!("L"))
    );
    assert_eq!(
        client.request("borrowed", path, json!({ "x": 0 })),
        Ok(json!(null))
    );
    let error = client
        .request("borrowed", path, json!({ "x": "1" }))
        .unwrap_err();
    assert_eq!(
        error.message,
        "data.x: invalid type: string \"1\", expected i32"
    );
}

#[test]
fn what_a_message_says_about_itself() {
    let client = shapes();
    let reply = client
        .request("about", "/shapes/b/about", json!([1]))
        .unwrap();
    let frame = r#"{"event":"about","path":"/shapes/b/about","data":[1],"id":1}"#;
    assert_eq!(
        reply,
        json!(["about", "/shapes/b/about", client.id(), "1", frame, "/"])
    );
}

#[test]
fn errors_of_all_kinds_become_replies() {
    let server = Server::new::<shapes::Plugin>();
    let client = server.connect();
    let aliased = |text: &str| client.request("fallible", "/shapes/b/aliased", text);
    assert_eq!(aliased("7"), Ok(json!(7)));
    assert_eq!(aliased("x").unwrap_err().code, 409);
    let denied = client.request("fallible", "/shapes/b/unit", NoData);
    assert_eq!(denied, Err(WsError::forbidden("denied: not today")));
    assert!(server.log().is_empty());
    let internal = client.request("fallible", "/shapes/b/internal", NoData);
    assert_eq!(internal, Err(WsError::new(500, "Internal Error")));
    assert_eq!(server.log()[0].message, "the cause");
}

#[test]
fn nothing_and_raw_names() {
    let client = shapes();
    assert_eq!(
        client.request_text("nothing", "/shapes/b/nothing", NoData),
        Ok("null".to_owned())
    );
    assert_eq!(
        client.request("r#type", "/shapes/b/type", NoData),
        Ok(json!([1, 2]))
    );
}

#[test]
fn a_panic_is_a_500_and_a_line_in_the_log() {
    let server = Server::new::<shapes::Plugin>();
    let client = server.connect();
    assert_eq!(
        client.request("boom", "/shapes/b/boom", json!(7)),
        Err(WsError::new(500, "Internal Error"))
    );
    let log = server.log();
    assert_eq!(log[0].level, wardroom_sdk::log::Level::Error);
    assert!(log[0].message.contains("seven"), "{}", log[0].message);
    assert_eq!(
        client.request("boom", "/shapes/b/boom", json!(8)),
        Ok(json!(0))
    );
}

/// Guards, and what a controller remembers.
mod guarded {
    use super::*;

    fn not_on_fridays(message: &Message) -> Result<(), WsError> {
        match message.data::<Value>()? {
            Value::String(day) if day == "Friday" => Err(WsError::new(4711, "closed")),
            _ => Ok(()),
        }
    }

    #[derive(Default)]
    pub(crate) struct Counter {
        count: Cell<u32>,
    }

    #[controller]
    #[guard(not_on_fridays)]
    impl Counter {
        #[message("count", "/count")]
        #[message("next", "/count")]
        fn count(&self) -> u32 {
            self.count.set(self.count.get() + 1);
            self.count.get()
        }

        #[guard(|message: &Message| Err(HostError::Denied(message.path().to_owned())))]
        #[message("reset")]
        fn reset(&self) {
            self.count.set(0);
        }
    }

    wardroom_sdk::plugin!(Counter);

    pub(crate) mod fresh {
        wardroom_sdk::plugin!(mode = fresh, super::Counter);
    }
}

#[test]
fn guards_come_before_the_handler() {
    let client = Server::new::<guarded::Plugin>().connect();
    assert_eq!(client.request("count", "/count", NoData), Ok(json!(1)));
    assert_eq!(
        client.request("count", "/count", "Friday"),
        Err(WsError::new(4711, "closed"))
    );
    assert_eq!(client.request("next", "/count", "Monday"), Ok(json!(2)));
    assert_eq!(
        client
            .request("reset", "/reset", "Friday")
            .unwrap_err()
            .code,
        4711
    );
    assert_eq!(
        client.request("reset", "/reset", NoData).unwrap_err().code,
        403
    );
}

#[test]
fn a_controller_lives_as_long_as_its_instance() {
    let server = Server::new::<guarded::Plugin>();
    let client = server.connect();
    client.send("count", "/count", NoData);
    assert_eq!(client.request("count", "/count", NoData), Ok(json!(2)));
    server.drop_instance();
    assert_eq!(client.request("count", "/count", NoData), Ok(json!(1)));
    let other = Server::new::<guarded::Plugin>().connect();
    assert_eq!(other.request("count", "/count", NoData), Ok(json!(1)));

    let fresh = Server::new::<guarded::fresh::Plugin>().connect();
    fresh.send("count", "/count", NoData);
    assert_eq!(fresh.request("count", "/count", NoData), Ok(json!(1)));
}

/// Two controllers at the door.
mod door {
    use super::*;

    #[derive(Default)]
    pub(crate) struct First;

    #[controller]
    impl First {
        #[upgrade]
        fn name(&self, #[request] request: &Request) -> Option<String> {
            request.query_param("name")
        }

        #[connect]
        fn welcome() -> Result<(), HostError> {
            rooms().join_room("lobby")?;
            connection().send("welcome", "self", NoData)
        }

        #[disconnect]
        fn gone(
            &self,
            #[code] code: u16,
            #[reason] reason: &str,
            #[connection_id] id: ConnectionId,
        ) {
            log::info!(code = code, reason = reason, "gone");
            if code == 4000 {
                assert_eq!(rooms().join_room("late"), Err(HostError::Closed));
            }
            assert!(server().get_connection(&id).unwrap().is_none());
            rooms()
                .to("lobby")
                .include_self()
                .broadcast("gone", &code)
                .unwrap();
        }
    }

    #[derive(Default)]
    pub(crate) struct Second;

    #[controller]
    impl Second {
        #[upgrade]
        fn check(&self, #[request] request: Request) -> Result<(), HttpError> {
            match request.claims::<String>()?.as_deref() {
                Some("nobody") => Err(HttpError::new(403, "not you").header("x-why", "name")),
                Some("clumsy") => panic!("dropped the form"),
                _ => Ok(()),
            }
        }

        #[connect]
        fn refuse(&self, #[request] request: &Request) -> Result<(), WsError> {
            match request.claims::<String>()?.as_deref() {
                Some("banned") => Err(WsError::forbidden("banned")),
                Some("unlucky") => Err(WsError::new(4711, "no luck")),
                _ => Ok(()),
            }
        }

        #[disconnect]
        fn fails(&self) -> Result<(), WsError> {
            Err(WsError::new(500, "too late"))
        }
    }

    wardroom_sdk::plugin!(First, Second);
}

#[test]
fn upgrade_handlers_pass_claims_on_and_refuse_by_http() {
    let server = Server::new::<door::Plugin>();
    let refused = |name: &str| {
        server
            .connect_with(Request::new(&format!("/?name={name}")))
            .unwrap_err()
    };
    let answer = HttpError::new(403, "not you").header("x-why", "name");
    assert_eq!(refused("nobody"), Refused::Http(answer));
    assert_eq!(
        refused("clumsy"),
        Refused::Http(HttpError::new(500, "Internal Error"))
    );
    assert!(server.connect_with(Request::new("/?name=Ann")).is_ok());
}

#[test]
fn a_refused_connection_is_taken_leave_of_by_who_had_welcomed_it() {
    let server = Server::new::<door::Plugin>();
    let refused = |name: &str| {
        server
            .connect_with(Request::new(&format!("/?name={name}")))
            .unwrap_err()
    };
    assert_eq!(
        refused("banned"),
        Refused::Closed(Close {
            code: 1008,
            reason: "banned".to_owned()
        })
    );
    assert_eq!(
        refused("unlucky"),
        Refused::Closed(Close {
            code: 1011,
            reason: "no luck".to_owned()
        })
    );
    assert!(server.rooms().is_empty());
}

#[test]
fn the_end_of_a_connection_is_told() {
    let server = Server::new::<door::Plugin>();
    let (ann, bob) = (server.connect(), server.connect());
    assert_eq!(
        ann.pushes(),
        [json!({ "event": "welcome", "path": "/self" })]
    );
    bob.close_with(4000, "bored");
    assert_eq!(
        bob.closed(),
        Some(Close {
            code: 4000,
            reason: "bored".to_owned()
        })
    );
    assert_eq!(
        ann.pushes(),
        [json!({ "event": "gone", "path": "lobby", "data": 4000 })]
    );
    assert_eq!(
        bob.pushes().len(),
        1,
        "the welcome, and nothing after the close began"
    );
    let log = server.log();
    assert_eq!(
        log[0].fields,
        [
            ("code".to_owned(), json!(4000)),
            ("reason".to_owned(), json!("bored"))
        ]
    );
    assert_eq!(log[1].message, "a disconnect handler failed: 500 too late");
}

#[test]
fn the_manifest_says_what_the_plugin_is() {
    let manifest = Server::new::<door::Plugin>().manifest();
    assert_eq!(manifest.name, "wardroom-sdk");
    assert_eq!(manifest.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest.hooks, ["upgrade", "connect", "disconnect"]);
    assert_eq!(manifest.mode, None);
    let manifest = Server::new::<guarded::fresh::Plugin>().manifest();
    let routes = [("count", "/count"), ("next", "/count"), ("reset", "/reset")];
    assert_eq!(
        manifest.routes,
        routes.map(|(event, path)| (event.to_owned(), path.to_owned()))
    );
    assert_eq!(
        (manifest.mode.as_deref(), manifest.hooks.len()),
        (Some("fresh"), 0)
    );
}

mod clash {
    use super::*;

    pub(crate) struct Twice;

    #[controller]
    impl Twice {
        #[message("a", "/x/:one")]
        fn one() {}

        #[message("a", "/x/:other")]
        fn other() {}
    }

    wardroom_sdk::plugin!(Twice);
}

#[test]
#[should_panic(expected = "a host would refuse this plugin")]
fn routes_that_clash_are_refused() {
    Server::new::<clash::Plugin>();
}
