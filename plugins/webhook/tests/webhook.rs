//! The webhook, without a host and without a network: `cargo test -p webhook`.

use wardroom_sdk::http::Response;
use wardroom_sdk::prelude::*;
use wardroom_sdk::test::Server;

fn post(server: &Server, url: &str) -> Result<Value, WsError> {
    let data = json!({ "url": url, "body": { "text": "Hello!" } });
    server.connect().request("post", "/webhook", data)
}

#[test]
fn the_body_is_posted_and_what_comes_back_is_the_reply() {
    let server = Server::new::<webhook::Plugin>();
    server.on_http(|request| {
        assert_eq!(
            (request.method(), request.url()),
            ("POST", "https://hooks.example/1")
        );
        assert_eq!(
            request.header_value("Content-Type"),
            Some("application/json")
        );
        assert_eq!(request.bytes(), br#"{"text":"Hello!"}"#);
        Response::new(201).with_json(json!({ "id": 7 }))
    });
    let reply = post(&server, "https://hooks.example/1");
    assert_eq!(reply, Ok(json!({ "status": 201, "body": { "id": 7 } })));
}

#[test]
fn what_is_no_json_comes_back_as_text() {
    let server = Server::new::<webhook::Plugin>();
    server.on_http(|_| Ok(Response::new(404).with_body("not here")));
    let reply = post(&server, "https://hooks.example/1");
    assert_eq!(reply, Ok(json!({ "status": 404, "body": "not here" })));
}

#[test]
fn the_client_is_told_what_the_host_refuses() {
    let server = Server::new::<webhook::Plugin>();
    assert_eq!(
        post(&server, "https://hooks.example/1").unwrap_err().code,
        403
    );
    assert_eq!(post(&server, "hooks.example").unwrap_err().code, 400);
    server.on_http(|_| Err(HostError::Unavailable("nobody answers".into())));
    assert_eq!(
        post(&server, "https://hooks.example/1").unwrap_err().code,
        503
    );
}
