//! How a NATS server is connected to: for the bus, and for what keeps state there.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};

use crate::config::{BrokerUrl, Secret};

/// How often the library asks whether the server is there, and gives up when it is not, three times. It ends what is left
/// of a connection that was given up here while its socket was stuck.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Where a server is and how to get in, for whoever has a connection to it.
#[derive(Debug)]
pub(crate) struct NatsServer {
    /// Without credentials: the library logs it.
    address: String,
    is_tls: bool,
    user: Option<Secret>,
    password: Option<Secret>,
}

impl NatsServer {
    pub(crate) fn new(url: &BrokerUrl) -> Self {
        Self {
            address: format!("nats://{}:{}", url.host(), url.port()),
            is_tls: url.is_tls(),
            user: url.user(),
            password: url.password(),
        }
    }

    /// Connects once. What happens to the connection afterwards is told to `take`, unless a hundred other things wait to
    /// be told: then not even that it has ended, or that the library has made another. So many messages of a
    /// subscription wait for their turn, and the library throws away what comes on top.
    pub(crate) async fn connect(
        &self,
        waiting_max: usize,
        take: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
        let address: ServerAddr = self.address.parse()?;
        let options = self
            .options()
            .subscription_capacity(waiting_max)
            .event_callback(move |event| {
                take(&event);
                std::future::ready(())
            });
        Ok(options.connect(address).await?)
    }

    fn options(&self) -> ConnectOptions {
        // Its own reconnecting cannot be switched off, but ends after one attempt, made at once. That one is of no use:
        // by then the link is given up.
        let options = ConnectOptions::new()
            .name("wardroom")
            .require_tls(self.is_tls)
            .max_reconnects(1)
            .reconnect_delay_callback(|_| Duration::ZERO)
            .ignore_discovered_servers()
            .ping_interval(PING_INTERVAL);
        let exposed = |secret: &Secret| secret.expose().to_owned();
        match (&self.user, &self.password) {
            (Some(token), None) => options.token(exposed(token)),
            (user, Some(password)) => {
                let user = user.as_ref().map(exposed).unwrap_or_default();
                options.user_and_password(user, exposed(password))
            }
            (None, None) => options,
        }
    }
}
