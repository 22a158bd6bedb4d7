//! The `config` import of the host behind the contract.

use crate::bindings::wardroom::plugin::config as wit;
use crate::error::HostError;

pub(crate) fn config_get(key: &str) -> Result<Option<String>, HostError> {
    Ok(wit::get(key)?)
}

pub(crate) fn config_keys() -> Result<Vec<String>, HostError> {
    Ok(wit::keys()?)
}
