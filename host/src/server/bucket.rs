//! A token bucket: so many a second, and so many at once. Reads no clock; crates for this fix the rate when the
//! limiter is made, and ours changes while the host runs.

use std::time::Instant;

/// How much of a rate is left.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// What was left at the last look, and when that was; `None` for a bucket that is full.
    last: Option<(f64, Instant)>,
}

impl Bucket {
    /// Takes one of `per_second`, which is also how many there are after a second of rest.
    pub(super) fn take(&mut self, now: Instant, per_second: u32) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
}
