//! The server's time, as far as it can be known: when values end is judged by it, on all hosts alike.
//!
//! A server of version 2.9 does not say what time it is. It does say when it made something or took a message, and a
//! host's own monotonic clock counts on from there: so it does not matter what the hosts' clocks say, nor whether they
//! are set. It is asked again now and then, as clocks do not run alike. The error is about what an answer took to arrive.

use std::time::{Duration, Instant};

use crate::state::Time;

#[derive(Debug)]
pub(super) struct Clock {
    /// The server's, at that moment.
    time: Time,
    at: Instant,
}

impl Clock {
    /// The server has said this time just now, in answer to a request that took so long.
    pub(super) fn new(time: Time, took: Duration) -> Self {
        Self {
            time: time.after(took / 2),
            at: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.time.after(self.at.elapsed())
    }

    /// The server took something at this time, which has passed.
    pub(super) fn at_least(&mut self, time: Time) {
        if time > self.now() {
            *self = Self::new(time, Duration::ZERO);
        }
    }

    /// The server said this time in answer to a request that took so long: it is no earlier, and no later by more than that.
    pub(super) fn set(&mut self, time: Time, took: Duration) {
        let last = time.after(took);
        self.at_least(time);
        if last < self.now() {
            *self = Self::new(last, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_servers_time_and_never_behind_what_the_server_has_done() {
        let start = Time::from_millis(1_000_000);
        let mut clock = Clock::new(start, Duration::from_millis(20));
        let now = clock.now();
        assert!(now >= Time::from_millis(1_000_010), "half the way");
        clock.at_least(start);
        assert!(clock.now() >= now, "it does not go back");
        let later = Time::from_millis(2_000_000);
        clock.at_least(later);
        assert!(clock.now() >= later);
    }

    #[test]
    fn it_is_put_right_as_far_as_it_is_known_to_be_wrong() {
        let hour = Duration::from_secs(3_600);
        let start = Time::from_millis(1_000_000);
        let mut clock = Clock::new(start, Duration::ZERO);
        clock.set(start, hour);
        assert!(clock.now() < start.after(hour / 2), "it may be right");
        clock.set(start.after(2 * hour), hour);
        let now = clock.now();
        assert!((start.after(2 * hour)..start.after(3 * hour)).contains(&now));
        clock.set(start, hour);
        let now = clock.now();
        assert!((start.after(hour)..start.after(2 * hour)).contains(&now));
    }
}
