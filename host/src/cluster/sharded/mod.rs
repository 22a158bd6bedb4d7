//! A bus on a cluster of Redis, by sharded publish and subscribe: a channel has a slot, and who has the slot has the
//! channel. Published there it stays among that master and its replicas, while what is published as on a single Redis
//! goes to all servers of the cluster.
//!
//! Each master is a broker by itself (`broker`), with a connection, probes and losses of its own: one that is away takes
//! no other along. What is added here is which channel is whose (`masters`), and how that is found out (`scout`). The
//! library's own client of clusters is not used: it subscribes again where slots went without looking whether that
//! worked, and does not say what was lost.

mod master;
mod masters;
#[cfg(test)]
mod played;
mod scout;
mod slots;
mod topology;
mod whole;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Bus, Outgoing, Payload, Receive, Status, Subscription};
use crate::config::BrokerUrl;
use masters::Masters;

/// One host's end of a bus that a cluster of Redis carries.
pub(super) struct ShardedBus {
    masters: Arc<Masters>,
    /// Until it is attached.
    task: Mutex<Option<BoxFuture<'static, ()>>>,
    stopping: CancellationToken,
    _stop: DropGuard,
}

impl ShardedBus {
    /// A bus that begins to look for its cluster when it is attached, which has to be within a tokio runtime. What
    /// waits for each master begins as `outgoing`, which is empty.
    pub(super) fn new(url: &BrokerUrl, prefix: &str, outgoing: Outgoing) -> Self {
        let masters = Arc::new(Masters::new(url.clone(), prefix, outgoing));
        let task = scout::run(Arc::clone(&masters));
        let stopping = CancellationToken::new();
        Self {
            masters,
            task: Mutex::new(Some(task.boxed())),
            _stop: stopping.clone().drop_guard(),
            stopping,
        }
    }
}

impl Bus for ShardedBus {
    fn attach(&self, receiver: Arc<dyn Receive>) {
        self.masters.attach(receiver);
        if let Some(task) = self.task.lock().take() {
            let stopping = self.stopping.clone();
            tokio::spawn(async move { stopping.run_until_cancelled(task).await });
        }
    }

    fn publish(&self, channel: &str, payload: &dyn Payload) {
        self.masters
            .with_owner(channel, |bus| bus.publish(channel, payload));
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        let changes = self.masters.changes();
        self.masters.want(channel);
        let subscription = self.masters.subscribe(channel);
        if let Some(done) = subscription.filter(Subscription::is_confirmed) {
            return done;
        }
        let masters = Arc::downgrade(&self.masters);
        Subscription::pending(confirmed(masters, channel.to_owned(), changes))
    }

    fn unsubscribe(&self, channel: &str) {
        self.masters.release(channel);
    }

    fn flush(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.masters.flush())
    }

    fn payload_bytes_max(&self) -> usize {
        self.masters.payload_bytes_max()
    }

    fn status(&self) -> Status {
        self.masters.status()
    }

    fn status_of(&self, channel: &str) -> Status {
        self.masters.status_of(channel)
    }
}

/// Waits until a channel is proven to arrive from the master that has it, whoever that is by then.
async fn confirmed(masters: Weak<Masters>, channel: String, mut changes: watch::Receiver<()>) {
    loop {
        let Some(alive) = masters.upgrade() else {
            return;
        };
        // What changes after that is noticed.
        changes.borrow_and_update();
        let subscription = alive.subscribe(&channel);
        // The masters must not live on by those who wait for them.
        drop(alive);
        let confirming = async {
            match subscription {
                Some(subscription) if subscription.is_confirmed() => true,
                // It is looked at once more: perhaps it was only given up there, for another master.
                Some(pending) => pending.confirmed().map(|()| false).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            is_confirmed = confirming => {
                if is_confirmed {
                    return;
                }
            }
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

impl std::fmt::Debug for ShardedBus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ShardedBus")
            .field("broker", &self.masters.url)
            .finish_non_exhaustive()
    }
}
