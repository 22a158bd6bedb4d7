//! What needs the clock: the heartbeat and the closing handshake, on paused time over an in-memory stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::{Settings, serve};
use crate::cluster::LocalBus;
use crate::config::{Limit, Limits, TenantName};
use crate::hub::{Backlog, Connection, Exchange, Hub, Request};
use crate::state::Store;
use crate::tenant::Tenant;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

fn tenant(limits: Limits) -> Arc<Tenant> {
    let backlog = Arc::new(Backlog::new(limits.outboxes_bytes_max));
    let exchange = Exchange::new("a", "", Arc::new(LocalBus::new()), backlog);
    let hub = Hub::new(&exchange, &TenantName::default());
    let state = Store::Memory.tenant("test").unwrap();
    Arc::new(Tenant::new(TenantName::default(), hub, state, limits))
}

/// A served connection, the client's end of it, and the tenant it belongs to.
async fn connect(
    buffer: usize,
    limits: Limits,
) -> (WebSocketStream<DuplexStream>, JoinHandle<()>, Arc<Tenant>) {
    let tenant = tenant(limits);
    let (client, task) = connect_to(&tenant, buffer).await;
    (client, task, tenant)
}

/// A connection that may last for so long, with a heartbeat or without.
async fn connect_for(
    lifetime: Duration,
    interval: Duration,
) -> (WebSocketStream<DuplexStream>, JoinHandle<()>) {
    let settings = Settings {
        heartbeat_interval: interval,
        lifetime: Some(lifetime),
        ..settings()
    };
    connect_with(&tenant(Limits::default()), 4096, settings).await
}

fn settings() -> Settings {
    Settings {
        heartbeat_interval: INTERVAL,
        heartbeat_timeout: TIMEOUT,
        drain: Duration::ZERO,
        lifetime: None,
        stopping: CancellationToken::new(),
        removed: CancellationToken::new(),
    }
}

/// The same, to a tenant that may have others.
async fn connect_to(
    tenant: &Arc<Tenant>,
    buffer: usize,
) -> (WebSocketStream<DuplexStream>, JoinHandle<()>) {
    connect_with(tenant, buffer, settings()).await
}

async fn connect_with(
    tenant: &Arc<Tenant>,
    buffer: usize,
    settings: Settings,
) -> (WebSocketStream<DuplexStream>, JoinHandle<()>) {
    let (client, server) = tokio::io::duplex(buffer);
    let served = Arc::clone(tenant);
    let request = Request {
        path: "/ws".to_owned(),
        query: None,
        headers: vec![],
        cookies: vec![],
        peer: ([127, 0, 0, 1], 1).into(),
        claims: None,
    };
    let task = tokio::spawn(async move {
        serve(server, Bytes::new(), request, &served, &settings).await;
    });
    let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    (client, task)
}

