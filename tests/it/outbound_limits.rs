//! What bounds outbound HTTP: in number, in time, in size.

use crate::outbound::{error, grant, puppet, send};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpListener;
use wardroom::Limit;
use wardroom::config::{Resolver, TenantConfig};
use wardroom_tests::{TestServer, WAIT, Web};

#[tokio::test]
async fn http_requests_per_event_max() {
    let web = Web::start().await.unwrap();
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&web.url()], &[]);
        config.limits.http_requests_per_event_max = 3;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let many = |times: u32| json!([["http-many", times, { "authority": web.authority() }]]);
    // Those of one event are not those of the next.
    for _ in 0..2 {
        let results = client.run("/do", many(3)).await.unwrap();
        for result in results[0].as_array().unwrap() {
            assert_eq!(result["status"], 200, "{results}");
        }
    }
    assert_eq!(server.reached(Limit::HttpRequestsPerEventMax), 0);
    let results = client.run("/do", many(4)).await.unwrap();
    assert_eq!(results[0][2]["status"], 200, "{results}");
    assert_eq!(error(&results[0][3]), "ConnectionLimitReached", "{results}");
    assert_eq!(server.reached(Limit::HttpRequestsPerEventMax), 1);
    server
        .logged(&["http_requests_per_event_max"])
        .await
        .unwrap();
}

#[tokio::test]
async fn http_in_flight_max() {
    let (slow, web) = (Web::start().await.unwrap(), Web::start().await.unwrap());
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&slow.url(), &web.url()], &[]);
        config.limits.http_in_flight_max = 2;
        config.limits.http_timeout = WAIT * 2;
        config.limits.event_wall_max = WAIT * 2;
    })
    .unwrap();
    let script = json!([["http", { "authority": slow.authority(), "path": "/slow" }]]);
    let message = json!({ "event": "do", "path": "/do", "data": script, "id": 1 }).to_string();
    let mut waiting = Vec::new();
    for number in 0..2 {
        let mut client = server.connect(&format!("client {number}")).await.unwrap();
        client.send(message.clone()).await.unwrap();
        waiting.push(client);
    }
    slow.has_open(2).await.unwrap();
    assert_eq!(server.reached(Limit::HttpInFlightMax), 0);
    let mut client = server.connect("A").await.unwrap();
    let result = send(&mut client, json!({ "authority": web.authority() })).await;
    assert_eq!(error(&result), "ConnectionLimitReached");
    assert_eq!(server.reached(Limit::HttpInFlightMax), 1);
    server.logged(&["http_in_flight_max"]).await.unwrap();
    drop(slow);
    for mut client in waiting {
        let reply = client.receive_json().await.unwrap();
        assert_ne!(error(&reply["data"][0]), "", "{reply}");
    }
    // Those have given back their places; so does one whose response was read, and one that nobody wanted.
    for _ in 0..3 {
        let script = json!([
            ["http", { "authority": web.authority() }],
            ["http", { "authority": web.authority(), "path": "/slow", "keep": true }]
        ]);
        let reply = client.run("/do", script).await.unwrap();
        assert_eq!(reply[0]["status"], 200, "{reply}");
        assert_eq!(reply[1], "kept");
    }
    assert_eq!(server.reached(Limit::HttpInFlightMax), 1);
    web.has_open(0).await.unwrap();
}

#[tokio::test]
async fn those_under_way_are_counted_for_each_tenant() {
    let web = Web::start().await.unwrap();
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&web.url()], &[]);
        config.limits.http_in_flight_max = 1;
        config.limits.http_timeout = WAIT * 2;
        config.limits.event_wall_max = WAIT * 2;
        let tenant = config.mounted().into_values().next().unwrap();
        for name in ["acme", "umbra"] {
            let path = format!("/{name}");
            let tenant = TenantConfig {
                path,
                ..tenant.clone()
            };
            config.tenants.insert(name.parse().unwrap(), tenant);
        }
    })
    .unwrap();
    let connect = async |path| server.connect_at(path, path, &[]).await.unwrap().unwrap();
    let script = json!([["http", { "authority": web.authority(), "path": "/slow" }]]);
    let message = json!({ "event": "do", "path": "/do", "data": script, "id": 1 }).to_string();
    let mut waiting = connect("/acme").await;
    waiting.send(message).await.unwrap();
    web.has_open(1).await.unwrap();
    let request = json!({ "authority": web.authority() });
    let same = send(&mut connect("/acme").await, request.clone()).await;
    assert_eq!(error(&same), "ConnectionLimitReached");
    let other = send(&mut connect("/umbra").await, request).await;
    assert_eq!(other["status"], 200, "{other}");
    drop(web);
    waiting.receive_json().await.unwrap();
}

