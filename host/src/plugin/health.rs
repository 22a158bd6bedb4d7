//! Whether a plugin works: one that fails again and again is not called for a while.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A plugin's health. Failures are an event's that trapped or ran out of time, not a handler's own errors.
///
/// After so many in a row the plugin is in quarantine: its events are refused, until one is let through as a trial.
/// When that fails too the next quarantine is twice as long; when any event goes well all is forgotten.
#[derive(Debug)]
pub(super) struct Health {
    failures_max: u32,
    quarantine_min: Duration,
    quarantine_max: Duration,
    /// In a row.
    failures: AtomicU32,
    quarantine: Mutex<Option<Quarantine>>,
}

#[derive(Clone, Copy, Debug)]
struct Quarantine {
    until: Instant,
    length: Duration,
    /// An event has been let through to see how it goes.
    is_tried: bool,
}

impl Health {
    /// A plugin that has not failed yet.
    pub(super) fn new(
        failures_max: u32,
        quarantine_min: Duration,
        quarantine_max: Duration,
    ) -> Self {
        Self {
            failures_max,
            quarantine_min,
            quarantine_max,
            failures: AtomicU32::new(0),
            quarantine: Mutex::default(),
        }
    }

    /// How long the plugin stays in quarantine, if it is; `None` lets the event through.
    pub(super) fn quarantine(&self) -> Option<Duration> {
        // Nearly always: no lock is taken.
        if self.failures.load(Ordering::Relaxed) < self.failures_max {
            return None;
        }
        let mut quarantine = self.quarantine.lock();
        let current = quarantine.as_mut()?;
        let now = Instant::now();
        let left = current.until.saturating_duration_since(now);
        if !left.is_zero() {
            return Some(left);
        }
        // This event is the trial. If it never ends the next one is another.
        current.until = now + current.length;
        current.is_tried = true;
        None
    }

    /// How long the plugin stays in quarantine, if it is; lets nothing through.
    pub(super) fn left(&self) -> Option<Duration> {
        let until = self.quarantine.lock().map(|current| current.until)?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// An event went well.
    pub(super) fn went_well(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            let mut quarantine = self.quarantine.lock();
            self.failures.store(0, Ordering::Relaxed);
            *quarantine = None;
        }
    }

    /// An event failed. Returns how long the plugin is in quarantine for it, if that begins now.
    pub(super) fn failed(&self) -> Option<Duration> {
        let mut quarantine = self.quarantine.lock();
        let failures = self.failures.load(Ordering::Relaxed).saturating_add(1);
        self.failures.store(failures, Ordering::Relaxed);
        if failures < self.failures_max {
            return None;
        }
        let length = match *quarantine {
            None => self.quarantine_min,
            Some(current) if current.is_tried => (current.length * 2).min(self.quarantine_max),
            // It began before the quarantine did, and says nothing new.
            Some(_) => return None,
        };
        *quarantine = Some(Quarantine {
            until: Instant::now() + length,
            length,
            is_tried: false,
        });
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(3);

    fn health() -> Health {
        Health::new(3, MIN, MAX)
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_less_than_the_limit_is_nothing() {
        let health = health();
        for _ in 0..10 {
            assert_eq!((health.failed(), health.failed()), (None, None));
            assert_eq!(health.quarantine(), None);
            health.went_well();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn quarantines_grow_up_to_a_limit() {
        let health = health();
        assert_eq!([health.failed(), health.failed()], [None; 2]);
        for length in [MIN, 2 * MIN, MAX, MAX] {
            assert_eq!(health.failed(), Some(length));
            // Those that were running already.
            assert_eq!(health.failed(), None);
            assert_eq!(health.quarantine(), Some(length));
            tokio::time::advance(length).await;
            assert_eq!(health.quarantine(), None, "a trial");
            assert_eq!(health.quarantine(), Some(length), "and only one");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_goes_well_ends_it() {
        let health = health();
        for _ in 0..3 {
            health.failed();
        }
        tokio::time::advance(MIN).await;
        assert_eq!(health.quarantine(), None);
        health.went_well();
        assert_eq!(health.quarantine(), None);
        assert_eq!([health.failed(), health.failed()], [None; 2]);
        assert_eq!(health.failed(), Some(MIN), "and all begins anew");
    }
}
