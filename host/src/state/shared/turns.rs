//! Who changes a place next, of those on this host: so that they need not try again because of each other. What a place
//! is, one value or more, is up to who uses it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// The places that are being changed. No more of them than events.
#[derive(Debug)]
pub(super) struct Turns<P: Eq + Hash>(Mutex<HashMap<P, Arc<tokio::sync::Mutex<()>>>>);

impl<P: Clone + Eq + Hash> Turns<P> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Waits for one's turn, in the order of coming. It ends when it is dropped, and so does waiting.
    pub(super) async fn take(&self, place: &P) -> Turn<'_, P> {
        let queue = {
            let mut queues = self.0.lock();
            Arc::clone(queues.entry(place.clone()).or_default())
        };
        // Made before waiting: who gives up waiting has to clear away, too.
        let mut turn = Turn {
            turns: self,
            place: place.clone(),
            guard: None,
        };
        turn.guard = Some(queue.lock_owned().await);
        turn
    }
}

/// One's turn at a place.
#[derive(Debug)]
pub(super) struct Turn<'a, P: Eq + Hash> {
    turns: &'a Turns<P>,
    place: P,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<P: Eq + Hash> Drop for Turn<'_, P> {
    fn drop(&mut self) {
        self.guard = None;
        let mut queues = self.turns.0.lock();
        // Whoever else waits holds it as well, and clears away after that.
        let is_last = |queue: &Arc<_>| Arc::strong_count(queue) == 1;
        if queues.get(&self.place).is_some_and(is_last) {
            queues.remove(&self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn each_place_has_its_own_and_nothing_is_left() {
        let turns = Turns::new();
        let (one, other) = ("one", "other");
        let first = turns.take(&one).await;
        let mut second = Box::pin(turns.take(&one));
        let mut given_up = Box::pin(turns.take(&one));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(turns.take(&other).await);
        assert_eq!(turns.0.lock().len(), 1);
        drop(given_up);
        drop(first);
        let second = second.await;
        assert_eq!(turns.0.lock().len(), 1);
        drop(second);
        assert!(turns.0.lock().is_empty());
    }
}
