//! Which rooms have ended on this host. Whoever takes them from here asks the other hosts, and takes away the values.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// How many rooms wait. What ends on top is found by the sweep: only its values stay for longer.
const WAITING_MAX: usize = 10_000;
/// How many of them are dealt with at once. Their names have to fit into one message of the bus, and NATS takes 1 MiB.
pub(super) const BATCH_MAX: usize = 100;

#[derive(Debug)]
pub(super) struct Endings {
    marks: Mutex<Marks>,
    /// There are some.
    filled: Notify,
    /// Counts what was done.
    done: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Marks {
    waiting: BTreeSet<String>,
    at_work: BTreeSet<String>,
}

/// Rooms that have ended here. Dropped when their values are gone, or when that has failed.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    endings: &'a Endings,
    pub(super) rooms: Vec<String>,
}

impl Endings {
    pub(super) fn new() -> Self {
        let (done, _) = watch::channel(0);
        Self {
            marks: Mutex::default(),
            filled: Notify::new(),
            done,
        }
    }

    /// A room has ended.
    pub(super) fn end(&self, room: &str) {
        let mut marks = self.marks.lock();
        if marks.waiting.len() < WAITING_MAX {
            marks.waiting.insert(room.to_owned());
            self.filled.notify_one();
        }
    }

    /// Waits until the end of a room, if it has ended, can be read.
    pub(super) async fn settled(&self, room: &str) {
        let mut done = self.done.subscribe();
        while self.is_going(room) {
            // The sender is this one's own.
            let _ = done.changed().await;
        }
    }

    /// Waits until all that have ended can be read.
    pub(super) async fn all_settled(&self) {
        let mut done = self.done.subscribe();
        while !self.are_none() {
            let _ = done.changed().await;
        }
    }

    fn are_none(&self) -> bool {
        let marks = self.marks.lock();
        marks.waiting.is_empty() && marks.at_work.is_empty()
    }

    fn is_going(&self, room: &str) -> bool {
        let marks = self.marks.lock();
        marks.waiting.contains(room) || marks.at_work.contains(room)
    }

    /// Waits until rooms have ended. One at a time takes them.
    pub(super) async fn next(&self) -> Batch<'_> {
        loop {
            if let Some(batch) = self.take() {
                return batch;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Option<Batch<'_>> {
        let mut marks = self.marks.lock();
        let mut rooms = Vec::new();
        while rooms.len() < BATCH_MAX {
            let Some(room) = marks.waiting.pop_first() else {
                break;
            };
            marks.at_work.insert(room.clone());
            rooms.push(room);
        }
        if rooms.is_empty() {
            return None;
        }
        let endings = self;
        Some(Batch { endings, rooms })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let mut marks = self.endings.marks.lock();
        for room in &self.rooms {
            marks.at_work.remove(room);
        }
        drop(marks);
        self.endings.done.send_modify(|done| *done += 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_asks_for_a_room_that_ends_waits_until_it_has() {
        let endings = Endings::new();
        endings.settled("/r").await;
        endings.end("/r");
        let mut waiting = Box::pin(endings.settled("/r"));
        assert!(waiting.as_mut().now_or_never().is_none());
        endings.settled("/other").await;
        let batch = endings.next().await;
        assert_eq!(batch.rooms, ["/r"]);
        assert!(waiting.as_mut().now_or_never().is_none());
        // It ends a second time meanwhile.
        endings.end("/r");
        drop(batch);
        let mut all = Box::pin(endings.all_settled());
        assert!(all.as_mut().now_or_never().is_none());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(endings.next().await);
        waiting.await;
        all.await;
    }

    #[tokio::test]
    async fn they_do_not_come_all_at_once() {
        let endings = Endings::new();
        for number in 0..=WAITING_MAX {
            endings.end(&number.to_string());
        }
        let mut rooms = 0;
        while let Some(batch) = endings.next().now_or_never() {
            assert!(batch.rooms.len() <= BATCH_MAX);
            rooms += batch.rooms.len();
        }
        assert_eq!(rooms, WAITING_MAX);
    }
}