fn close_code(message: Option<Result<Message, Error>>) -> u16 {
    match message {
        Some(Ok(Message::Close(Some(frame)))) => frame.code.into(),
        other => panic!("expected a close frame, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_and_stays_while_it_answers() {
    let (mut client, task, _tenant) = connect(4096, Limits::default()).await;
    let start = Instant::now();
    for round in 1..=3 {
        // Reading it answers it.
        assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
        client.flush().await.unwrap();
        let expected = INTERVAL * round;
        assert_eq!(
            start.elapsed().as_secs(),
            expected.as_secs(),
            "round {round}"
        );
    }
    client.close(None).await.unwrap();
    while client.next().await.is_some() {}
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_talks_is_not_pinged() {
    let (mut client, _task, _tenant) = connect(4096, Limits::default()).await;
    for id in 0..10 {
        tokio::time::advance(INTERVAL - Duration::from_secs(1)).await;
        client
            .send(Message::text(format!(
                r#"{{"event":"e","path":"/","id":{id}}}"#
            )))
            .await
            .unwrap();
        let reply = client.next().await.unwrap().unwrap();
        assert_eq!(
            reply.to_text().unwrap(),
            format!(r#"{{"id":{id},"error":{{"code":404,"message":"Not found"}}}}"#)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_time_is_over_is_closed_with_3502() {
    // Between two beats, at one of them, without any, and when it was over before it began.
    for (lifetime, interval) in [(45, 30), (60, 30), (3_600, 0), (0, 30)] {
        let lifetime = Duration::from_secs(lifetime);
        let (mut client, task) = connect_for(lifetime, Duration::from_secs(interval)).await;
        let start = Instant::now();
        let end = loop {
            match client.next().await {
                Some(Ok(Message::Ping(_))) => client.flush().await.unwrap(),
                other => break other,
            }
        };
        assert_eq!(close_code(end), 3502);
        assert_eq!(start.elapsed().as_secs(), lifetime.as_secs());
        assert!(client.next().await.is_none());
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_without_end_is_none() {
    let (mut client, _task) = connect_for(Duration::MAX, INTERVAL).await;
    assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
}

/// In real time, because the client is never idle, and so paused time would stand still.
#[tokio::test]
async fn a_client_that_never_stops_sending_comes_to_its_end_as_well() {
    let lifetime = Duration::from_millis(50);
    let (client, task) = connect_for(lifetime, Duration::ZERO).await;
    let (mut sink, mut stream) = client.split();
    let flood = async {
        while sink
            .send(Message::text(r#"{"event":"e","path":"/"}"#))
            .await
            .is_ok()
        {}
    };
    let closed = async {
        let end = stream.next().await;
        assert_eq!(close_code(end), 3502);
        while stream.next().await.is_some() {}
    };
    tokio::join!(flood, closed);
    task.await.unwrap();
}

/// In real time: how long a connection may have the thread is not a matter of timers.
#[tokio::test]
async fn a_client_that_never_stops_sending_leaves_the_thread_to_others() {
    const MESSAGES: usize = 20_000;
    let (mut client, _task, tenant) = connect(4 << 20, Limits::default()).await;
    for _ in 0..MESSAGES {
        let text = r#"{"event":"e","path":"/"}"#;
        client.feed(Message::text(text)).await.unwrap();
    }
    client.flush().await.unwrap();
    let (mut received, mut most) = (0, 0);
    while received < MESSAGES as u64 {
        tokio::task::yield_now().await;
        let now = received_by(&tenant);
        most = most.max(now - received);
        received = now;
    }
    // It is some tens; without a share of the thread it is thousands.
    assert!(most < 1000, "{most} messages at once");
}

/// Messages that the tenant's metrics have counted.
fn received_by(tenant: &Tenant) -> u64 {
    let text = tenant.metrics.text();
    let line = text.lines().find_map(|line| {
        line.strip_prefix("wardroom_messages_received_total{tenant=\"default\"} ")
    });
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_dead_client_is_closed_with_1001() {
    // Its end is open, and nobody reads there: the ping stays unanswered.
    let (mut client, task, tenant) = connect(4096, Limits::default()).await;
    let start = Instant::now();
    task.await.unwrap();
    let limit = tenant.limits().close_timeout;
    assert_eq!(
        start.elapsed().as_secs(),
        (INTERVAL + TIMEOUT + limit).as_secs()
    );
    // As bytes: the client's own socket would try to answer the ping first, and there is nobody left.
    let mut bytes = Vec::new();
    client.get_mut().read_to_end(&mut bytes).await.unwrap();
    assert_eq!(&bytes[..3], [0x89, 0, 0x88], "a ping, then a close frame");
    assert_eq!(&bytes[4..6], 1001_u16.to_be_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_closed_with_3008_and_soon_dropped() {
    let limits = Limits {
        outbox_messages_max: 8,
        ..Limits::default()
    };
    let (client, task, tenant) = connect(64, limits).await;
    let connection = opened(&tenant, 1).await.remove(0);
    let mut pushed = 0;
    while tenant
        .hub
        .send(&connection, Bytes::from(vec![b'x'; 100]))
        .is_ok()
    {
        pushed += 1;
        tokio::task::yield_now().await;
        assert!(pushed < 100, "nobody reads: the outbox has to fill up");
    }
    assert_eq!(
        connection.outbox.closing().map(|close| close.code),
        Some(3008)
    );
    let start = Instant::now();
    task.await.unwrap();
    assert_eq!(
        start.elapsed().as_secs(),
        tenant.limits().close_timeout.as_secs(),
        "it is given time, but not more"
    );
    assert_eq!(tenant.hub.connection_count(), 0);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_and_the_socket_dropped() {
    let (mut client, task, tenant) = connect(4096, Limits::default()).await;
    client
        .send(Message::text(r#"{"event":"e","path":"/","id":1}"#))
        .await
        .unwrap();
    client.next().await.unwrap().unwrap();
    let bye = crate::protocol::Close::by_plugin(Some(4001), Some("bye")).unwrap();
    for connection in tenant.hub.open_connections() {
        connection.outbox.close(bye.clone());
    }
    assert_eq!(close_code(client.next().await), 4001);
    assert!(client.next().await.is_none());
    let start = Instant::now();
    task.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "nothing is waited for");
}

/// So many connections, which open as soon as their tasks run.
async fn opened(tenant: &Tenant, count: usize) -> Vec<Arc<Connection>> {
    while tenant.hub.connection_count() < count {
        tokio::task::yield_now().await;
    }
    tenant.hub.open_connections()
}

#[tokio::test(start_paused = true)]
async fn outboxes_bytes_max() {
    const FRAME: usize = 1000;
    let tenant = tenant(Limits {
        outboxes_bytes_max: 20 * FRAME,
        ..Limits::default()
    });
    // Nothing of theirs is read, so each socket takes some bytes, and tungstenite what it was given with them.
    let (_first, task) = connect_to(&tenant, 64).await;
    let first = opened(&tenant, 1).await.remove(0);
    let _second = connect_to(&tenant, 64).await;
    let second = opened(&tenant, 2).await;
    let second = second.iter().find(|other| other.id != first.id).unwrap();
    let push =
        |connection: &Arc<Connection>| tenant.hub.send(connection, Bytes::from(vec![b'x'; FRAME]));
    for _ in 0..15 {
        push(&first).unwrap();
    }
    for _ in 0..5 {
        push(second).unwrap();
    }
    tokio::task::yield_now().await;
    assert_eq!(
        (first.outbox.closing(), second.outbox.closing()),
        (None, None)
    );
    // One byte too many: who has most waiting goes, whoever it is for.
    tenant.hub.send(second, Bytes::from_static(b"x")).unwrap();
    assert_eq!(first.outbox.overflowed(), Some(Limit::OutboxesBytesMax));
    assert_eq!(first.outbox.closing().map(|close| close.code), Some(3008));
    // There is room again.
    for _ in 0..10 {
        push(second).unwrap();
    }
    assert_eq!(second.outbox.closing(), None);
    task.await.unwrap();
    let counted = tenant.metrics.text();
    let series = format!(
        "wardroom_limit_reached_total{{tenant=\"default\",limit=\"{}\"}} 1\n",
        Limit::OutboxesBytesMax.key()
    );
    assert!(counted.contains(&series), "{counted}");
}
