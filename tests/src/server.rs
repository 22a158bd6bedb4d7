//! A host in this process, on threads of its own, with a log of its own.

use crate::{Client, Plugin, Refusal, WAIT, guests, log::Log};
use anyhow::Context as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use wardroom::config::TenantName;
use wardroom::hub::{Coverage, RoomName};
use wardroom::{Config, Limit, cluster};

/// A running host. Dropping it stops it and waits until it has ended.
#[derive(Debug)]
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it logged.
    pub log: Log,
    /// Its folder of plugins.
    pub plugins: TempDir,
    shutdown: Option<oneshot::Sender<()>>,
    ended: Receiver<()>,
    failure: Arc<Mutex<Option<String>>>,
    /// Once it is set up.
    host: Arc<OnceLock<Arc<wardroom::Host>>>,
}

impl TestServer {
    /// Starts a host with these plugins on a free port. `configure` changes what the tests' own defaults do not suit.
    ///
    /// # Errors
    /// What keeps a port from being bound or a folder from being written.
    pub fn start(plugins: &[Plugin], configure: impl FnOnce(&mut Config)) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        plugins
            .iter()
            .for_each(|plugin| plugin.write(folder.path()));
        Self::start_in(folder, configure)
    }

    /// The same with a folder that is already as it should be.
    ///
    /// # Errors
    /// What keeps a port from being bound.
    pub fn start_in(folder: TempDir, configure: impl FnOnce(&mut Config)) -> anyhow::Result<Self> {
        let mut config = defaults();
        config.plugins = folder.path().to_owned();
        configure(&mut config);
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        config.listen = address;
        let log = Log::default();
        let retirement = config.limits.events_per_instance_max;
        log.note(&format!("events_per_instance_max = {retirement}"));
        let (shutdown, stopped) = oneshot::channel::<()>();
        let (end, ended) = channel();
        let failure = Arc::new(Mutex::new(None));
        let host = Arc::default();
        let running = Running {
            config,
            listener,
            log: log.clone(),
            failure: Arc::clone(&failure),
            host: Arc::clone(&host),
        };
        std::thread::Builder::new()
            .name("host".to_owned())
            .spawn(move || {
                running.run(stopped);
                // Nobody listens any more when the test gave up waiting.
                let _ = end.send(());
            })?;
        Ok(Self {
            address,
            log,
            plugins: folder,
            shutdown: Some(shutdown),
            ended,
            failure,
            host,
        })
    }

    /// A connection at the default path, named for messages.
    ///
    /// # Errors
    /// When the host refuses it, with its answer.
    pub async fn connect(&self, name: &str) -> anyhow::Result<Client> {
        self.connect_at(name, "/ws", &[])
            .await?
            .map_err(|refusal| anyhow::anyhow!("{name} was refused: {refusal:?}"))
    }

    /// A connection at a path, query included, with more request headers; or the HTTP answer that refused it.
    ///
    /// # Errors
    /// When there is no HTTP answer at all.
    pub async fn connect_at(
        &self,
        name: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Result<Client, Refusal>> {
        Client::connect(name, self.address, path, headers)
            .await
            .with_context(|| match self.failure() {
                Some(failure) => format!("the host had ended: {failure}"),
                None => format!("the host's log:\n{}", self.log.text()),
            })
    }

    /// Why the host ended by itself, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the log has a line with all of these.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn logged(&self, parts: &[&str]) -> anyhow::Result<String> {
        let waited = tokio::time::timeout(WAIT, self.log.line_with(parts)).await;
        waited.with_context(|| format!("no log line with {parts:?} in\n{}", self.log.text()))
    }

    /// How often a limit was reached, so far.
    #[must_use]
    pub fn reached(&self, limit: Limit) -> u64 {
        let Some(host) = self.host.get() else {
            return 0;
        };
        // Of the host and of its tenants.
        let label = format!("limit=\"{}\"}} ", limit.key());
        let text = host.metrics_text();
        let lines = text.lines();
        let series = lines.filter(|line| line.starts_with("wardroom_limit_reached_total{"));
        let counts = series.filter_map(|line| Some(line.split_once(&label)?.1));
        counts
            .map(|count| count.parse::<u64>().expect("a counter is a number"))
            .sum()
    }

    /// The value of a metric that has no labels; zero before the host is set up.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.host.get().map(|host| host.metrics_text());
        let text = text.unwrap_or_default();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a metric is a number"))
    }

    /// Waits until a metric without labels is as it should be.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn counts(&self, name: &str, is_right: impl Fn(f64) -> bool) -> anyhow::Result<f64> {
        let deadline = Instant::now() + WAIT;
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        loop {
            let value = self.metric(name);
            if is_right(value) {
                return Ok(value);
            }
            anyhow::ensure!(Instant::now() < deadline, "{name} is {value}");
            looks.tick().await;
        }
    }

    /// Waits until a limit was reached so often. That may be a moment after the client saw what came of it.
    ///
    /// # Errors
    /// When it was reached more often, or is not in time.
    pub async fn reaches(&self, limit: Limit, times: u64) -> anyhow::Result<()> {
        reach(std::slice::from_ref(self), limit, times).await
    }

    /// Asks all hosts that are one server with it for next to nothing. What it had told them before they have heard when
    /// they have answered. `None` before it is set up.
    pub async fn ask_all(&self) -> Option<Coverage> {
        let mount = self.host.get()?.tenant(&TenantName::default())?;
        let nowhere = RoomName::new("/~nowhere")?;
        let (_, coverage) = mount.tenant().hub.room_size_everywhere(&nowhere).await;
        Some(coverage)
    }

    /// Stops the host and waits until it has ended.
    ///
    /// # Errors
    /// When it ended with an error, or does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(shutdown) = self.shutdown.take() {
            // It may have ended before.
            let _ = shutdown.send(());
            if self.ended.recv_timeout(WAIT) == Err(RecvTimeoutError::Timeout) {
                anyhow::bail!(
                    "the host did not stop in {WAIT:?}; its log:\n{}",
                    self.log.text()
                );
            }
        }
        match self.failure() {
            Some(failure) => anyhow::bail!("the host ended with: {failure}"),
            None => Ok(()),
        }
    }
}

