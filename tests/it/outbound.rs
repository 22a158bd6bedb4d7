//! Outbound HTTP: what reaches whom, and what does not.

use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use wardroom::Config;
use wardroom::config::{AllowList, Resolver, Secret};
use wardroom_tests::{Client, Plugin, TestServer, Web};

pub(crate) fn puppet() -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]] }))
}

/// Grants the puppet these.
pub(crate) fn grant(config: &mut Config, hosts: &[&str], networks: &[&str]) {
    let list = AllowList::new(hosts.iter().copied(), networks.iter().copied()).unwrap();
    let puppet = config.plugin.entry("puppet".parse().unwrap());
    puppet.or_default().http = list;
}

/// A host whose puppet may send requests there.
fn start(hosts: &[&str]) -> TestServer {
    TestServer::start(&[puppet()], |config| grant(config, hosts, &[])).unwrap()
}

/// Every name leads to these addresses: to the first at the first look-up, and so on.
fn leading_to(addresses: &[&str]) -> Resolver {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let next = Arc::new(AtomicUsize::new(0));
    Resolver::new(move |_| {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let address = addresses[place.min(addresses.len() - 1)];
        async move { Ok(vec![address]) }
    })
}

/// Has the puppet send one request.
pub(crate) async fn send(client: &mut Client, request: Value) -> Value {
    let mut reply = client.run("/do", json!([["http", request]])).await.unwrap();
    reply[0].take()
}

pub(crate) fn error(result: &Value) -> &str {
    result["error"].as_str().unwrap_or_default()
}

/// The server's view of a request.
fn seen(result: &Value) -> Value {
    let body = result["body"].as_str().unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no answer of the mirror: {result}"))
}

