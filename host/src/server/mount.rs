//! A tenant as the host runs it: where its connections come in, and its plugins as its folder has them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ServerError;
use super::admission::{Place, Places};
use super::gate::{Gate, Refusals};
use super::live::{Entry, Live, Patience, Refreshed, Swap};
use crate::config::{Limits, TenantConfig, TenantName};
use crate::plugin::Engine;
use crate::protocol::Close;
use crate::tenant::{Change, Tenant};

/// One tenant's place in the host.
pub struct Mount {
    tenant: Tenant,
    /// What it is: a reload replaces it.
    config: ArcSwap<TenantConfig>,
    /// Who gets in: a reload replaces it with that.
    gate: ArcSwap<Gate>,
    pub(super) refusals: Refusals,
    /// For the plugins that are loaded next.
    engine: ArcSwap<Engine>,
    /// Held for a look at the folder or a swap, so that there is one at a time; not while files are loaded.
    live: Mutex<Live>,
    connections: Arc<Places>,
    /// Cancelled when the tenant is taken away.
    removed: CancellationToken,
}

impl Mount {
    pub(super) fn new(config: TenantConfig, gate: Gate, tenant: Tenant, engine: Engine) -> Self {
        Self {
            tenant,
            config: ArcSwap::from_pointee(config),
            gate: ArcSwap::from_pointee(gate),
            refusals: Refusals::default(),
            engine: ArcSwap::from_pointee(engine),
            live: Mutex::default(),
            connections: Arc::default(),
            removed: CancellationToken::new(),
        }
    }

    /// What the tenant is called.
    #[must_use]
    pub fn name(&self) -> &TenantName {
        &self.tenant.name
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// What it is now.
    #[must_use]
    pub fn config(&self) -> Arc<TenantConfig> {
        self.config.load_full()
    }

    /// Who gets in now.
    pub(super) fn gate(&self) -> Arc<Gate> {
        self.gate.load_full()
    }

    /// Cancelled when it is there no more.
    pub(super) fn removed(&self) -> &CancellationToken {
        &self.removed
    }

    /// A place for one more connection, if there is one.
    pub(super) fn admit(&self) -> Option<Place> {
        self.connections.take(self.tenant.limits().connections_max)
    }

    /// Makes it another, if it is; what has begun ends as it began. Returns whether it is.
    pub(super) fn change(&self, config: TenantConfig, gate: Gate) -> bool {
        // Also when it is none: its keys were read anew. And before its place: who comes to the new one is to meet it.
        self.gate.store(Arc::new(gate));
        let running = self.config();
        if *running == config {
            return false;
        }
        if config.limits != running.limits {
            let limits: Arc<Limits> = Arc::new(config.limits.clone());
            let engine = self.engine.load().with_limits(Arc::clone(&limits));
            self.engine.store(Arc::new(engine));
            self.tenant.set_limits(limits);
        }
        if config.plugin != running.plugin {
            self.engine.load().grant(&config.plugin);
        }
        self.engine.load().set_cpu_share(config.cpu_share);
        self.config.store(Arc::new(config));
        true
    }

    /// Ends it: its connections are closed, and its folder is watched no longer.
    pub(super) fn remove(&self) {
        self.removed.cancel();
        for connection in self.tenant.hub.open_connections() {
            connection.outbox.close(Close::tenant_removed());
        }
    }

    /// Makes what is in its folder live, in place of what was, and says what changed. A file whose content is known is
    /// not loaded again, unless it is broken. One that is broken, or conflicts with another, changes nothing: what was
    /// live of it stays live.
    ///
    /// Without patience it returns when all that it has found is loaded. With patience it returns at once: what is
    /// loaded by then is live, and who keeps looking will find the rest.
    ///
    /// # Errors
    /// [`ServerError::Plugins`]; what was live stays live.
    pub async fn refresh(&self, patience: Patience) -> Result<Refreshed, ServerError> {
        let before = self.tenant.plugins();
        let mut ended = self.ended();
        self.look(patience)?;
        if patience == Patience::None {
            let looked = Instant::now();
            while self.live.lock().adopt(looked, &self.tenant.plugins()) {
                // The sender is as old as this.
                let _ = ended.changed().await;
            }
        }
        let refreshed = self.settle(patience);
        Ok(Refreshed {
            changes: Change::between(&before, &self.tenant.plugins()),
            ..refreshed
        })
    }

    /// Changes with the end of each load.
    pub(super) fn ended(&self) -> watch::Receiver<()> {
        self.live.lock().ended()
    }

    fn look(&self, patience: Patience) -> Result<(), ServerError> {
        let mut live = self.live.lock();
        let (config, engine) = (self.config(), self.engine.load_full());
        let looked = live.look(&config.plugins, &engine, patience);
        looked.map_err(|source| ServerError::Plugins {
            folder: config.plugins.clone(),
            source,
        })
    }

    /// Makes what is loaded live, without a look at the folder.
    pub(super) fn settle(&self, patience: Patience) -> Refreshed {
        let mut live = self.live.lock();
        let before = self.tenant.plugins();
        let again = live.settle(&self.tenant, patience);
        Refreshed {
            problems: live.problems().to_vec(),
            changes: Change::between(&before, &self.tenant.plugins()),
            again,
        }
    }

    /// The files of its folder, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<Entry> {
        self.live.lock().entries()
    }

