//! The host, put together: the engine, the tenant, the listener; and taken apart again in order.

mod access;
mod admission;
mod drain;
mod gate;
mod housekeeping;
mod http;
mod live;
mod load;
mod look;
mod mount;
mod notices;
mod reload;
mod socket;
mod tls;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::http::request::Parts;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::cluster::{Bus, Status as BusStatus};
use crate::config::{Config, ConfigError, StateStore, TenantName};
use crate::hub::{Backlog, Exchange};
use crate::metrics::{self, Metrics};
use crate::plugin::{Cache, Compile, Engine, EngineError, Outbound};
use crate::state::{StateError, Store, StoreError};
use access::Access;
use admission::{Admission, Places};
use gate::Gate;
use mount::Mounts;
use notices::Notices;

pub use live::{Entry, Patience, Problem, Reason, Refreshed, Swap};
pub use mount::Mount;
pub use reload::ReloadError;

/// Why a host does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its configuration cannot be.
    #[error("invalid configuration: {0}")]
    Config(#[from] ConfigError),
    /// The sandbox cannot be set up.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// State cannot be kept where it is to be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// State that was kept cannot be read.
    #[error("cannot read the state: {0}")]
    State(#[from] StateError),
    /// The folder of plugins cannot be read.
    #[error("cannot read the plugins in {}: {source}; create the folder, or name another with --plugins", folder.display())]
    Plugins {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why connections should not come to a host, although those that do are taken until it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// It stops.
    #[error("stopping")]
    Stopping,
    /// Its members and those of other hosts do not hear each other.
    #[error("the bus is away")]
    BusAway,
    /// It has not heard yet which other hosts there are.
    #[error("the other hosts are not known yet")]
    OthersUnknown,
}

/// Runs a host until `shutdown` completes: loads the plugins of the configured folder, accepts connections, and at
/// the end closes them with 1012 and lets their events finish.
///
/// The listener is the caller's, who thereby knows its address; `config.listen` is not looked at.
///
/// # Errors
/// [`ServerError`], before anything is accepted. A plugin that cannot be loaded is logged and left out.
pub async fn run(
    config: Config,
    bus: Arc<dyn Bus>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let host = Host::new(config, bus)?;
    host.load_plugins().await?;
    host.serve(listener, shutdown).await;
    Ok(())
}

/// An answer to a request for a page of the host's; `None` when there is no such page.
pub type Pages = dyn Fn(&Parts) -> Option<Response<Full<Bytes>>> + Send + Sync;

/// A host that is set up and accepts nothing yet.
pub struct Host {
    /// What it runs with: a reload replaces it.
    config: ArcSwap<Config>,
    /// With the host's limits.
    engine: Engine,
    metrics: Metrics,
    /// What the tenants' hubs have in common.
    exchange: Arc<Exchange>,
    /// Where the tenants' state is kept.
    store: Store,
    mounts: ArcSwap<Mounts>,
    notices: Arc<Notices>,
    /// Cancelled when the host stops.
    stopping: CancellationToken,
    /// Of all connections.
    backlog: Arc<Backlog>,
    /// A reload replaces it with the configuration.
    access: ArcSwap<Access>,
    admission: Admission,
    /// Of the sockets that are not yet connections.
    handshakes: Arc<Places>,
    /// One permit: reloads come one after another.
    reloads: Semaphore,
    /// From then on tenants are watched that begin.
    is_accepting: AtomicBool,
    pages: Option<Box<Pages>>,
}

impl Host {
    /// Sets up a host without plugins.
    ///
    /// # Errors
    /// All of [`ServerError`] but the one of the plugins. A key or a certificate that cannot be is one of the
    /// configuration.
    pub fn new(config: Config, bus: Arc<dyn Bus>) -> Result<Self, ServerError> {
        config.validate()?;
        let access = Access::open(&config)?;
        let tenants = Gate::open_all(&config)?;
        let metrics = Metrics::of_host();
        let outbound = Outbound::new(config.resolver.clone());
        let engine = set_up_engine(&config, metrics.clone())?.reaching(outbound);
        let backlog = Arc::new(Backlog::new(config.limits.outboxes_bytes_max));
        let (node, prefix) = (&config.node, &config.cluster_prefix);
        let exchange = Exchange::new(node, prefix, bus, Arc::clone(&backlog));
        let store = open_store(&config)?;
        let host = Self {
            config: ArcSwap::from_pointee(config),
            engine,
            metrics,
            exchange,
            store,
            mounts: ArcSwap::default(),
            notices: Arc::default(),
            stopping: CancellationToken::new(),
            backlog,
            access: ArcSwap::from_pointee(access),
            admission: Admission::default(),
            handshakes: Arc::default(),
            reloads: Semaphore::new(1),
            is_accepting: AtomicBool::new(false),
            pages: None,
        };
        let state = reload::read_state(&host.store, tenants.keys())?;
        host.mount(tenants, state);
        Ok(host)
    }

    /// Adds pages: what else is answered on the listener.
    #[must_use]
    pub fn with_pages(mut self, pages: Box<Pages>) -> Self {
        self.pages = Some(pages);
        self
    }

    /// The configuration with which it runs now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Whether connections should come here: not any more once it stops, and not while it is cut off from the other hosts.
    ///
    /// # Errors
    /// Why they should not.
    pub fn readiness(&self) -> Result<(), Unready> {
        if self.stopping.is_cancelled() {
            return Err(Unready::Stopping);
        }
        if !self.exchange.bus_status().is_ready {
            return Err(Unready::BusAway);
        }
        if !self.exchange.knows_others() {
            return Err(Unready::OthersUnknown);
        }
        Ok(())
    }

    /// How the bus to the other hosts is doing.
    #[must_use]
    pub fn bus_status(&self) -> BusStatus {
        self.exchange.bus_status()
    }

    /// The names of all hosts that are one server with it, its own among them, sorted.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.exchange.nodes()
    }

    /// The names of the others among them, sorted, and for how long each has been silent.
    #[must_use]
    pub fn peers(&self) -> Vec<(String, Duration)> {
        self.exchange.peers()
    }

    /// Payloads of the bus that were nothing to deliver.
    #[must_use]
    pub fn bus_malformed(&self) -> u64 {
        self.exchange.malformed()
    }

    /// What it has counted, and what there is right now, as Prometheus reads it.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.metrics.hold_outboxes(self.backlog.bytes());
        self.metrics
            .hold_bus(&self.bus_status(), self.bus_malformed());
        self.metrics.hold_nodes(self.nodes().len());
        let mounts = self.mounts();
        let tenants = mounts.iter().map(|mount| mount.tenant());
        let counted = tenants.map(|tenant| {
            let hub = &tenant.hub;
            tenant
                .metrics
                .hold(hub.connection_count(), hub.room_count());
            for plugin in tenant.plugins().plugins() {
                plugin.hold_metrics();
            }
            &tenant.metrics
        });
        metrics::render([&self.metrics].into_iter().chain(counted))
    }

    /// The tenants as they are now, sorted by name.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        self.mounts.load().all().cloned().collect()
    }

    /// The tenant of this name.
    #[must_use]
    pub fn tenant(&self, name: &TenantName) -> Option<Arc<Mount>> {
        self.mounts.load().get(name).cloned()
    }

    /// Loads the plugins of all tenants, and makes them live in place of those that were. Returns the files that are
    /// not, which are also logged.
    ///
    /// # Errors
    /// [`ServerError::Plugins`], of the first whose folder cannot be read; the others have theirs.
    pub async fn load_plugins(&self) -> Result<Vec<Problem>, ServerError> {
        let refreshed = self.refresh().await?;
        let problems = refreshed.into_iter();
        Ok(problems
            .flat_map(|(_, refreshed)| refreshed.problems)
            .collect())
    }

    /// As [`Self::load_plugins`], and says of each tenant what changed.
    async fn refresh(&self) -> Result<Vec<(TenantName, Refreshed)>, ServerError> {
        let refreshing = self.mounts().into_iter().map(|mount| async move {
            let refreshed = mount.refresh(Patience::None).await?;
            Ok((mount.name().clone(), refreshed))
        });
        // All of them, also after an error.
        let refreshed = futures_util::future::join_all(refreshing).await;
        refreshed.into_iter().collect()
    }

    /// Accepts connections until `shutdown` completes, then ends them all.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        Arc::new(self).accept(listener, shutdown).await;
    }

    /// As [`Self::serve`], for who keeps a handle to the host.
    pub async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) {
        let connections = TaskTracker::new();
        let stopping = self.stopping.clone();
        let housekeeping = Arc::clone(&self).keep_house();
        tokio::spawn(async move { stopping.run_until_cancelled(housekeeping).await });
        let exchange = Arc::clone(&self.exchange);
        // Until the last of its connections is closed it answers for them.
        let announcing = AbortOnDropHandle::new(tokio::spawn(async move {
            exchange.announce().await;
        }));
        self.is_accepting.store(true, Ordering::Relaxed);
        for mount in self.mounts() {
            self.watch(&mount);
        }
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(handshake) = self.begin_handshake(&stream) else {
                        continue;
                    };
                    connections.spawn(Arc::clone(&self).connection(stream, peer, handshake));
                }
                Err(error) => {
                    // The usual one is "too many open files": it passes when a connection closes.
                    tracing::error!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
        drop(listener);
        self.stopping.cancel();
        self.end_connections(&connections).await;
        drop(announcing);
        self.exchange.leave().await;
    }

    /// Closes all connections, and waits until their events have ended and their rooms are dealt with.
    async fn end_connections(&self, connections: &TaskTracker) {
        let mounts = self.mounts();
        let hubs = mounts.iter().map(|mount| &mount.tenant().hub);
        drain::drain(hubs, self.config().drain).await;
        connections.close();
        connections.wait().await;
        let ended = mounts.iter().map(|mount| mount.tenant().state.settle());
        // While the others can still be asked.
        futures_util::future::join_all(ended).await;
    }
}

