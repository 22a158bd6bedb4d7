//! A tenant: its connections and rooms, its plugins and their state, its limits. Whoever holds no tenant reaches none of
//! them.
//!
//! The plugins and their routes are one immutable snapshot, replaced as a whole: an event keeps the snapshot that
//! it was routed by.

mod change;
mod plugin_set;
mod room_members;
mod routes_used;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Limit, Limits, TenantName};
use crate::hub::{Hub, RoomName};
use crate::metrics::Metrics;
use crate::rate::{Bucket, Flow};
use crate::state::{Time, Values};

pub use change::Change;
pub use plugin_set::{Built, Candidate, Conflict, PluginSet, Target};
use room_members::RoomMembers;
pub use routes_used::{RouteUse, RoutesUsed};

/// What clients send, in messages and bytes a second.
#[derive(Debug, Default)]
struct Inflow {
    messages: Flow,
    bytes: Flow,
}

/// One tenant of the host.
#[derive(Debug)]
pub struct Tenant {
    /// What it is called.
    pub name: TenantName,
    /// Its connections and rooms.
    pub hub: Hub,
    /// What its plugins keep.
    pub state: Values,
    /// What is counted of it.
    pub metrics: Metrics,
    /// What its clients send.
    inflow: Inflow,
    limits: ArcSwap<Limits>,
    plugins: ArcSwap<PluginSet>,
    /// Ends with the tenant.
    _ending_rooms: Option<AbortOnDropHandle<()>>,
}

impl Tenant {
    /// A tenant without plugins. One that shares its state with other hosts is to be made within a tokio runtime.
    #[must_use]
    pub fn new(name: TenantName, hub: Hub, state: Values, limits: Limits) -> Self {
        let values = state.clone();
        hub.set_push_bytes_max(limits.push_bytes_max);
        hub.on_room_end(Box::new(move |room| values.end_room(room.as_str())));
        let ending_rooms = state.are_shared().then(|| {
            let (values, members) = (state.clone(), RoomMembers(hub.clone()));
            let ending = tokio::spawn(async move { values.end_rooms(&members).await });
            AbortOnDropHandle::new(ending)
        });
        Self {
            metrics: Metrics::of_tenant(&name),
            name,
            hub,
            state,
            inflow: Inflow::default(),
            limits: ArcSwap::from_pointee(limits),
            plugins: ArcSwap::default(),
            _ending_rooms: ending_rooms,
        }
    }

    /// What may be used of everything, as it is now. For what begins now: a connection, a handshake, a goodbye. An
    /// event's limits are [those of its plugin](crate::plugin::Plugin::limits).
    #[must_use]
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// Replaces the limits. What has begun ends with those it began with.
    pub fn set_limits(&self, limits: Arc<Limits>) {
        self.hub.set_push_bytes_max(limits.push_bytes_max);
        self.limits.store(limits);
    }

    /// Whether a message of so many bytes may be handled, from a connection that has this left. If not, says by which
    /// limit.
    ///
    /// # Errors
    /// The limit.
    pub fn admit(&self, bytes: usize, connection: &mut Bucket) -> Result<(), Limit> {
        let (limits, now) = (self.limits.load(), Instant::now());
        let Inflow {
            messages,
            bytes: in_bytes,
        } = &self.inflow;
        // The connection's own first: it may not use up what the others have.
        if !connection.take(now, limits.messages_per_second_per_connection_max) {
            return Err(Limit::MessagesPerSecondPerConnectionMax);
        }
        if !messages.take(now, 1, limits.messages_per_second_max as usize) {
            return Err(Limit::MessagesPerSecondMax);
        }
        if !in_bytes.take(now, bytes, limits.bytes_in_per_second_max) {
            return Err(Limit::BytesInPerSecondMax);
        }
        Ok(())
    }

    /// The plugins as they are now.
    #[must_use]
    pub fn plugins(&self) -> Arc<PluginSet> {
        self.plugins.load_full()
    }

    /// Takes away what is over of the state, and what nobody can reach any more. For housekeeping, every few seconds.
    pub fn sweep_state(&self) {
        let has_members = |room: &str| self.hub.room_size(room) > 0;
        let abandoned = self.state.sweep(Time::now(), has_members);
        for room in abandoned.iter().filter_map(|room| RoomName::new(room)) {
            self.hub.end_if_empty(&room);
        }
    }

    /// Replaces the plugins. Events that are being handled end with those they began with.
    pub fn set_plugins(&self, plugins: PluginSet) {
        self.plugins.store(Arc::new(plugins));
    }
}
