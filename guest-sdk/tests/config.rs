//! `config()` on the test kit's host.

use std::cell::Cell;

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::Server;

#[derive(Default)]
struct Probe {
    /// How often this instance was asked.
    asked: Cell<u32>,
}

#[controller]
impl Probe {
    #[message("keys", "/")]
    fn keys(&self) -> Result<(Vec<String>, u32), HostError> {
        self.asked.set(self.asked.get() + 1);
        Ok((config().keys()?, self.asked.get()))
    }

    #[message("get", "/")]
    fn get(&self) -> Result<Option<u8>, WsError> {
        Ok(config().get("n")?)
    }

    /// What the log is told, and the client is not.
    #[message("require", "/")]
    fn require(&self) -> Result<u8, WsError> {
        let value = config().require("n");
        value.map_err(|error| WsError::bad_request(error.to_string()))
    }
}

wardroom_sdk::plugin!(Probe);

fn ask(server: &Server, event: &str) -> Result<Value, WsError> {
    server.connect().request(event, "/", NoData)
}

#[test]
fn values_are_those_that_the_test_gives() {
    let server = Server::new::<Plugin>();
    assert_eq!(ask(&server, "get"), Ok(Value::Null));
    assert_eq!(ask(&server, "keys"), Ok(json!([[], 1])));
    assert_eq!(ask(&server, "keys"), Ok(json!([[], 2])));
    server.configure(json!({ "n": 7, "list": [1, 2], "a": {} }));
    assert_eq!(ask(&server, "get"), Ok(json!(7)));
    // It was loaded anew.
    assert_eq!(ask(&server, "keys"), Ok(json!([["a", "list", "n"], 1])));
    server.configure(json!({ "n": 8 }));
    assert_eq!(ask(&server, "require"), Ok(json!(8)));
    assert_eq!(ask(&server, "keys"), Ok(json!([["n"], 1])));
}

#[test]
fn what_does_not_fit_is_the_plugins_fault_and_is_not_shown() {
    let server = Server::new::<Plugin>();
    let told = |server: &Server| ask(server, "require").unwrap_err();
    assert!(told(&server).message.contains("config `n` is missing"));
    server.configure(json!({ "n": "s3cret" }));
    assert!(
        told(&server)
            .message
            .contains("config `n`: not a value for u8")
    );
    let error = ask(&server, "get").unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (500, "Internal Error")
    );
}
