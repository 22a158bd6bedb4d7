//! What happens around handlers: guards, instances, the life of a connection, the manifest.

use std::cell::Cell;

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::{Close, Refused, Server};

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
            assert_eq!(server().get_connection(&id), Ok(None));
            let told = rooms().to("lobby").include_self().broadcast("gone", &code);
            assert_eq!(told, Ok(()));
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
                Some("clumsy") => unreachable!("nobody is clumsy"),
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
