//! When the machine stood still: a virtual machine that shares its cores, or is throttled, stops now and then for
//! milliseconds, and a latency that was measured across such a time says nothing about a server.
//!
//! A thread for each core sleeps for half a millisecond at a time, in the real-time class: no ordinary thread can keep
//! it from waking, so when it wakes late nothing else ran there either. (But for the kernel, in a call that it does not
//! interrupt. So the time that was lost is printed for each row: if swapping caused it, its rows would have more of it
//! than the baseline.) The method is that of rt-tests' `cyclictest`.

use std::io::{Write, stderr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use core_affinity::{CoreId, get_core_ids};
use rustix::thread::gettid;

use crate::process::{Cores, move_to};

const TICK: Duration = Duration::from_micros(500);
/// Who wakes later than that was kept from it.
const LATE: Duration = Duration::from_millis(1);

/// From, to.
pub(crate) type Span = (Instant, Instant);

/// The threads that watch.
#[derive(Debug)]
pub(crate) struct Watch {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Span>>>>,
}

impl Watch {
    pub(crate) fn start(cores: Option<&Cores>) -> Self {
        let cores = match cores {
            Some(cores) => cores.all().to_vec(),
            None => get_core_ids().unwrap_or_default(),
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let threads = cores.into_iter().map(|core| {
            let stopping = Arc::clone(&stopping);
            std::thread::spawn(move || watch(core, &stopping))
        });
        Self {
            threads: threads.collect(),
            stopping,
        }
    }

    /// What was seen; nothing, and a warning, when nobody may watch here.
    pub(crate) fn stop(self) -> Stalls {
        self.stopping.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads {
            let seen = thread.join();
            match seen.unwrap_or_else(|_| Err(anyhow!("its thread panicked"))) {
                Ok(seen) => all.extend(seen),
                Err(error) => {
                    let _ = writeln!(
                        stderr(),
                        "stalls of the machine are not taken out: {error:#}"
                    );
                }
            }
        }
        Stalls::of(all)
    }
}

fn watch(core: CoreId, stopping: &AtomicBool) -> Result<Vec<Span>> {
    move_to(core)?;
    // No crate that is used here can, and a program that can is on every Linux.
    let real_time = Command::new("chrt")
        .args(["--fifo", "--pid", "50"])
        .arg(gettid().as_raw_nonzero().to_string())
        .output()
        .context("chrt, of util-linux")?;
    ensure!(
        real_time.status.success(),
        "chrt: {}",
        String::from_utf8_lossy(&real_time.stderr).trim()
    );
    let mut stalls = Vec::new();
    while !stopping.load(Ordering::Relaxed) {
        let due = Instant::now() + TICK;
        #[expect(
            clippy::disallowed_methods,
            reason = "how late it ends is what is measured"
        )]
        std::thread::sleep(TICK);
        let woke = Instant::now();
        if woke > due + LATE {
            stalls.push((due, woke));
        }
    }
    Ok(stalls)
}

/// The times at which a core stood still, or made up for it.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    /// In order, none touching the next.
    spans: Vec<Span>,
}

impl Stalls {
    /// What was due meanwhile is done afterwards, and keeps waiting what follows it, for as long again at most: what is
    /// measured needs less than half of a core by itself.
    fn of(mut all: Vec<Span>) -> Self {
        for (from, to) in &mut all {
            *to += to.duration_since(*from);
        }
        all.sort_unstable();
        let mut spans: Vec<Span> = Vec::new();
        for (from, to) in all {
            match spans.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => spans.push((from, to)),
            }
        }
        Self { spans }
    }

    /// How long each of these took, in microseconds, but for those in such times.
    pub(crate) fn undisturbed(&self, spans: &[Span]) -> Vec<u32> {
        let undisturbed = spans.iter().filter(|span| !self.touch(**span));
        undisturbed
            .map(|(from, to)| {
                u32::try_from(to.duration_since(*from).as_micros()).unwrap_or(u32::MAX)
            })
            .collect()
    }

    fn touch(&self, (from, to): Span) -> bool {
        let behind = self.spans.partition_point(|(_, end)| *end < from);
        self.spans.get(behind).is_some_and(|(start, _)| *start < to)
    }

    /// How much of this time that was.
    pub(crate) fn within(&self, (from, to): Span) -> Duration {
        let shared = self
            .spans
            .iter()
            .map(|(start, end)| to.min(*end).saturating_duration_since(from.max(*start)));
        shared.sum()
    }
}
