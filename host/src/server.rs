//! The host, put together: the engine, the tenant, the listener; and taken apart again in order.

mod admission;
mod drain;
mod http;
mod live;
mod load;
mod look;
mod reload;
mod watch;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::http::request::Parts;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Bus;
use crate::config::{Config, ConfigError, Limit};
use crate::hub::{Backlog, Hub};
use crate::metrics::Metrics;
use crate::plugin::{Cache, Compile, Engine, EngineError, Outbound};
use crate::tenant::{Change, Tenant};
use crate::ws::{self, Settings};
use admission::{Admission, Place, Places};
use http::{Accepted, Upgraded};
use live::Live;

pub use live::{Entry, Patience, Problem, Reason, Refreshed, Swap};
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
    /// The folder of plugins cannot be read.
    #[error("cannot read the plugins in {}: {source}; create the folder, or name another with --plugins", folder.display())]
    Plugins {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
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
    /// For the plugins that are loaded next.
    engine: ArcSwap<Engine>,
    tenant: Tenant,
    /// Cancelled when the host stops.
    stopping: CancellationToken,
    /// Of all connections.
    backlog: Arc<Backlog>,
    admission: Admission,
    /// Of the sockets that are not yet connections.
    handshakes: Arc<Places>,
    /// One permit: reloads come one after another.
    reloads: Semaphore,
    /// Held for a look at the folder or a swap, so that there is one at a time; not while files are loaded.
    live: Mutex<Live>,
    pages: Option<Box<Pages>>,
}

impl Host {
    /// Sets up a host without plugins.
    ///
    /// # Errors
    /// [`ServerError::Config`] and [`ServerError::Engine`].
    pub fn new(config: Config, bus: Arc<dyn Bus>) -> Result<Self, ServerError> {
        config.validate()?;
        let metrics = Metrics::new();
        let outbound = Outbound::new(config.http.clone(), config.resolver.clone());
        let engine = set_up_engine(&config, metrics.clone())?.reaching(Arc::new(outbound));
        let backlog = Arc::new(Backlog::new(config.limits.outboxes_bytes_max));
        let hub = Hub::new(&config.node, bus, Arc::clone(&backlog));
        let tenant = Tenant::new(hub, config.limits.clone(), metrics);
        Ok(Self {
            config: ArcSwap::from_pointee(config),
            engine: ArcSwap::from_pointee(engine),
            tenant,
            stopping: CancellationToken::new(),
            backlog,
            admission: Admission::default(),
            handshakes: Arc::default(),
            reloads: Semaphore::new(1),
            live: Mutex::default(),
            pages: None,
        })
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

    /// Whether it takes connections: not any more once it stops.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stopping.is_cancelled()
    }

