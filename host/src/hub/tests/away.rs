//! What a hub answers while its bus is away, or has just come back.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::cluster::{Payload, Receive, Status, Subscription};
use crate::hub::Coverage;

/// A bus that a test takes away. What is published on it goes nowhere.
#[derive(Default)]
struct Fickle {
    is_ready: AtomicBool,
    receiver: Mutex<Option<Arc<dyn Receive>>>,
}

impl Bus for Arc<Fickle> {
    fn attach(&self, receiver: Arc<dyn Receive>) {
        *self.receiver.lock() = Some(receiver);
    }

    fn publish(&self, _: &str, _: &dyn Payload) {}

    fn subscribe(&self, _: &str) -> Subscription {
        if self.is_ready.load(Ordering::Relaxed) {
            return Subscription::done();
        }
        Subscription::pending(std::future::pending())
    }

    fn unsubscribe(&self, _: &str) {}

    fn status(&self) -> Status {
        Status {
            is_ready: self.is_ready.load(Ordering::Relaxed),
            ..Status::always_ready()
        }
    }
}

fn fickle() -> (Hub, Arc<Fickle>) {
    let bus = Arc::new(Fickle::default());
    (hub_on("a", Arc::clone(&bus), "default"), bus)
}

#[test]
fn who_joins_a_room_that_was_lost_waits_for_it_although_others_are_there() {
    let (hub, bus) = fickle();
    let [alice, bob] = [0; 2].map(|_| open(&hub));
    let (room, limits) = (room("/r"), Limits::default());
    bus.is_ready.store(true, Ordering::Relaxed);
    join(&hub, &alice, "/r").unwrap();
    bus.is_ready.store(false, Ordering::Relaxed);
    let subscription = hub.begin_join(&bob, &room, &limits).unwrap();
    assert!(!subscription.is_confirmed());
    bus.is_ready.store(true, Ordering::Relaxed);
    let subscription = hub.begin_join(&bob, &room, &limits).unwrap();
    assert!(subscription.is_confirmed());
}

#[tokio::test]
async fn an_answer_without_the_others_is_not_whole() {
    let (hub, bus) = fickle();
    let sizes = async || hub.room_size_everywhere(&room("/r")).await;
    let of = |expected| {
        (
            0,
            Coverage {
                expected,
                answered: 1,
            },
        )
    };
    assert_eq!(sizes().await, of(2), "whoever is there is not known");
    bus.is_ready.store(true, Ordering::Relaxed);
    assert_eq!(sizes().await, of(1), "nobody is");
    let receiver = bus.receiver.lock().clone().unwrap();
    for number in 0..2 {
        let run = format!("9e107d9d-372b-4b68-98ab-00000000000{number}");
        let alive = format!(r#"{{"alive":{{"from":"{run}","node":"b"}}}}"#);
        receiver.receive("ws:nodes", alive.as_bytes());
    }
    bus.is_ready.store(false, Ordering::Relaxed);
    assert_eq!(sizes().await, of(3), "they cannot be asked");
}
