//! Values in a sorted map of bytes, whatever holds it: one behaviour for all.

use super::change::{Change, Write};
use super::entry::{self, Entry, Kept, Prefix, Time};
use super::{KeyPage, Owner, Quota, StateError};
use crate::config::Limit;

/// How many values whose time is over one change takes away. More wait for the next: to take away a hundred thousand
/// would hold up everyone else.
const EXPIRED_MAX: usize = 1_000;

/// A map that can be read. It keeps its bytes, or it fails.
pub(super) trait Read {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Visits what is at `from` and behind it, in order, for as long as `visit` wants more.
    fn visit(
        &self,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError>;
}

/// A map that can be written.
pub(super) trait Map: Read {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError>;

    fn remove(&mut self, key: &[u8]) -> Result<(), StateError>;
}

/// How many values without a time to live a change has brought to its owner, or taken from it.
pub(super) type Lasting = isize;

/// Where one value is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) tenant: String,
    pub(super) prefix: Prefix,
    pub(super) key: String,
}

impl Place {
    pub(super) fn of(tenant: &str, owner: &Owner, key: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            prefix: Prefix::of(tenant, owner),
            key: key.to_owned(),
        }
    }
}

/// What one tenant has.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    keys: u64,
    bytes: u64,
    /// The last that was given to a value.
    version: u64,
}

impl Usage {
    fn read(map: &impl Read, tenant: &str) -> Result<Self, StateError> {
        let Some(bytes) = map.get(&entry::usage_key(tenant))? else {
            return Ok(Self::default());
        };
        let part = |start: usize| bytes.get(start..).and_then(entry::number);
        match (part(0), part(8), part(16)) {
            (Some(keys), Some(bytes), Some(version)) => Ok(Self {
                keys,
                bytes,
                version,
            }),
            _ => Err(damaged()),
        }
    }

    fn write(self, map: &mut impl Map, tenant: &str) -> Result<(), StateError> {
        let bytes = [self.keys, self.bytes, self.version].map(u64::to_be_bytes);
        map.put(&entry::usage_key(tenant), bytes.as_flattened())
    }

    fn add(&mut self, key: &[u8], value: usize) {
        self.keys += 1;
        self.bytes += (entry::key_bytes(key) + value) as u64;
    }

    fn subtract(&mut self, key: &[u8], value: usize) {
        let bytes = entry::key_bytes(key) + value;
        self.keys = self.keys.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }

    /// Whether there may be so much. Limits may have been lowered since: what does not grow may stay.
    fn check(self, before: Self, quota: Quota) -> Result<(), StateError> {
        if self.keys > before.keys && self.keys > quota.keys_max as u64 {
            return Err(StateError::Limit(Limit::StateKeysMax));
        }
        if self.bytes > before.bytes && self.bytes > quota.bytes_max as u64 {
            return Err(StateError::Limit(Limit::StateBytesMax));
        }
        Ok(())
    }
}

pub(super) fn get(map: &impl Read, place: &Place, now: Time) -> Result<Option<Entry>, StateError> {
    let kept = find(map, &place.prefix.key(&place.key))?;
    Ok(kept
        .filter(|kept| !kept.is_over(now))
        .map(|kept| kept.entry))
}

fn find(map: &impl Read, key: &[u8]) -> Result<Option<Kept>, StateError> {
    let bytes = map.get(key)?;
    bytes
        .map(|bytes| Kept::decode(&bytes).ok_or_else(damaged))
        .transpose()
}

pub(super) fn keys(
    map: &impl Read,
    owner: &Prefix,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    now: Time,
) -> Result<KeyPage, StateError> {
    let mut page = KeyPage::default();
    let wanted = owner.key(prefix);
    map.visit(&wanted, &mut |key, value| {
        if !key.starts_with(&wanted) {
            return false;
        }
        let key = key.get(owner.0.len()..).map(std::str::from_utf8);
        if let (Some(Ok(key)), Some(expires)) = (key, entry::expiry(value))
            && !entry::is_over(expires, now)
        {
            page.total += 1;
            if page.keys.len() < limit && after.is_none_or(|after| key > after) {
                page.keys.push(key.to_owned());
            }
        }
        true
    })?;
    Ok(page)
}

