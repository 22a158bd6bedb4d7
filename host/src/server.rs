//! The host, put together: the engine, the tenant, the listener; and taken apart again in order.

mod http;
mod places;
mod reload;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::http::request::Parts;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Bus;
use crate::config::{Config, ConfigError};
use crate::hub::Hub;
use crate::plugin::{Engine, EngineError, FileError, load_file, plugin_files};
use crate::protocol::{Close, CloseCode};
use crate::tenant::{Conflict, PluginSet, Tenant};
use crate::ws::{self, Settings};
use http::Upgraded;
use places::Places;

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
    /// Of all connections that are open, handshakes included.
    places: Arc<Places>,
    /// One permit: reloads come one after another.
    reloads: Semaphore,
    pages: Option<Box<Pages>>,
}

/// A file of the plugin folder that is not live, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Why, and what to do.
    pub reason: Reason,
}

/// Why a file is not live.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It cannot be loaded.
    #[error("{0}")]
    File(#[from] FileError),
    /// It conflicts with another.
    #[error("{0}")]
    Conflict(#[from] Conflict),
}

impl Host {
    /// Sets up a host without plugins.
    ///
    /// # Errors
    /// [`ServerError::Config`] and [`ServerError::Engine`].
    pub fn new(config: Config, bus: Arc<dyn Bus>) -> Result<Self, ServerError> {
        config.validate()?;
        let engine = Engine::new(&config.limits)?;
        let hub = Hub::new(&config.node, bus);
        let tenant = Tenant::new(hub, config.limits.clone());
        Ok(Self {
            config: ArcSwap::from_pointee(config),
            engine: ArcSwap::from_pointee(engine),
            tenant,
            stopping: CancellationToken::new(),
            places: Arc::default(),
            reloads: Semaphore::new(1),
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
        let files = plugin_files_of(&self.config())?;
        Ok(self.load_files(&files).await)
    }

    /// As [`Self::load_plugins`], with these files.
    pub async fn load_files<P: AsRef<Path>>(&self, files: &[P]) -> Vec<Problem> {
        let engine = self.engine.load_full();
        let mut loaded = Vec::new();
        let mut problems = Vec::new();
        for file in files.iter().map(AsRef::as_ref) {
            match load_file(&engine, file).await {
                Ok(plugin) => loaded.push((file.to_owned(), plugin)),
                Err(error) => problems.push(Problem {
                    file: file.to_owned(),
                    reason: error.into(),
                }),
            }
        }
        let (plugins, conflicts) = PluginSet::build(loaded);
        problems.extend(conflicts.into_iter().map(|(file, conflict)| Problem {
            file,
            reason: conflict.into(),
        }));
        for problem in &problems {
            tracing::error!(file = %problem.file.display(), "plugin not loaded: {}", problem.reason);
        }
        for plugin in plugins.plugins() {
            let manifest = &plugin.manifest;
            let (name, version) = (&manifest.name, &manifest.version);
            tracing::info!(plugin = %name, %version, routes = manifest.routes.len(), hooks = %manifest.hooks, "plugin live");
        }
        self.tenant.set_plugins(plugins);
        problems
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
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(Arc::clone(&self).connection(stream, peer));
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
        self.tenant
            .hub
            .close_all(&Close::new(CloseCode::Restarting, "restarting"));
        connections.close();
        connections.wait().await;
    }

    /// One accepted socket, through its upgrade to its end.
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Frames are written whole: there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let place = self.places.take(self.tenant.limits().connections_max);
        let upgraded = tokio::select! {
            upgraded = self.upgrade(stream, peer, place.is_some()) => upgraded,
            () = self.stopping.cancelled() => None,
        };
        if let Some(Upgraded {
            stream,
            read,
            request,
        }) = upgraded
        {
            let settings = self.settings();
            ws::serve(stream, read, request, &self.tenant, &settings).await;
        }
        drop(place);
    }

    fn settings(&self) -> Settings {
        let config = self.config.load();
        Settings {
            heartbeat_interval: config.heartbeat_interval,
            heartbeat_timeout: config.heartbeat_timeout,
            stopping: self.stopping.clone(),
        }
    }
}

/// The files in the folder of plugins.
pub(crate) fn plugin_files_of(config: &Config) -> Result<Vec<PathBuf>, ServerError> {
    let folder = &config.plugins;
    plugin_files(folder).map_err(|source| ServerError::Plugins {
        folder: folder.clone(),
        source,
    })
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
const ACCEPT_RETRY: std::time::Duration = std::time::Duration::from_millis(50);
