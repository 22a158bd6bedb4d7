//! From where one may connect: pages by their origin, clients by the address that trusted proxies give.

use serde_json::{Value, json};
use wardroom::Limit;
use wardroom_tests::{Client, Plugin, Refusal, TestServer, http};

fn start(settings: &[(&str, &str)]) -> TestServer {
    let puppet = Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]] }));
    let start = TestServer::start(&[puppet], |config| {
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
    });
    start.unwrap()
}

async fn connect(server: &TestServer, headers: &[(&str, &str)]) -> Result<Client, Refusal> {
    server.connect_at("A", "/ws", headers).await.unwrap()
}

#[tokio::test]
async fn a_page_of_this_host_may_connect_and_another_may_not() {
    let server = start(&[]);
    let own = format!("http://{}", server.address);
    let secure = format!("https://{}", server.address);
    for (origin, is_allowed) in [
        (own.as_str(), true),
        (&secure, false),
        ("https://evil.example", false),
        ("http://127.0.0.1", false),
        ("null", false),
        ("\u{7f}", false),
    ] {
        let request = http::upgrade("/ws").replace(
            "Host: localhost",
            &format!("Host: {}\r\nOrigin: {origin}", server.address),
        );
        let answer = http::ask(server.address, &request).await.unwrap();
        let expected = match (is_allowed, origin) {
            (true, _) => 101,
            // No header's value: not even HTTP.
            (false, "\u{7f}") => 400,
            (false, _) => 403,
        };
        assert_eq!(answer.status, expected, "{origin:?}: {answer:?}");
        if expected == 403 {
            assert!(answer.body.contains("rigin"), "{answer:?}");
            assert!(!answer.body.contains("evil"), "{answer:?}");
        }
    }
    assert!(connect(&server, &[]).await.is_ok(), "no page at all");
    let parts = [
        "INFO",
        "not let in",
        "origin=\"https://evil.example\"",
        "(origins)",
    ];
    server.logged(&parts).await.unwrap();
}

#[tokio::test]
async fn listed_pages_may_connect() {
    let server = start(&[("origins", "https://acme.com, https://*.acme.com")]);
    for (origin, is_allowed) in [
        ("https://acme.com", true),
        ("https://chat.acme.com", true),
        ("https://acme.com.evil.example", false),
        ("http://acme.com", false),
    ] {
        let connected = connect(&server, &[("origin", origin)]).await;
        match connected {
            Ok(_) => assert!(is_allowed, "{origin}"),
            Err(refusal) => assert_eq!((refusal.status, is_allowed), (403, false), "{origin}"),
        }
    }
    let open = start(&[("origins", "*")]);
    assert!(connect(&open, &[("origin", "null")]).await.is_ok());
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_flood_the_log() {
    let server = start(&[]);
    for _ in 0..200 {
        let refusal = connect(&server, &[("origin", "http://x")])
            .await
            .err()
            .unwrap();
        assert_eq!(refusal.status, 403);
    }
    let lines = server.log.lines_with(&["not let in"]).len();
    assert!((10..200).contains(&lines), "{lines} lines");
}

/// What a plugin learns of where a client is.
async fn peer(server: &TestServer, headers: &[(&str, &str)]) -> String {
    let mut client = connect(server, headers).await.unwrap();
    let seen: Value = client.run("/do", json!([["request"]])).await.unwrap();
    seen[0]["peer"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is_and_others_do_not() {
    let long = "6.6.6.6, ".repeat(300) + "203.0.113.7";
    let trusted = start(&[("trusted_proxies", "127.0.0.0/8, 10.0.0.0/8, ::1")]);
    let other = start(&[("trusted_proxies", "10.0.0.0/8")]);
    for (chain, expected) in [
        ("203.0.113.7", "203.0.113.7:0"),
        ("6.6.6.6, 203.0.113.7, 10.0.0.9", "203.0.113.7:0"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        (&long, "203.0.113.7:0"),
        ("garbage, , ::::, [", "127.0.0.1:"),
    ] {
        let headers = [("x-forwarded-for", chain), ("x-forwarded-proto", ",;\t")];
        let seen = peer(&trusted, &headers).await;
        assert!(seen.starts_with(expected), "{chain}: {seen}");
        let seen = peer(&other, &headers).await;
        assert!(seen.starts_with("127.0.0.1:"), "{chain}: {seen}");
    }
    let refused = [("x-forwarded-for", "203.0.113.9"), ("origin", "http://x")];
    connect(&trusted, &refused).await.err().unwrap();
    trusted
        .logged(&["not let in", "peer=203.0.113.9:0"])
        .await
        .unwrap();
}

#[tokio::test]
async fn connections_are_counted_by_the_address_behind_the_proxy() {
    let max = ("limits.connections_per_address_max", "1");
    let trusted = start(&[max, ("trusted_proxies", "127.0.0.1")]);
    let from = |address| [("x-forwarded-for", address)];
    let _first = connect(&trusted, &from("203.0.113.7")).await.unwrap();
    let _second = connect(&trusted, &from("203.0.113.8")).await.unwrap();
    let refusal = connect(&trusted, &from("6.6.6.6, 203.0.113.7"))
        .await
        .err()
        .unwrap();
    assert_eq!(refusal.status, 429);
    assert_eq!(trusted.reached(Limit::ConnectionsPerAddressMax), 1);

    let other = start(&[max]);
    let _first = connect(&other, &from("203.0.113.7")).await.unwrap();
    let refusal = connect(&other, &from("203.0.113.8")).await.err().unwrap();
    assert_eq!(refusal.status, 429, "what it says of itself does not count");
}

#[tokio::test]
async fn a_page_that_came_by_tls_to_a_trusted_proxy_is_of_this_host() {
    let trusted = start(&[("trusted_proxies", "127.0.0.1")]);
    let other = start(&[]);
    for (server, proto, is_allowed) in [
        (&trusted, "https", true),
        (&trusted, "http", false),
        (&other, "https", false),
    ] {
        let origin = format!("https://{}", server.address);
        let headers = [("origin", origin.as_str()), ("x-forwarded-proto", proto)];
        let connected = connect(server, &headers).await;
        assert_eq!(connected.is_ok(), is_allowed, "{proto}: {connected:?}");
    }
}
