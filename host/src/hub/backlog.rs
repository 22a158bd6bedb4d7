//! What waits for the clients of all hubs of a host together. A frame counts once, however many connections it waits
//! for, and for as long as any of them holds it; what a socket was given and does not take counts as well.
//!
//! When that is more than `outboxes_bytes_max`, connections whose sockets take nothing are closed, those for which most
//! waits first: what waits for the others is on its way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Inner;
use crate::config::Limit;

/// To look at all connections takes a millisecond for some ten thousand of them, so it is not done for each frame.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What waits for all clients of a host.
#[derive(Debug)]
pub struct Backlog {
    bytes: AtomicUsize,
    bytes_max: AtomicUsize,
    /// Held by who looks for the slow ones.
    hubs: Mutex<Hubs>,
}

#[derive(Debug, Default)]
struct Hubs {
    all: Vec<Weak<Inner>>,
    looked: Option<Instant>,
}

/// A frame that counts until it is dropped.
struct Held {
    frame: Bytes,
    backlog: Arc<Backlog>,
}

impl Backlog {
    /// Nothing waits, and so many bytes may.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bytes_max: AtomicUsize::new(bytes_max),
            hubs: Mutex::default(),
        }
    }

    /// Bytes that wait now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// From here on so many may.
    pub fn set_max(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// From here on the hub's connections are among those that may be closed.
    pub(super) fn attach(&self, hub: Weak<Inner>) {
        let all = &mut self.hubs.lock().all;
        all.retain(|hub| hub.strong_count() > 0);
        all.push(hub);
    }

    /// Counts a frame for as long as anyone holds what is returned.
    pub(super) fn hold(self: &Arc<Self>, frame: Bytes) -> Bytes {
        self.add(frame.len());
        if self.bytes() > self.bytes_max.load(Ordering::Relaxed) {
            self.shed();
        }
        let backlog = Arc::clone(self);
        Bytes::from_owner(Held { frame, backlog })
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Closes slow connections until an eighth of what may wait is free, or there is none left.
    fn shed(&self) {
        // Who else comes here meanwhile need not look as well.
        let Some(mut hubs) = self.hubs.try_lock() else {
            return;
        };
        let now = Instant::now();
        let is_recent = |looked| now.duration_since(looked) < LOOK_INTERVAL;
        if hubs.looked.is_some_and(is_recent) {
            return;
        }
        hubs.looked = Some(now);
        let hubs = hubs.all.iter().filter_map(Weak::upgrade);
        let connections = hubs.flat_map(|hub| {
            let connections: Vec<_> = hub.connections.read().values().cloned().collect();
            connections
        });
        let mut slow: Vec<_> = connections
            .filter_map(|connection| Some((connection.outbox.stuck()?, connection)))
            .collect();
        slow.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        let mut excess = self.bytes().saturating_sub(bytes_max - bytes_max / 8);
        for (bytes, connection) in slow {
            if excess == 0 {
                break;
            }
            // What also waits for others stays; should it be too much, the next look finds them.
            excess = excess.saturating_sub(bytes);
            connection.outbox.give_up(Limit::OutboxesBytesMax);
            tracing::info!(connection = %connection.id, bytes, "slow consumer: closing with 3008 (outboxes_bytes_max)");
        }
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.backlog.remove(self.frame.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_once_until_the_last_has_let_go_of_it() {
        let backlog = Arc::new(Backlog::new(100));
        let frame = backlog.hold("12345".into());
        assert_eq!((&frame[..], backlog.bytes()), (&b"12345"[..], 5));
        let shared = frame.clone();
        drop(frame);
        assert_eq!(backlog.bytes(), 5);
        drop(shared);
        assert_eq!(backlog.bytes(), 0);
    }
}
