//! Who gets in: what is made of the configuration for it, and what is answered to who does not.

use std::net::SocketAddr;
use std::time::Instant;

use hyper::Uri;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use parking_lot::Mutex;

use crate::auth::{Forwarded, Networks, OriginRefused, Origins, Scheme};
use crate::config::Config;
use crate::rate::Throttle;

/// Lines within a second about who did not get in: whoever can connect can cause them.
const LOG_LINES_PER_SECOND: u32 = 10;

/// What decides about a socket and its request. Replaced as a whole with the configuration.
#[derive(Debug)]
pub(super) struct Access {
    proxies: Networks,
    origins: Origins,
}

impl Access {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            proxies: config.trusted_proxies.clone(),
            origins: config.origins.clone(),
        }
    }

    /// Who is behind a socket, as far as its proxies are to be believed.
    pub(super) fn client(&self, request: &Parts, peer: SocketAddr) -> Client {
        let Forwarded { peer, scheme } = self.proxies.client(peer, &request.headers);
        Client {
            peer,
            scheme: scheme.unwrap_or(Scheme::Http),
        }
    }

    /// Whether the page that a request comes from may connect.
    pub(super) fn check_origin(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        client: Client,
    ) -> Result<(), OriginRefused> {
        self.origins.check(uri, headers, client.scheme)
    }
}

/// Who is behind a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    scheme: Scheme,
}

/// Says in the log who did not get in, but not without end.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    log: Mutex<Throttle>,
}

impl Refusals {
    pub(super) fn say(&self, client: Client, origin: Option<&str>, reason: &dyn std::error::Error) {
        let mut log = self.log.lock();
        let now = Instant::now();
        let (is_admitted, dropped) = (log.admits(now, LOG_LINES_PER_SECOND), log.dropped(now));
        drop(log);
        if is_admitted {
            let peer = client.peer;
            // Quoted: it is the client's text.
            let origin = origin.map(|origin| origin.chars().take(128).collect::<String>());
            tracing::info!(%peer, origin, "not let in: {reason}");
        }
        if let Some(dropped) = dropped {
            tracing::info!("not let in: {dropped} more");
        }
    }
}
