//! Redis: publish and subscribe on one connection, which RESP3 allows. From version 6 on, and what speaks like it.

use std::sync::Arc;

use futures_util::future::try_join3;
use redis::aio::{MultiplexedConnection, SendError};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, RedisConnectionInfo, RedisError, Value,
};

use super::link::{Batch, Inbox, Link, LinkError, Transport};
use crate::config::BrokerUrl;

/// The largest value of Redis is 512 MiB by default (`proto-max-bulk-len`); the limits of pushes are far below.
const PAYLOAD_BYTES_MAX: usize = 512 * 1024 * 1024;

pub(super) struct Redis {
    address: ConnectionAddr,
    settings: RedisConnectionInfo,
}

pub(super) struct RedisLink {
    /// The plain one: the library's manager of connections gives up after some attempts.
    connection: MultiplexedConnection,
}

impl Redis {
    pub(super) fn new(url: &BrokerUrl) -> Self {
        // Brackets are the URL's; the library wants the address itself.
        let host = url.host().trim_matches(['[', ']']).to_owned();
        let port = url.port();
        let address = if url.is_tls() {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(url.database().into());
        if let Some(user) = url.user() {
            settings = settings.set_username(user.expose());
        }
        if let Some(password) = url.password() {
            settings = settings.set_password(password.expose());
        }
        Self { address, settings }
    }
}

impl Transport for Redis {
    type Link = RedisLink;

    async fn connect(&self, inbox: Inbox) -> Result<RedisLink, LinkError> {
        let info = self.address.clone().into_connection_info()?;
        let info = info
            .set_redis_settings(self.settings.clone())
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        // How long anything may take is judged by who uses the link.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                take(&inbox, &push);
                Ok::<_, SendError>(())
            });
        let client = Client::open(info)?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connection = connecting.await?;
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
