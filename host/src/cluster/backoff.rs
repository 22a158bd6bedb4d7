//! How long to wait before a broker is tried again. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(25);
/// A broker that is back is to be noticed within a second, and one that is away is not worth more than some three
/// attempts a second.
const MAX: Duration = Duration::from_millis(500);

/// Waits that double, from a few milliseconds to half a second.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait: between a half and the whole of what it would be, by this random number, so that hosts which lost
    /// a broker together do not come back together.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.attempts.min(16)).min(MAX);
        self.attempts = self.attempts.saturating_add(1);
        let half = whole / 2;
        let part = (random % 1024) as u32;
        half + half * part / 1024
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_second_and_never_vanish() {
        let mut backoff = Backoff::default();
        for whole in [25, 50, 100, 200, 400, 500, 500] {
            let mut other = Backoff {
                attempts: backoff.attempts,
            };
            let (least, most) = (other.next(0), backoff.next(u64::MAX));
            let whole = Duration::from_millis(whole);
            assert_eq!(least, whole / 2);
            assert!(most > whole * 9 / 10 && most <= whole, "{most:?}");
        }
        for _ in 0..1_000 {
            assert!(backoff.next(7) <= MAX);
        }
        backoff.reset();
        assert!(backoff.next(0) < FIRST);
    }
}
