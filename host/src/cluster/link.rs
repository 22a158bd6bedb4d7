//! What a transport has to do: connect to its broker once, and pass on what it is given. It neither waits nor tries
//! again nor remembers: all that is `broker`'s, for every transport alike.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::shared::Shared;

/// A kind of broker, and where it is.
pub(super) trait Transport: Send + Sync + 'static {
    /// A connection.
    type Link: Link;

    /// The name of a channel for the probes of a connection, which no other has.
    fn probes(&self, prefix: &str) -> String {
        format!("{prefix}ws:probe:{}", Uuid::new_v4().simple())
    }

    /// What it means that there is no connection: for the log.
    fn away(&self) -> &'static str {
        "the bus is away, hosts are alone"
    }

    /// Connects, once. What arrives on the connection, and its end, goes to the inbox. It need not mind the time.
    fn connect(&self, inbox: Inbox) -> impl Future<Output = Result<Self::Link, LinkError>> + Send;
}

/// A connection with a broker. Dropping it ends it.
pub(super) trait Link: Send {
    /// Passes a batch on. Completes when the broker has taken it, or the system has all of it: until then the next one
    /// waits, so that no more than one is on its way.
    fn send(&mut self, batch: Batch) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Bytes of the largest payload that the broker takes.
    fn payload_bytes_max(&self) -> usize;
}

/// What a broker is asked for, in this order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) unsubscribe: Vec<Arc<str>>,
    pub(super) subscribe: Vec<Arc<str>>,
    pub(super) publish: Vec<(String, Bytes)>,
}

/// Why there is no connection, or none any more: for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct LinkError(pub(super) String);

impl LinkError {
    pub(super) fn new(cause: &(impl ToString + ?Sized)) -> Self {
        Self(cause.to_string())
    }
}

/// Takes what arrives on one connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Inbox {
    shared: Arc<Shared>,
    /// The channel of this connection's probes, which no other has.
    probes: Arc<str>,
    end: Arc<End>,
}

#[derive(Default)]
struct End {
    cause: OnceLock<LinkError>,
    is_over: CancellationToken,
}

impl Inbox {
    pub(super) fn new(shared: Arc<Shared>, probes: Arc<str>) -> Self {
        Self {
            shared,
            probes,
            end: Arc::default(),
        }
    }

    /// A payload arrived. Never waits.
    pub(super) fn message(&self, channel: &str, payload: &[u8]) {
        if self.end.is_over.is_cancelled() {
            // What comes after the end may come a second time, by the next connection.
            return;
        }
        self.shared.heard();
        if *channel == *self.probes {
            self.shared.proven(payload);
        } else {
            self.shared.receive(channel, payload);
        }
    }

    /// The channel does not arrive, or not any more, although nobody asked for that. It will be asked for again. Says
    /// whether it was to arrive.
    pub(super) fn interrupted(&self, channel: &str, cause: &LinkError) -> bool {
        !self.end.is_over.is_cancelled() && self.shared.interrupted(channel, cause)
    }

    /// Payloads were lost on their way, out or in: so many that are known of.
    pub(super) fn missed(&self, payloads: u64) {
        self.shared.dropped(payloads);
    }

    /// There was no room for payloads that arrived, by `bus_bytes_max`.
    pub(super) fn overflowed(&self, payloads: u64) {
        if payloads > 0 {
            self.shared.overflowed(payloads);
        }
    }

    /// So many payloads of the batch that is being sent were refused. A probe may be among them.
    pub(super) fn refused(&self, payloads: u64) {
        self.shared.refused(payloads);
    }

    /// The connection has ended, or is of no use any more. The first cause counts.
    pub(super) fn lost(&self, cause: &(impl ToString + ?Sized)) {
        let _ = self.end.cause.set(LinkError::new(cause));
        self.end.is_over.cancel();
    }

    /// The channel of its probes.
    pub(super) fn probes(&self) -> &Arc<str> {
        &self.probes
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) -> LinkError {
        self.end.is_over.cancelled().await;
        let cause = self.end.cause.get().cloned();
        cause.unwrap_or_else(|| LinkError::new("it was given up"))
    }
}
