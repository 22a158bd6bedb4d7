//! What the plugins of a tenant were given by their operator: whom they may ask, what they can read, what they must be.
//!
//! All engines of a tenant share it, and it is looked at when it is needed: so a reload changes it for plugins that run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{AllowList, PluginConfig, PluginName, Sha256};

/// What a tenant's plugins were given, as it is now. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Granted(Arc<ArcSwap<Grants>>);

/// What a tenant's plugins were given at some time.
#[derive(Default)]
pub struct Grants(BTreeMap<PluginName, Arc<Grant>>);

/// What one of them was given.
#[derive(Default)]
pub(super) struct Grant {
    pub(super) http: AllowList,
    pub(super) sha256: Option<Sha256>,
    /// The values that it can read, as the guest gets them.
    pub(super) values: BTreeMap<String, String>,
}

impl Granted {
    /// Replaces it.
    pub(super) fn set(&self, plugins: &BTreeMap<PluginName, PluginConfig>) {
        let grants = plugins
            .iter()
            .map(|(name, plugin)| (name.clone(), Arc::new(Grant::of(plugin))));
        self.0.store(Arc::new(Grants(grants.collect())));
    }

    /// All of it.
    pub(super) fn now(&self) -> Arc<Grants> {
        self.0.load_full()
    }

    /// That of one plugin, if it was given anything.
    pub(super) fn of(&self, plugin: &str) -> Option<Arc<Grant>> {
        self.0.load().0.get(plugin).cloned()
    }
}

impl Grant {
    fn of(plugin: &PluginConfig) -> Self {
        let PluginConfig {
            http,
            sha256,
            config,
        } = plugin;
        let values = config.iter();
        let values = values.map(|(key, value)| (key.clone(), value.expose().to_string()));
        Self {
            http: http.clone(),
            sha256: *sha256,
            values: values.collect(),
        }
    }
}

impl Grants {
    /// Whether a plugin, all of them without a name, has to be loaded anew where these were others: it may be another
    /// file that it must be, and it may have kept what it read.
    #[must_use]
    pub fn loads_alike(&self, other: &Self, plugin: Option<&str>) -> bool {
        let Some(name) = plugin else {
            let mut names = self.0.keys().chain(other.0.keys());
            return names.all(|name| self.loads_alike(other, Some(name.as_str())));
        };
        self.for_loading(name) == other.for_loading(name)
    }

    fn for_loading(&self, plugin: &str) -> (Option<Sha256>, Option<&BTreeMap<String, String>>) {
        let grant = self.0.get(plugin);
        let pinned = grant.and_then(|grant| grant.sha256);
        let values = grant.map(|grant| &grant.values);
        (pinned, values.filter(|values| !values.is_empty()))
    }
}

/// Without what is in it: that may be secret.
impl fmt::Debug for Grants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Grants").finish_non_exhaustive()
    }
}