    /// What it has counted, and what there is right now, as Prometheus reads it.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let hub = &self.tenant.hub;
        let metrics = &self.tenant.metrics;
        metrics.hold(
            hub.connection_count(),
            hub.room_count(),
            self.backlog.bytes(),
        );
        for plugin in self.tenant.plugins().plugins() {
            plugin.hold_metrics();
        }
        metrics.render()
    }

    /// The one tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Loads the plugins of the configured folder, and makes them live in place of those that were. Returns the
    /// files that are not, which are also logged.
    ///
    /// # Errors
    /// [`ServerError::Plugins`]; what was live stays live.
    pub async fn load_plugins(&self) -> Result<Vec<Problem>, ServerError> {
        Ok(self.refresh(Patience::None).await?.problems)
    }

    /// As [`Self::load_plugins`], and says what changed. A file whose content is known is not loaded again, unless it
    /// is broken. One that is broken, or conflicts with another, changes nothing: what was live of it stays live.
    ///
    /// Without patience it returns when all that it has found is loaded. With patience it returns at once: what is
    /// loaded by then is live, and who keeps looking will find the rest.
    ///
    /// # Errors
    /// [`ServerError::Plugins`]; what was live stays live.
    pub async fn refresh(&self, patience: Patience) -> Result<Refreshed, ServerError> {
        let before = self.tenant.plugins();
        let mut ended = self.live.lock().ended();
        self.look(patience)?;
        if patience == Patience::None {
            let looked = Instant::now();
            while self.live.lock().adopt(looked, &self.tenant.plugins()) {
                // The sender is as old as the host.
                let _ = ended.changed().await;
            }
        }
        let refreshed = self.settle(patience);
        Ok(Refreshed {
            changes: Change::between(&before, &self.tenant.plugins()),
            ..refreshed
        })
    }

    fn look(&self, patience: Patience) -> Result<(), ServerError> {
        let mut live = self.live.lock();
        let (config, engine) = (self.config(), self.engine.load_full());
        let folder = &config.plugins;
        let looked = live.look(folder, &engine, patience);
        looked.map_err(|source| ServerError::Plugins {
            folder: folder.clone(),
            source,
        })
    }

    /// Makes what is loaded live, without a look at the folder.
    fn settle(&self, patience: Patience) -> Refreshed {
        let mut live = self.live.lock();
        let before = self.tenant.plugins();
        let again = live.settle(&self.tenant, patience);
        Refreshed {
            problems: live.problems().to_vec(),
            changes: Change::between(&before, &self.tenant.plugins()),
            again,
        }
    }

    /// The files of the plugin folder, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<Entry> {
        self.live.lock().entries()
    }

    /// The last swaps, the newest last.
    #[must_use]
    pub fn swaps(&self) -> Vec<Swap> {
        self.live.lock().history().cloned().collect()
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
        drain::drain(&self.tenant.hub, self.config().drain).await;
        connections.close();
        connections.wait().await;
    }

    /// What has to be done from time to time, whether or not there are connections.
    async fn keep_house(self: Arc<Self>) {
        let watching = async {
            if self.config().watch {
                watch::watch(Arc::clone(&self)).await;
            }
        };
        let retiring = async {
            loop {
                let idle_max = self.tenant.limits().instance_idle_max;
                let interval = (idle_max / 4).clamp(RETIRE_INTERVAL_MIN, RETIRE_INTERVAL_MAX);
                tokio::time::sleep(interval).await;
                for plugin in self.tenant.plugins().plugins() {
                    plugin.keep_house();
                }
                self.tenant.metrics.settle();
            }
        };
        tokio::join!(watching, retiring);
    }

    /// A place for one more handshake; without one, the socket is to be dropped.
    fn begin_handshake(&self, stream: &TcpStream) -> Option<Place> {
        let handshakes_max = self.tenant.limits().handshakes_max;
        let place = self.handshakes.take(handshakes_max);
        if place.is_none() {
            self.tenant.metrics.reached(Limit::HandshakesMax);
            http::turn_away(stream);
        }
        place
    }

    /// One accepted socket, through its upgrade to its end.
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, handshake: Place) {
        // Frames are written whole: there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let upgraded = tokio::select! {
            upgraded = self.upgrade(stream, peer) => upgraded,
            () = self.stopping.cancelled() => None,
        };
        drop(handshake);
        let Some(Upgraded {
            stream,
            read,
            accepted: Accepted { request, admitted },
        }) = upgraded
        else {
            return;
        };
        let settings = self.settings();
        ws::serve(stream, read, request, &self.tenant, &settings).await;
        drop(admitted);
    }

    fn settings(&self) -> Settings {
        let config = self.config.load();
        Settings {
            heartbeat_interval: config.heartbeat_interval,
            heartbeat_timeout: config.heartbeat_timeout,
            drain: config.drain,
            stopping: self.stopping.clone(),
        }
    }
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

/// How often to look for instances that nobody uses, whatever `instance_idle_max` is.
const RETIRE_INTERVAL_MIN: Duration = Duration::from_millis(10);
const RETIRE_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// How long to wait before accepting again after an error.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
