//! How much memory an instance has, and how much all of them have together.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiterAsync;

use super::meter::Turn;
use crate::config::{Limit, Limits};
use crate::metrics::Metrics;

/// An instance whose memory grows beyond this takes a turn first, as one that has run for a tick does: the guest is
/// about to write to it, and to fill 64 MiB is one instruction, 15 ms or more, that no tick interrupts.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

/// How far an instance may grow. Growing beyond fails in the guest, which is its own business.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: usize,
    bytes_max: usize,
    /// Of all instances of the host.
    all: Arc<AtomicUsize>,
    all_max: usize,
    table_elements_max: usize,
    metrics: Metrics,
    turn: Turn,
    /// There was no more for all of them together.
    is_short: bool,
}

impl Memory {
    /// Of an instance that has none yet; `all` is what all of them have.
    pub(super) fn new(
        limits: &Limits,
        metrics: Metrics,
        all: Arc<AtomicUsize>,
        turn: Turn,
    ) -> Self {
        Self {
            bytes: 0,
            bytes_max: limits.memory_bytes_max,
            all,
            all_max: limits.instances_memory_max,
            table_elements_max: limits.table_elements_max,
            metrics,
            turn,
            is_short: false,
        }
    }

    /// Of linear memory, now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it was refused memory because all instances together had as much as they may.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        // Memories of one instance are as good as one memory.
        let more = desired.saturating_sub(current);
        if self.bytes.saturating_add(more) > self.bytes_max {
            self.metrics.reached(Limit::MemoryBytesMax);
            return false;
        }
        if !self.take(more) {
            self.is_short = true;
            // An instance that cannot even begin is counted by the event that needed it.
            if current > 0 {
                self.metrics.reached(Limit::InstancesMemoryMax);
            }
            return false;
        }
        self.bytes += more;
        true
    }

    /// Takes so many more bytes of what all instances may have.
    fn take(&mut self, more: usize) -> bool {
        let take = |all: usize| all.checked_add(more).filter(|all| *all <= self.all_max);
        let taken = self
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What wasmtime waits for.
type Growing<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<bool>> + Send + 'a>>;

impl ResourceLimiterAsync for Memory {
    fn memory_growing<'s: 'a, 'a>(
        &'s mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Growing<'a> {
        let is_allowed = self.grow(current, desired);
        Box::pin(async move {
            if is_allowed && self.bytes > LARGE_BYTES && !self.turn.is_held() {
                self.turn.clone().next().await;
            }
            Ok(is_allowed)
        })
    }

    fn table_growing<'s: 'a, 'a>(
        &'s mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Growing<'a> {
        let allowed = desired <= self.table_elements_max;
        if !allowed {
            self.metrics.reached(Limit::TableElementsMax);
        }
        Box::pin(std::future::ready(Ok(allowed)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_grows_large_takes_a_turn() {
        let permits = Arc::new(Semaphore::new(1));
        let memory = || {
            let turn = Turn::new(Arc::clone(&permits));
            Memory::new(&Limits::default(), Metrics::new(), Arc::default(), turn)
        };
        let (mut first, mut second) = (memory(), memory());
        assert!(first.memory_growing(0, LARGE_BYTES, None).await.unwrap());
        assert!(!first.turn.is_held());
        let growing = first.memory_growing(LARGE_BYTES, LARGE_BYTES + 1, None);
        assert!(growing.await.unwrap());
        assert!(first.turn.is_held());
        let mut growing = second.memory_growing(0, LARGE_BYTES + 1, None);
        for _ in 0..10 {
            tokio::select! {
                biased;
                _ = &mut growing => panic!("two have the turn"),
                () = tokio::task::yield_now() => {}
            }
        }
        first.turn.end();
        assert!(growing.await.unwrap());
    }
}
