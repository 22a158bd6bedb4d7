//! Questions about connections and rooms, answered from this host.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::first::First;
use super::question::RoomOf;
use super::{Connection, ConnectionId, Hub, RoomName};

/// Entries of a page when the asker does not say.
pub const PAGE_LIMIT_DEFAULT: u32 = 100;
/// Entries of a page at most.
pub const PAGE_LIMIT_MAX: u32 = 1_000;

/// What can be known of a connection from outside it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ConnectionInfo {
    /// Who it is.
    pub id: ConnectionId,
    /// The host that holds it.
    pub node: String,
    /// Sorted.
    pub rooms: Vec<RoomName>,
    /// The public ones, by name.
    pub attributes: Vec<(String, String)>,
    /// Milliseconds since the Unix epoch.
    pub connected_at: u64,
}

/// A part of a sorted list, and how many there are in all.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// All of them, on every page.
    pub total: usize,
    /// This page's.
    pub entries: Vec<T>,
}

impl Hub {
    /// All open connections, sorted by id.
    #[must_use]
    pub fn connections(&self, after: Option<ConnectionId>, limit: u32) -> Page<ConnectionInfo> {
        use std::ops::Bound::{Excluded, Unbounded};
        let (total, page): (usize, Vec<Arc<Connection>>) = {
            let connections = self.inner.connections.read();
            let range = connections.range((after.map_or(Unbounded, Excluded), Unbounded));
            (
                connections.len(),
                range
                    .map(|(_, connection)| Arc::clone(connection))
                    .take(limit as usize)
                    .collect(),
            )
        };
        Page {
            total,
            entries: page
                .iter()
                .map(|connection| self.info(connection))
                .collect(),
        }
    }

    /// A room's members, sorted by id.
    #[must_use]
    pub fn room_connections(
        &self,
        room: &str,
        after: Option<ConnectionId>,
        limit: u32,
    ) -> Page<ConnectionInfo> {
        let (total, members) = self.inner.rooms.members(room, after, limit as usize);
        Page {
            total,
            entries: members.iter().map(|member| self.info(member)).collect(),
        }
    }

    /// How many rooms have members.
    #[must_use]
    pub fn room_count(&self) -> usize {
        self.inner.rooms.len()
    }

    /// How many members a room has.
    #[must_use]
    pub fn room_size(&self, room: &str) -> usize {
        self.inner.rooms.size(room)
    }

    /// Names and sizes of the rooms that begin with `prefix`, sorted by name.
    #[must_use]
    pub fn rooms(&self, prefix: &str, after: Option<&str>, limit: u32) -> Page<(RoomName, usize)> {
        self.first_rooms(prefix, after, limit as usize, |_| 1).0
    }

    /// As many of them as weigh no more than they may, and whether there are others behind these.
    pub(super) fn first_rooms(
        &self,
        prefix: &str,
        after: Option<&str>,
        weight_max: usize,
        weigh: impl Fn(&RoomOf) -> usize,
    ) -> (Page<RoomOf>, bool) {
        let mut first = First::new(weight_max, weigh);
        let total = self.inner.rooms.offer(prefix, after, &mut first);
        let (entries, is_cut) = first.sorted();
        (Page { total, entries }, is_cut)
    }

    /// An open connection, as others may see it.
    #[must_use]
    pub fn connection_info(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        self.find(id).map(|connection| self.info(&connection))
    }

    fn info(&self, connection: &Connection) -> ConnectionInfo {
        ConnectionInfo {
            id: connection.id,
            node: self.inner.exchange.origin.node.clone(),
            rooms: connection.joined(),
            attributes: connection.public_attributes(),
            connected_at: connection.connected_at,
        }
    }
}
