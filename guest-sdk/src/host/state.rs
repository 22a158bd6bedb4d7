//! The `state` import of the host behind the contract.

use crate::bindings::wardroom::plugin::state as wit;
use crate::error::HostError;
use crate::state::{Comparison, KeyPage, Owner};

pub(crate) fn state_get(owner: Owner<'_>, key: &str) -> Result<Option<(String, u64)>, HostError> {
    let entry = wit::get(owner.into(), key)?;
    Ok(entry.map(|entry| (entry.value, entry.version)))
}

pub(crate) fn state_set(
    owner: Owner<'_>,
    key: &str,
    json: &str,
    ttl: Option<u64>,
) -> Result<u64, HostError> {
    Ok(wit::set(owner.into(), key, json, ttl)?)
}

pub(crate) fn state_delete(owner: Owner<'_>, key: &str) -> Result<bool, HostError> {
    Ok(wit::delete(owner.into(), key)?)
}

pub(crate) fn state_increment(
    owner: Owner<'_>,
    key: &str,
    by: i64,
    ttl: Option<u64>,
) -> Result<i64, HostError> {
    Ok(wit::increment(owner.into(), key, by, ttl)?)
}

pub(crate) fn state_compare_and_set(
    owner: Owner<'_>,
    key: &str,
    expected: Option<u64>,
    json: &str,
    ttl: Option<u64>,
) -> Result<Comparison, HostError> {
    let compared = wit::compare_and_set(owner.into(), key, expected, json, ttl)?;
    Ok(match compared {
        wit::Comparison::Written(version) => Comparison::Written(version),
        wit::Comparison::Conflict(version) => Comparison::Conflict(version),
    })
}

pub(crate) fn state_keys(
    owner: Owner<'_>,
    prefix: &str,
    after: Option<&str>,
    limit: Option<u32>,
) -> Result<KeyPage, HostError> {
    let page = wit::keys(owner.into(), prefix, after, limit)?;
    Ok(KeyPage {
        total: page.total,
        keys: page.keys,
    })
}

impl<'a> From<Owner<'a>> for wit::Owner<'a> {
    fn from(owner: Owner<'a>) -> Self {
        match owner {
            Owner::Tenant => Self::Tenant,
            Owner::Plugin => Self::Plugin,
            Owner::Room(room) => Self::Room(room),
        }
    }
}
