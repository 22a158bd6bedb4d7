//! Another configuration for a host that runs.
//!
//! What takes effect when: a connection keeps the heartbeat and the sizes of its messages and its outbox from its
//! beginning; an event keeps the limits of the plugin that handles it, and plugins are loaded anew when there are other
//! limits; everything else is read when it is needed.

use std::sync::Arc;

use super::{Host, Patience, Refreshed, ServerError};
use crate::config::{Config, ConfigError, Key};
use crate::plugin::plugin_files;

/// Why a host goes on with the configuration that it has.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new one cannot be.
    #[error("invalid configuration: {0}")]
    Config(#[from] ConfigError),
    /// It has other values for keys that cannot change while a host runs.
    #[error("{} cannot change while the host runs: restart it for that", names(.0))]
    Fixed(Vec<Key>),
    /// The plugins cannot be loaded anew.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl ReloadError {
    /// Everything that is wrong, each by itself.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        match self {
            Self::Config(error) => error.faults.iter().map(ToString::to_string).collect(),
            Self::Fixed(_) | Self::Server(_) => vec![self.to_string()],
        }
    }
}

impl Host {
    /// Goes on with another configuration, and with the plugins that are in the folder now, as [`Self::refresh`] has
    /// them without patience; with other limits all of them are loaded anew. Connections stay open.
    ///
    /// The new configuration is taken as a whole or not at all. What already runs keeps what it began with: an open
    /// connection its heartbeat, `message_bytes_max`, `outbox_bytes_max` and `outbox_messages_max`; an event all its
    /// limits. A lowered `connections_max` closes nothing.
    ///
    /// Who drops the future before it is done may find the new configuration with the old plugins.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub async fn reload(&self, config: Config) -> Result<Refreshed, ReloadError> {
        self.reload_from(|| Ok(config)).await
    }

    /// The same with a configuration that is read when all reloads before are done: so the last to begin is the one
    /// that has read the newest.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub async fn reload_from(
        &self,
        read: impl FnOnce() -> Result<Config, ConfigError>,
    ) -> Result<Refreshed, ReloadError> {
        // It is never closed: without a permit, reloads would merely not wait for each other.
        let _turn = self.reloads.acquire().await.ok();
        let config = read()?;
        config.validate()?;
        let running = self.config();
        let changed: Vec<Key> = running.changes(&config).collect();
        let fixed = changed.iter().copied().filter(|key| key.is_fixed());
        let fixed: Vec<Key> = fixed.collect();
        if !fixed.is_empty() {
            return Err(ReloadError::Fixed(fixed));
        }
        plugin_files(&config.plugins).map_err(|source| ServerError::Plugins {
            folder: config.plugins.clone(),
            source,
        })?;
        if config.limits != running.limits {
            let limits = Arc::new(config.limits.clone());
            let engine = self.engine.load().with_limits(Arc::clone(&limits));
            self.engine.store(Arc::new(engine));
            self.backlog.set_max(limits.outboxes_bytes_max);
            self.tenant.set_limits(limits);
        }
        self.engine.load().outbound().grant(config.http.clone());
        self.config.store(Arc::new(config));
        let refreshed = self.refresh(Patience::None).await?;
        tracing::info!(changed = names(&changed), "configuration reloaded");
        Ok(refreshed)
    }
}

fn names(keys: &[Key]) -> String {
    let names: Vec<_> = keys.iter().map(ToString::to_string).collect();
    names.join(", ")
}
