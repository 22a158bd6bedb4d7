//! How much memory an instance has, and how much all of them have together, in the host and in its tenant.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiterAsync;

use super::meter::Turn;
use super::share::{Share, take};
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
    /// Of all of the tenant.
    tenants: Arc<AtomicUsize>,
    tenants_max: usize,
    table_elements_max: usize,
    metrics: Metrics,
    turn: Turn,
    /// There was no more for all of them together, by this limit.
    short: Option<Limit>,
}

impl Memory {
    /// Of an instance that has none yet; `all` is what all of them have.
    pub(super) fn new(
        limits: &Limits,
        metrics: Metrics,
        all: Arc<AtomicUsize>,
        share: &Share,
        turn: Turn,
    ) -> Self {
        Self {
            bytes: 0,
            bytes_max: limits.memory_bytes_max,
            all,
            all_max: limits.instances_memory_max,
            tenants: Arc::clone(&share.memory),
            tenants_max: limits.instances_memory_per_tenant_max,
            table_elements_max: limits.table_elements_max,
            metrics,
            turn,
            short: None,
        }
    }

    /// Of linear memory, now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it was refused memory because all instances, or all of the tenant, had as much as they may.
    pub(super) fn short(&self) -> Option<Limit> {
        self.short
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        // Memories of one instance are as good as one memory.
        let more = desired.saturating_sub(current);
        if self.bytes.saturating_add(more) > self.bytes_max {
            self.metrics.reached(Limit::MemoryBytesMax);
            return false;
        }
        if let Err(limit) = self.take(more) {
            self.short = Some(limit);
            // An instance that cannot even begin is counted by the event that needed it.
            if current > 0 {
                self.metrics.reached(limit);
            }
            return false;
        }
        self.bytes += more;
        true
    }

    /// Takes so many more bytes of what all instances may have, and those of the tenant.
    fn take(&mut self, more: usize) -> Result<(), Limit> {
        if !take(&self.tenants, more, self.tenants_max) {
            return Err(Limit::InstancesMemoryPerTenantMax);
        }
        if !take(&self.all, more, self.all_max) {
            self.tenants.fetch_sub(more, Ordering::Relaxed);
            return Err(Limit::InstancesMemoryMax);
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
        self.tenants.fetch_sub(self.bytes, Ordering::Relaxed);
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
    use super::super::share::Share;
    use super::super::turns::Turns;
    use super::*;

    #[tokio::test]
    async fn who_grows_large_takes_a_turn() {
        let share = Share::new(Turns::new(1).of_tenant(1));
        let memory = || {
            let turn = Turn::new(share.turns.clone());
            Memory::new(
                &Limits::default(),
                Metrics::of_host(),
                Arc::default(),
                &share,
                turn,
            )
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
