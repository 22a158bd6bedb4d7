//! Who is behind a socket: the TLS that is spoken on it, and the proxies that are believed. Which tenants let them in
//! is said by their gates.

use std::net::SocketAddr;

use hyper::http::request::Parts;

use super::socket::Socket;
use super::tls::{Tls, TlsConfig};
use crate::auth::{Forwarded, Networks, Scheme};
use crate::config::{Config, ConfigError, Fault, Key};

/// What is made of the configuration for it. Replaced as a whole with the configuration.
#[derive(Debug)]
pub(super) struct Access {
    proxies: Networks,
    pub(super) tls: Option<Tls>,
}

impl Access {
    /// Reads the files that a valid configuration names.
    ///
    /// # Errors
    /// The first that is not what it should be, as a fault of its key.
    pub(super) fn open(config: &Config) -> Result<Self, ConfigError> {
        let tls = TlsConfig::of(config).map(Tls::open).transpose();
        let tls = tls.map_err(|bad| {
            let is_key = config.tls_key.as_ref() == Some(&bad.file);
            let key = if is_key {
                Key::TlsKey
            } else {
                Key::TlsCertificate
            };
            fault(key.to_string(), bad.to_string())
        })?;
        Ok(Self {
            proxies: config.trusted_proxies.clone(),
            tls,
        })
    }

    /// Who is behind a socket, as far as its proxies are to be believed.
    pub(super) fn client(&self, request: &Parts, socket: Socket) -> Client {
        let Forwarded { peer, scheme } = self.proxies.client(socket.peer, &request.headers);
        let own = if socket.is_secure {
            Scheme::Https
        } else {
            Scheme::Http
        };
        Client {
            peer,
            scheme: scheme.unwrap_or(own),
        }
    }
}

/// What is wrong with what a key names.
pub(super) fn fault(key: String, problem: String) -> ConfigError {
    let fault = Fault {
        key: Some(key),
        origin: None,
        problem,
    };
    ConfigError {
        faults: vec![fault],
    }
}

/// Who is behind a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) scheme: Scheme,
}
