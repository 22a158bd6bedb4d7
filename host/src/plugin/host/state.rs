//! The `state` import.

use std::time::Duration;

use super::denied;
use super::rooms::room_of;
use crate::config::Limit;
use crate::hub::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX};
use crate::plugin::bindings::wardroom::plugin::state as wit;
use crate::plugin::bindings::wardroom::plugin::state::{Comparison, Host, KeyPage};
use crate::plugin::bindings::wardroom::plugin::types::HostError;
use crate::plugin::state::State;
use crate::protocol::{STATE_KEY_BYTES_MAX, check_json};
use crate::state::{Compared, Owner, Quota, StateError, Time, Values};

/// So many keys count as one operation more when they are listed.
const KEYS_PER_OPERATION: usize = 1_000;

impl Host for State {
    async fn get(
        &mut self,
        owner: wit::Owner,
        key: String,
    ) -> Result<Option<wit::Entry>, HostError> {
        let (values, owner) = self.operation(owner)?;
        check_key(&key)?;
        let got = values.get(&owner, &key, Time::now()).await;
        let entry = got.map_err(|error| self.refused(error))?;
        Ok(entry.map(|entry| wit::Entry {
            value: entry.value,
            version: entry.version,
        }))
    }

    async fn set(
        &mut self,
        owner: wit::Owner,
        key: String,
        value: String,
        ttl: Option<u64>,
    ) -> Result<u64, HostError> {
        let (values, owner) = self.operation(owner)?;
        check_key(&key)?;
        let (value, ttl) = (self.checked(&value)?, time_to_live(ttl)?);
        let set = values.set(&owner, &key, value, ttl, self.quota(), Time::now());
        let version = set.await;
        version.map_err(|error| self.refused(error))
    }

    async fn delete(&mut self, owner: wit::Owner, key: String) -> Result<bool, HostError> {
        let (values, owner) = self.operation(owner)?;
        check_key(&key)?;
        let deleted = values.delete(&owner, &key, Time::now()).await;
        deleted.map_err(|error| self.refused(error))
    }

    async fn increment(
        &mut self,
        owner: wit::Owner,
        key: String,
        by: i64,
        ttl: Option<u64>,
    ) -> Result<i64, HostError> {
        let (values, owner) = self.operation(owner)?;
        check_key(&key)?;
        let ttl = time_to_live(ttl)?;
        let increment = values.increment(&owner, &key, by, ttl, self.quota(), Time::now());
        let sum = increment.await;
        sum.map_err(|error| self.refused(error))
    }

    async fn compare_and_set(
        &mut self,
        owner: wit::Owner,
        key: String,
        expected: Option<u64>,
        value: String,
        ttl: Option<u64>,
    ) -> Result<Comparison, HostError> {
        let (values, owner) = self.operation(owner)?;
        check_key(&key)?;
        let (value, ttl) = (self.checked(&value)?, time_to_live(ttl)?);
        let (quota, now) = (self.quota(), Time::now());
        let set = values.compare_and_set(&owner, &key, expected, value, ttl, quota, now);
        let compared = set.await;
        match compared.map_err(|error| self.refused(error))? {
            Compared::Written(version) => Ok(Comparison::Written(version)),
            Compared::Conflict(current) => Ok(Comparison::Conflict(current)),
        }
    }

    async fn keys(
        &mut self,
        owner: wit::Owner,
        prefix: String,
        after: Option<String>,
        limit: Option<u32>,
    ) -> Result<KeyPage, HostError> {
        let (values, owner) = self.operation(owner)?;
        let limit = limit.unwrap_or(PAGE_LIMIT_DEFAULT).min(PAGE_LIMIT_MAX) as usize;
        let keys = values.keys(&owner, &prefix, after.as_deref(), limit, Time::now());
        let page = keys.await;
        let page = page.map_err(|error| self.refused(error))?;
        if let Some(event) = &mut self.event {
            // They were all looked at, perhaps on another thread, whose time is not the event's.
            let more = u32::try_from(page.total / KEYS_PER_OPERATION).unwrap_or(u32::MAX);
            event.state_operations = event.state_operations.saturating_add(more);
        }
        Ok(KeyPage {
            total: page.total as u64,
            keys: page.keys,
        })
    }
}

impl State {
    /// The values and whose of them are meant, if the event may ask once more.
    fn operation(&mut self, owner: wit::Owner) -> Result<(Values, Owner), HostError> {
        let event = self.event.as_mut().ok_or_else(denied)?;
        if event.state_operations >= self.limits.state_operations_per_event_max {
            return Err(self.reached(Limit::StateOperationsPerEventMax));
        }
        event.state_operations += 1;
        let owner = match owner {
            wit::Owner::Tenant => Owner::Tenant,
            wit::Owner::Plugin => {
                let plugin = self.plugin.as_deref().ok_or_else(denied)?;
                Owner::Plugin(plugin.to_owned())
            }
            wit::Owner::Room(room) => {
                let room = room_of(event, room.as_deref())?;
                Owner::Room(room.as_str().to_owned())
            }
        };
        Ok((event.values.clone(), owner))
    }

    /// A value that a guest made up.
    fn checked(&self, value: &str) -> Result<String, HostError> {
        let value =
            check_json(value).map_err(|error| HostError::Invalid(format!("the value: {error}")))?;
        if value.len() > self.limits.state_value_bytes_max {
            self.metrics.reached(Limit::StateValueBytesMax);
            return Err(HostError::TooLarge(
                Limit::StateValueBytesMax.key().to_owned(),
            ));
        }
        Ok(value.to_owned())
    }

    fn quota(&self) -> Quota {
        Quota {
            keys_max: self.limits.state_keys_max,
            bytes_max: self.limits.state_bytes_max,
        }
    }

    fn refused(&self, error: StateError) -> HostError {
        match error {
            StateError::NoInteger | StateError::Overflow => HostError::Invalid(error.to_string()),
            StateError::Limit(reached) => self.reached(reached),
            StateError::Unavailable(cause) => {
                // It may name files, which are not the guest's business.
                self.log.unavailable("the state", &cause);
                HostError::Unavailable("the state".to_owned())
            }
        }
    }
}

fn check_key(key: &str) -> Result<(), HostError> {
    if (1..=STATE_KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(());
    }
    Err(HostError::Invalid(format!(
        "the key must have 1 to {STATE_KEY_BYTES_MAX} bytes"
    )))
}

fn time_to_live(millis: Option<u64>) -> Result<Option<Duration>, HostError> {
    match millis {
        Some(0) => Err(HostError::Invalid(
            "the time to live must be at least 1 ms".to_owned(),
        )),
        millis => Ok(millis.map(Duration::from_millis)),
    }
}
