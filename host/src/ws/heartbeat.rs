//! When to ping a silent client, and when to give it up.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// One connection's heartbeat. It costs next to nothing per message: unless a ping is unanswered, that something
/// was heard is looked at when the timer fires, not when it is heard.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    /// `None` when there is no heartbeat.
    timer: Option<Pin<Box<Sleep>>>,
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
}

impl Heartbeat {
    /// Pings after `interval` of silence, gives up `timeout` later; an interval of zero never pings.
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        let timer = (!interval.is_zero()).then(|| Box::pin(sleep(interval)));
        Self {
            interval,
            timeout,
            timer,
            heard: false,
            pinged: false,
        }
    }

    /// Something arrived, whatever it is.
    pub(super) fn heard(&mut self) {
        match &mut self.timer {
            // It answers the ping: the next one comes after an interval, however long it could have taken.
            Some(timer) if self.pinged => {
                self.pinged = false;
                timer.as_mut().reset(Instant::now() + self.interval);
            }
            _ => self.heard = true,
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Beat> {
        let Some(timer) = &mut self.timer else {
            return Poll::Pending;
        };
        loop {
            ready!(timer.as_mut().poll(context));
            if std::mem::take(&mut self.heard) {
                timer.as_mut().reset(Instant::now() + self.interval);
            } else if self.pinged {
                return Poll::Ready(Beat::Missed);
            } else {
                self.pinged = true;
                timer.as_mut().reset(Instant::now() + self.timeout);
                return Poll::Ready(Beat::Ping);
            }
        }
    }
}
