//! Memory, file and Redis against a model that is too simple to be wrong, and what the model does not show.

mod model;
pub(in crate::state) mod server;

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use tempfile::TempDir;

use super::rooms::EMPTY_MAX;
use super::*;
use model::{Model, QUOTA, Step, check, check_all, step};
use server::{Alone, Server};

const PLENTY: Quota = Quota {
    keys_max: usize::MAX,
    bytes_max: usize::MAX,
};

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
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
fn on_each(test: impl AsyncFn(Values)) {
    on_both(&test);
    let Some(server) = Server::start() else {
        return;
    };
    runtime().block_on(async {
        let values = server.values("a");
        tokio::select! {
            () = test(values.clone()) => {}
            () = values.end_rooms(&Alone) => {}
        }
    });
}

/// The same for each backend that is this host's alone.
fn on_both(test: impl AsyncFn(Values)) {
    let folder = TempDir::new().unwrap();
    for store in [Store::Memory, file(&folder)] {
        let values = store.tenant("a").unwrap();
        runtime().block_on(test(values));
    }
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
fn redis_behaves_as_its_model() {
    let Some(server) = Server::with_clock() else {
        return;
    };
    let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
    let tenants = AtomicU32::new(0);
    let tested = runner.run(&steps(80), |steps| {
        runtime().block_on(async {
            let tenant = tenants.fetch_add(1, Ordering::Relaxed).to_string();
            let values = server.values(&tenant);
            let mut model = Model::default();
            server.set_time(model.now());
            let checking = async {
                for step in &steps {
                    check(&values, &mut model, step).await?;
                    server.set_time(model.now());
                }
                check_all(&values, &model).await
            };
            tokio::select! {
                checked = checking => checked,
                () = values.end_rooms(&Alone) => Ok(()),
            }
        })
    });
    if let Err(error) = tested {
        panic!("{error}");
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
    on_each(async |values| {
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
    on_each(async |values| {
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
