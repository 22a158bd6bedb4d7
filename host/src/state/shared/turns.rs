//! Who changes a place next, of those on this host: so that they need not try again because of each other.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::keeper::Spot;

/// The places that are being changed. No more of them than events.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Spot, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for one's turn, in the order of coming. It ends when it is dropped, and so does waiting.
    pub(super) async fn take(&self, spot: &Spot) -> Turn<'_> {
        let queue = {
            let mut queues = self.0.lock();
            Arc::clone(queues.entry(spot.clone()).or_default())
        };
        // Made before waiting: who gives up waiting has to clear away, too.
        let mut turn = Turn {
            turns: self,
            spot: spot.clone(),
            guard: None,
        };
        turn.guard = Some(queue.lock_owned().await);
        turn
    }
}

/// One's turn at a place.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    spot: Spot,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut queues = self.turns.0.lock();
        // Whoever else waits holds it as well, and clears away after that.
        let is_last = |queue: &Arc<_>| Arc::strong_count(queue) == 1;
        if queues.get(&self.spot).is_some_and(is_last) {
            queues.remove(&self.spot);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::state::Owner;

    fn spot(key: &str) -> Spot {
        Spot {
            tenant: "a".to_owned(),
            owner: Owner::Tenant,
            key: key.to_owned(),
        }
    }

    #[tokio::test]
    async fn each_place_has_its_own_and_nothing_is_left() {
        let turns = Turns::default();
        let (one, other) = (spot("one"), spot("other"));
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
