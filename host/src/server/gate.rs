//! Who gets in to a tenant: the pages that may connect, and the tokens that are good there. What is good at another
//! tenant is not known here.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use hyper::header;
use hyper::http::request::Parts;
use parking_lot::Mutex;

use super::access::{Client, fault};
use crate::auth::{self, Jwt, OriginRefused, Origins, TokenRefused, Verified};
use crate::config::{Config, ConfigError, JwtKey, TenantConfig, TenantKey, TenantName};
use crate::hub::Request;
use crate::rate::Throttle;

/// Lines within a second about who did not get in: whoever can connect can cause them.
const LOG_LINES_PER_SECOND: u32 = 10;

/// What decides about a request for a connection. Replaced as a whole with the tenant's configuration.
#[derive(Debug)]
pub(super) struct Gate {
    origins: Origins,
    jwt: Option<Jwt>,
}

/// Tenants that may be mounted: all that can be wrong with them was looked at.
pub(super) type Gated = BTreeMap<TenantName, (TenantConfig, Gate)>;

impl Gate {
    /// The tenants of a valid configuration with their gates. Reads the files that it names.
    ///
    /// # Errors
    /// The first that is not what it should be, as a fault of its key.
    pub(super) fn open_all(config: &Config) -> Result<Gated, ConfigError> {
        let tenants = config.mounted().into_iter();
        let opened = tenants.map(|(name, tenant)| {
            let gate = Self::open(config, &name, &tenant)?;
            Ok((name, (tenant, gate)))
        });
        opened.collect()
    }

    fn open(
        config: &Config,
        name: &TenantName,
        tenant: &TenantConfig,
    ) -> Result<Self, ConfigError> {
        let fault = |key, problem| fault(config.name_of(name, TenantKey::Jwt(key)), problem);
        // Where it is valid, that was looked at already.
        let jwt = tenant.jwt.config();
        let jwt = jwt.map_err(|problem| fault(JwtKey::Secret, problem))?;
        let jwt = jwt.map(|jwt| {
            let key = JwtKey::of(&jwt.key);
            Jwt::open(jwt).map_err(|bad| fault(key, bad.to_string()))
        });
        Ok(Self {
            origins: tenant.origins.clone(),
            jwt: jwt.transpose()?,
        })
    }

    /// Whether the page that a request comes from may connect.
    pub(super) fn check_origin(
        &self,
        request: &Parts,
        client: Client,
    ) -> Result<(), OriginRefused> {
        let Parts { uri, headers, .. } = request;
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

/// Says in the log who did not get in to a tenant, but not without end. Each tenant has its own: a flood at another's
/// gate takes no lines of it.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    log: Mutex<Throttle>,
}

impl Refusals {
    pub(super) fn say(
        &self,
        tenant: &TenantName,
        request: &Parts,
        client: Client,
        reason: &dyn std::error::Error,
    ) {
        let mut log = self.log.lock();
        let now = Instant::now();
        let (is_admitted, dropped) = (log.admits(now, LOG_LINES_PER_SECOND), log.dropped(now));
        drop(log);
        if is_admitted {
            let origin = request.headers.get(header::ORIGIN);
            // Quoted: it is the client's text.
            let origin = origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()));
            let origin = origin.map(|origin| origin.chars().take(128).collect::<String>());
            tracing::info!(%tenant, peer = %client.peer, origin, "not let in: {reason}");
        }
        if let Some(dropped) = dropped {
            tracing::info!(%tenant, "not let in: {dropped} more");
        }
    }
}
