//! The webhook, without a host and without a network: `cargo test -p webhook`.

use wardroom_sdk::http::Response;
use wardroom_sdk::prelude::*;
use wardroom_sdk::test::Server;

const URL: &str = "https://hooks.example/1";

fn server(config: Value) -> Server {
    let server = Server::new::<webhook::Plugin>();
    server.configure(config);
    server
}

fn post(server: &Server) -> Result<Value, WsError> {
    let data = json!({ "text": "Hello!" });
    server.connect().request("post", "/webhook", data)
}

#[test]
fn the_message_is_posted_and_what_comes_back_is_the_reply() {
    let server = server(json!({ "url": URL, "token": "t" }));
    server.on_http(|request| {
        assert_eq!((request.method(), request.url()), ("POST", URL));
        let header = |name| request.header_value(name);
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("authorization"), Some("Bearer t"));
        assert_eq!(request.bytes(), br#"{"text":"Hello!"}"#);
        Response::new(201).with_json(json!({ "id": 7 }))
    });
    let reply = post(&server);
    assert_eq!(reply, Ok(json!({ "status": 201, "body": { "id": 7 } })));
}

#[test]
fn a_token_is_not_needed_and_what_is_no_json_comes_back_as_text() {
    let server = server(json!({ "url": URL }));
    server.on_http(|request| {
        assert_eq!(request.header_value("authorization"), None);
        Ok(Response::new(404).with_body("not here"))
    });
    let reply = post(&server);
    assert_eq!(reply, Ok(json!({ "status": 404, "body": "not here" })));
}

#[test]
fn the_client_is_told_what_the_host_refuses() {
    let server = server(json!({ "url": URL }));
    assert_eq!(post(&server).unwrap_err().code, 403);
    server.on_http(|_| Err(HostError::Unavailable("nobody answers".into())));
    assert_eq!(post(&server).unwrap_err().code, 503);
}

#[test]
fn operators_see_what_it_reads() {
    let manifest = Server::new::<webhook::Plugin>().manifest();
    assert_eq!(manifest.config_keys, ["url", "token"]);
}

#[test]
fn without_a_url_the_plugin_is_at_fault() {
    for config in [json!({}), json!({ "url": 7 })] {
        assert_eq!(post(&server(config)).unwrap_err().code, 500);
    }
}
