//! Which channels are wanted, which of them a broker was told of, and which are proven to arrive. Pure.
//!
//! What the host wants is written down at once, and what a broker has to be told follows from the difference. So the
//! subscribing and unsubscribing of a channel cannot overtake each other, however fast they come, and after a
//! reconnect the whole list is what differs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Subscription;

/// A channel is kept for so long after nobody needs it: a room whose last member leaves is often joined again.
const LINGER: Duration = Duration::from_secs(1);
/// What the broker does not send is asked for again after this time.
const RETRY: Duration = Duration::from_millis(250);

/// The channels of one host.
#[derive(Debug, Default)]
pub(super) struct Channels {
    all: HashMap<Arc<str>, Channel>,
    /// Those of which the broker may have to be told something, each once.
    changed: VecDeque<Arc<str>>,
    /// Those that nobody needs any more, and until when they are kept.
    released: VecDeque<(Instant, Arc<str>)>,
    /// Those that wait for a probe, with its number.
    unproven: VecDeque<(u64, Arc<str>)>,
    /// Those that are needed and that the broker does not send, although it is there, and when to ask for them again.
    interrupted: HashSet<Arc<str>>,
    retry: Option<Instant>,
    /// How many of those that changed have to be subscribed again since the broker was lost.
    lost: usize,
}

#[derive(Debug)]
struct Channel {
    standing: Standing,
    /// Until when it is kept; `None` while it is needed.
    kept: Option<Instant>,
    is_changed: bool,
    waiting: Option<Waiting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Untold,
    /// The broker was told, and the probe of this number comes after that.
    Told(u64),
    Proven,
}

/// Those who wait for a channel to be proven.
#[derive(Debug)]
struct Waiting {
    done: oneshot::Sender<()>,
    subscription: Subscription,
}

/// What a broker has to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) subscribe: Vec<Arc<str>>,
    pub(super) unsubscribe: Vec<Arc<str>>,
}

