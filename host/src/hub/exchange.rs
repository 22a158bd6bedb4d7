//! What the hubs of a host have in common: the host's name, its end of the bus, and what waits for all connections.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use super::{Backlog, Inner};
use crate::cluster::{Bus, Receive};
use crate::config::TenantName;

/// Shared by all hubs of a host.
pub struct Exchange {
    pub(super) node: String,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) backlog: Arc<Backlog>,
    /// By what the names of their channels begin with.
    hubs: RwLock<HashMap<String, Weak<Inner>>>,
}

impl Exchange {
    /// For a host of this name, on its end of the bus.
    #[must_use]
    pub fn new(node: &str, bus: Arc<dyn Bus>, backlog: Arc<Backlog>) -> Arc<Self> {
        let exchange = Arc::new(Self {
            node: node.to_owned(),
            bus,
            backlog,
            hubs: RwLock::default(),
        });
        let ear = Ear(Arc::downgrade(&exchange));
        exchange.bus.attach(Arc::new(ear));
        exchange
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
        let Some((channels, room)) = split(channel) else {
            return;
        };
        let hub = exchange.hubs.read().get(channels).and_then(Weak::upgrade);
        if let Some(hub) = hub {
            hub.receive(channel, room, payload);
        }
    }
}

/// What the channels of a tenant's rooms begin with. The default tenant's are those of the `event-ws` family.
pub(super) fn channels_of(tenant: &TenantName) -> String {
    if *tenant == TenantName::default() {
        return "ws:room:".to_owned();
    }
    format!("ws:{tenant}:room:")
}

/// A channel's tenant, and its room: no tenant's name has a colon, and none is `room`.
fn split(channel: &str) -> Option<(&str, &str)> {
    let rest = channel.strip_prefix("ws:")?;
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
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_says_whose_it_is_and_which_room() {
        assert_eq!(split("ws:room:/chat/a"), Some(("ws:room:", "/chat/a")));
        assert_eq!(split("ws:acme:room:/a:b"), Some(("ws:acme:room:", "/a:b")));
        assert_eq!(
            split("ws:room:acme:room:x"),
            Some(("ws:room:", "acme:room:x"))
        );
        for other in ["", "ws:", "ws:acme", "ws:acme:x:room:y", "room:x"] {
            assert_eq!(split(other), None, "{other}");
        }
        let acme: TenantName = "acme".parse().unwrap();
        for tenant in [TenantName::default(), acme] {
            let channels = channels_of(&tenant);
            assert_eq!(
                split(&format!("{channels}/r")),
                Some((channels.as_str(), "/r"))
            );
        }
    }
}
