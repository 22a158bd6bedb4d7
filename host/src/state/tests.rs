//! Memory and file against a model that is too simple to be wrong, and what the model does not show.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tempfile::TempDir;

use super::rooms::EMPTY_MAX;
use super::*;

const QUOTA: Quota = Quota {
    keys_max: 5,
    bytes_max: 24,
};
const PLENTY: Quota = Quota {
    keys_max: usize::MAX,
    bytes_max: usize::MAX,
};

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

fn room(name: &str) -> Owner {
    Owner::Room(name.to_owned())
}

fn file(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("state")).unwrap()
}

/// The same for each backend.
fn on_both(test: impl AsyncFn(Values)) {
    let folder = TempDir::new().unwrap();
    for store in [Store::Memory, file(&folder)] {
        let values = store.tenant("a").unwrap();
        runtime().block_on(test(values));
    }
}

#[derive(Clone, Debug)]
enum Step {
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
        Just(room("p")),
        Just(room("/r")),
    ]
}

fn step() -> impl Strategy<Value = Step> {
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
struct Model {
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

async fn check(values: &Values, model: &mut Model, step: &Step) -> TestCaseResult {
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
            let ended = room(name);
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
async fn check_all(values: &Values, model: &Model) -> TestCaseResult {
    for owner in [
        Owner::Tenant,
        Owner::Plugin("p".to_owned()),
        room("p"),
        room("/r"),
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

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 0..most)
}

proptest! {
    #[test]
    fn memory_behaves_as_its_model(steps in steps(80)) {
        runtime().block_on(async {
            let values = Store::Memory.tenant("a").unwrap();
            let mut model = Model::default();
            for step in &steps {
                check(&values, &mut model, step).await?;
            }
            check_all(&values, &model).await
        })?;
    }
}

proptest! {
    // Each write waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_file_behaves_as_its_model_and_does_so_when_it_is_opened_again(
        steps in steps(60), more in steps(20)
    ) {
        let folder = TempDir::new().unwrap();
        runtime().block_on(async {
            let mut model = Model::default();
            for steps in [steps, more] {
                let values = file(&folder).tenant("a").unwrap();
                check_all(&values, &model).await?;
                for step in &steps {
                    check(&values, &mut model, step).await?;
                }
                check_all(&values, &model).await?;
            }
            Ok(()) as TestCaseResult
        })?;
    }
}

#[test]
fn tenants_share_a_file_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let store = file(&folder);
    let values = ["a", "ab", "b"].map(|name| store.tenant(name).unwrap());
    runtime().block_on(async {
        let owner = room("/r");
        let now = at(0);
        for (number, values) in values.iter().enumerate() {
            let value = number.to_string();
            let set = values.set(&owner, "k", value, None, QUOTA, now).await;
            assert_eq!(set, Ok(1), "one tenant's writes are no other's versions");
        }
        values[0].end_room("/r");
        assert_eq!(values[0].get(&owner, "k", now).await, Ok(None));
        for values in &values[1..] {
            assert!(values.get(&owner, "k", now).await.unwrap().is_some());
            assert_eq!(
                values.keys(&owner, "", None, 9, now).await.unwrap().total,
                1
            );
        }
    });
}

#[test]
fn increments_at_once_are_all_counted() {
    const TASKS: i64 = 400;
    on_both(async |values| {
        let counter = Owner::Tenant;
        let add = |_| values.increment(&counter, "n", 1, None, PLENTY, at(0));
        let mut sums: Vec<_> = join_all((0..TASKS).map(add)).await;
        sums.sort_by_key(|sum| *sum.as_ref().unwrap());
        let expected: Vec<_> = (1..=TASKS).map(Ok).collect();
        assert_eq!(sums, expected);
    });
}

#[test]
fn a_room_without_members_is_given_a_minute() {
    on_both(async |values| {
        let (waiting, mortal) = (room("waiting"), room("mortal"));
        let ttl = Some(Duration::from_secs(3_600));
        values
            .set(&waiting, "k", "1".to_owned(), None, PLENTY, at(0))
            .await
            .unwrap();
        values
            .set(&mortal, "k", "1".to_owned(), ttl, PLENTY, at(0))
            .await
            .unwrap();
        let minute = u64::try_from(EMPTY_MAX.as_millis()).unwrap();
        let none = |_: &str| false;
        assert!(values.sweep(at(7), none).is_empty());
        assert!(values.sweep(at(6 + minute), none).is_empty());
        assert!(
            values.sweep(at(7 + minute), |_| true).is_empty(),
            "somebody has joined"
        );
        assert!(
            values.sweep(at(8 + minute), none).is_empty(),
            "it begins anew"
        );
        assert_eq!(values.sweep(at(8 + 2 * minute), none), ["waiting"]);
        values.end_room("waiting");
        assert_eq!(values.get(&waiting, "k", at(0)).await, Ok(None));
        assert!(
            values.sweep(at(8 + 4 * minute), none).is_empty(),
            "it has nothing left"
        );
        values.end_room("mortal");
        assert!(values.get(&mortal, "k", at(0)).await.unwrap().is_some());
    });
}

#[test]
fn a_quota_that_was_lowered_takes_nothing_away() {
    let small = Quota {
        keys_max: 1,
        bytes_max: 2,
    };
    on_both(async |values| {
        let set = |key: &'static str, value: &str, quota| {
            values.set(&Owner::Tenant, key, value.to_owned(), None, quota, at(0))
        };
        set("a", "123", PLENTY).await.unwrap();
        set("b", "123", PLENTY).await.unwrap();
        let refused = |limit| Err(StateError::Limit(limit));
        assert_eq!(set("c", "1", small).await, refused(Limit::StateKeysMax));
        assert_eq!(set("a", "1234", small).await, refused(Limit::StateBytesMax));
        assert!(set("a", "321", small).await.is_ok(), "it has not grown");
        assert_eq!(values.delete(&Owner::Tenant, "b", at(0)).await, Ok(true));
    });
}
