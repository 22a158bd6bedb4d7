//! Places for connections: as many as `connections_max` says when one is taken, so that the limit can change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many places are taken.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
}

impl Places {
    /// Takes one of `max`, if fewer are taken. Where the limit was lowered, those that are taken stay so.
    pub(super) fn take(self: &Arc<Self>, max: usize) -> Option<Place> {
        let take = |taken| (taken < max).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.ok().map(|_| Place {
            places: Arc::clone(self),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_that_of_the_moment() {
        let places = Arc::new(Places::default());
        let (first, second) = (places.take(2), places.take(2));
        assert!(first.is_some() && second.is_some());
        assert!(places.take(2).is_none());
        let third = places.take(3);
        assert!(third.is_some(), "raised");
        drop(first);
        assert!(places.take(1).is_none(), "lowered, and two are taken");
        drop((second, third));
        assert!(places.take(1).is_some());
        assert!(places.take(1).is_some(), "and given back at once");
    }
}
