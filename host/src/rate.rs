//! So much a second, and no more. Reads no clock; crates for this fix the rate when the limiter is made, and ours
//! change while the host runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A token bucket: how much of a rate is left.
#[derive(Debug, Default)]
pub struct Bucket {
    /// What was left at the last look, and when that was; `None` for a bucket that is full.
    last: Option<(f64, Instant)>,
}

impl Bucket {
    /// Takes one of `per_second`, which is also how many there are after a second of rest.
    pub fn take(&mut self, now: Instant, per_second: u32) -> bool {
        self.take_amount(now, 1.0, f64::from(per_second))
    }

    /// Takes so much, when one is left. What was taken beyond what was left has to be earned before anything is again.
    fn take_amount(&mut self, now: Instant, amount: f64, full: f64) -> bool {
        let left = self.left(now, full);
        let is_left = left >= 1.0;
        let left = if is_left { left - amount } else { left };
        self.last = Some((left, now));
        is_left
    }

    fn spend(&mut self, now: Instant, amount: f64, full: f64) {
        self.last = Some((self.left(now, full) - amount, now));
    }

    fn left(&self, now: Instant, full: f64) -> f64 {
        self.last.map_or(full, |(left, at)| {
            let since = now.saturating_duration_since(at).as_secs_f64();
            (left + since * full).min(full)
        })
    }
}

/// A rate that several share.
#[derive(Debug, Default)]
pub struct Flow {
    bucket: Mutex<Bucket>,
    /// Since the last look at the bucket.
    spent: AtomicU64,
}

impl Flow {
    /// Takes so much of `per_second`, when anything is left: also more than is left, which then has to be earned before
    /// anything is again.
    pub fn take(&self, now: Instant, amount: usize, per_second: usize) -> bool {
        let mut bucket = self.bucket.lock();
        let full = per_second as f64;
        let spent = self.spent.swap(0, Ordering::Relaxed);
        if spent > 0 {
            bucket.spend(now, spent as f64, full);
        }
        bucket.take_amount(now, amount as f64, full)
    }

    /// Takes so much, whatever is left.
    pub fn spend(&self, amount: usize) {
        self.spent.fetch_add(amount as u64, Ordering::Relaxed);
    }
}

/// How often to say that lines were dropped.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Lines of a log that others can cause: so many a second are let through, and how many were not is known in the end.
#[derive(Debug, Default)]
pub struct Throttle {
    bucket: Bucket,
    dropped: u64,
    reported: Option<Instant>,
}

impl Throttle {
    /// Whether a line may be logged.
    pub fn admits(&mut self, now: Instant, per_second: u32) -> bool {
        let is_admitted = self.bucket.take(now, per_second);
        self.dropped += u64::from(!is_admitted);
        is_admitted
    }

    /// How many lines were not logged, when it is time to say so.
    pub fn dropped(&mut self, now: Instant) -> Option<u64> {
        let is_recent =
            |reported: Instant| now.saturating_duration_since(reported) < REPORT_INTERVAL;
        if self.dropped == 0 || self.reported.is_some_and(is_recent) {
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_refills_it_and_no_more_than_that() {
        let mut bucket = Bucket::default();
        let start = Instant::now();
        let mut take =
            |milliseconds, max| bucket.take(start + Duration::from_millis(milliseconds), max);
        for _ in 0..10 {
            assert!(take(0, 10));
        }
        assert!(!take(0, 10));
        assert!(!take(99, 10), "not yet");
        assert!(take(101, 10) && !take(101, 10), "one tenth");
        for _ in 0..10 {
            assert!(take(60_000, 10));
        }
        assert!(!take(60_000, 10), "a minute is worth no more than a second");
        assert!(take(60_010, 100), "raised");
    }

    #[test]
    fn what_was_spent_beforehand_has_to_be_earned() {
        let flow = Flow::default();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(flow.take(start, 300, 100), "more than there is");
        assert!(!flow.take(after(1_990), 1, 100), "two seconds are owed");
        assert!(flow.take(after(2_010), 0, 100), "to look takes nothing");
        assert!(flow.take(after(2_010), 1, 100));
        flow.spend(100);
        assert!(!flow.take(after(2_500), 0, 100));
        assert!(flow.take(after(4_000), 0, 100));
    }

    #[test]
    fn what_is_dropped_is_said_once_a_second() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        assert!(throttle.admits(start, 2) && throttle.admits(start, 2));
        assert_eq!(throttle.dropped(start), None);
        assert!(!throttle.admits(start, 2) && !throttle.admits(start, 2));
        assert_eq!(throttle.dropped(start), Some(2));
        assert_eq!(throttle.dropped(start), None);
        assert!(!throttle.admits(start, 2));
        assert_eq!(throttle.dropped(start + REPORT_INTERVAL / 2), None);
        assert_eq!(throttle.dropped(start + REPORT_INTERVAL), Some(1));
        assert!(throttle.admits(start + REPORT_INTERVAL, 2));
    }
}
