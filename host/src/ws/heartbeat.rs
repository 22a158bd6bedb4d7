//! When to ping a silent client, when to give it up, and when its time is over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// One connection's heartbeat, and the end that it has in any case. It costs next to nothing per message: unless a ping
/// is unanswered, that something was heard is looked at when the timer fires, not when it is heard.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    /// For what comes first; `None` when nothing will.
    timer: Option<Pin<Box<Sleep>>>,
    /// When the next beat is due; `None` when there are none.
    next: Option<Instant>,
    /// When the connection has to end; `None` once that is said, or when there is no such time.
    last: Option<Instant>,
    /// Something arrived since the timer was last set.
    heard: bool,
    /// A ping is unanswered.
    pinged: bool,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send a ping.
    Ping,
    /// Close: nothing has arrived for too long.
    Missed,
    /// Close: the time is over.
    Over,
}

impl Heartbeat {
    /// Pings after `interval` of silence, gives up `timeout` later; an interval of zero never pings. Ends after
    /// `lifetime`.
    pub(super) fn new(interval: Duration, timeout: Duration, lifetime: Option<Duration>) -> Self {
        let now = Instant::now();
        let next = (!interval.is_zero()).then(|| now + interval);
        // A time that cannot be said is never.
        let last = lifetime.and_then(|lifetime| now.checked_add(lifetime));
        let first = next.into_iter().chain(last).min();
        Self {
            interval,
            timeout,
            timer: first.map(|first| Box::pin(sleep_until(first))),
            next,
            last,
            heard: false,
            pinged: false,
        }
    }

    /// Something arrived, whatever it is.
    pub(super) fn heard(&mut self) {
        if self.pinged {
            // It answers the ping: the next one comes after an interval, however long it could have taken.
            self.pinged = false;
            self.beat_after(self.interval);
        } else {
            self.heard = true;
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Beat> {
        loop {
            let Some(timer) = &mut self.timer else {
                return Poll::Pending;
            };
            ready!(timer.as_mut().poll(context));
            let fired = timer.deadline();
            if self.last.take_if(|last| *last <= fired).is_some() {
                self.set_timer();
                return Poll::Ready(Beat::Over);
            }
            if std::mem::take(&mut self.heard) {
                self.beat_after(self.interval);
            } else if self.pinged {
                return Poll::Ready(Beat::Missed);
            } else {
                self.pinged = true;
                self.beat_after(self.timeout);
                return Poll::Ready(Beat::Ping);
            }
        }
    }

    fn beat_after(&mut self, time: Duration) {
        self.next = Some(Instant::now() + time);
        self.set_timer();
    }

    fn set_timer(&mut self) {
        match (
            self.next.into_iter().chain(self.last).min(),
            &mut self.timer,
        ) {
            (Some(first), Some(timer)) => timer.as_mut().reset(first),
            _ => self.timer = None,
        }
    }
}
