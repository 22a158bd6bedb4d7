//! The plugins that are live together, and what is routed to them: made whole, never changed.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use wardroom_router::RouteTable;

use super::RouteUse;
use crate::plugin::Plugin;

/// The plugins of a tenant, and what is routed to them.
#[derive(Debug, Default)]
pub struct PluginSet {
    /// Sorted by name, which is the order in which hooks run.
    plugins: Vec<Arc<Plugin>>,
    names: Arc<[Arc<str>]>,
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
    /// Who has used it.
    pub used: RouteUse,
}

/// A file and the plugin in it, which may become live.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The file.
    pub file: PathBuf,
    /// The plugin in it now.
    pub plugin: Arc<Plugin>,
    /// What is live of this file: the same, or the version before it.
    pub live: Option<Arc<Plugin>>,
}

/// Two plugins that cannot be live together. What is live stays; of two new ones it is the first, by name.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Conflict {
    /// They have the same name.
    #[error("plugin {name} is in {} already; rename one of them", kept.display())]
    Name {
        /// The name of both.
        name: String,
        /// The file that is kept.
        kept: PathBuf,
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

/// A set of plugins, and what became of those that were to be in it.
#[derive(Debug)]
pub struct Built {
    /// The set.
    pub set: PluginSet,
    /// Each file that is in it, and with what.
    pub files: Vec<(PathBuf, Arc<Plugin>)>,
    /// The files whose plugins are not, and why; the version before one may be in the set.
    pub conflicts: Vec<(PathBuf, Conflict)>,
}

impl PluginSet {
    /// Makes a set that takes the place of `before`. Of two candidates that conflict one is left out: a new one
    /// rather than one that is live, and a later one, by name, rather than an earlier one. What was live of its
    /// file stays live.
    #[must_use]
    pub fn build(mut candidates: Vec<Candidate>, before: &Self) -> Built {
        let uses = before.uses();
        let mut conflicts = Vec::new();
        // Ends, as each round leaves out something new, and what is live does not conflict.
        let routes = loop {
            candidates
                .sort_by(|one, other| (one.name(), &one.file).cmp(&(other.name(), &other.file)));
            let clash = match route_table(&candidates, &uses) {
                Ok(routes) => break routes,
                Err(clash) => clash,
            };
            let (kept, refused) = clash.judge(&candidates);
            conflicts.push((refused.file.clone(), clash.conflict(kept, refused)));
            let refused = refused.file.clone();
            leave_out(&mut candidates, &refused);
        };
        let plugins: Vec<_> = candidates
            .iter()
            .map(|candidate| Arc::clone(&candidate.plugin))
            .collect();
        let headers = plugins
            .iter()
            .flat_map(|plugin| plugin.manifest.headers.iter().cloned());
        let set = Self {
            headers: headers.collect(),
            names: plugins
                .iter()
                .map(|plugin| plugin.manifest.name.as_str().into())
                .collect(),
            plugins,
            routes,
        };
        Built {
            set,
            files: candidates
                .into_iter()
                .map(|candidate| (candidate.file, candidate.plugin))
                .collect(),
            conflicts,
        }
    }

    /// The plugins, sorted by name.
    #[must_use]
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// Their names, in the same order.
    #[must_use]
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// The plugin of this name.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&Arc<Plugin>> {
        let place = self
            .plugins
            .binary_search_by(|plugin| plugin.manifest.name.as_str().cmp(name))
            .ok()?;
        self.plugins.get(place)
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

    /// Who has used which route.
    fn uses(&self) -> HashMap<RouteOf<'_>, RouteUse> {
        let routes = self.routes.iter().map(|(event, pattern, target)| {
            let route = RouteOf {
                plugin: &target.plugin.manifest.name,
                event,
                pattern: pattern.as_str(),
            };
            (route, target.used.clone())
        });
        routes.collect()
    }
}

/// A route, whatever the version of its plugin.
#[derive(PartialEq, Eq, Hash)]
struct RouteOf<'a> {
    plugin: &'a str,
    event: &'a str,
    pattern: &'a str,
}

impl Candidate {
    fn name(&self) -> &str {
        &self.plugin.manifest.name
    }

    fn is_live(&self) -> bool {
        self.live
            .as_ref()
            .is_some_and(|live| Arc::ptr_eq(live, &self.plugin))
    }
}

/// Two candidates, by their places, that cannot both be in a set.
struct Clash {
    first: usize,
    second: usize,
    /// What they have in common besides, or else, their name: the event and their patterns for it.
    route: Option<(String, String, String)>,
}

impl Clash {
    /// Who is kept, and who is not.
    fn judge<'a>(&self, candidates: &'a [Candidate]) -> (&'a Candidate, &'a Candidate) {
        #[expect(
            clippy::indexing_slicing,
            reason = "a clash is of two places in this slice"
        )]
        let (first, second) = (&candidates[self.first], &candidates[self.second]);
        if second.is_live() && !first.is_live() {
            (second, first)
        } else {
            (first, second)
        }
    }

    fn conflict(&self, kept: &Candidate, refused: &Candidate) -> Conflict {
        let Some((event, first_path, second_path)) = self.route.clone() else {
            return Conflict::Name {
                name: refused.name().to_owned(),
                kept: kept.file.clone(),
            };
        };
        let is_first = refused.name() <= kept.name();
        let (path, kept_path) = if is_first {
            (first_path, second_path)
        } else {
            (second_path, first_path)
        };
        Conflict::Route {
            refused: refused.name().to_owned(),
            kept: kept.name().to_owned(),
            event,
            path,
            kept_path,
        }
    }
}

/// Puts what is live of a file in the place of its candidate, if anything is.
fn leave_out(candidates: &mut Vec<Candidate>, file: &PathBuf) {
    let Some(place) = candidates
        .iter()
        .position(|candidate| candidate.file == *file)
    else {
        return;
    };
    let mut candidate = candidates.remove(place);
    if let Some(live) = candidate.live.clone().filter(|_| !candidate.is_live()) {
        candidate.plugin = live;
        candidates.push(candidate);
    }
}

/// The table of all candidates' routes, or the first two of them that clash. They are sorted.
fn route_table(
    candidates: &[Candidate],
    uses: &HashMap<RouteOf<'_>, RouteUse>,
) -> Result<RouteTable<Target>, Clash> {
    for (place, pair) in candidates.windows(2).enumerate() {
        if let [one, other] = pair
            && one.name() == other.name()
        {
            return Err(Clash {
                first: place,
                second: place + 1,
                route: None,
            });
        }
    }
    let mut routes = RouteTable::builder();
    for (place, candidate) in candidates.iter().enumerate() {
        for (number, route) in (0..).zip(&candidate.plugin.manifest.routes) {
            let same = RouteOf {
                plugin: candidate.name(),
                event: &route.event,
                pattern: route.pattern.as_str(),
            };
            let target = Target {
                plugin: Arc::clone(&candidate.plugin),
                route: number,
                used: uses.get(&same).cloned().unwrap_or_default(),
            };
            if let Err(conflict) = routes.add(&route.event, route.pattern.clone(), target) {
                let existing = &conflict.existing.plugin.manifest.name;
                let first = candidates
                    .iter()
                    .position(|candidate| candidate.name() == existing);
                return Err(Clash {
                    first: first.unwrap_or_default(),
                    second: place,
                    route: Some((
                        conflict.event,
                        conflict.existing_pattern.to_string(),
                        conflict.pattern.to_string(),
                    )),
                });
            }
        }
    }
    Ok(routes.build())
}
