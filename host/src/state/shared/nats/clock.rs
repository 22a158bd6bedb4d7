//! The server's time, as far as it can be known: when values end is judged by it, on all hosts alike.
//!
//! A server of version 2.9 does not say what time it is. It does say when it made something or took a message, and a
//! host's own monotonic clock counts on from there: so it does not matter what the hosts' clocks say, nor whether they
//! are set. The error is at most what an answer took to arrive.

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
}