/// Changes one value. What it answers is so once the map is kept.
pub(super) fn change<C: Change>(
    map: &mut impl Map,
    place: &Place,
    change: &C,
    quota: Quota,
    now: Time,
) -> Result<(C::Answer, Lasting), StateError> {
    // What is over counts for nothing.
    expire(map, now)?;
    let key = place.prefix.key(&place.key);
    let before = find(map, &key)?;
    let usage = Usage::read(map, &place.tenant)?;
    let version = usage.version + 1;
    let seen = before.as_ref().filter(|kept| !kept.is_over(now));
    let (write, answer) = change.apply(seen, version, now)?;
    let after = match write {
        Write::Nothing => return Ok((answer, 0)),
        Write::Remove => None,
        Write::Put { value, expires } => Some(Kept {
            entry: Entry { value, version },
            expires,
        }),
    };
    let mut used = usage;
    if let Some(kept) = &before {
        used.subtract(&key, kept.entry.value.len());
    }
    if let Some(kept) = &after {
        used.add(&key, kept.entry.value.len());
        used.version = version;
    }
    used.check(usage, quota)?;
    replace(map, &key, before.as_ref(), after.as_ref())?;
    used.write(map, &place.tenant)?;
    Ok((answer, lasting(after.as_ref()) - lasting(before.as_ref())))
}

fn lasting(kept: Option<&Kept>) -> Lasting {
    Lasting::from(kept.is_some_and(|kept| kept.expires.is_none()))
}

/// Keeps the notes of what ends in step.
fn replace(
    map: &mut impl Map,
    key: &[u8],
    before: Option<&Kept>,
    after: Option<&Kept>,
) -> Result<(), StateError> {
    if let Some(expires) = before.and_then(|kept| kept.expires) {
        map.remove(&entry::expiry_key(expires, key))?;
    }
    if let Some(expires) = after.and_then(|kept| kept.expires) {
        map.put(&entry::expiry_key(expires, key), &[])?;
    }
    match after {
        Some(kept) => map.put(key, &kept.encode()),
        None => map.remove(key),
    }
}

/// Takes away what is over, of whomever it was.
pub(super) fn expire(map: &mut impl Map, now: Time) -> Result<(), StateError> {
    let mut over = Vec::new();
    map.visit(entry::EXPIRIES, &mut |note, _| {
        let found = entry::read_expiry(note).filter(|(expires, _)| *expires <= now);
        over.extend(found.map(|(_, key)| (note.to_owned(), key.to_owned())));
        found.is_some() && over.len() < EXPIRED_MAX
    })?;
    for (note, key) in over {
        map.remove(&note)?;
        take_away(map, &key)?;
    }
    Ok(())
}

/// Takes away all values of one owner that have no time to live.
pub(super) fn purge(map: &mut impl Map, owner: &Prefix) -> Result<(), StateError> {
    let mut lasting = Vec::new();
    map.visit(&owner.0, &mut |key, value| {
        let is_of_owner = key.starts_with(&owner.0);
        if is_of_owner && entry::expiry(value) == Some(None) {
            lasting.push(key.to_owned());
        }
        is_of_owner
    })?;
    lasting.iter().try_for_each(|key| take_away(map, key))
}

/// Removes an entry, and what it counts for. Who calls has seen to its note.
fn take_away(map: &mut impl Map, key: &[u8]) -> Result<(), StateError> {
    let Some(value) = map.get(key)? else {
        return Ok(());
    };
    let tenant = entry::tenant_of(key).ok_or_else(damaged)?;
    let mut usage = Usage::read(map, tenant)?;
    usage.subtract(key, entry::value_bytes(&value));
    usage.write(map, tenant)?;
    map.remove(key)
}

/// The rooms of a tenant that have values without a time to live, and how many: each time one is met.
pub(super) fn rooms(
    map: &impl Read,
    tenant: &str,
    met: &mut dyn FnMut(&str),
) -> Result<(), StateError> {
    let rooms = Prefix::rooms(tenant);
    map.visit(&rooms.0, &mut |key, value| {
        let Some(rest) = key.strip_prefix(rooms.0.as_slice()) else {
            return false;
        };
        if let (Some(room), Some(None)) = (entry::name(rest), entry::expiry(value)) {
            met(room);
        }
        true
    })
}

/// Not what was written. Only a file can be so.
fn damaged() -> StateError {
    StateError::Unavailable("what is kept is damaged".to_owned())
}
