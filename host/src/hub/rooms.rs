//! Which connections are in which room. Locks only guard maps here: nothing is encoded and nothing awaited under
//! them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Connection, ConnectionId};
use crate::cluster::Subscription;

/// A room's name: 1 to 1024 bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// `None` when the text cannot name a room.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        crate::protocol::is_room_name(text).then(|| Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoomName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("a room's name has 1 to 1024 bytes")
    }
}

impl From<RoomName> for String {
    fn from(name: RoomName) -> Self {
        name.as_str().to_owned()
    }
}

impl Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Rooms of one lock each would cost memory per room; one lock for all would make every broadcast wait for every
/// other. 64 is what Centrifuge settled on for the same trade.
const SHARDS: usize = 64;

/// All rooms of a hub.
#[derive(Debug)]
pub(super) struct Rooms {
    shards: Box<[Mutex<BTreeMap<RoomName, Room>>]>,
    hasher: RandomState,
    count: AtomicUsize,
}

/// A room exists while it has members.
#[derive(Debug)]
struct Room {
    /// Dense, so that a broadcast walks memory in order.
    members: IndexMap<ConnectionId, Arc<Connection>>,
}

impl Rooms {
    pub(super) fn new() -> Self {
        let shards = std::iter::repeat_with(Mutex::default)
            .take(SHARDS)
            .collect();
        Self {
            shards,
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
        }
    }

    /// Adds a member; `None` when it would be the first of one room more than there may be. `subscribe` is called under
    /// the room's lock: for the first as for those who come later, as what has once arrived may have to be subscribed
    /// again since then.
    pub(super) fn insert(
        &self,
        name: &RoomName,
        member: &Arc<Connection>,
        rooms_max: usize,
        subscribe: impl FnOnce() -> Subscription,
    ) -> Option<Subscription> {
        let mut shard = self.shard(name.as_str()).lock();
        let room = match shard.entry(name.clone()) {
            Entry::Occupied(room) => room.into_mut(),
            Entry::Vacant(place) => {
                let one_more = |count| (count < rooms_max).then_some(count + 1);
                let counted =
                    self.count
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
                counted.ok()?;
                place.insert(Room {
                    members: IndexMap::new(),
                })
            }
        };
        room.members.insert(member.id, Arc::clone(member));
        Some(subscribe())
    }

    /// Removes a member. `end` is called under the room's lock when it was the last.
    pub(super) fn remove(&self, name: &RoomName, member: ConnectionId, end: impl FnOnce()) {
        let mut shard = self.shard(name.as_str()).lock();
        let Some(room) = shard.get_mut(name) else {
            return;
        };
        room.members.swap_remove(&member);
        if room.members.is_empty() {
            shard.remove(name);
            self.count.fetch_sub(1, Ordering::Relaxed);
            end();
        }
    }

    /// Calls `end` under the room's lock when it has no members.
    pub(super) fn if_empty(&self, name: &str, end: impl FnOnce()) {
        let shard = self.shard(name).lock();
        if !shard.contains_key(name) {
            end();
        }
    }

    /// Pushes a frame to all members but one. Under the room's lock, so that all see the same order.
    pub(super) fn deliver(&self, name: &str, frame: &Bytes, except: Option<ConnectionId>) {
        let shard = self.shard(name).lock();
        let Some(room) = shard.get(name) else { return };
        for (id, member) in &room.members {
            if Some(*id) != except {
                // A member that refuses is closing: it leaves in its own time.
                let _ = super::deliver(member, frame.clone());
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn size(&self, name: &str) -> usize {
        self.shard(name)
            .lock()
            .get(name)
            .map_or(0, |room| room.members.len())
    }

    /// In no order.
    pub(super) fn members(&self, name: &str) -> Vec<Arc<Connection>> {
        let shard = self.shard(name).lock();
        shard
            .get(name)
            .map(|room| room.members.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Names and sizes of the rooms that begin with `prefix`, in no order.
    pub(super) fn with_prefix(&self, prefix: &str) -> Vec<(RoomName, usize)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let from = shard.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            let matching = from.take_while(|(name, _)| name.as_str().starts_with(prefix));
            found.extend(matching.map(|(name, room)| (name.clone(), room.members.len())));
        }
        found
    }

    fn shard(&self, name: &str) -> &Mutex<BTreeMap<RoomName, Room>> {
        let hash = self.hasher.hash_one(name);
        let index = usize::try_from(hash % SHARDS as u64).expect("less than 64");
        self.shards
            .get(index)
            .expect("as many shards as remainders")
    }
}