    /// The last swaps, the newest last.
    #[must_use]
    pub fn swaps(&self) -> Vec<Swap> {
        self.live.lock().history().cloned().collect()
    }

    /// What has to be done from time to time.
    pub(super) fn keep_house(&self) {
        for plugin in self.tenant.plugins().plugins() {
            plugin.keep_house();
        }
        self.tenant.metrics.settle();
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Mount")
            .field("name", &self.tenant.name)
            .field("config", &self.config())
            .finish_non_exhaustive()
    }
}

/// All tenants of the host, and which request is for whom: made whole, never changed.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    all: BTreeMap<TenantName, Arc<Mount>>,
    by_path: HashMap<String, Vec<Arc<Mount>>>,
}

impl Mounts {
    pub(super) fn new(all: BTreeMap<TenantName, Arc<Mount>>) -> Self {
        let mut by_path: HashMap<String, Vec<_>> = HashMap::new();
        for mount in all.values() {
            let at = by_path.entry(mount.config().path.clone()).or_default();
            at.push(Arc::clone(mount));
        }
        Self { all, by_path }
    }

    pub(super) fn get(&self, name: &TenantName) -> Option<&Arc<Mount>> {
        self.all.get(name)
    }

    /// Sorted by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Mount>> {
        self.all.values()
    }

    /// Whose connection a request asks for: at this path, and with this name of the host, if it has one. Who has the
    /// name goes before who has none.
    pub(super) fn find(&self, path: &str, host: Option<&str>) -> Option<&Arc<Mount>> {
        let here = self.by_path.get(path)?;
        let host = host.map(|host| name_of(host).to_ascii_lowercase());
        let is_named = |mount: &&Arc<Mount>| {
            let named = host
                .as_ref()
                .map(|host| mount.config().hosts.contains(host));
            named.unwrap_or_default()
        };
        let mut open = here.iter().filter(|mount| mount.config().hosts.is_empty());
        here.iter().find(is_named).or_else(|| open.next())
    }
}

/// The name or address in a `Host` header: without the port, and the brackets of an address of version 6.
fn name_of(host: &str) -> &str {
    if let Some(address) = host.strip_prefix('[') {
        return address.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port_and_brackets() {
        assert_eq!(name_of("acme.example.com"), "acme.example.com");
        assert_eq!(name_of("acme.example.com:3000"), "acme.example.com");
        assert_eq!(name_of("127.0.0.1:80"), "127.0.0.1");
        assert_eq!(name_of("[::1]:80"), "::1");
        assert_eq!(name_of("[::1]"), "::1");
        assert_eq!(name_of(""), "");
    }
}
