//! `wardroom serve`: runs the host.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::{Configured, StopSignals, say, with_program};
use crate::admin::{self, Token};
use crate::cluster;
use crate::config::{Config, ConfigFile, Sources, TenantName};
use crate::server::{Host, Refreshed, ReloadError};

/// Serve the plugins of a folder
///
/// Prints `ready listen=IP:PORT` to standard output when it accepts connections. A file that is no plugin is
/// reported and left out. SIGHUP reads the configuration and the plugins anew, and so does `POST /api/reload` of the
/// admin listener.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    configured: Configured,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut sources = self.configured.sources();
        let effective = sources.load()?;
        if let Some(file) = effective.file() {
            // Once found it has to be there: a reload that finds it gone must not fall back to the defaults.
            sources.file = ConfigFile::Named(file.to_owned());
        }
        // Before the host is ready: until then the signal would end it.
        let hangups = signal(SignalKind::hangup())?;
        let stopping = StopSignals::listen()?;
        let address = effective.config.listen;
        let config = with_program(effective.config);
        // It reads keys and certificates: nothing is bound before all that can be wrong with those was looked at.
        let bus = cluster::open(&config);
        let host = Arc::new(Host::new(config, bus)?);
        let admin = Admin::bind(&host.config()).await?;
        host.load_plugins().await?;
        let listener = bind(address).await?;
        let ready = format!("ready listen={}", listener.local_addr()?);
        match &admin {
            Some(admin) => say(&format!("{ready} admin={}", admin.listener.local_addr()?))?,
            None => say(&ready)?,
        }
        let reload = Reload {
            host: Arc::clone(&host),
            sources: Arc::new(sources),
        };
        let administering = admin.map(|admin| admin.serve(reload.clone()));
        let reloading = tokio::spawn(reload.on(hangups));
        host.accept(listener, stopping.asked()).await;
        reloading.abort();
        if let Some(administering) = administering {
            administering.abort();
        }
        Ok(())
    }
}

/// The admin listener, when there is to be one.
struct Admin {
    listener: TcpListener,
    token: Token,
}

impl Admin {
    async fn bind(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(address) = config.admin else {
            return Ok(None);
        };
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address} for the admin listener; choose another address with --admin")
        })?;
        let token = Token::random();
        if config.admin_token.is_none() {
            // Once, and not in the log, which may be kept where others read it.
            let text = format!("admin token, for this run only: {}", token.expose());
            writeln!(std::io::stderr(), "{text}")?;
        }
        Ok(Some(Self { listener, token }))
    }

    fn serve(self, reload: Reload) -> JoinHandle<()> {
        let host = Arc::clone(&reload.host);
        let reload: Box<admin::Reload> = Box::new(move || reload.clone().now().boxed());
        tokio::spawn(admin::serve(host, self.listener, self.token, reload))
    }
}

/// Reads everything anew, whoever asks for it.
#[derive(Clone)]
struct Reload {
    host: Arc<Host>,
    sources: Arc<Sources>,
}

impl Reload {
    /// What is wrong is in the log by the end, a line for each fault, as at the start.
    async fn now(self) -> Result<Vec<(TenantName, Refreshed)>, ReloadError> {
        let read = || {
            let effective = tokio::task::block_in_place(|| self.sources.load())?;
            Ok(with_program(effective.config))
        };
        let reloaded = self.host.reload_from(read).await;
        for fault in reloaded.as_ref().err().map_or(vec![], ReloadError::faults) {
            tracing::error!("configuration not reloaded, the old one stays: {fault}");
        }
        reloaded
    }

    async fn on(self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            // It is in the log, and there is nobody else to tell.
            let _ = self.clone().now().await;
        }
    }
}

pub(super) async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another address with --listen")
    })
}
