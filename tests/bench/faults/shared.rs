//! What the clients, those who watch the hosts, and those who cause faults know of each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ledger::{Effect, Ledger, Outage};
use super::{HOSTS, ROOMS};

#[derive(Debug)]
pub(super) struct Shared {
    stopping: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    hosts: [Health; HOSTS],
    /// Only what was asked and sent after that says that all is well again.
    since: Instant,
}

/// What is known of a host.
#[derive(Clone, Debug, Default)]
struct Health {
    is_gone: bool,
    /// When it first said, after the fault, that it is not ready.
    unready: Option<Instant>,
    /// When it was last asked whether it is ready.
    asked: Option<Instant>,
    /// From when on it said that it is ready.
    ready: Option<Instant>,
    /// Its queries that all hosts answered, since the last that not all did: when they were asked, and answered.
    complete: Vec<(Instant, Instant)>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            stopping: AtomicBool::new(false),
            state: Mutex::new(State {
                ledger: Ledger::new(HOSTS, ROOMS),
                hosts: Default::default(),
                since: Instant::now(),
            }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// There is nothing more to broadcast.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What became of one who spoke with a host: when that has ended, an error is none.
    pub(super) fn of_host(&self, host: usize, ended: Result<()>) -> Result<()> {
        if self.is_gone(host) { Ok(()) } else { ended }
    }

    pub(super) fn is_gone(&self, host: usize) -> bool {
        let state = self.state();
        state.hosts.get(host).is_some_and(|health| health.is_gone)
    }

    /// Whether all hosts that have not ended are among these.
    pub(super) fn all_there(&self, hosts: &[usize]) -> bool {
        let state = self.state();
        let mut all = state.hosts.iter().enumerate();
        all.all(|(host, health)| health.is_gone || hosts.contains(&host))
    }
}

impl State {
    /// A fault begins now, of which this host is the victim, if one is.
    pub(super) fn begin(&mut self, victim: Option<usize>) -> Instant {
        for (host, health) in self.hosts.iter_mut().enumerate() {
            health.is_gone = Some(host) == victim;
            health.unready = None;
        }
        self.expect_all()
    }

    /// From now on all has to become well again.
    pub(super) fn expect_all(&mut self) -> Instant {
        self.since = Instant::now();
        for health in &mut self.hosts {
            health.complete.clear();
        }
        self.since
    }

    /// A host has said whether it is ready, which it was asked then.
    pub(super) fn readiness(&mut self, host: usize, asked: Instant, is_ready: bool) {
        let Some(health) = self.hosts.get_mut(host) else {
            return;
        };
        health.asked = Some(asked);
        if is_ready {
            health.ready.get_or_insert_with(Instant::now);
        } else {
            health.ready = None;
            health.unready.get_or_insert_with(Instant::now);
        }
    }

    /// A host has said how many there are in a room with a member on each, and how many of so many hosts answered.
    pub(super) fn answer(&mut self, host: usize, asked: Instant, size: usize, of: [usize; 2]) {
        let live = self.live();
        let Some(health) = self.hosts.get_mut(host) else {
            return;
        };
        // One that not all have answered takes longer: it may come after others that were asked later.
        if size != live || of != [live; 2] {
            health.complete.retain(|(later, _)| *later > asked);
        } else if asked >= self.since {
            health.complete.push((asked, Instant::now()));
        }
    }

    fn live(&self) -> usize {
        self.hosts.iter().filter(|health| !health.is_gone).count()
    }

    /// When all that are there were ready and all queries complete; `None` while one is not.
    pub(super) fn well(&self) -> Option<Well> {
        let mut well = Well {
            ready: self.since,
            complete: self.since,
        };
        for health in self.hosts.iter().filter(|health| !health.is_gone) {
            if health.asked? < self.since {
                return None;
            }
            well.ready = well.ready.max(health.ready?);
            let complete = health.complete.iter().map(|(_, answered)| *answered);
            well.complete = well.complete.max(complete.min()?);
        }
        Some(well)
    }

    /// How long it took until all that are there and said that they were not ready had said so.
    pub(super) fn noticed(&self, began: Instant) -> Duration {
        let there = self.hosts.iter().filter(|health| !health.is_gone);
        let unready = there.filter_map(|health| health.unready);
        unready.max().map_or(Duration::ZERO, |last| last - began)
    }

    /// What the fault that began then did to whom.
    pub(super) fn outage(&self, began: Instant) -> Outage {
        let effect = |health: &Health| match health.ready {
            _ if health.is_gone => Effect::Gone,
            Some(ready) if health.unready.is_some() => Effect::Until(ready),
            _ => Effect::None,
        };
        Outage {
            began,
            hosts: self.hosts.iter().map(effect).collect(),
        }
    }
}

/// When all was well again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Well {
    pub(super) ready: Instant,
    pub(super) complete: Instant,
}
