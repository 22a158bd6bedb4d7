//! Redis: publish and subscribe on one connection, which RESP3 allows. From version 6 on, and what speaks like it.

use std::sync::Arc;

use futures_util::future::try_join3;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisError, Value};

use super::link::{Batch, Inbox, Link, LinkError, Transport};
use super::redis_server::RedisServer;
use crate::config::BrokerUrl;

/// The largest value of Redis is 512 MiB by default (`proto-max-bulk-len`); the limits of pushes are far below.
pub(super) const PAYLOAD_BYTES_MAX: usize = 512 * 1024 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Redis(RedisServer);

pub(super) struct RedisLink {
    connection: MultiplexedConnection,
}

impl Redis {
    pub(super) fn new(url: &BrokerUrl) -> Self {
        Self(RedisServer::new(url))
    }

    /// One that is got in to as the URL says, and may be elsewhere.
    pub(super) fn at(url: &BrokerUrl, host: &str, port: u16) -> Self {
        Self(RedisServer::at(url, host, port))
    }

    /// Connects, once; what arrives without having been asked for is taken by `take`.
    pub(super) async fn open(
        &self,
        take: impl Fn(&PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        self.0.connect(take).await
    }
}

impl Transport for Redis {
    type Link = RedisLink;

    async fn connect(&self, inbox: Inbox) -> Result<RedisLink, LinkError> {
        let connection = self.open(move |push| take(&inbox, push)).await?;
        Ok(RedisLink { connection })
    }
}

/// Called by the library as it reads, so what is not taken fast enough waits in the socket, and then in Redis, which
/// limits it (`client-output-buffer-limit`).
fn take(inbox: &Inbox, push: &PushInfo) {
    match (&push.kind, push.data.as_slice()) {
        (PushKind::Message, [Value::BulkString(channel), Value::BulkString(payload)]) => {
            // What this host subscribed to was text.
            if let Ok(channel) = std::str::from_utf8(channel) {
                inbox.message(channel, payload);
            }
        }
        (PushKind::Disconnection, _) => inbox.lost("the connection was lost"),
        _ => {}
    }
}

impl Link for RedisLink {
    async fn send(&mut self, batch: Batch) -> Result<(), LinkError> {
        let names =
            |channels: &[Arc<str>]| Vec::from_iter(channels.iter().map(ToString::to_string));
        let [mut first, mut second, mut third] = [(); 3].map(|()| self.connection.clone());
        let unsubscribing = async {
            if batch.unsubscribe.is_empty() {
                return Ok(());
            }
            first.unsubscribe(names(&batch.unsubscribe)).await
        };
        let subscribing = async {
            if batch.subscribe.is_empty() {
                return Ok(());
            }
            second.subscribe(names(&batch.subscribe)).await
        };
        let publishing = async {
            if batch.publish.is_empty() {
                return Ok(());
            }
            let mut publishing = redis::pipe();
            for (channel, payload) in &batch.publish {
                let command = publishing.cmd("PUBLISH").arg(channel);
                // How many got it is no measure of anything here.
                command.arg(payload.as_ref()).ignore();
            }
            publishing.exec_async(&mut third).await
        };
        // They go out in this order, and the answers are waited for together: one way there and back, not three.
        try_join3(unsubscribing, subscribing, publishing).await?;
        Ok(())
    }

    fn payload_bytes_max(&self) -> usize {
        PAYLOAD_BYTES_MAX
    }
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        Self::new(&error)
    }
}
