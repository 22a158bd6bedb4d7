//! `neighbour`: what the clients of one plugin notice of another one, on the same host, that spins, hogs memory,
//! floods or traps as much as it can: how long their requests take, and how many they get answered. The other one is of
//! the same tenant, and then of another.

use std::fs::{self, File};
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::measure::quantile;
use crate::noise::{self, Noise, Tally};
use crate::process::{Cores, Server, allow_files};
use crate::rpc::echo;
use crate::stalls::{Span, Stalls, Watch};

/// Where latency is measured, so many connections send a request each at this interval: 1000 a second.
const TALKING: usize = 100;
const REQUEST_INTERVAL: Duration = Duration::from_millis(100);
/// Where throughput is measured, so many have a request in flight each.
const ASKING: usize = 20;
/// The noise makes itself heard, instances are made, buffers grow.
const WARM_UP: Duration = Duration::from_millis(500);
/// Beside the measured time.
const REPLY_MAX: Duration = Duration::from_secs(10);
/// The members of the noisy room, and some more.
const FILES: u64 = 1500;

/// What is measured, and with what.
#[derive(Debug)]
pub(crate) struct Measuring<'a> {
    pub(crate) binary: &'a Path,
    /// The example plugins.
    pub(crate) plugins: &'a Path,
    /// The guest fixture of that name.
    pub(crate) puppet: Vec<u8>,
    pub(crate) cores: Option<&'a Cores>,
    /// For which latency is measured beside each noise in each round, and then throughput.
    pub(crate) time: Duration,
    /// How often noises and their baseline take turns, so that all meet the same noise of the machine.
    pub(crate) rounds: usize,
    pub(crate) noises: &'a [Noise],
}

/// What was measured beside one noise.
#[derive(Debug, Default)]
struct Row {
    /// From each request to its reply.
    replies: Vec<Span>,
    requests: u64,
    /// For which requests were sent as fast as they were answered.
    time: Duration,
    noise: Tally,
}

/// How the host is set up: what is in its configuration, and where the noise comes in. A machine that stands still while
/// plugins are compiled is no reason to do without one.
struct Setting {
    title: &'static str,
    config: &'static str,
    /// The folders of `echo` and of the noisy plugin.
    folders: [&'static str; 2],
    mount: &'static str,
}

/// With a quarantine that never begins: it would protect others but hide what is to be seen.
const ONE_TENANT: Setting = Setting {
    title: "no quarantine",
    config: "plugins = \"plugins\"\n[limits]\nfailures_in_row_max = 4_000_000_000\nmessages_per_second_per_connection_max = 1_000_000\ncompile_wall_max = \"5m\"\n",
    folders: ["plugins", "plugins"],
    mount: "/ws",
};
const TWO_TENANTS: Setting = Setting {
    title: "another tenant's, no quarantine",
    config: "[tenants.quiet]\nplugins = \"quiet\"\n[tenants.noisy]\nplugins = \"noisy\"\npath = \"/noisy\"\n\
             [limits]\nfailures_in_row_max = 4_000_000_000\nmessages_per_second_per_connection_max = 1_000_000\ncompile_wall_max = \"5m\"\n",
    folders: ["quiet", "noisy"],
    mount: "/noisy",
};
const DEFAULTS: Setting = Setting {
    title: "default quarantine",
    config: "plugins = \"plugins\"\n[limits]\nmessages_per_second_per_connection_max = 1_000_000\ncompile_wall_max = \"5m\"\n",
    ..ONE_TENANT
};

impl Measuring<'_> {
    /// Measures and prints.
    pub(crate) async fn run(self) -> Result<()> {
        allow_files(FILES)?;
        self.table(&ONE_TENANT, self.noises).await?;
        self.table(&TWO_TENANTS, self.noises).await?;
        // Of those whose events fail.
        let mut noises = self.noises.to_vec();
        noises.retain(|noise| matches!(noise, Noise::Spin | Noise::Trap));
        self.table(&DEFAULTS, &noises).await
    }

    async fn table(&self, setting: &Setting, noises: &[Noise]) -> Result<()> {
        let title = setting.title;
        let folder = self.folder(setting)?;
        let log = File::create(folder.path().join("log"))?;
        let server = Server::start_logging_to(log, &self.serve(folder.path()), self.cores).await?;
        let beside: Vec<_> = [None]
            .into_iter()
            .chain(noises.iter().copied().map(Some))
            .collect();
        let mut rows: Vec<_> = beside.iter().map(|_| Row::default()).collect();
        let watch = Watch::start(self.cores);
        for _ in 0..self.rounds {
            for (noise, row) in beside.iter().zip(&mut rows) {
                let measured = self.measure(&server, *noise, setting.mount, row).await;
                measured.with_context(|| {
                    format!("{title}, beside {}", noise.map_or("nothing", Noise::name))
                })?;
            }
        }
        print(title, &beside, &rows, &watch.stop())
    }

