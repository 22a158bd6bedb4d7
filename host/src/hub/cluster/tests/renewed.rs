//! Hosts on a bus that was away.

use parking_lot::Mutex;

use super::*;
use crate::cluster::{Status, Subscription};

struct Renewed {
    bus: LocalBus,
    since: Arc<Mutex<std::time::Instant>>,
}

impl Bus for Renewed {
    fn attach(&self, receiver: Arc<dyn Receive>) {
        self.bus.attach(receiver);
    }

    fn publish(&self, channel: &str, payload: &dyn Payload) {
        self.bus.publish(channel, payload);
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        self.bus.subscribe(channel)
    }

    fn unsubscribe(&self, channel: &str) {
        self.bus.unsubscribe(channel);
    }

    fn payload_bytes_max(&self) -> usize {
        self.bus.payload_bytes_max()
    }

    fn status(&self) -> Status {
        Status {
            since: *self.since.lock(),
            round_trip: Some(std::time::Duration::from_millis(1)),
            ..self.bus.status()
        }
    }
}

/// Another may have come while the bus was away, and who has not met it must not say that all have answered.
#[tokio::test(start_paused = true)]
async fn an_answer_is_not_whole_before_the_others_have_said_that_they_are_there() {
    let since = Arc::new(Mutex::new(std::time::Instant::now()));
    let hosts = hosts_on(&["a", "b"], |bus| {
        let since = Arc::clone(&since);
        Arc::new(Renewed { bus, since })
    })
    .await;
    let [a, b] = hosts.hubs.as_slice() else {
        panic!("there are two")
    };
    let there = open(b).id;
    assert!(a.inner.exchange.has_heard_others().await);
    assert_eq!(a.connections_everywhere(None, None, 10).await.1, all(2));
    *since.lock() = std::time::Instant::now();
    let (page, coverage) = a.connections_everywhere(None, None, 10).await;
    assert_eq!(page.total, 1);
    let (expected, answered) = (3, 2);
    assert_eq!(coverage, Coverage { expected, answered });
    let (is_there, coverage) = a.send_elsewhere(there, &push(1)).await;
    assert!(is_there && coverage.is_complete(), "one was enough");
    assert!(a.inner.exchange.has_heard_others().await);
    assert_eq!(a.connections_everywhere(None, None, 10).await.1, all(2));
}
