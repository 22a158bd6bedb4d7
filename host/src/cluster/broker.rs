//! A bus on a broker: all that does not depend on which. It connects for as long as it takes, subscribes to all
//! channels again, proves that they arrive, queues what is published, and gives up a broker that does not answer.
//!
//! One task (`run`) owns the connection. Everybody else only writes down what is to be done, and wakes it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::backoff::Backoff;
use super::link::{Batch, Inbox, Link, LinkError, Transport};
use super::outgoing::Outgoing;
use super::shared::Shared;
use super::status::Status;
use super::{Bus, Payload, Receive, Subscription};

/// How long an attempt to connect may take. One that a stopped broker has accepted is answered when it goes on.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How often to ask whether the broker still answers.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A connection that was ready for so long was a good one: the next is tried at once.
const GOOD: Duration = Duration::from_secs(1);

/// One host's end of a bus that a broker carries.
pub(super) struct BrokerBus {
    shared: Arc<Shared>,
    /// Until it is attached.
    task: Mutex<Option<BoxFuture<'static, ()>>>,
    stopping: CancellationToken,
    _stop: DropGuard,
}

impl BrokerBus {
    /// A bus that begins to connect when it is attached, which has to be within a tokio runtime. `name` says in logs
    /// where the broker is; the names of all channels begin with `prefix`.
    pub(super) fn new(
        transport: impl Transport,
        name: String,
        prefix: &str,
        outgoing: Outgoing,
    ) -> Self {
        let shared = Arc::new(Shared::new(name, outgoing));
        let task = run(Arc::clone(&shared), transport, prefix.to_owned());
        let stopping = CancellationToken::new();
        Self {
            shared,
            task: Mutex::new(Some(task.boxed())),
            _stop: stopping.clone().drop_guard(),
            stopping,
        }
    }
}

/// Of one among several that a bus is made of.
impl BrokerBus {
    /// Begins to receive channels that another has had. Until they are proven to arrive it is not ready.
    pub(super) fn adopt(&self, channels: &[Arc<str>]) {
        self.shared.adopt(channels);
    }

    /// Ends receiving a channel, which another has from now on.
    pub(super) fn forget(&self, channel: &str) {
        self.shared.forget(channel);
    }

    /// Ends, and drops what waits. Returns how it was doing in the end.
    pub(super) fn retire(&self) -> Status {
        self.stopping.cancel();
        self.shared.end();
        self.shared.status()
    }
}

impl Bus for BrokerBus {
    fn attach(&self, receiver: Arc<dyn Receive>) {
        self.shared.attach(receiver);
        if let Some(task) = self.task.lock().take() {
            let stopping = self.stopping.clone();
            tokio::spawn(async move { stopping.run_until_cancelled(task).await });
        }
    }

    fn publish(&self, channel: &str, payload: &dyn Payload) {
        self.shared.publish(channel, payload);
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        self.shared.subscribe(channel)
    }

    fn unsubscribe(&self, channel: &str) {
        self.shared.unsubscribe(channel);
    }

    fn flush(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Nobody is there to tell when the connection ends before that.
        Box::pin(self.shared.flush().map(drop))
    }

    fn payload_bytes_max(&self) -> usize {
        self.shared.payload_bytes_max()
    }

    fn link(&self) -> u64 {
        self.shared.link()
    }

    fn status(&self) -> Status {
        self.shared.status()
    }
}

/// Has one connection after another, for ever.
async fn run(shared: Arc<Shared>, transport: impl Transport, prefix: String) {
    let mut backoff = Backoff::default();
    let mut told = None;
    loop {
        let inbox = Inbox::new(Arc::clone(&shared), transport.probes(&prefix).into());
        let connecting = timeout(CONNECT_MAX, transport.connect(inbox.clone()));
        let error = match connecting.await {
            Ok(Ok(link)) => serve(&shared, link, &inbox).await,
            Ok(Err(error)) => error,
            Err(_) => silent(),
        };
        inbox.lost(&error);
        let ready = shared.end();
        // An outage is told once, and again when there is another cause.
        if ready.is_some() || told.as_ref() != Some(&error) {
            tracing::warn!(broker = %shared.name, "{}: {error}", transport.away());
            told = Some(error);
        }
        if ready.is_some_and(|time| time >= GOOD) {
            backoff.reset();
        }
        let (random, _) = Uuid::new_v4().as_u64_pair();
        sleep(backoff.next(random)).await;
    }
}

/// Serves a connection to its end.
async fn serve(shared: &Shared, mut link: impl Link, inbox: &Inbox) -> LinkError {
    shared.begin(link.payload_bytes_max());
    tokio::select! {
        error = feed(shared, &mut link, inbox) => error,
        error = inbox.ended() => error,
        error = watch(shared) => error,
    }
}

/// Sends what there is to send, until that fails.
async fn feed(shared: &Shared, link: &mut impl Link, inbox: &Inbox) -> LinkError {
    // Before anything that it is to prove.
    let mut first = vec![Arc::clone(inbox.probes())];
    loop {
        let mut batch = next_batch(shared, inbox).await;
        first.append(&mut batch.subscribe);
        batch.subscribe = std::mem::take(&mut first);
        if let Err(error) = link.send(batch).await {
            return error;
        }
        shared.sent();
    }
}

async fn next_batch(shared: &Shared, inbox: &Inbox) -> Batch {
    loop {
        match shared.take(inbox.probes()) {
            Ok(batch) => return batch,
            Err(until) => {
                tokio::select! {
                    () = shared.work.notified() => {}
                    () = sleep_until(until) => {}
                }
            }
        }
    }
}

/// Waits until the broker has not answered for too long.
async fn watch(shared: &Shared) -> LinkError {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        looks.tick().await;
        let now = Instant::now();
        // A host that was stopped itself must not blame the broker: the answer may have arrived meanwhile.
        let was_stopped = now - last > 2 * LOOK_INTERVAL;
        last = now;
        if !was_stopped && shared.is_dead(now) {
            return silent();
        }
    }
}

fn silent() -> LinkError {
    LinkError::new("it does not answer")
}

impl std::fmt::Debug for BrokerBus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("BrokerBus")
            .field("broker", &self.shared.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
