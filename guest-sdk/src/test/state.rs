//! What the test server keeps for plugins, and the functions of [`crate::host`] that ask for it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host::{Event, hub, room_or_path};
use super::hub::{Hub, check_name};
use crate::error::HostError;
use crate::state::{Comparison, KeyPage, Owner};

/// As by default in a host.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The values of a test server. Its one plugin's are as much its own as the tenant's are.
#[derive(Debug, Default)]
pub(super) struct Values {
    entries: BTreeMap<(Of, String), Kept>,
    /// The last that was given to a value.
    version: u64,
    /// How much time has passed, as far as values are concerned.
    now: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Of {
    Tenant,
    Plugin,
    Room(String),
}

#[derive(Clone, Debug)]
struct Kept {
    json: String,
    version: u64,
    expires: Option<Duration>,
}

impl Values {
    /// Lets time pass: what has lived for as long as it may is gone.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        let now = self.now;
        self.entries
            .retain(|_, kept| kept.expires.is_none_or(|expires| expires > now));
    }

    /// A room has no members any more.
    pub(super) fn end_room(&mut self, room: &str) {
        self.entries.retain(|(of, _), kept| {
            !matches!(of, Of::Room(name) if name == room) || kept.expires.is_some()
        });
    }

    fn put(&mut self, place: (Of, String), json: String, expires: Option<Duration>) -> u64 {
        self.version += 1;
        let version = self.version;
        let kept = Kept {
            json,
            version,
            expires,
        };
        self.entries.insert(place, kept);
        version
    }

    fn end_of(&self, ttl: Option<u64>) -> Result<Option<Duration>, HostError> {
        match ttl {
            Some(0) => Err(HostError::Invalid(
                "the time to live must be at least 1 ms".to_owned(),
            )),
            ttl => Ok(ttl.map(|ttl| self.now.saturating_add(Duration::from_millis(ttl)))),
        }
    }
}

fn of(owner: Owner<'_>, event: &Event) -> Result<Of, HostError> {
    Ok(match owner {
        Owner::Tenant => Of::Tenant,
        Owner::Plugin => Of::Plugin,
        Owner::Room(room) => Of::Room(room_or_path(room, event)?.to_owned()),
    })
}

fn with_place<R>(
    owner: Owner<'_>,
    key: &str,
    ask: impl FnOnce(&mut Values, (Of, String)) -> Result<R, HostError>,
) -> Result<R, HostError> {
    hub(|hub: &mut Hub, event| {
        let of = of(owner, event)?;
        check_name("key", key, 256)?;
        ask(&mut hub.state, (of, key.to_owned()))
    })
}

fn check_value(json: &str) -> Result<(), HostError> {
    if json.len() > VALUE_BYTES_MAX {
        return Err(HostError::TooLarge(format!(
            "a value may have {VALUE_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

pub(crate) fn state_get(owner: Owner<'_>, key: &str) -> Result<Option<(String, u64)>, HostError> {
    with_place(owner, key, |values, place| {
        let kept = values.entries.get(&place);
        Ok(kept.map(|kept| (kept.json.clone(), kept.version)))
    })
}

pub(crate) fn state_set(
    owner: Owner<'_>,
    key: &str,
    json: &str,
    ttl: Option<u64>,
) -> Result<u64, HostError> {
    check_value(json)?;
    with_place(owner, key, |values, place| {
        let expires = values.end_of(ttl)?;
        Ok(values.put(place, json.to_owned(), expires))
    })
}

pub(crate) fn state_delete(owner: Owner<'_>, key: &str) -> Result<bool, HostError> {
    with_place(owner, key, |values, place| {
        Ok(values.entries.remove(&place).is_some())
    })
}

pub(crate) fn state_increment(
    owner: Owner<'_>,
    key: &str,
    by: i64,
    ttl: Option<u64>,
) -> Result<i64, HostError> {
    let invalid = |why: &str| HostError::Invalid(why.to_owned());
    with_place(owner, key, |values, place| {
        let new = values.end_of(ttl)?;
        let (number, expires) = match values.entries.get(&place) {
            None => (0, new),
            Some(kept) => {
                let number = kept.json.parse::<i64>();
                let number = number.map_err(|_| invalid("the value is no whole number of 64 bits"));
                (number?, kept.expires)
            }
        };
        let sum = number.checked_add(by);
        let sum = sum.ok_or_else(|| invalid("the sum has more than 64 bits"))?;
        values.put(place, sum.to_string(), expires);
        Ok(sum)
    })
}

pub(crate) fn state_compare_and_set(
    owner: Owner<'_>,
    key: &str,
    expected: Option<u64>,
    json: &str,
    ttl: Option<u64>,
) -> Result<Comparison, HostError> {
    check_value(json)?;
    with_place(owner, key, |values, place| {
        let expires = values.end_of(ttl)?;
        let current = values.entries.get(&place).map(|kept| kept.version);
        Ok(if current == expected {
            Comparison::Written(values.put(place, json.to_owned(), expires))
        } else {
            Comparison::Conflict(current)
        })
    })
}

pub(crate) fn state_keys(
    owner: Owner<'_>,
    prefix: &str,
    after: Option<&str>,
    limit: Option<u32>,
) -> Result<KeyPage, HostError> {
    hub(|hub, event| {
        let of = of(owner, event)?;
        let all = hub.state.entries.keys().filter(|(other, _)| *other == of);
        let all = all.map(|(_, key)| key);
        let found: Vec<_> = all.filter(|key| key.starts_with(prefix)).collect();
        let total = found.len() as u64;
        let limit = limit.unwrap_or(100).min(1000) as usize;
        let behind = found
            .into_iter()
            .filter(|key| after.is_none_or(|after| key.as_str() > after));
        let keys = behind.take(limit).cloned().collect();
        Ok(KeyPage { total, keys })
    })
}
