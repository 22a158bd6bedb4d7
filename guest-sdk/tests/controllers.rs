//! What the macros make of a handler's arguments and of what it returns.

use std::num::ParseIntError;

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::{Client, Server};

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