#[tokio::test]
async fn http_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secure = format!("https://{}", silent.local_addr().unwrap());
    let web = Web::start().await.unwrap();
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&secure, "http://lost.example", &web.url()], &[]);
        config.resolver = Some(Resolver::new(|_| std::future::pending()));
        config.limits.http_connect_timeout = Duration::from_secs(1);
        config.limits.http_timeout = WAIT;
        config.limits.event_wall_max = WAIT * 2;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let result = send(&mut client, json!({ "authority": web.authority() })).await;
    assert_eq!(result["status"], 200, "{result}");
    // The guest's own patience is nobody's limit.
    let request = json!({ "authority": "lost.example", "patience": 1 });
    assert_eq!(
        error(&send(&mut client, request).await),
        "ConnectionTimeout"
    );
    assert_eq!(server.reached(Limit::HttpConnectTimeout), 0);
    // A look-up that does not end, and a server that is silent when it should encrypt.
    let lost = send(&mut client, json!({ "authority": "lost.example" })).await;
    assert_eq!(error(&lost), "ConnectionTimeout");
    assert_eq!(server.reached(Limit::HttpConnectTimeout), 1);
    let authority = silent.local_addr().unwrap().to_string();
    let mute = send(
        &mut client,
        json!({ "scheme": "https", "authority": authority }),
    )
    .await;
    assert_eq!(error(&mute), "ConnectionTimeout");
    assert_eq!(server.reached(Limit::HttpConnectTimeout), 2);
    server.logged(&["http_connect_timeout"]).await.unwrap();
}

#[tokio::test]
async fn http_timeout() {
    let web = Web::start().await.unwrap();
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&web.url()], &[]);
        config.limits.http_timeout = Duration::from_secs(2);
        config.limits.event_wall_max = WAIT;
        // Waiting is not working.
        config.limits.event_cpu_max = Duration::from_secs(1);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let result = send(&mut client, json!({ "authority": web.authority() })).await;
    assert_eq!(result["status"], 200, "{result}");
    assert_eq!(server.reached(Limit::HttpTimeout), 0);
    let slow = send(
        &mut client,
        json!({ "authority": web.authority(), "path": "/slow" }),
    )
    .await;
    assert_eq!(error(&slow), "HttpResponseTimeout");
    assert_eq!(server.reached(Limit::HttpTimeout), 1);
    let drip = send(
        &mut client,
        json!({ "authority": web.authority(), "path": "/drip" }),
    )
    .await;
    assert_eq!(drip["bytes"], 4, "{drip}");
    assert!(error(&drip).contains("timeout"), "{drip}");
    assert_eq!(server.reached(Limit::HttpTimeout), 2);
    server.logged(&["http_timeout"]).await.unwrap();
    web.has_open(0).await.unwrap();
}

#[tokio::test]
async fn http_response_bytes_max() {
    const MAX: usize = 100_000;
    let web = Web::start().await.unwrap();
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&web.url()], &[]);
        config.limits.http_response_bytes_max = MAX;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    for (path, reached) in [("large", 1), ("stream", 2)] {
        let request = |bytes: usize| json!({ "authority": web.authority(), "path": format!("/{path}?{bytes}") });
        let just = send(&mut client, request(MAX)).await;
        assert_eq!(just["body"], MAX, "{just}");
        assert_eq!(server.reached(Limit::HttpResponseBytesMax), reached - 1);
        let over = send(&mut client, request(MAX + 1)).await;
        assert!(error(&over).contains("ize"), "{over}");
        server
            .reaches(Limit::HttpResponseBytesMax, reached)
            .await
            .unwrap();
    }
    server.logged(&["http_response_bytes_max"]).await.unwrap();
}

#[tokio::test]
async fn requests_end_with_their_event() {
    let web = Web::start().await.unwrap();
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&web.url()], &[]);
        config.limits.http_timeout = WAIT * 2;
        config.limits.event_wall_max = Duration::from_secs(1);
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    // One that the guest waits for until its time is up, and one whose handle it keeps.
    for (keep, code) in [(false, json!(504)), (true, Value::Null)] {
        let request = json!({ "authority": web.authority(), "path": "/slow", "keep": keep });
        let reply = client.run("/do", json!([["http", request]])).await.unwrap();
        assert_eq!(reply["error"]["code"], code, "{reply}");
        web.has_open(0).await.unwrap();
    }
    server.reaches(Limit::EventWallMax, 1).await.unwrap();
}

/// A guest that has run for long enough to take a turn gives it back while it waits, or the others would wait with it.
#[tokio::test]
async fn who_waits_holds_no_turn() {
    let web = Web::start().await.unwrap();
    let server = TestServer::start(&[puppet()], |config| {
        grant(config, &[&web.url()], &[]);
        config.limits.http_timeout = WAIT * 2;
        config.limits.event_wall_max = WAIT * 2;
    })
    .unwrap();
    let script = json!([["work", 50], ["http", { "authority": web.authority(), "path": "/slow" }]]);
    let message = json!({ "event": "do", "path": "/do", "data": script, "id": 1 }).to_string();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut waiting = Vec::new();
    for number in 0..threads {
        let mut client = server.connect(&format!("client {number}")).await.unwrap();
        client.send(message.clone()).await.unwrap();
        waiting.push(client);
    }
    web.has_open(threads).await.unwrap();
    let mut client = server.connect("A").await.unwrap();
    let reply = client.run("/do", json!([["work", 50]])).await.unwrap();
    assert_eq!(reply, json!(["worked"]));
    web.has_open(threads).await.unwrap();
    // So that nobody waits any more when the host stops.
    drop(web);
    for mut client in waiting {
        let reply = client.receive_json().await.unwrap();
        assert_ne!(error(&reply["data"][1]), "", "{reply}");
    }
}