fn header<'a>(headers: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = headers.as_array().unwrap().iter();
    let named = headers.filter(|header| header[0] == name);
    named.map(|header| header[1].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_granted_host_is_asked_and_answers() {
    let web = Web::start().await.unwrap();
    let server = start(&[&web.url()]);
    let mut client = server.connect("A").await.unwrap();
    let result = send(
        &mut client,
        json!({ "authority": web.authority(), "path": "/a/b?c=d", "method": "PUT",
            "headers": [["x-own", "1"], ["authorization", "Bearer t"]], "body": "Hello!" }),
    )
    .await;
    assert_eq!(result["status"], 200, "{result}");
    let seen = seen(&result);
    assert_eq!(
        (&seen["method"], &seen["target"]),
        (&json!("PUT"), &json!("/a/b?c=d"))
    );
    assert_eq!(seen["body"], "Hello!");
    let headers = &seen["headers"];
    assert_eq!(header(headers, "host"), [web.authority()]);
    assert_eq!(header(headers, "x-own"), ["1"]);
    assert_eq!(header(headers, "authorization"), ["Bearer t"]);
    // A query without a path is a query of `/`.
    let query = send(
        &mut client,
        json!({ "authority": web.authority(), "path": "?c=d" }),
    )
    .await;
    assert_eq!(self::seen(&query)["target"], "/?c=d");
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let web = Web::start().await.unwrap();
    let other = Plugin::puppet(&json!({ "name": "other", "routes": [["do", "/other"]] }));
    let server = TestServer::start(&[puppet(), other], |config| {
        grant(config, &[&web.url()], &[])
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let script = json!([["http", { "authority": web.authority() }]]);
    let reply = client.run("/other", script).await.unwrap();
    assert_eq!(reply, json!([{ "error": "HttpRequestDenied" }]));
    assert_eq!(web.accepted(), 0);
    server
        .logged(&["other", &web.authority(), "denied: it is not granted"])
        .await
        .unwrap();
    // Neither is anything in `describe`.
    let script = json!([["http", { "authority": web.authority() }]]);
    let asking = Plugin::puppet(&json!({ "name": "puppet", "version": "2", "describe": script }));
    let server = TestServer::start(&[asking], |config| {
        grant(config, &[&web.url()], &[]);
        // What it says would be remembered, and it would not be asked again.
        config.cache = None;
    })
    .unwrap();
    server.connect("A").await.unwrap();
    let refused = ["puppet", "denied: it is not granted"];
    server.logged(&refused).await.unwrap();
    assert_eq!(web.accepted(), 0);
}

#[tokio::test]
async fn scheme_host_and_port_must_be_the_granted_ones() {
    let (web, other) = (Web::start().await.unwrap(), Web::start().await.unwrap());
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = start(&[&web.url(), "http://api.example"]);
    let port = web.address.port();
    let mut client = server.connect("A").await.unwrap();
    for (scheme, authority) in [
        ("http", other.authority()),
        ("https", web.authority()),
        ("http", format!("127.0.0.2:{port}")),
        ("http", format!("localhost:{port}")),
        ("http", format!("[::ffff:127.0.0.1]:{port}")),
        ("http", format!("127.1:{port}")),
        // The host's own listener, and what stands for that of its operators.
        ("http", server.address.to_string()),
        ("http", admin.local_addr().unwrap().to_string()),
        ("http", "api.example:8080".to_owned()),
        ("http", "xapi.example".to_owned()),
    ] {
        let result = send(
            &mut client,
            json!({ "scheme": scheme, "authority": authority }),
        )
        .await;
        assert_eq!(error(&result), "HttpRequestDenied", "{scheme} {authority}");
    }
    for (authority, path, code) in [
        (
            format!("user@{}", web.authority()),
            "/",
            "HttpRequestUriInvalid",
        ),
        (web.authority(), "http://elsewhere.example/", "the path"),
    ] {
        let result = send(&mut client, json!({ "authority": authority, "path": path })).await;
        assert_eq!(error(&result), code, "{authority} {path}");
    }
    let connect = json!({ "authority": web.authority(), "method": "CONNECT" });
    assert_eq!(
        error(&send(&mut client, connect).await),
        "HttpRequestMethodInvalid"
    );
    assert_eq!((web.accepted(), other.accepted()), (0, 0));
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    let web = Web::start().await.unwrap();
    let port = web.address.port();
    for address in [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "169.254.169.254",
    ] {
        let server = TestServer::start(&[puppet()], |config| {
            grant(config, &[&format!("http://*:{port}")], &[]);
            config.resolver = Some(leading_to(&[address]));
        })
        .unwrap();
        let mut client = server.connect("A").await.unwrap();
        let authority = format!("evil.example:{port}");
        let result = send(&mut client, json!({ "authority": authority })).await;
        assert_eq!(error(&result), "DestinationIpProhibited", "{address}");
        // A star is no address that is listed, and no network.
        let result = send(&mut client, json!({ "authority": web.authority() })).await;
        assert_eq!(error(&result), "DestinationIpProhibited", "{result}");
    }
    assert_eq!(web.accepted(), 0);
}

#[tokio::test]
async fn a_granted_network_is_reached_by_name() {
    let web = Web::start().await.unwrap();
    let url = format!("http://intern.example:{}", web.address.port());
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&url], &["127.0.0.0/8"]);
        config.resolver = Some(leading_to(&["127.0.0.1"]));
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let authority = format!("intern.example:{}", web.address.port());
    let result = send(&mut client, json!({ "authority": authority })).await;
    assert_eq!(header(&seen(&result)["headers"], "host"), [authority]);
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let web = Web::start().await.unwrap();
    let port = web.address.port();
    let url = format!("http://rebinding.example:{port}");
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&url], &["127.0.0.1"]);
        // What is there at a second look-up may not be reached, and nobody listens there.
        config.resolver = Some(leading_to(&["127.0.0.1", "127.0.0.2"]));
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let authority = format!("rebinding.example:{port}");
    let result = send(&mut client, json!({ "authority": authority })).await;
    assert_eq!(result["status"], 200, "{result}");
    // The next request is checked anew.
    let result = send(&mut client, json!({ "authority": authority })).await;
    assert_eq!(error(&result), "DestinationIpProhibited", "{result}");
    assert_eq!(web.accepted(), 1);
}

