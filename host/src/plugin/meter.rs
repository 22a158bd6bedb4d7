//! How long an event's code has run, and who may run on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The CPU time of one event: the time for which its future was being polled. Host calls are in it; waiting,
/// whether for the bus or for the thread, is not.
#[derive(Debug)]
pub(super) struct Meter {
    origin: Instant,
    /// Since `origin`; the start of the current poll.
    resumed_nanos: AtomicU64,
    /// Of the polls before it.
    used_nanos: AtomicU64,
    max_nanos: AtomicU64,
}

/// The event has used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("out of CPU time")]
pub(super) struct OutOfCpu;

impl Meter {
    pub(super) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            origin: Instant::now(),
            resumed_nanos: zero(),
            used_nanos: zero(),
            max_nanos: zero(),
        }
    }

    /// Begins an event.
    pub(super) fn start(&self, max: Duration) {
        self.used_nanos.store(0, Ordering::Relaxed);
        self.max_nanos.store(nanos(max), Ordering::Relaxed);
    }

    /// Asked from within a poll.
    pub(super) fn is_exhausted(&self) -> bool {
        let running = self
            .now()
            .saturating_sub(self.resumed_nanos.load(Ordering::Relaxed));
        self.used_nanos.load(Ordering::Relaxed) + running >= self.max_nanos.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A future whose polls are metered.
#[derive(Debug)]
pub(super) struct Metered<'a, F> {
    pub(super) meter: &'a Meter,
    pub(super) future: F,
}

impl<F: Future + Unpin> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let meter = self.meter;
        let resumed = meter.now();
        meter.resumed_nanos.store(resumed, Ordering::Relaxed);
        let poll = Pin::new(&mut self.future).poll(context);
        if poll.is_pending() {
            // A finished event's time is nobody's business, and most finish here.
            meter
                .used_nanos
                .fetch_add(meter.now().saturating_sub(resumed), Ordering::Relaxed);
        }
        poll
    }
}

/// A guest's place among those that run for longer than a tick.
///
/// Yielding alone would let a hundred of them cost everyone else a hundred ticks; so they take turns, in order, on
/// all threads but one.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    permits: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Turn {
    pub(super) fn new(permits: Arc<Semaphore>) -> Self {
        Self {
            permits,
            held: Arc::default(),
        }
    }

    /// Ends this turn and waits for the next.
    pub(super) async fn next(self) {
        self.end();
        // A permit may be free at once, and others want the thread all the same. Tokio's own yield puts the task
        // behind them; wasmtime's is polled again at once (wasmtime#10667).
        tokio::task::yield_now().await;
        if let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await {
            *self.held.lock() = Some(permit);
        }
    }

    /// Gives the permit back, if it holds one.
    pub(super) fn end(&self) {
        self.held.lock().take();
    }
}
