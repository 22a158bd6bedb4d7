//! A model that is too simple to be wrong, and what is done to it and to what is tested.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;

pub(super) const QUOTA: Quota = Quota {
    keys_max: 5,
    bytes_max: 24,
};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Get(Owner, &'static str),
    Set(Owner, &'static str, &'static str, Option<u64>),
    Delete(Owner, &'static str),
    Increment(Owner, &'static str, i64, Option<u64>),
    /// The version is so much less than the newest.
    CompareAndSet(Owner, &'static str, Option<u64>, Option<u64>),
    Keys(Owner, &'static str, Option<&'static str>, usize),
    EndRoom(&'static str),
    Sweep,
    Pass(u64),
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![
        Just(Owner::Tenant),
        Just(Owner::Plugin("p".to_owned())),
        Just(Owner::Room("p".to_owned())),
        Just(Owner::Room("/r".to_owned())),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let key = || prop::sample::select(vec!["a", "ab", "b", "ä"]);
    let ttl = || prop::option::of(1..20_u64);
    let value = prop::sample::select(vec!["1", "-7", "\"text\"", "9223372036854775807", "1.0"]);
    prop_oneof![
        2 => (owner(), key()).prop_map(|(owner, key)| Step::Get(owner, key)),
        4 => (owner(), key(), value, ttl())
            .prop_map(|(owner, key, value, ttl)| Step::Set(owner, key, value, ttl)),
        2 => (owner(), key()).prop_map(|(owner, key)| Step::Delete(owner, key)),
        3 => (owner(), key(), -2..3_i64, ttl())
            .prop_map(|(owner, key, by, ttl)| Step::Increment(owner, key, by, ttl)),
        3 => (owner(), key(), prop::option::of(0..3_u64), ttl())
            .prop_map(|(owner, key, less, ttl)| Step::CompareAndSet(owner, key, less, ttl)),
        1 => (owner(), prop::sample::select(vec!["", "a", "c"]), prop::option::of(key()), 0..3_usize)
            .prop_map(|(owner, prefix, after, limit)| Step::Keys(owner, prefix, after, limit)),
        1 => prop::sample::select(vec!["p", "/r"]).prop_map(Step::EndRoom),
        1 => Just(Step::Sweep),
        3 => (1..15_u64).prop_map(Step::Pass),
    ]
}

/// Value, version, and when it is over.
type Entries = BTreeMap<(Owner, String), (String, u64, Option<u64>)>;

#[derive(Debug, Default)]
pub(super) struct Model {
    entries: Entries,
    version: u64,
    now: u64,
}

impl Model {
    /// What is over is not there at all.
    fn pass(&mut self, millis: u64) {
        self.now += millis;
        let now = self.now;
        self.entries
            .retain(|_, (_, _, expires)| expires.is_none_or(|expires| expires > now));
    }

    pub(super) fn now(&self) -> Time {
        at(self.now)
    }

    fn get(&self, owner: &Owner, key: &str) -> Option<Entry> {
        let (value, version, _) = self.entries.get(&(owner.clone(), key.to_owned()))?;
        Some(Entry {
            value: value.clone(),
            version: *version,
        })
    }

    fn put(
        &mut self,
        owner: &Owner,
        key: &str,
        value: String,
        expires: Option<u64>,
    ) -> Result<u64, StateError> {
        let bytes = |entries: &Entries| -> usize {
            let each = entries.iter().map(|((owner, key), (value, ..))| {
                let name = match owner {
                    Owner::Tenant => "",
                    Owner::Plugin(name) | Owner::Room(name) => name,
                };
                name.len() + key.len() + value.len()
            });
            each.sum()
        };
        let mut entries = self.entries.clone();
        let entry = (value, self.version + 1, expires);
        entries.insert((owner.clone(), key.to_owned()), entry);
        if entries.len() > self.entries.len() && entries.len() > QUOTA.keys_max {
            return Err(StateError::Limit(Limit::StateKeysMax));
        }
        if bytes(&entries) > bytes(&self.entries) && bytes(&entries) > QUOTA.bytes_max {
            return Err(StateError::Limit(Limit::StateBytesMax));
        }
        self.entries = entries;
        self.version += 1;
        Ok(self.version)
    }

    fn increment(
        &mut self,
        owner: &Owner,
        key: &str,
        by: i64,
        ttl: Option<u64>,
    ) -> Result<i64, StateError> {
        let place = (owner.clone(), key.to_owned());
        let (sum, expires) = match self.entries.get(&place) {
            None => (by, ttl.map(|ttl| self.now + ttl)),
            Some((value, _, expires)) => {
                let number: i64 = value.parse().map_err(|_| StateError::NoInteger)?;
                (
                    number.checked_add(by).ok_or(StateError::Overflow)?,
                    *expires,
                )
            }
        };
        self.put(owner, key, sum.to_string(), expires).map(|_| sum)
    }

    fn keys(&self, owner: &Owner, prefix: &str, after: Option<&str>, limit: usize) -> KeyPage {
        let all = self.entries.keys().filter(|(other, _)| other == owner);
        let all = all.map(|(_, key)| key.clone());
        let mut keys: Vec<_> = all.filter(|key| key.starts_with(prefix)).collect();
        let total = keys.len();
        keys.retain(|key| after.is_none_or(|after| key.as_str() > after));
        keys.truncate(limit);
        KeyPage { total, keys }
    }
}

pub(super) async fn check(values: &Values, model: &mut Model, step: &Step) -> TestCaseResult {
    let now = at(model.now);
    let time = |ttl: Option<u64>| ttl.map(Duration::from_millis);
    match step {
        Step::Get(owner, key) => {
            prop_assert_eq!(values.get(owner, key, now).await, Ok(model.get(owner, key)));
        }
        Step::Set(owner, key, value, ttl) => {
            let text = (*value).to_owned();
            let set = values
                .set(owner, key, text.clone(), time(*ttl), QUOTA, now)
                .await;
            let expires = ttl.map(|ttl| model.now + ttl);
            prop_assert_eq!(set, model.put(owner, key, text, expires));
        }
        Step::Delete(owner, key) => {
            let removed = model.entries.remove(&(owner.clone(), (*key).to_owned()));
            prop_assert_eq!(values.delete(owner, key, now).await, Ok(removed.is_some()));
        }
        Step::Increment(owner, key, by, ttl) => {
            let sum = values
                .increment(owner, key, *by, time(*ttl), QUOTA, now)
                .await;
            prop_assert_eq!(sum, model.increment(owner, key, *by, *ttl));
        }
        Step::CompareAndSet(owner, key, less, ttl) => {
            let current = model.get(owner, key).map(|entry| entry.version);
            let expected = less.map(|less| current.unwrap_or(model.version).saturating_sub(less));
            let (text, ttl) = ("0".to_owned(), *ttl);
            let set =
                values.compare_and_set(owner, key, expected, text.clone(), time(ttl), QUOTA, now);
            let wanted = if current == expected {
                let expires = ttl.map(|ttl| model.now + ttl);
                model.put(owner, key, text, expires).map(Compared::Written)
            } else {
                Ok(Compared::Conflict(current))
            };
            prop_assert_eq!(set.await, wanted);
        }
        Step::Keys(owner, prefix, after, limit) => {
            let page = values.keys(owner, prefix, *after, *limit, now).await;
            prop_assert_eq!(page, Ok(model.keys(owner, prefix, *after, *limit)));
        }
        Step::EndRoom(name) => {
            values.end_room(name);
            let ended = Owner::Room((*name).to_owned());
            // Shared ones go a moment later, and count until then; who asks for one of them waits.
            values.get(&ended, "a", now).await.unwrap();
            model
                .entries
                .retain(|(owner, _), (_, _, expires)| *owner != ended || expires.is_some());
        }
        Step::Sweep => prop_assert!(values.sweep(now, |_| true).is_empty()),
        Step::Pass(millis) => model.pass(*millis),
    }
    Ok(())
}

/// All that there is.
pub(super) async fn check_all(values: &Values, model: &Model) -> TestCaseResult {
    for owner in [
        Owner::Tenant,
        Owner::Plugin("p".to_owned()),
        Owner::Room("p".to_owned()),
        Owner::Room("/r".to_owned()),
    ] {
        let page = values.keys(&owner, "", None, 100, at(model.now)).await;
        prop_assert_eq!(&page, &Ok(model.keys(&owner, "", None, 100)));
        for key in page.unwrap().keys {
            let got = values.get(&owner, &key, at(model.now)).await;
            prop_assert_eq!(got, Ok(model.get(&owner, &key)));
        }
    }
    Ok(())
}
