//! Another configuration for a host that runs.
//!
//! What takes effect when: a connection keeps the heartbeat and the sizes of its messages and its outbox from its
//! beginning; an event keeps the limits of the plugin that handles it, and plugins are loaded anew when there are other
//! limits; everything else is read when it is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinError;

use super::access::Access;
use super::gate::{Gate, Gated};
use super::mount::{Mount, Mounts};
use super::{Host, Refreshed, ServerError, watch};
use crate::config::{Config, ConfigError, Key, TenantConfig, TenantName};
use crate::hub::Hub;
use crate::plugin::plugin_files;
use crate::state::{StateError, Store, Values};
use crate::tenant::Tenant;

/// Why a host goes on with the configuration that it has.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new one cannot be.
    #[error("invalid configuration: {0}")]
    Config(#[from] ConfigError),
    /// It has other values for keys that cannot change while a host runs.
    #[error("{} cannot change while the host runs: restart it for that", names(.0).join(", "))]
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
    /// Goes on with another configuration, and with the plugins that are in the folders now, as [`Mount::refresh`] has
    /// them without patience; with other limits all of them are loaded anew, and each that
    /// has other values to read, or must be another file. Connections stay open.
    ///
    /// The new configuration is taken as a whole or not at all. What already runs keeps what it began with: an open
    /// connection its heartbeat, `message_bytes_max`, `outbox_bytes_max` and `outbox_messages_max`; an event all its
    /// limits. A lowered `connections_max` closes nothing.
    ///
    /// Who drops the future before it is done may find the new configuration with the old plugins.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub async fn reload(
        &self,
        config: Config,
    ) -> Result<Vec<(TenantName, Refreshed)>, ReloadError> {
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
    ) -> Result<Vec<(TenantName, Refreshed)>, ReloadError> {
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
        let access = Access::open(&config)?;
        let tenants = Gate::open_all(&config)?;
        let state = self.state_of_new(tenants.keys()).await?;
        for (tenant, _) in tenants.values() {
            plugin_files(&tenant.plugins).map_err(|source| ServerError::Plugins {
                folder: tenant.plugins.clone(),
                source,
            })?;
        }
        self.backlog.set_max(config.limits.outboxes_bytes_max);
        self.access.store(Arc::new(access));
        let mut changed = names(&changed);
        changed.extend(self.mount(tenants, state));
        self.config.store(Arc::new(config));
        let refreshed = self.refresh().await?;
        tracing::info!(changed = changed.join(", "), "configuration reloaded");
        Ok(refreshed)
    }

    /// Has these tenants from now on: those that are there already may change, others begin, and those that are not
    /// among them end. `state` has that of all who begin. Returns what that changes.
    pub(super) fn mount(
        &self,
        tenants: Gated,
        mut state: BTreeMap<TenantName, Values>,
    ) -> Vec<String> {
        let before = self.mounts.load_full();
        let mut changed = Vec::new();
        let mut all = BTreeMap::new();
        for (name, (config, gate)) in tenants {
            if let Some(mount) = before.get(&name) {
                if mount.change(config, gate) {
                    changed.push(format!("tenant {name}"));
                }
                all.insert(name, Arc::clone(mount));
            } else if let Some(state) = state.remove(&name) {
                changed.push(format!("tenant {name} (new)"));
                let mount = self.begin(&name, config, gate, state);
                all.insert(name, mount);
            }
        }
        let mounts = Arc::new(Mounts::new(all));
        // Nobody comes in any more before those who are in have to leave.
        self.mounts.store(Arc::clone(&mounts));
        let gone = before
            .all()
            .filter(|mount| mounts.get(mount.name()).is_none());
        for mount in gone {
            mount.remove();
            changed.push(format!("tenant {} (removed)", mount.name()));
        }
        changed
    }

    /// Reads the state of those tenants that are not here yet.
    async fn state_of_new(
        &self,
        tenants: impl Iterator<Item = &TenantName>,
    ) -> Result<BTreeMap<TenantName, Values>, ServerError> {
        let here = self.mounts.load_full();
        let new = tenants.filter(|name| here.get(name).is_none());
        let (store, new) = (self.store.clone(), new.cloned().collect::<Vec<_>>());
        let reading = tokio::task::spawn_blocking(move || read_state(&store, &new));
        let panicked = |error: JoinError| StateError::Unavailable(error.to_string());
        Ok(reading.await.map_err(panicked)??)
    }

    fn begin(
        &self,
        name: &TenantName,
        config: TenantConfig,
        gate: Gate,
        state: Values,
    ) -> Arc<Mount> {
        let limits = Arc::new(config.limits.clone());
        let hub = Hub::new(&self.exchange, name);
        let tenant = Tenant::new(name.clone(), hub, state, config.limits.clone());
        let metrics = tenant.metrics.clone();
        let engine =
            self.engine
                .with_limits(limits)
                .for_tenant(name.clone(), metrics, config.cpu_share);
        engine.grant(&config.plugin);
        let mount = Arc::new(Mount::new(config, gate, tenant, engine));
        if self.is_accepting.load(Ordering::Relaxed) {
            self.watch(&mount);
        }
        mount
    }

    /// Keeps what is live of a tenant as its folder says, if that is wanted, until one of them ends.
    pub(super) fn watch(&self, mount: &Arc<Mount>) {
        if !self.config().watch {
            return;
        }
        let (stopping, removed) = (self.stopping.clone(), mount.removed().clone());
        let watching = watch::watch(Arc::clone(mount), Arc::clone(&self.notices));
        tokio::spawn(async move {
            tokio::select! {
                () = watching => {}
                () = stopping.cancelled() => {}
                () = removed.cancelled() => {}
            }
        });
    }
}

/// The state of tenants by their names. Waits for the disk.
pub(super) fn read_state<'a>(
    store: &Store,
    tenants: impl IntoIterator<Item = &'a TenantName>,
) -> Result<BTreeMap<TenantName, Values>, StateError> {
    let read = |name: &TenantName| Ok((name.clone(), store.tenant(name.as_str())?));
    tenants.into_iter().map(read).collect()
}

fn names(keys: &[Key]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}
