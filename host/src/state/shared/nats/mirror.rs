//! What is in the bucket, but for the values: which keys, how large, and until when. Pure.
//!
//! It answers what a bucket cannot say in one step: what a tenant has in all, and which keys an owner has, sorted. It
//! sees what is written in the bucket's order, a moment later; who needs to know that it has seen all waits for that.
//! What this host is about to write is reserved, so that its own writes cannot exceed a quota together.

use std::collections::{BTreeMap, HashMap};

use crate::config::Limit;
use crate::state::entry::Time;
use crate::state::shared::{Spot, Wanted};
use crate::state::{KeyPage, Owner, Quota};

/// Writes of as many keys at once are believed to be possible, in all hosts together. Nearer to the limit than that, or
/// in the upper half of it, each write waits for those before it.
const KEYS_AT_ONCE: usize = 1_000;
/// The same in bytes.
const BYTES_AT_ONCE: usize = 16 * 1024 * 1024;
/// As many keys of a tenant may be gone and not swept yet. Who makes more of them than can be swept is refused new ones:
/// all hosts have them in memory.
const GONE_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Mirror(HashMap<String, Tenant>);

#[derive(Debug, Default)]
struct Tenant {
    items: BTreeMap<Name, Item>,
    /// Those that are there and have an end, by it and by their version.
    endings: BTreeMap<(Time, u64), Name>,
    /// Those that are not there any more, but in the bucket: since when, and their version.
    litter: BTreeMap<(Time, u64), Name>,
    /// Of those that are there.
    size: Size,
    /// What is about to be written may add as much.
    reserved: Size,
}

type Name = (Owner, String);

/// A key that the bucket has.
#[derive(Clone, Copy, Debug)]
struct Item {
    version: u64,
    is: Is,
}

#[derive(Clone, Copy, Debug)]
enum Is {
    There { bytes: usize, expires: Option<Time> },
    Gone { since: Time },
}

/// What became of a key: a value of so many bytes with its end, or nothing.
pub(super) type News = Option<(usize, Option<Time>)>;

/// A part of what a tenant may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    keys: usize,
    bytes: usize,
}

/// What is said to somebody who is about to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is room, whatever others are writing just now. As much is reserved, and is to be
    /// [released](Mirror::release).
    Far(Size),
    /// There is room, if nobody else is writing. Nothing is reserved.
    Near,
    /// There is none.
    Refused(Limit),
}

impl Mirror {
    /// A key has become that, by the version that says so. What is known better already stays.
    pub(super) fn learn(&mut self, spot: &Spot, version: u64, news: News, time: Time) {
        let tenant = self.0.entry(spot.tenant.clone()).or_default();
        let name = (spot.owner.clone(), spot.key.clone());
        if tenant
            .items
            .get(&name)
            .is_some_and(|item| item.version >= version)
        {
            return;
        }
        tenant.remove(&name);
        let is = match news {
            Some((value, expires)) => Is::There {
                bytes: key_bytes(&spot.owner, &spot.key) + value,
                expires,
            },
            None => Is::Gone { since: time },
        };
        tenant.insert(name, Item { version, is });
    }

    /// This version is not in the bucket any more.
    pub(super) fn forget(&mut self, spot: &Spot, version: u64) {
        if let Some(tenant) = self.0.get_mut(&spot.tenant) {
            let name = (spot.owner.clone(), spot.key.clone());
            if tenant
                .items
                .get(&name)
                .is_some_and(|item| item.version == version)
            {
                tenant.remove(&name);
            }
        }
    }

    /// Whether a value of so many bytes, or none, may be written, as far as is known here.
    pub(super) fn reserve(
        &mut self,
        spot: &Spot,
        value: Option<usize>,
        quota: Quota,
        now: Time,
    ) -> Verdict {
        let tenant = self.0.entry(spot.tenant.clone()).or_default();
        tenant.settle(now);
        let before = tenant.items.get(&(spot.owner.clone(), spot.key.clone()));
        let size = before.map(Item::size).unwrap_or_default();
        let after = value.map_or(Size::default(), |value| Size {
            keys: 1,
            bytes: key_bytes(&spot.owner, &spot.key) + value,
        });
        let growth = Size {
            keys: after.keys.saturating_sub(size.keys),
            bytes: after.bytes.saturating_sub(size.bytes),
        };
        let keys = tenant.size.keys + tenant.reserved.keys + growth.keys;
        let bytes = tenant.size.bytes + tenant.reserved.bytes + growth.bytes;
        let has_too_many_gone = before.is_none() && tenant.litter.len() >= GONE_MAX;
        if growth.keys > 0 && (keys > quota.keys_max || has_too_many_gone) {
            return Verdict::Refused(Limit::StateKeysMax);
        }
        if growth.bytes > 0 && bytes > quota.bytes_max {
            return Verdict::Refused(Limit::StateBytesMax);
        }
        let is_near = growth.keys > 0 && is_near(keys, quota.keys_max, KEYS_AT_ONCE)
            || growth.bytes > 0 && is_near(bytes, quota.bytes_max, BYTES_AT_ONCE);
        if is_near {
            return Verdict::Near;
        }
        tenant.reserved.keys += growth.keys;
        tenant.reserved.bytes += growth.bytes;
        Verdict::Far(growth)
    }