/// Where state is kept. Of one that is shared the connection is made by and by.
fn open_store(config: &Config) -> Result<Store, StoreError> {
    let broker = config.cluster_url.as_ref();
    Ok(match (config.state_store(), broker) {
        (StateStore::File(file), _) => Store::open(&file)?,
        (StateStore::Cluster, Some(url)) => Store::share(url, &config.cluster_prefix),
        // One without a broker is none of a valid configuration.
        (StateStore::Cluster | StateStore::Memory | StateStore::Automatic, _) => Store::Memory,
    })
}

/// The sandbox, with its compiler and its cache. A folder that cannot be trusted costs time at the next start, which is
/// no reason not to start.
pub(crate) fn set_up_engine(config: &Config, metrics: Metrics) -> Result<Engine, EngineError> {
    let compile = config
        .compiler
        .clone()
        .map_or(Compile::Here, Compile::Child);
    let engine = Engine::new(&config.limits, metrics.clone())?.compiling(compile);
    let Some(folder) = &config.cache else {
        tracing::info!("compiled code is not kept: no folder is configured (cache)");
        return Ok(engine);
    };
    match Cache::open(folder, config.limits.cache_bytes_max, metrics) {
        Ok(cache) => Ok(engine.caching(cache)),
        Err(error) => {
            tracing::warn!("compiled code is not kept, every start compiles: {error}");
            Ok(engine)
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Host")
            .field("config", &self.config())
            .finish_non_exhaustive()
    }
}

/// How long to wait before accepting again after an error.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
