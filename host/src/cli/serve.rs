//! `wardroom serve`: runs the host.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use super::{Configured, asked_to_stop, say};
use crate::cluster::LocalBus;
use crate::server::Host;

/// Serve the plugins of a folder
///
/// Prints `ready listen=IP:PORT` to standard output when it accepts connections. A file that is no plugin is
/// reported and left out.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    configured: Configured,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.configured.sources().load()?.config;
        let address = config.listen;
        let host = Host::new(config, Arc::new(LocalBus::new()))?;
        host.load_plugins().await?;
        let listener = bind(address).await?;
        say(&format!("ready listen={}", listener.local_addr()?))?;
        host.serve(listener, stop()).await;
        Ok(())
    }
}

pub(super) async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another address with --listen")
    })
}

/// As [`asked_to_stop`], for where a failure to listen for signals can only be logged.
pub(super) async fn stop() {
    if let Err(error) = asked_to_stop().await {
        tracing::error!("cannot wait for signals: {error:#}");
    }
}