impl Channels {
    /// The channel is needed.
    pub(super) fn want(&mut self, name: &str) -> Subscription {
        let name = match self.all.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(name),
        };
        let channel = self.all.entry(Arc::clone(&name)).or_insert(Channel {
            standing: Standing::Untold,
            kept: None,
            is_changed: false,
            waiting: None,
        });
        channel.kept = None;
        if channel.standing == Standing::Proven {
            return Subscription::done();
        }
        let waiting = channel.waiting.get_or_insert_with(Waiting::new);
        let subscription = waiting.subscription.clone();
        if channel.standing == Standing::Untold {
            channel.change(&mut self.changed, name);
        }
        subscription
    }

    /// These are needed that another broker had: they count as lost until they are proven here.
    pub(super) fn adopt(&mut self, names: &[Arc<str>]) {
        for name in names {
            let _ = self.want(name);
        }
        self.lost = self.changed.len();
    }

    /// Another broker has the channel from now on: it is not kept.
    pub(super) fn forget(&mut self, name: &str, now: Instant) {
        self.interrupted.remove(name);
        let Some((name, _)) = self.all.get_key_value(name) else {
            return;
        };
        let name = Arc::clone(name);
        if let Some(channel) = self.all.get_mut(&name) {
            channel.kept = Some(now);
            channel.change(&mut self.changed, name);
        }
    }

    /// The broker does not send the channel, or not any more, although nobody told it so. Says whether it was to.
    pub(super) fn interrupt(&mut self, name: &str, now: Instant) -> bool {
        let Some((name, _)) = self.all.get_key_value(name) else {
            return false;
        };
        let name = Arc::clone(name);
        let Some(channel) = self.all.get_mut(&name) else {
            return false;
        };
        if channel.standing == Standing::Untold {
            return false;
        }
        channel.standing = Standing::Untold;
        if channel.kept.is_some() {
            return false;
        }
        self.interrupted.insert(name);
        self.retry.get_or_insert(now + RETRY);
        true
    }

    /// Nobody needs the channel any more.
    pub(super) fn release(&mut self, name: &str, now: Instant) {
        let Some((name, _)) = self.all.get_key_value(name) else {
            return;
        };
        let name = Arc::clone(name);
        let kept = now + LINGER;
        self.released.push_back((kept, Arc::clone(&name)));
        if let Some(channel) = self.all.get_mut(&name) {
            channel.kept = Some(kept);
        }
    }

    /// When there may be something to tell although nobody has changed anything.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let kept = self.released.front().map(|(kept, _)| *kept);
        kept.into_iter().chain(self.retry).min()
    }

    /// Whether there is something to tell.
    pub(super) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What is to be told now, of so many channels at most. What is subscribed is proven by the probe of this number.
    pub(super) fn take(&mut self, now: Instant, channels_max: usize, probe: u64) -> Changes {
        self.end_released(now);
        self.retry_interrupted(now);
        let mut changes = Changes::default();
        for _ in 0..channels_max {
            let Some(name) = self.changed.pop_front() else {
                break;
            };
            self.lost = self.lost.saturating_sub(1);
            let Some(channel) = self.all.get_mut(&name) else {
                continue;
            };
            channel.is_changed = false;
            let is_over = channel.kept.is_some_and(|kept| kept <= now);
            match (is_over, channel.standing) {
                (false, Standing::Untold) => {
                    channel.standing = Standing::Told(probe);
                    self.unproven.push_back((probe, Arc::clone(&name)));
                    changes.subscribe.push(name);
                }
                (false, _) => {}
                (true, standing) => {
                    // Who waits for it is let go: it is not to be missed.
                    self.all.remove(&name);
                    if standing != Standing::Untold {
                        changes.unsubscribe.push(name);
                    }
                }
            }
        }
        changes
    }

    fn end_released(&mut self, now: Instant) {
        while let Some((kept, name)) = self.released.pop_front_if(|(kept, _)| *kept <= now) {
            if let Some(channel) = self.all.get_mut(&name)
                && channel.kept == Some(kept)
            {
                channel.change(&mut self.changed, name);
            }
        }
    }

    fn retry_interrupted(&mut self, now: Instant) {
        if self.retry.is_none_or(|retry| retry > now) {
            return;
        }
        self.retry = None;
        for name in self.interrupted.drain() {
            if let Some(channel) = self.all.get_mut(&name) {
                channel.change(&mut self.changed, name);
            }
        }
        self.lost = self.changed.len();
    }

    /// Whether the broker was told of all channels that were lost.
    pub(super) fn is_restored(&self) -> bool {
        self.lost == 0 && self.interrupted.is_empty()
    }

    /// The probe of this number has come back. Returns those who waited for that, to be told without a lock.
    pub(super) fn prove(&mut self, probe: u64) -> Vec<oneshot::Sender<()>> {
        let mut waiting = Vec::new();
        while let Some((number, name)) = self.unproven.pop_front_if(|(number, _)| *number <= probe)
        {
            if let Some(channel) = self.all.get_mut(&name)
                && channel.standing == Standing::Told(number)
            {
                channel.standing = Standing::Proven;
                waiting.extend(channel.waiting.take().map(|waiting| waiting.done));
            }
        }
        waiting
    }

    /// The broker is lost: the next one knows nothing.
    pub(super) fn lose(&mut self) {
        self.unproven.clear();
        self.all.retain(|_, channel| channel.kept.is_none());
        self.released.clear();
        self.interrupted.clear();
        self.retry = None;
        self.changed.clear();
        for (name, channel) in &mut self.all {
            channel.standing = Standing::Untold;
            channel.is_changed = true;
            self.changed.push_back(Arc::clone(name));
        }
        self.lost = self.changed.len();
    }
}

impl Channel {
    fn change(&mut self, changed: &mut VecDeque<Arc<str>>, name: Arc<str>) {
        if !self.is_changed {
            self.is_changed = true;
            changed.push_back(name);
        }
    }
}

impl Waiting {
    fn new() -> Self {
        let (done, proven) = oneshot::channel();
        Self {
            done,
            subscription: Subscription::pending(proven.map(drop)),
        }
    }
}

#[cfg(test)]
mod tests;
