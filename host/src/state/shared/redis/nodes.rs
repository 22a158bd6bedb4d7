//! Where the keys of a tenant are: on the one server, or on a node of a cluster, which is found by asking any of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::time::sleep;

use super::link::{Link, LinkError};
use crate::cluster::RedisServer;
use crate::config::BrokerUrl;

/// How often one call is sent on: to who has the keys by now, or past a node that is away. Who asks gives up earlier.
const HOPS_MAX: usize = 32;
/// How long to wait for keys that are on their way to another node.
const MOVING_WAIT: Duration = Duration::from_millis(50);

/// A host and a port.
type Address = (String, u16);

/// The servers that have been spoken with.
#[derive(Debug)]
pub(super) struct Nodes {
    url: BrokerUrl,
    script: &'static str,
    /// Those that the URL names: of a single server one.
    named: Vec<Address>,
    links: Mutex<HashMap<Address, Arc<Link>>>,
    /// By tenant. Who is not here is asked for at the first that is named.
    places: Mutex<HashMap<String, Address>>,
}

impl Nodes {
    /// Begins to connect. To be called within a tokio runtime.
    pub(super) fn open(url: &BrokerUrl, script: &'static str) -> Self {
        let nodes = Self {
            url: url.clone(),
            script,
            named: url
                .nodes()
                .map(|(host, port)| (host.to_owned(), port))
                .collect(),
            links: Mutex::default(),
            places: Mutex::default(),
        };
        for address in &nodes.named {
            nodes.link(address);
        }
        nodes
    }

    /// Calls the script where a tenant's keys are. Sent on is only what has not been done.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        tenant: &str,
        arguments: &[Vec<u8>],
    ) -> Result<T, LinkError> {
        let mut address = self.place(tenant);
        let mut is_asking = false;
        let mut last = LinkError::Away;
        for hop in 0..HOPS_MAX {
            let answer = self.link(&address).call(arguments, is_asking).await;
            let error = match answer {
                Err(error) => error,
                Ok(answer) => {
                    // It has the keys, whether it was named by another or found past one that is away.
                    if hop > 0 && !is_asking {
                        self.places.lock().insert(tenant.to_owned(), address);
                    }
                    return Ok(answer);
                }
            };
            match error {
                LinkError::Redis(error) if let Some(to) = redirection(&error, &address) => {
                    is_asking = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
                    address = to;
                }
                // Some of the keys have moved already, the rest is about to. Nothing has been done.
                LinkError::Redis(error)
                    if error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain) =>
                {
                    sleep(MOVING_WAIT).await;
                }
                // Another may know who is in its place. Nothing has been done.
                error if error.is_of_who_is_no_use() => {
                    is_asking = false;
                    self.forget(tenant, &address);
                    match self.other(&address, hop) {
                        Some(other) => address = other,
                        None => return Err(error),
                    }
                    if !matches!(error, LinkError::Away) {
                        sleep(MOVING_WAIT).await;
                    }
                    last = error;
                }
                error => return Err(error),
            }
        }
        Err(last)
    }

    fn place(&self, tenant: &str) -> Address {
        let known = self.places.lock().get(tenant).cloned();
        known
            .or_else(|| self.named.first().cloned())
            .unwrap_or_default()
    }

    fn forget(&self, tenant: &str, address: &Address) {
        self.places.lock().remove(tenant);
        // One that was named may come back; of others, who is in their place says so. One that has not had its chance may
        // be there and far away.
        if !self.named.contains(address) {
            let mut links = self.links.lock();
            if links.get(address).is_some_and(|link| !link.is_beginning()) {
                links.remove(address);
            }
        }
    }

    /// One of those that are named, another one than this.
    fn other(&self, address: &Address, hop: usize) -> Option<Address> {
        let others: Vec<_> = self
            .named
            .iter()
            .filter(|named| *named != address)
            .collect();
        let other = others.get(hop % others.len().max(1));
        other.copied().cloned()
    }

    fn link(&self, address: &Address) -> Arc<Link> {
        let mut links = self.links.lock();
        let link = links.entry(address.clone()).or_insert_with(|| {
            let (host, port) = address;
            let server = RedisServer::at(&self.url, host, *port);
            Arc::new(Link::begin(server, format!("{host}:{port}"), self.script))
        });
        Arc::clone(link)
    }
}

/// Where a call is sent on to. A node that does not know its own name means the host that was asked.
fn redirection(error: &RedisError, asked: &Address) -> Option<Address> {
    let (to, _) = error.redirect_node()?;
    let (host, port) = to.rsplit_once(':')?;
    let (asked, _) = asked;
    let host = if host.is_empty() { asked } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}
