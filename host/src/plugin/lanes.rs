//! How many files are loaded at a time, and who waits for whom: every load begins in the quick lane, and one that
//! takes long moves over to the slow one, so that the next can begin beside it.
//!
//! A compiler's time has no useful bound. With places of one kind, as many files as there are places, made to be hard
//! to compile, would keep every other one out until their time is up; and with more places, as many good files at once
//! would take more of the machine from those who are connected.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A load that takes longer is slow. Code from the cache takes a tenth of it.
const QUICK_MAX: Duration = Duration::from_millis(200);

/// The places of both lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    quick: Semaphore,
    slow: Semaphore,
}

impl Lanes {
    /// For a machine that runs so many threads at once. As many are quick: code from the cache is loaded by one thread,
    /// and a host with many plugins starts as soon as all of them are. Half as many are slow: each of these is a
    /// compiler, which uses more than one thread where it can.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            quick: Semaphore::new(threads.max(1)),
            slow: Semaphore::new((threads / 2).max(1)),
        }
    }

    /// Loads something when there is a place for it. Who drops the future gives the place back.
    pub(super) async fn run<T>(&self, load: impl Future<Output = T>) -> T {
        // They are never closed: without a permit, loads would merely not wait for each other.
        let quick = self.quick.acquire().await.ok();
        let mut load = pin!(load);
        if let Ok(loaded) = timeout(QUICK_MAX, &mut load).await {
            return loaded;
        }
        let _slow = tokio::select! {
            loaded = &mut load => return loaded,
            slow = self.slow.acquire() => slow.ok(),
        };
        drop(quick);
        load.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::{pending, ready};

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_lets_the_next_begin_until_both_lanes_are_full() {
        let lanes = Lanes::new(2);
        let mut slow: Vec<_> = (0..3)
            .map(|_| Box::pin(lanes.run(pending::<()>())))
            .collect();
        for (number, load) in slow.iter_mut().enumerate() {
            // It has its place from now on: the first leaves it for the slow one.
            assert!(load.now_or_never().is_none());
            assert!(timeout(QUICK_MAX * 2, load).await.is_err());
            let next = lanes.run(ready(())).now_or_never();
            assert_eq!(
                next.is_some(),
                number < 2,
                "beside {number} and those before"
            );
        }
        // Who gives up makes room.
        drop(slow.remove(0));
        for load in &mut slow {
            assert!(load.now_or_never().is_none());
        }
        assert!(lanes.run(ready(())).now_or_never().is_some());
    }
}
