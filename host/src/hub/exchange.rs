//! What the hubs of a host have in common: the host's name, its end of the bus, and what waits for all connections.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;
use serde_json::json;
use uuid::Uuid;

use super::{Backlog, Inner};
use crate::cluster::{Bus, Receive, Status};
use crate::config::TenantName;

/// Shared by all hubs of a host.
pub struct Exchange {
    pub(super) origin: Origin,
    /// What the names of all channels begin with.
    prefix: String,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) backlog: Arc<Backlog>,
    /// By what the names of their channels begin with.
    hubs: RwLock<HashMap<String, Weak<Inner>>>,
    malformed: AtomicU64,
}

/// Which host a broadcast comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The host's name.
    pub(super) node: String,
    /// Another at each start: nobody keeps two hosts from having the same name.
    run: String,
    /// Both, as members of an envelope.
    pub(super) members: String,
}

impl Origin {
    fn new(node: &str) -> Self {
        let (run, _) = Uuid::new_v4().as_u64_pair();
        let run = format!("{run:016x}");
        Self {
            node: node.to_owned(),
            members: format!(r#""node":{},"run":"{run}""#, json!(node)),
            run,
        }
    }

    /// Whether it is this host. Not every server names its run.
    pub(super) fn is(&self, node: Option<&str>, run: Option<&str>) -> bool {
        node == Some(&self.node) && run.is_none_or(|run| run == self.run)
    }
}

impl Exchange {
    /// For a host of this name, on its end of the bus, where the names of all channels begin with `prefix`.
    #[must_use]
    pub fn new(node: &str, prefix: &str, bus: Arc<dyn Bus>, backlog: Arc<Backlog>) -> Arc<Self> {
        let exchange = Arc::new(Self {
            origin: Origin::new(node),
            prefix: prefix.to_owned(),
            bus,
            backlog,
            hubs: RwLock::default(),
            malformed: AtomicU64::new(0),
        });
        let ear = Ear(Arc::downgrade(&exchange));
        exchange.bus.attach(Arc::new(ear));
        exchange
    }

    /// How the bus is doing.
    #[must_use]
    pub fn bus_status(&self) -> Status {
        self.bus.status()
    }

    /// Payloads of the bus that were nothing to deliver.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// What the names of a tenant's channels begin with.
    pub(super) fn channels_of(&self, tenant: &TenantName) -> String {
        channels_of(&self.prefix, tenant)
    }

    /// From here on the hub gets what arrives on its channels, in place of another that had them.
    pub(super) fn attach(&self, channels: &str, hub: Weak<Inner>) {
        self.backlog.attach(Weak::clone(&hub));
        let mut hubs = self.hubs.write();
        hubs.retain(|_, hub| hub.strong_count() > 0);
        hubs.insert(channels.to_owned(), hub);
    }
}

/// The host's ear on the bus. It must not keep the hubs alive: the bus belongs to them.
struct Ear(Weak<Exchange>);

impl Receive for Ear {
    fn receive(&self, channel: &str, payload: &[u8]) {
        let Some(exchange) = self.0.upgrade() else {
            return;
        };
        let Some((channels, room)) = split(&exchange.prefix, channel) else {
            return;
        };
        let hub = exchange.hubs.read().get(channels).and_then(Weak::upgrade);
        let Some(hub) = hub else {
            return;
        };
        if let Err(malformed) = hub.receive(room, payload) {
            exchange.malformed.fetch_add(1, Ordering::Relaxed);
            // Not louder: who sends one may send a thousand.
            tracing::debug!(channel, %malformed, "malformed payload on the bus");
        }
    }
}

/// What the channels of a tenant's rooms begin with. Without a prefix, the default tenant's are those of the `event-ws`
/// family.
fn channels_of(prefix: &str, tenant: &TenantName) -> String {
    if prefix.is_empty() && *tenant == TenantName::default() {
        return "ws:room:".to_owned();
    }
    format!("{prefix}ws:{tenant}:room:")
}

/// A channel's tenant, and its room: no tenant's name has a colon, and none is `room`.
fn split<'a>(prefix: &str, channel: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = channel.strip_prefix(prefix)?.strip_prefix("ws:")?;
    let room = match rest.strip_prefix("room:") {
        Some(room) => room,
        None => rest.split_once(':')?.1.strip_prefix("room:")?,
    };
    let channels = channel.get(..channel.len() - room.len())?;
    Some((channels, room))
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Exchange")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_says_whose_it_is_and_which_room() {
        let split_plain = |channel| split("", channel);
        assert_eq!(
            split_plain("ws:room:/chat/a"),
            Some(("ws:room:", "/chat/a"))
        );
        assert_eq!(
            split_plain("ws:acme:room:/a:b"),
            Some(("ws:acme:room:", "/a:b"))
        );
        assert_eq!(
            split_plain("ws:room:acme:room:x"),
            Some(("ws:room:", "acme:room:x"))
        );
        for other in ["", "ws:", "ws:acme", "ws:acme:x:room:y", "room:x"] {
            assert_eq!(split_plain(other), None, "{other}");
        }
        let acme: TenantName = "acme".parse().unwrap();
        for (prefix, tenant, name) in [
            ("", TenantName::default(), "ws:room:"),
            ("", acme.clone(), "ws:acme:room:"),
            ("blue.", TenantName::default(), "blue.ws:default:room:"),
            ("blue.", acme, "blue.ws:acme:room:"),
        ] {
            let channels = channels_of(prefix, &tenant);
            assert_eq!(channels, name);
            let channel = format!("{channels}/r");
            assert_eq!(split(prefix, &channel), Some((name, "/r")));
        }
        assert_eq!(split("blue.", "ws:room:/r"), None);
    }

    #[test]
    fn a_host_knows_its_own_and_another_of_its_name() {
        let (one, other) = (Origin::new("a\""), Origin::new("a\""));
        let is_one = |origin: &Origin| one.is(Some(&origin.node), Some(&origin.run));
        assert!(is_one(&one) && !is_one(&other));
        assert!(one.is(Some("a\""), None) && !one.is(None, None));
        assert!(one.members.starts_with(r#""node":"a\"","run":""#));
    }
}
