//! One connection, from its upgrade to its end: connect handlers, messages one at a time, disconnect handlers.
//!
//! Each connection is one task, which reads, calls the plugin and writes. Only this module knows tungstenite.

mod end;
mod heartbeat;
mod share;
mod socket;
#[cfg(test)]
mod tests;
pub mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Limit;
use crate::dispatch::{self, Answer};
use crate::hub::{Connection, Outbox, Request};
use crate::protocol::{Close, CloseCode};
use crate::rate::Bucket;
use crate::tenant::{RoutesUsed, Tenant};
use end::End;
use heartbeat::Heartbeat;
use share::Share;
use socket::{Incoming, Socket};

/// What a connection keeps from its beginning to its end, beside its size limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// See [`crate::Config::heartbeat_interval`].
    pub heartbeat_interval: Duration,
    /// See [`crate::Config::heartbeat_timeout`].
    pub heartbeat_timeout: Duration,
    /// See [`crate::Config::drain`].
    pub drain: Duration,
    /// How long the connection may last, whatever happens on it; `None` for as long as it likes.
    pub lifetime: Option<Duration>,
    /// Cancelled when the host stops.
    pub stopping: CancellationToken,
    /// Cancelled when the tenant is taken away.
    pub removed: CancellationToken,
}

/// Serves one connection until it has closed and its plugins know. `read` is what was read of the stream beyond
/// the upgrade request.
pub async fn serve<S>(
    stream: S,
    read: Bytes,
    request: Request,
    tenant: &Tenant,
    settings: &Settings,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = tenant.limits();
    let connection = tenant.hub.connect(request, &limits);
    tenant.metrics.opened();
    let outbox = &connection.outbox;
    let heartbeat = Heartbeat::new(
        settings.heartbeat_interval,
        settings.heartbeat_timeout,
        settings.lifetime,
    );
    let mut socket = Socket::new(stream, read, &limits, heartbeat, tenant).await;
    // Others may be in force by the time that they are needed again.
    drop(limits);

    let connected = socket
        .drive(outbox, dispatch::connect(tenant, &connection))
        .await;
    let end = match &connected.refused {
        Some(close) => {
            outbox.close(close.clone());
            End::ByHost
        }
        None => {
            // A client that is answered is in all rooms, on whatever host they are.
            socket.drive(outbox, tenant.hub.open(&connection)).await;
            // Who stops the host closes all connections that were open then.
            if settings.stopping.is_cancelled() {
                outbox.close(Close::restarting(settings.drain.as_millis()));
            }
            if settings.removed.is_cancelled() {
                outbox.close(Close::tenant_removed());
            }
            let share = Share::new();
            let messages = messages(&mut socket, tenant, &connection, &share);
            share.watch(messages).await
        }
    };

    tenant.hub.begin_close(&connection);
    let close = end.close(outbox);
    // Nothing more is queued from here on, whoever still holds the connection.
    outbox.close(close.clone());
    tracing::debug!(connection = %connection.id, code = close.code, reason = ?close.reason, "closed");
    // The plugins need not wait for the client's goodbye.
    let goodbye = socket.finish(&end, outbox, tenant.limits().close_timeout);
    let (heard, ()) = tokio::join!(
        goodbye,
        dispatch::disconnect(tenant, &connection, &connected, &close)
    );
    count_end(tenant, outbox, &close, heard);
}

/// Counts the limits that a connection came to its end by.
fn count_end(tenant: &Tenant, outbox: &Outbox, close: &Close, heard: bool) {
    if let Some(limit) = outbox.overflowed() {
        tenant.metrics.reached(limit);
    }
    if close.code == CloseCode::TooLarge as u16 {
        tenant.metrics.reached(Limit::MessageBytesMax);
    }
    if !heard {
        tenant.metrics.reached(Limit::CloseTimeout);
    }
}

/// Handles messages until the connection ends.
async fn messages<S>(
    socket: &mut Socket<S>,
    tenant: &Tenant,
    connection: &Arc<Connection>,
    share: &Share,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let outbox = &connection.outbox;
    let mut used = RoutesUsed::default();
    let mut malformed = MalformedCount::new();
    let mut left = Bucket::default();
    loop {
        let is_used = share.is_used();
        if is_used {
            // What was answered so far need not wait for the others.
            socket.uncork();
        }
        let incoming = socket.next(outbox).await;
        // Not after a wait: they have had the thread.
        if is_used && share.is_used() {
            tokio::task::yield_now().await;
        }
        let answer = match incoming {
            Ok(Incoming::Text(frame)) => {
                tenant.metrics.received();
                match tenant.admit(frame.len(), &mut left) {
                    Ok(()) => {
                        let handling = dispatch::message(tenant, connection, &mut used, frame);
                        socket.drive(outbox, handling).await
                    }
                    Err(limit) => {
                        tenant.metrics.reached(limit);
                        tracing::debug!(connection = %connection.id, "a message too many ({})", limit.key());
                        dispatch::over_rate(frame)
                    }
                }
            }
            Ok(Incoming::NotText) => {
                tenant.metrics.received();
                dispatch::not_text()
            }
            Err(end) => return end,
        };
        match answer {
            Answer::Reply(frame) => tenant.hub.reply(connection, frame),
            Answer::Silence => {}
            Answer::Malformed(frame) => {
                tenant.hub.reply(connection, frame);
                if malformed.is_one_too_many(tenant.limits().malformed_per_minute_max) {
                    tenant.metrics.reached(Limit::MalformedPerMinuteMax);
                    outbox.close(Close::new(CloseCode::Policy, "too many malformed messages"));
                }
            }
        }
    }
}

/// Malformed messages of one connection, by the minute.
struct MalformedCount {
    count: u32,
    since: Instant,
}

impl MalformedCount {
    fn new() -> Self {
        Self {
            count: 0,
            since: Instant::now(),
        }
    }

    fn is_one_too_many(&mut self, max: u32) -> bool {
        if self.since.elapsed() >= Duration::from_secs(60) {
            self.since = Instant::now();
            self.count = 0;
        }
        self.count += 1;
        self.count > max
    }
}
