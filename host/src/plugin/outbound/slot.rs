//! A request's place among those that are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A place that is given back once: when the body of the response has been read, when the request has failed, when
/// its event ends, or when nobody has it any more.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<AtomicUsize>,
    is_mine: AtomicBool,
}

impl Slot {
    /// One more of those that are taken; `None` when there are as many as may be.
    pub(super) fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let more = |taken: usize| taken.checked_add(1).filter(|taken| *taken <= max);
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Self {
            taken: Arc::clone(taken),
            is_mine: AtomicBool::new(true),
        })
    }

    /// Gives it back; again, does nothing.
    pub(super) fn give_back(&self) {
        if self.is_mine.swap(false, Ordering::Relaxed) {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_given_back_once() {
        let taken = Arc::default();
        let first = Slot::take(&taken, 2).unwrap();
        let _second = Slot::take(&taken, 2).unwrap();
        assert!(Slot::take(&taken, 2).is_none());
        first.give_back();
        first.give_back();
        drop(first);
        assert_eq!(taken.load(Ordering::Relaxed), 1);
        assert!(Slot::take(&taken, 2).is_some());
    }
}