/// Waits until hosts together have reached a limit so often.
///
/// # Errors
/// When they have reached it more often, or do not in time.
pub async fn reach(hosts: &[TestServer], limit: Limit, times: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + WAIT;
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    loop {
        let count: u64 = hosts.iter().map(|host| host.reached(limit)).sum();
        if count == times {
            return Ok(());
        }
        anyhow::ensure!(
            count < times && Instant::now() < deadline,
            "{} was reached {count} times, not {times}",
            limit.key()
        );
        looks.tick().await;
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let stopped = self.stop();
        if std::thread::panicking() {
            eprintln!("--- log of the host ---\n{}", self.log.text());
        } else if let Err(problem) = stopped {
            panic!("{problem}");
        }
    }
}

/// Small, so that a test costs little; patient, so that a busy machine fails none. Tests of a limit set their own.
fn defaults() -> Config {
    let mut config = Config {
        node: "here".to_owned(),
        ..Config::default()
    };
    config.drain = Duration::ZERO;
    // What a test needs compiled, another one has mostly compiled before.
    config.cache = Some(guests::target_dir().join("guests/host-cache"));
    config.limits.events_per_instance_max = retirement();
    config.limits.instances_max = 64;
    config.limits.instances_per_plugin_max = 16;
    config.limits.event_cpu_max = Duration::from_secs(1);
    config.limits.describe_cpu_max = Duration::from_secs(10);
    config.limits.instance_wait_max = WAIT;
    config.limits.compile_wall_max = WAIT * 15;
    config
}

/// After how many events instances are replaced: another number at each start, so that no test and no plugin comes to
/// rely on meeting the same instance twice. The log of a test that fails has it.
fn retirement() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    [1, 2, 3, 7, 20, 100_000][(random % 6) as usize]
}

/// What the host's thread is given.
struct Running {
    config: Config,
    listener: std::net::TcpListener,
    log: Log,
    failure: Arc<Mutex<Option<String>>>,
    host: Arc<OnceLock<Arc<wardroom::Host>>>,
}

impl Running {
    fn run(self, stopped: oneshot::Receiver<()>) {
        let Self {
            config,
            listener,
            log,
            failure,
            host: set_up,
        } = self;
        let dispatch = log.dispatch();
        let _logged = tracing::dispatcher::set_default(&dispatch);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            // Each of the host's threads logs to this host's log for as long as it lives.
            .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
            .build()
            .expect("a runtime needs nothing that a test machine lacks");
        let shutdown = async {
            // A dropped sender stops the host as well.
            let _ = stopped.await;
        };
        let result = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let bus = cluster::open(&config);
            let host = wardroom::Host::new(config, bus)?;
            let host = Arc::clone(set_up.get_or_init(|| Arc::new(host)));
            host.load_plugins().await?;
            host.accept(listener, shutdown).await;
            anyhow::Ok(())
        });
        if let Err(error) = result {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
        }
        runtime.shutdown_timeout(Duration::from_secs(5));
    }
}
