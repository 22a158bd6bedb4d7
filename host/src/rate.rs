//! So much a second, and no more. Reads no clock; crates for this fix the rate when the limiter is made, and ours
//! change while the host runs.

use std::time::{Duration, Instant};

/// A token bucket: how much of a rate is left.
#[derive(Debug, Default)]
pub struct Bucket {
    /// What was left at the last look, and when that was; `None` for a bucket that is full.
    last: Option<(f64, Instant)>,
}

impl Bucket {
    /// Takes one of `per_second`, which is also how many there are after a second of rest.
    pub fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let full = f64::from(per_second);
        let left = match self.last {
            Some((left, at)) => {
                let since = now.saturating_duration_since(at).as_secs_f64();
                (left + since * full).min(full)
            }
            None => full,
        };
        let is_left = left >= 1.0;
        let left = if is_left { left - 1.0 } else { left };
        self.last = Some((left, now));
        is_left
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
