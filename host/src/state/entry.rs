//! A value with what is known of it, and the bytes that stand for it: the same in memory and in a file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Owner;

/// A point in time: milliseconds since the Unix epoch, because values may outlive the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

/// What never ends ends then.
const NEVER: u64 = u64::MAX;

impl Time {
    /// What the system says.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::from_millis(since.map_or(0, as_millis))
    }

    /// So many milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub(super) fn as_millis(self) -> u64 {
        self.0
    }

    pub(super) fn after(self, ttl: Duration) -> Self {
        // One before what would mean that there is no end.
        Self(self.0.saturating_add(as_millis(ttl)).min(NEVER - 1))
    }

    /// Big-endian, so that bytes sort as times do.
    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

fn as_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER)
}

/// A value, and which one of its key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// JSON text.
    pub value: String,
    /// Larger than those of all values that the tenant has written before.
    pub version: u64,
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    /// `None` when it has no time to live.
    pub(super) expires: Option<Time>,
}

impl Kept {
    pub(super) fn is_over(&self, now: Time) -> bool {
        is_over(self.expires, now)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let expires = self.expires.map_or(NEVER, |Time(time)| time);
        let mut bytes = Vec::with_capacity(HEAD + self.entry.value.len());
        bytes.extend(self.entry.version.to_be_bytes());
        bytes.extend(expires.to_be_bytes());
        bytes.extend(self.entry.value.as_bytes());
        bytes
    }

    /// `None` when the bytes are not what [`encode`](Self::encode) writes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let version = number(bytes)?;
        let expires = expiry(bytes)?;
        let value = std::str::from_utf8(bytes.get(HEAD..)?).ok()?.to_owned();
        Some(Self {
            entry: Entry { value, version },
            expires,
        })
    }
}

/// Of version and end.
const HEAD: usize = 16;

/// When an encoded entry ends, without a look at its value.
pub(super) fn expiry(bytes: &[u8]) -> Option<Option<Time>> {
    let time = number(bytes.get(8..)?)?;
    Some((time != NEVER).then_some(Time(time)))
}

pub(super) fn is_over(expires: Option<Time>, now: Time) -> bool {
    expires.is_some_and(|expires| expires <= now)
}

/// The one that the bytes begin with.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().copied().map(u64::from_be_bytes)
}

/// No UTF-8 has it, so it ends a name of any letters.
pub(super) const END: u8 = 0xff;

/// What a key of the map begins with: three lists share it.
const ENTRY: u8 = b'e';
const EXPIRY: u8 = b'x';
const USAGE: u8 = b'u';

/// What the keys of all entries of one owner begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix(pub(super) Vec<u8>);

impl Prefix {
    pub(super) fn of(tenant: &str, owner: &Owner) -> Self {
        let mut bytes = vec![ENTRY];
        bytes.extend(tenant.as_bytes());
        bytes.push(END);
        bytes.extend(own_prefix(owner));
        Self(bytes)
    }

    /// Of all rooms of a tenant.
    pub(super) fn rooms(tenant: &str) -> Self {
        let mut bytes = vec![ENTRY];
        bytes.extend(tenant.as_bytes());
        bytes.extend([END, ROOM]);
        Self(bytes)
    }

    pub(super) fn key(&self, key: &str) -> Vec<u8> {
        [&self.0, key.as_bytes()].concat()
    }
}

const ROOM: u8 = b'r';

/// The same where a tenant has a map of its own.
pub(super) fn own_prefix(owner: &Owner) -> Vec<u8> {
    let (kind, name) = match owner {
        Owner::Tenant => (b't', ""),
        Owner::Plugin(name) => (b'p', name.as_str()),
        Owner::Room(name) => (ROOM, name.as_str()),
    };
    let mut bytes = Vec::with_capacity(name.len() + 2);
    bytes.push(kind);
    bytes.extend(name.as_bytes());
    bytes.push(END);
    bytes
}

/// The name that the bytes after a [prefix](Prefix::rooms) begin with.
pub(super) fn name(bytes: &[u8]) -> Option<&str> {
    let name = bytes.split(|byte| *byte == END).next()?;
    std::str::from_utf8(name).ok()
}

/// Where it is noted that an entry ends: sorted by time.
pub(super) fn expiry_key(expires: Time, entry: &[u8]) -> Vec<u8> {
    [&[EXPIRY], expires.to_bytes().as_slice(), entry].concat()
}

/// The first of these notes.
pub(super) const EXPIRIES: &[u8] = &[EXPIRY];

/// When the entry of a note ends, and its key; `None` behind the last note.
pub(super) fn read_expiry(key: &[u8]) -> Option<(Time, &[u8])> {
    let rest = key.strip_prefix(EXPIRIES)?;
    Some((Time(number(rest)?), rest.get(8..)?))
}

/// Where it is noted what a tenant has.
pub(super) fn usage_key(tenant: &str) -> Vec<u8> {
    [&[USAGE], tenant.as_bytes()].concat()
}

/// The tenant of an entry.
pub(super) fn tenant_of(entry: &[u8]) -> Option<&str> {
    name(entry.strip_prefix(&[ENTRY])?)
}

/// What the key of an entry counts for: the owner's own, and the name of its room or plugin, which may be the longer one.
pub(super) fn key_bytes(entry: &[u8]) -> usize {
    let own = entry.splitn(2, |byte| *byte == END).nth(1);
    // Without the kind, and the end of the name.
    own.map_or(0, |own| own.len().saturating_sub(2))
}

/// How long the value of an encoded entry is.
pub(super) fn value_bytes(bytes: &[u8]) -> usize {
    bytes.len().saturating_sub(HEAD)
}
