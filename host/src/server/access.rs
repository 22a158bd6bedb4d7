//! Who gets in: what is made of the configuration for it, and what is answered to who does not.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use hyper::Uri;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use parking_lot::Mutex;

use super::socket::Socket;
use super::tls::{Tls, TlsConfig};
use crate::auth::{
    self, Forwarded, Jwt, KeySource, Networks, OriginRefused, Origins, Scheme, TokenRefused,
    Verified,
};
use crate::config::{Config, ConfigError, Fault, Key};
use crate::hub::Request;
use crate::rate::Throttle;
use crate::reread::BadFile;

/// Lines within a second about who did not get in: whoever can connect can cause them.
const LOG_LINES_PER_SECOND: u32 = 10;

/// What decides about a socket and its request. Replaced as a whole with the configuration.
#[derive(Debug)]
pub(super) struct Access {
    proxies: Networks,
    origins: Origins,
    jwt: Option<Jwt>,
    pub(super) tls: Option<Tls>,
}

impl Access {
    /// Reads the files that a valid configuration names.
    ///
    /// # Errors
    /// The first that is not what it should be, as a fault of its key.
    pub(super) fn open(config: &Config) -> Result<Self, ConfigError> {
        let jwt = config.jwt()?;
        let key = jwt.as_ref().map(|jwt| match jwt.key {
            KeySource::Secret(_) => Key::JwtSecret,
            KeySource::SecretFile(_) => Key::JwtSecretFile,
            KeySource::KeyFile(_) => Key::JwtKeyFile,
            KeySource::JwksFile(_) => Key::JwtJwksFile,
        });
        let jwt = jwt.map(Jwt::open).transpose();
        let jwt = jwt.map_err(|bad| fault(key.unwrap_or(Key::JwtSecret), &bad))?;
        let tls = TlsConfig::of(config).map(Tls::open).transpose();
        let tls = tls.map_err(|bad| {
            let is_key = config.tls_key.as_ref() == Some(&bad.file);
            let key = if is_key {
                Key::TlsKey
            } else {
                Key::TlsCertificate
            };
            fault(key, &bad)
        })?;
        Ok(Self {
            proxies: config.trusted_proxies.clone(),
            origins: config.origins.clone(),
            jwt,
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

    /// Whether the page that a request comes from may connect.
    pub(super) fn check_origin(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        client: Client,
    ) -> Result<(), OriginRefused> {
        self.origins.check(uri, headers, client.scheme)
    }

    /// What the token of a request says; `None` where none is asked for.
    pub(super) async fn check_token(
        &self,
        request: &Parts,
    ) -> Result<Option<Verified>, TokenRefused> {
        let Some(jwt) = &self.jwt else {
            return Ok(None);
        };
        let token = auth::find_token(&request.headers, request.uri.query())?;
        jwt.verify(token).await.map(Some)
    }
}

/// Puts what a token says in its place: plugins get the claims, and never what could be used again elsewhere. Returns
/// until when it is good.
pub(super) fn disclose(verified: Verified, request: &mut Request) -> SystemTime {
    request.claims = Some(verified.claims);
    request.query = request.query.as_deref().and_then(auth::redact_token);
    let is_token = |name: &str| name == header::AUTHORIZATION.as_str();
    request.headers.retain(|(name, _)| !is_token(name));
    verified.expires_at
}

fn fault(key: Key, bad: &BadFile) -> ConfigError {
    let fault = Fault {
        key: Some(key.to_string()),
        origin: None,
        problem: bad.to_string(),
    };
    ConfigError {
        faults: vec![fault],
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