#[tokio::test]
async fn headers_of_the_connection_are_not_the_guests() {
    let web = Web::start().await.unwrap();
    let server = start(&[&web.url()]);
    let mut client = server.connect("A").await.unwrap();
    for name in [
        "Host",
        "connection",
        "transfer-encoding",
        "upgrade",
        "proxy-authorization",
        "te",
    ] {
        let headers = json!([[name, "elsewhere.example"]]);
        let request = json!({ "authority": web.authority(), "headers": headers });
        assert_eq!(
            error(&send(&mut client, request).await),
            "Forbidden",
            "{name}"
        );
    }
    let headers = json!([["x-injected", "1\r\nhost: elsewhere.example"]]);
    let request = json!({ "authority": web.authority(), "headers": headers });
    assert_eq!(error(&send(&mut client, request).await), "InvalidSyntax");
    assert_eq!(web.accepted(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let web = Web::start().await.unwrap();
    let server = start(&[&web.url()]);
    let mut client = server.connect("A").await.unwrap();
    let request = json!({ "authority": web.authority(), "path": "/redirect" });
    let result = send(&mut client, request).await;
    assert_eq!(result["status"], 302);
    assert_eq!(
        header(&result["headers"], "location"),
        ["http://elsewhere.example/"]
    );
    let followed = send(&mut client, json!({ "authority": "elsewhere.example" })).await;
    assert_eq!(error(&followed), "HttpRequestDenied");
}

/// What a client says before anything is encrypted.
#[tokio::test]
async fn tls_is_for_the_name_and_asks_for_a_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = TestServer::start(&[puppet()], |config| {
        grant(
            config,
            &[&format!("https://api.example:{port}")],
            &["127.0.0.0/8"],
        );
        config.resolver = Some(leading_to(&["127.0.0.1"]));
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let answering = async {
        let accepted = timeout(wardroom_tests::WAIT, listener.accept()).await;
        let (mut stream, _) = accepted.expect("nobody connects").unwrap();
        let mut hello = vec![0; 16_384];
        let length = stream.read(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&hello[..length]).into_owned()
    };
    let request = json!({ "scheme": "https", "authority": format!("api.example:{port}") });
    let asking = send(&mut client, request);
    let (hello, result) = tokio::join!(answering, asking);
    assert!(
        hello.contains("api.example") && hello.contains("http/1.1"),
        "{hello:?}"
    );
    assert_eq!(error(&result), "TlsProtocolError", "{result}");
}

#[tokio::test]
async fn the_example_posts_and_replies() {
    let web = Web::start().await.unwrap();
    let start = |url: String| {
        TestServer::start(&[Plugin::built("webhook")], |config| {
            let webhook = config.plugin.entry("webhook".parse().unwrap());
            let webhook = webhook.or_default();
            webhook.http = AllowList::new([web.url().as_str()], []).unwrap();
            let values = [
                ("url", Value::from(url).into()),
                ("token", Secret::new("t").into()),
            ];
            webhook.config = values.map(|(key, value)| (key.to_owned(), value)).into();
        })
        .unwrap()
    };
    let server = start(format!("{}/hook", web.url()));
    let mut client = server.connect("A").await.unwrap();
    let body = json!({ "n": 1 });
    let reply = client.request("post", "/webhook", body).await.unwrap();
    assert_eq!(reply["data"]["status"], 200, "{reply}");
    let seen = &reply["data"]["body"];
    assert_eq!(
        (&seen["method"], &seen["target"]),
        (&json!("POST"), &json!("/hook"))
    );
    assert_eq!(seen["body"], r#"{"n":1}"#);
    assert_eq!(header(&seen["headers"], "content-length"), ["7"]);
    assert_eq!(header(&seen["headers"], "authorization"), ["Bearer t"]);
    for (url, code) in [
        ("https://elsewhere.example/".to_owned(), 403),
        (format!("{}/stream?2000000", web.url()), 413),
        (format!("{}/large?2000000", web.url()), 413),
    ] {
        let server = start(url);
        let mut client = server.connect("A").await.unwrap();
        let reply = client.request("post", "/webhook", 1.into()).await.unwrap();
        assert_eq!(reply["error"]["code"], code, "{reply}");
    }
}

#[test]
fn who_sends_no_requests_imports_nothing_for_them() {
    let imports = |name| {
        let bytes = Plugin::built(name).bytes;
        bytes.windows(9).any(|bytes| bytes == b"wasi:http")
    };
    assert!(imports("webhook"));
    assert!(!imports("chat"));
}
