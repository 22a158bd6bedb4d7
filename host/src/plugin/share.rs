//! What the instances of one tenant have together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::turns::TenantTurns;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// Bytes of their linear memories.
    pub(super) memory: Arc<AtomicUsize>,
    /// How many there are.
    instances: Arc<AtomicUsize>,
    /// When those go on that run for longer than a tick.
    pub(super) turns: TenantTurns,
}

impl Share {
    /// Of a tenant that has no instances.
    pub(super) fn new(turns: TenantTurns) -> Self {
        Self {
            memory: Arc::default(),
            instances: Arc::default(),
            turns,
        }
    }

    /// A place for one more instance, if there are fewer than so many.
    pub(super) fn place(&self, instances_max: usize) -> Option<Place> {
        take(&self.instances, 1, instances_max).then(|| Place(Arc::clone(&self.instances)))
    }
}

/// Of an instance, for as long as it is held.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes so much more, unless that is more than there may be.
pub(super) fn take(taken: &AtomicUsize, more: usize, max: usize) -> bool {
    let add = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= max);
    let added = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    added.is_ok()
}
