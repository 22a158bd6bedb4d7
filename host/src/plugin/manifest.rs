//! What a plugin says of itself, checked.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wardroom_router::{Pattern, PatternParser, RouteTable};

use super::bindings::exports::wardroom::plugin::manifest as wit;
use super::quote::cut;
use crate::config::{Limits, PluginName};
use crate::protocol::is_event_name;

/// Of a version, which is in the log of each swap.
const VERSION_BYTES_MAX: usize = 128;

/// What a plugin says of itself, unchecked: the contract's manifest, as far as this host reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    name: String,
    version: String,
    description: String,
    /// Events and paths.
    routes: Vec<(String, String)>,
    hooks: Vec<String>,
    headers: Vec<String>,
    mode: Option<String>,
    capabilities: Vec<String>,
    config_keys: Vec<String>,
}

impl From<wit::Manifest> for Said {
    fn from(said: wit::Manifest) -> Self {
        let routes = said.routes.into_iter();
        Self {
            name: said.name,
            version: said.version,
            description: said.description,
            routes: routes.map(|route| (route.event, route.path)).collect(),
            hooks: said.hooks,
            headers: said.headers,
            mode: said.mode,
            capabilities: said.capabilities,
            config_keys: said.config_keys,
        }
    }
}

/// What a plugin once said of itself, to be kept: `describe` must be pure, so its answer depends on nothing but the
/// component. Whether there is an answer also depends on the limits that it ran under.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    said: Said,
    under: Under,
}

/// The limits that `describe` runs under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Under {
    memory_bytes_max: usize,
    table_elements_max: usize,
    describe_cpu_max: Duration,
    event_wall_max: Duration,
    host_call_bytes_max: usize,
    random_bytes_max: usize,
    handles_max: usize,
    manifest_bytes_max: usize,
}

impl Described {
    pub(super) fn new(said: Said, limits: &Limits) -> Self {
        let under = Under::of(limits);
        Self { said, under }
    }

    /// What it would say if it were asked under these limits, where that is known.
    pub(super) fn under(&self, limits: &Limits) -> Option<Said> {
        (self.under == Under::of(limits)).then(|| self.said.clone())
    }
}

impl Under {
    fn of(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            describe_cpu_max: limits.describe_cpu_max,
            event_wall_max: limits.event_wall_max,
            host_call_bytes_max: limits.host_call_bytes_max,
            random_bytes_max: limits.random_bytes_max,
            handles_max: limits.handles_max,
            manifest_bytes_max: limits.manifest_bytes_max,
        }
    }
}

/// A plugin's checked manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// 1 to 63 of `a-z 0-9 -`.
    pub name: String,
    /// For people.
    pub version: String,
    /// For people.
    pub description: String,
    /// A route's position is its number.
    pub routes: Vec<Route>,
    /// Which hooks it implements.
    pub hooks: Hooks,
    /// Request headers to keep, in lower case.
    pub headers: Vec<String>,
    /// How its instances live.
    pub mode: Mode,
    /// What it asks to be granted.
    pub capabilities: Vec<String>,
    /// The configuration keys it reads.
    pub config_keys: Vec<String>,
}

/// An event and the paths that a pattern matches.
#[derive(Clone, Debug)]
pub struct Route {
    /// Compared as it is.
    pub event: String,
    /// Matched.
    pub pattern: Pattern,
}

/// How a plugin's instances live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Warm ones, any of them for any event.
    #[default]
    Pooled,
    /// A new one for each event.
    Fresh,
    /// One for all events, one after another. It keeps its memory until it is replaced or fails.
    Singleton,
}

impl Mode {
    /// As manifests name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::Fresh => "fresh",
            Self::Singleton => "singleton",
        }
    }

    fn check(name: Option<String>) -> Result<Self, ManifestError> {
        let Some(name) = name else {
            return Ok(Self::default());
        };
        let known = [Self::Pooled, Self::Fresh, Self::Singleton];
        known
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or(ManifestError::Mode(cut(&name)))
    }
}

/// The hooks that a plugin implements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Before the connection opens.
    pub upgrade: bool,
    /// When it has opened.
    pub connect: bool,
    /// When it has closed.
    pub disconnect: bool,
}

impl Hooks {
    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.upgrade || self.connect || self.disconnect
    }

    /// As the manifest names them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let names = [
            (self.upgrade, "upgrade"),
            (self.connect, "connect"),
            (self.disconnect, "disconnect"),
        ];
        names
            .into_iter()
            .filter_map(|(is_set, name)| is_set.then_some(name))
            .collect()
    }
}

