//! What the scenarios share: a window of time in which a counter and CPU clocks are read, and the figures that come
//! out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::process::{Server, own_cpu};

/// Run before the measured time: instances are made, buffers grow, branches are learnt.
const WARM_UP: Duration = Duration::from_secs(1);
/// For what the server may still owe when the measured time is over.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// One measured value. The first of a scenario is the one that peers are compared by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// What it is, with its unit.
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

/// What the load's tasks and the measuring know of each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    done: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
}

impl Load {
    /// Counts operations that the server has finished.
    pub(crate) fn count(&self, operations: u64) {
        self.done.fetch_add(operations, Ordering::Relaxed);
    }

    /// How many there were, also outside the measured time.
    pub(crate) fn operations(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Whether the tasks should start nothing new, and end when nothing is owed to them.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// What was used and done in the measured time.
#[derive(Debug)]
pub(crate) struct Window {
    wall: Duration,
    server_cpu: Duration,
    generator_cpu: Duration,
    operations: u64,
}

impl Window {
    /// Lets the tasks run, measures for `seconds`, then waits until each has been given all it is owed.
    /// `on_start` is called at the beginning of the measured time.
    ///
    /// # Errors
    /// The first of a task; when a task ends early; when the server does not deliver what is owed.
    pub(crate) async fn measure(
        server: &Server,
        seconds: u64,
        load: &Load,
        mut tasks: JoinSet<Result<()>>,
        on_start: impl FnOnce(),
    ) -> Result<Self> {
        run_for(WARM_UP, &mut tasks).await?;
        on_start();
        let (start, server_cpu, generator_cpu) = (Instant::now(), server.cpu()?, own_cpu()?);
        let done = load.done.load(Ordering::Relaxed);
        run_for(Duration::from_secs(seconds), &mut tasks).await?;
        let window = Self {
            wall: start.elapsed(),
            server_cpu: server.cpu()?.saturating_sub(server_cpu),
            generator_cpu: own_cpu()?.saturating_sub(generator_cpu),
            operations: load.done.load(Ordering::Relaxed) - done,
        };
        load.stopping.store(true, Ordering::Relaxed);
        timeout(DRAIN_MAX, finish(&mut tasks))
            .await
            .context("the server did not deliver all that it owed")??;
        Ok(window)
    }

    /// The server's CPU time per operation, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.operations as f64
    }

    /// The server's CPU time in milliseconds, per second.
    pub(crate) fn cpu_ms_per_second(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e3 / self.wall.as_secs_f64()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    /// How busy the two cores were, in percent: where the generator's is near 100 and the server's is not, the
    /// generator was the limit.
    pub(crate) fn busy(&self) -> [Figure; 2] {
        let percent = |cpu: Duration| 100.0 * cpu.as_secs_f64() / self.wall.as_secs_f64();
        [
            Figure {
                name: "server %",
                value: percent(self.server_cpu),
            },
            Figure {
                name: "generator %",
                value: percent(self.generator_cpu),
            },
        ]
    }
}

/// Lets tasks that should not end run for a while.
async fn run_for(time: Duration, tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    match timeout(time, tasks.join_next()).await {
        Err(_elapsed) => Ok(()),
        Ok(Some(ended)) => ended?.and_then(|()| bail!("a task of the load generator ended early")),
        Ok(None) => bail!("no load to measure"),
    }
}

async fn finish(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// In milliseconds, of latencies in microseconds; 0 of none.
pub(crate) fn quantile(micros: &mut [u32], share: f64) -> f64 {
    micros.sort_unstable();
    let place = ((micros.len() as f64 * share) as usize).min(micros.len().saturating_sub(1));
    f64::from(micros.get(place).copied().unwrap_or_default()) / 1e3
}