    /// Plugins and configuration.
    fn folder(&self, setting: &Setting) -> Result<TempDir> {
        let folder = TempDir::new()?;
        let [quiet, noisy] = setting.folders.map(|name| folder.path().join(name));
        fs::create_dir_all(&quiet)?;
        fs::create_dir_all(&noisy)?;
        fs::copy(self.plugins.join("echo.wasm"), quiet.join("echo.wasm"))?;
        fs::write(
            noisy.join("noisy.wasm"),
            noise::plugin(self.puppet.clone())?,
        )?;
        fs::write(folder.path().join("wardroom.toml"), setting.config)?;
        Ok(folder)
    }

    fn serve(&self, folder: &Path) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let mut command = vec![text(self.binary)];
        command.extend(["serve", "--listen", "127.0.0.1:0"].map(str::to_owned));
        command.extend(["--config".to_owned(), text(&folder.join("wardroom.toml"))]);
        command
    }

    /// One turn beside one noise.
    async fn measure(
        &self,
        server: &Server,
        noise: Option<Noise>,
        mount: &'static str,
        row: &mut Row,
    ) -> Result<()> {
        let addr = server.addr;
        let noise = match noise {
            Some(noise) => Some(noise::Running::start(noise, addr, mount).await?),
            None => None,
        };
        sleep(WARM_UP).await;
        let end = Instant::now() + self.time;
        for replies in all(TALKING, |number| at_intervals(addr, number, end), self.time).await? {
            row.replies.extend(replies);
        }
        let start = Instant::now();
        let end = start + self.time;
        let requests = all(ASKING, |_| back_to_back(addr, end), self.time).await?;
        row.requests += requests.iter().sum::<u64>();
        row.time += start.elapsed();
        if let Some(noise) = noise {
            row.noise.add(&noise.stop()?);
        }
        Ok(())
    }
}

/// Runs so many connections, each for so long.
async fn all<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    count: usize,
    connection: impl Fn(usize) -> F,
    time: Duration,
) -> Result<Vec<T>> {
    let mut running = JoinSet::new();
    for number in 0..count {
        running.spawn(connection(number));
    }
    let mut results = Vec::new();
    let ending = async {
        while let Some(ended) = running.join_next().await {
            results.push(ended??);
        }
        anyhow::Ok(())
    };
    timeout(time + REPLY_MAX, ending)
        .await
        .context("a request was not answered")??;
    Ok(results)
}

/// One connection that sends a request when it is time for one; returns from when to when each took. What has to wait
/// for the reply to the one before takes from when it was due.
async fn at_intervals(addr: SocketAddr, number: usize, end: Instant) -> Result<Vec<Span>> {
    let mut client = Client::connect(addr).await?;
    let mut replies = Vec::new();
    // Not all at the same moment.
    let mut due = Instant::now() + REQUEST_INTERVAL.mul_f64(number as f64 / TALKING as f64);
    while due < end {
        let mut start = due;
        if let Some(left) = due.checked_duration_since(Instant::now()) {
            sleep(left).await;
            start = Instant::now();
        }
        echo(&mut client, replies.len() as u64).await?;
        replies.push((start, Instant::now()));
        due += REQUEST_INTERVAL;
    }
    Ok(replies)
}

/// One connection that sends a request for each reply; returns how many there were.
async fn back_to_back(addr: SocketAddr, end: Instant) -> Result<u64> {
    let mut client = Client::connect(addr).await?;
    let mut requests = 0;
    while Instant::now() < end {
        echo(&mut client, requests).await?;
        requests += 1;
    }
    Ok(requests)
}

/// Latencies without the requests during which the machine stood still.
fn print(title: &str, beside: &[Option<Noise>], rows: &[Row], stalls: &Stalls) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(
        out,
        "\nneighbour, {title}: echo beside another plugin, each request with one reply"
    )?;
    writeln!(
        out,
        "{:<16}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}{:>8}  the other's answers",
        "it",
        "requests",
        "left out",
        "p50 ms",
        "p99 ms",
        "max ms",
        "p99 +ms",
        "ratio",
        "requests/s",
        "ratio"
    )?;
    let mut baseline = None;
    for (noise, row) in beside.iter().zip(rows) {
        let mut latencies = stalls.undisturbed(&row.replies);
        let p99 = quantile(&mut latencies, 0.99);
        let rate = row.requests as f64 / row.time.as_secs_f64();
        let (base_p99, base_rate) = *baseline.get_or_insert((p99, rate));
        writeln!(
            out,
            "{:<16}{:>10}{:>10}{:>10.2}{p99:>10.2}{:>10.2}{:>10.2}{:>10.2}{rate:>12.0}{:>8.2}  {}",
            noise.map_or("is silent", Noise::name),
            latencies.len(),
            row.replies.len() - latencies.len(),
            quantile(&mut latencies, 0.5),
            quantile(&mut latencies, 1.0),
            p99 - base_p99,
            p99 / base_p99,
            rate / base_rate,
            row.noise
        )?;
    }
    Ok(())
}