impl fmt::Display for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.names().join(", "))
    }
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The name is no name.
    #[error("the name {0:?} must have 1 to 63 characters of a-z, 0-9 and -")]
    Name(String),
    /// The version is long, or would not stay on its line.
    #[error("the version {0:?} must have at most 128 bytes, and no control characters")]
    Version(String),
    /// An event's name is no event's name.
    #[error(
        "route {route}: the event {event:?} must have 1 to 128 bytes, and no control characters"
    )]
    Event {
        /// Its number.
        route: usize,
        /// What it says.
        event: String,
    },
    /// A pattern cannot be read.
    #[error("route {route} ({event} {path:?}): {source}")]
    Pattern {
        /// Its number.
        route: usize,
        /// Its event.
        event: String,
        /// What it says.
        path: String,
        /// What is wrong with it.
        source: wardroom_router::PatternError,
    },
    /// A pattern that would not stay on its line.
    #[error("route {route}: the path {path:?} must have no control characters")]
    Control {
        /// Its number.
        route: usize,
        /// What it says.
        path: String,
    },
    /// Two routes have the same event and pattern.
    #[error("routes {first} and {second} are the same: {event} {path}; leave one of them out")]
    Duplicate {
        /// The number of one.
        first: usize,
        /// The number of the other.
        second: usize,
        /// Their event.
        event: String,
        /// The pattern of the other.
        path: String,
    },
    /// It has more routes than allowed.
    #[error(
        "{count} routes are more than routes_max ({max}); use parameters in their paths, or raise the limit"
    )]
    TooManyRoutes {
        /// As many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A hook that this host does not know.
    #[error("unknown hook {0:?}: upgrade, connect and disconnect are known")]
    Hook(String),
    /// A mode that this host does not know.
    #[error("unknown mode {0:?}: pooled, fresh and singleton are known")]
    Mode(String),
}

impl Manifest {
    /// Checks what a plugin said.
    pub(super) fn check(said: Said, routes_max: usize) -> Result<Self, ManifestError> {
        if said.name.parse::<PluginName>().is_err() {
            return Err(ManifestError::Name(cut(&said.name)));
        }
        if said.version.len() > VERSION_BYTES_MAX || said.version.contains(char::is_control) {
            return Err(ManifestError::Version(cut(&said.version)));
        }
        if said.routes.len() > routes_max {
            return Err(ManifestError::TooManyRoutes {
                count: said.routes.len(),
                max: routes_max,
            });
        }
        let mut parser = PatternParser::new();
        let routes = said
            .routes
            .into_iter()
            .enumerate()
            .map(|(number, (event, path))| Route::check(&mut parser, number, event, &path));
        let routes: Vec<Route> = routes.collect::<Result<_, _>>()?;
        refuse_duplicates(&routes)?;
        Ok(Self {
            name: said.name,
            version: said.version,
            description: said.description,
            routes,
            hooks: check_hooks(&said.hooks)?,
            headers: said
                .headers
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            mode: Mode::check(said.mode)?,
            capabilities: said.capabilities,
            config_keys: said.config_keys,
        })
    }
}

impl Route {
    fn check(
        parser: &mut PatternParser,
        number: usize,
        event: String,
        path: &str,
    ) -> Result<Self, ManifestError> {
        let route = number;
        if !is_event_name(&event) || event.contains(char::is_control) {
            let event = cut(&event);
            return Err(ManifestError::Event { route, event });
        }
        let said = cut(path);
        if path.contains(char::is_control) {
            return Err(ManifestError::Control { route, path: said });
        }
        match parser.parse(path) {
            Ok(pattern) => Ok(Self { event, pattern }),
            Err(source) => Err(ManifestError::Pattern {
                route,
                event,
                path: said,
                source,
            }),
        }
    }
}

fn check_hooks(names: &[String]) -> Result<Hooks, ManifestError> {
    let mut hooks = Hooks::default();
    for name in names {
        match name.as_str() {
            "upgrade" => hooks.upgrade = true,
            "connect" => hooks.connect = true,
            "disconnect" => hooks.disconnect = true,
            _ => return Err(ManifestError::Hook(cut(name))),
        }
    }
    Ok(hooks)
}

fn refuse_duplicates(routes: &[Route]) -> Result<(), ManifestError> {
    let mut table = RouteTable::builder();
    for (second, route) in routes.iter().enumerate() {
        if let Err(conflict) = table.add(&route.event, route.pattern.clone(), second) {
            return Err(ManifestError::Duplicate {
                first: conflict.existing,
                second,
                event: route.event.clone(),
                path: route.pattern.to_string(),
            });
        }
    }
    Ok(())
}
