//! How a server of Redis is reached: for the bus, and for the state that hosts share, which has a connection of its own.

use std::sync::Arc;

use redis::aio::{MultiplexedConnection, SendError};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisConnectionInfo, RedisError,
};

use crate::config::BrokerUrl;

/// A server, and what it wants to hear of whoever connects.
#[derive(Clone)]
pub(crate) struct RedisServer {
    address: ConnectionAddr,
    settings: RedisConnectionInfo,
}

impl RedisServer {
    pub(crate) fn new(url: &BrokerUrl) -> Self {
        Self::at(url, url.host(), url.port())
    }

    /// One that is got in to as the URL says, and may be elsewhere.
    pub(crate) fn at(url: &BrokerUrl, host: &str, port: u16) -> Self {
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(url.database().into());
        if let Some(user) = url.user() {
            settings = settings.set_username(user.expose());
        }
        if let Some(password) = url.password() {
            settings = settings.set_password(password.expose());
        }
        Self {
            address: address(host, port, url.is_tls()),
            settings,
        }
    }

    /// Connects, once, by RESP3. `take` gets what the server says without being asked, as it is read; also that the
    /// connection is lost. How long anything may take is judged by who uses the connection.
    pub(crate) async fn connect(
        &self,
        take: impl Fn(&PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        let info = self.address.clone().into_connection_info()?;
        let info = info
            .set_redis_settings(self.settings.clone())
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let take = Arc::new(take);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                take(&push);
                Ok::<_, SendError>(())
            });
        let client = Client::open(info)?;
        // The plain connection: the library's manager of connections gives up after some attempts.
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

fn address(host: &str, port: u16, is_tls: bool) -> ConnectionAddr {
    // Brackets are the URL's; the library wants the address itself.
    let host = host.trim_matches(['[', ']']).to_owned();
    if is_tls {
        ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

impl std::fmt::Debug for RedisServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The settings have the password.
        formatter
            .debug_struct("RedisServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
