//! A tenant: its connections and rooms, its plugins, its limits. Whoever holds no tenant reaches none of them.
//!
//! The plugins and their routes are one immutable snapshot, replaced as a whole: an event keeps the snapshot that
//! it was routed by.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use wardroom_router::RouteTable;

use crate::config::Limits;
use crate::hub::Hub;
use crate::plugin::Plugin;

/// One tenant of the host.
#[derive(Debug)]
pub struct Tenant {
    /// Its connections and rooms.
    pub hub: Hub,
    limits: ArcSwap<Limits>,
    plugins: ArcSwap<PluginSet>,
}

impl Tenant {
    /// A tenant without plugins.
    #[must_use]
    pub fn new(hub: Hub, limits: Limits) -> Self {
        Self {
            hub,
            limits: ArcSwap::from_pointee(limits),
            plugins: ArcSwap::default(),
        }
    }

    /// What may be used of everything, as it is now. For what begins now: a connection, a handshake, a goodbye. An
    /// event's limits are [those of its plugin](Plugin::limits).
    #[must_use]
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// Replaces the limits. What has begun ends with those it began with.
    pub fn set_limits(&self, limits: Arc<Limits>) {
        self.limits.store(limits);
    }

    /// The plugins as they are now.
    #[must_use]
    pub fn plugins(&self) -> Arc<PluginSet> {
        self.plugins.load_full()
    }

    /// Replaces the plugins. Events that are being handled end with those they began with.
    pub fn set_plugins(&self, plugins: PluginSet) {
        self.plugins.store(Arc::new(plugins));
    }
}

/// The plugins of a tenant, and what is routed to them.
#[derive(Debug, Default)]
pub struct PluginSet {
    /// Sorted by name, which is the order in which hooks run.
    plugins: Vec<Arc<Plugin>>,
    routes: RouteTable<Target>,
    headers: BTreeSet<String>,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub struct Target {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// The route's number in its manifest.
    pub route: u32,
}

/// Two plugins that cannot be live together. The one that comes first, by name, stays.
#[derive(Debug, thiserror::Error)]
pub enum Conflict {
    /// They have the same name.
    #[error("plugin {name} is in {kept} already; rename one of them")]
    Name {
        /// The name of both.
        name: String,
        /// The file that is kept.
        kept: String,
    },
    /// They have a route in common.
    #[error(
        "plugin {refused} handles {event} {path}, which plugin {kept} handles already as {kept_path}; change one of them"
    )]
    Route {
        /// The plugin that is refused.
        refused: String,
        /// The plugin that is kept.
        kept: String,
        /// The event of both routes.
        event: String,
        /// The pattern of the refused.
        path: String,
        /// The pattern of the kept.
        kept_path: String,
    },
}

impl PluginSet {
    /// Makes a set of plugins and their files. Those that conflict with one before them, in the order of their
    /// names, are left out and returned with the reason.
    #[must_use]
    pub fn build(mut loaded: Vec<(PathBuf, Plugin)>) -> (Self, Vec<(PathBuf, Conflict)>) {
        loaded.sort_by(|(file, plugin), (other_file, other)| {
            (&plugin.manifest.name, file).cmp(&(&other.manifest.name, other_file))
        });
        let mut plugins: Vec<(PathBuf, Arc<Plugin>)> = Vec::new();
        let mut conflicts = Vec::new();
        for (file, plugin) in loaded {
            match plugins
                .last()
                .filter(|(_, last)| last.manifest.name == plugin.manifest.name)
            {
                Some((kept, _)) => {
                    let kept = kept.display().to_string();
                    conflicts.push((
                        file,
                        Conflict::Name {
                            name: plugin.manifest.name,
                            kept,
                        },
                    ));
                }
                None => plugins.push((file, Arc::new(plugin))),
            }
        }
        let routes = loop {
            match route_table(&plugins) {
                Ok(routes) => break routes,
                Err((refused, conflict)) => conflicts.push((plugins.remove(refused).0, *conflict)),
            }
        };
        let plugins: Vec<_> = plugins.into_iter().map(|(_, plugin)| plugin).collect();
        let headers = plugins
            .iter()
            .flat_map(|plugin| plugin.manifest.headers.iter().cloned())
            .collect();
        (
            Self {
                plugins,
                routes,
                headers,
            },
            conflicts,
        )
    }

    /// The plugins, sorted by name.
    #[must_use]
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// What is routed where.
    #[must_use]
    pub fn routes(&self) -> &RouteTable<Target> {
        &self.routes
    }

    /// The route that comes nearest to one that there is not, as `event path`: for authors who look for a typing
    /// error. Looks at all of them.
    #[must_use]
    pub fn nearest(&self, event: &str, path: &str) -> Option<String> {
        let wanted = format!("{event} {path}");
        let routes = self
            .routes
            .iter()
            .map(|(event, pattern, _)| format!("{event} {pattern}"));
        routes.min_by_key(|route| strsim::levenshtein(&wanted, route))
    }

    /// Whether a request header is one that some plugin asks for; in lower case.
    #[must_use]
    pub fn keeps_header(&self, name: &str) -> bool {
        self.headers.contains(name)
    }
}

/// The table of all plugins' routes, or the first plugin that has one which another has already.
fn route_table(
    plugins: &[(PathBuf, Arc<Plugin>)],
) -> Result<RouteTable<Target>, (usize, Box<Conflict>)> {
    let mut routes = RouteTable::builder();
    for (place, (_, plugin)) in plugins.iter().enumerate() {
        for (number, route) in (0..).zip(&plugin.manifest.routes) {
            let target = Target {
                plugin: Arc::clone(plugin),
                route: number,
            };
            if let Err(conflict) = routes.add(&route.event, route.pattern.clone(), target) {
                let conflict = Conflict::Route {
                    refused: plugin.manifest.name.clone(),
                    kept: conflict.existing.plugin.manifest.name.clone(),
                    event: conflict.event,
                    path: conflict.pattern.to_string(),
                    kept_path: conflict.existing_pattern.to_string(),
                };
                return Err((place, Box::new(conflict)));
            }
        }
    }
    Ok(routes.build())
}
