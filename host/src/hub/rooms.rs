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

use super::first::First;
use super::question::RoomOf;
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

    /// How many there are; and those behind `after`, sorted by id, no more than the limit.
    pub(super) fn members(
        &self,
        name: &str,
        after: Option<ConnectionId>,
        limit: usize,
    ) -> (usize, Vec<Arc<Connection>>) {
        let shard = self.shard(name).lock();
        let Some(room) = shard.get(name) else {
            return (0, Vec::new());
        };
        let mut first = First::new(limit, |_: &ConnectionId| 1);
        let ids = room.members.keys();
        for id in ids.filter(|id| after.is_none_or(|after| **id > after)) {
            first.offer(*id);
        }
        let (ids, _) = first.sorted();
        let members = ids.iter().filter_map(|id| room.members.get(id)).cloned();
        (room.members.len(), members.collect())
    }

    /// Offers names and sizes of the rooms that begin with `prefix` and come behind `after`. Returns how many begin with
    /// it.
    pub(super) fn offer<W: Fn(&RoomOf) -> usize>(
        &self,
        prefix: &str,
        after: Option<&str>,
        first: &mut First<RoomOf, W>,
    ) -> usize {
        let behind = behind(prefix);
        let end = behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let begin = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let is_any = match (after, behind.as_deref()) {
            (Some(after), Some(behind)) => after < behind,
            _ => true,
        };
        let mut total = 0;
        for shard in &self.shards {
            let mut found = Vec::new();
            {
                let shard = shard.lock();
                // Without a look at the names.
                total += shard
                    .range::<str, _>((Bound::Included(prefix), end))
                    .count();
                if is_any {
                    let rooms = shard.range::<str, _>((begin, end));
                    let last = first.end().map(|(name, _)| name);
                    let rooms = rooms.take_while(|(name, _)| last.is_none_or(|last| *name < last));
                    found.extend(rooms.map(|(name, room)| (name.clone(), room.members.len())));
                }
            }
            for room in found {
                first.offer(room);
            }
        }
        total
    }

    fn shard(&self, name: &str) -> &Mutex<BTreeMap<RoomName, Room>> {
        let hash = self.hasher.hash_one(name);
        let index = usize::try_from(hash % SHARDS as u64).expect("less than 64");
        self.shards
            .get(index)
            .expect("as many shards as remainders")
    }
}

/// The first text behind all that begin with `prefix`, if there is one.
fn behind(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_text_ends_before_another() {
        for (prefix, text) in [
            ("", None),
            ("/a", Some("/b")),
            ("/\u{7f}", Some("/\u{80}")),
            ("/\u{d7ff}", Some("/\u{e000}")),
            ("/\u{10ffff}\u{10ffff}", Some("0")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(behind(prefix).as_deref(), text);
        }
    }
}