    /// It was written, or is not going to be.
    pub(super) fn release(&mut self, tenant: &str, size: Size) {
        if let Some(tenant) = self.0.get_mut(tenant) {
            tenant.reserved.keys = tenant.reserved.keys.saturating_sub(size.keys);
            tenant.reserved.bytes = tenant.reserved.bytes.saturating_sub(size.bytes);
        }
    }

    pub(super) fn keys(&mut self, wanted: &Wanted<'_>, now: Time) -> KeyPage {
        let mut page = KeyPage::default();
        let Some(tenant) = self.0.get_mut(wanted.tenant) else {
            return page;
        };
        tenant.settle(now);
        let first = (wanted.owner.clone(), wanted.prefix.to_owned());
        let found = tenant.items.range(first..).take_while(|((owner, key), _)| {
            owner == wanted.owner && key.starts_with(wanted.prefix)
        });
        for ((_, key), _) in found.filter(|(_, item)| item.is_there()) {
            page.total += 1;
            let is_behind = wanted.after.is_none_or(|after| key.as_str() > after);
            if is_behind && page.keys.len() < wanted.limit {
                page.keys.push(key.clone());
            }
        }
        page
    }

    /// The rooms of a tenant that have values without an end.
    pub(super) fn rooms(&self, tenant: &str) -> Vec<String> {
        let first = (Owner::Room(String::new()), String::new());
        let items = self.0.get(tenant).map(|tenant| tenant.items.range(first..));
        let lasting = items
            .into_iter()
            .flatten()
            .filter(|(_, item)| item.is_lasting());
        let mut rooms: Vec<String> = Vec::new();
        for ((owner, _), _) in lasting {
            if let Owner::Room(room) = owner
                && rooms.last() != Some(room)
            {
                rooms.push(room.clone());
            }
        }
        rooms
    }

    /// A room's values without an end and with no version above this.
    pub(super) fn lasting(&self, tenant: &str, room: &str, newest: u64) -> Vec<(Spot, u64)> {
        let owner = Owner::Room(room.to_owned());
        let first = (owner.clone(), String::new());
        let items = self.0.get(tenant).map(|tenant| tenant.items.range(first..));
        let of_room = items.into_iter().flatten();
        let of_room = of_room.take_while(|((other, _), _)| *other == owner);
        let lasting = of_room.filter(|(_, item)| item.is_lasting() && item.version <= newest);
        let spot = |key: &str| Spot {
            tenant: tenant.to_owned(),
            owner: owner.clone(),
            key: key.to_owned(),
        };
        lasting
            .map(|((_, key), item)| (spot(key), item.version))
            .collect()
    }

    /// What has not been there since this time and is still in the bucket, at most so many.
    pub(super) fn litter(
        &mut self,
        tenant: &str,
        until: Time,
        now: Time,
        max: usize,
    ) -> Vec<(Spot, u64)> {
        let Some(kept) = self.0.get_mut(tenant) else {
            return Vec::new();
        };
        kept.settle(now);
        let old = kept.litter.range(..=(until, u64::MAX)).take(max);
        let spot = |(owner, key): &Name| Spot {
            tenant: tenant.to_owned(),
            owner: owner.clone(),
            key: key.clone(),
        };
        old.map(|((_, version), name)| (spot(name), *version))
            .collect()
    }
}

impl Tenant {
    /// What is over is gone.
    fn settle(&mut self, now: Time) {
        while let Some(ending) = self.endings.first_entry()
            && ending.key().0 <= now
        {
            let ((since, version), name) = ending.remove_entry();
            self.remove(&name);
            let is = Is::Gone { since };
            self.insert(name, Item { version, is });
        }
    }

    fn insert(&mut self, name: Name, item: Item) {
        let size = item.size();
        self.size.keys += size.keys;
        self.size.bytes += size.bytes;
        match item.is {
            Is::There { expires, .. } => {
                let ending = expires.map(|expires| ((expires, item.version), name.clone()));
                self.endings.extend(ending);
            }
            Is::Gone { since } => drop(self.litter.insert((since, item.version), name.clone())),
        }
        self.items.insert(name, item);
    }

    fn remove(&mut self, name: &Name) {
        let Some(item) = self.items.remove(name) else {
            return;
        };
        let size = item.size();
        self.size.keys -= size.keys;
        self.size.bytes -= size.bytes;
        match item.is {
            Is::There { expires, .. } => {
                expires.map(|expires| self.endings.remove(&(expires, item.version)));
            }
            Is::Gone { since } => drop(self.litter.remove(&(since, item.version))),
        }
    }
}

impl Item {
    fn size(&self) -> Size {
        match self.is {
            Is::There { bytes, .. } => Size { keys: 1, bytes },
            Is::Gone { .. } => Size::default(),
        }
    }

    fn is_there(&self) -> bool {
        matches!(self.is, Is::There { .. })
    }

    fn is_lasting(&self) -> bool {
        matches!(self.is, Is::There { expires: None, .. })
    }
}

/// What a key counts for: itself, and the name of its room or plugin.
fn key_bytes(owner: &Owner, key: &str) -> usize {
    let name = match owner {
        Owner::Tenant => "",
        Owner::Plugin(name) | Owner::Room(name) => name,
    };
    name.len() + key.len()
}

fn is_near(used: usize, max: usize, at_once: usize) -> bool {
    used > max / 2 || max - used < at_once
}

#[cfg(test)]
mod tests;
