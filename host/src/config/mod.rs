//! What the host is told: addresses, folders, limits. [`Config`] is plain data that was checked once; who uses a value
//! never checks it again.
//!
//! [`Sources`] reads it: flags over environment over file over defaults, one mechanism for all of them. Each key is
//! declared once, the limits in `limits.rs`, those of a tenant in `tenant.rs`, those of a plugin in `plugin.rs`, and the
//! others in `key.rs`, and everything else is derived from that: its name in a file, its variable, what it may hold, how
//! it is shown. Nothing here starts anything or touches the process: the environment is passed in as a value, all that
//! is read is the file, and those files that it names for secrets.

mod access;
mod allow_list;
mod broker_url;
mod effective;
mod environment;
mod fault;
mod file;
mod key;
mod limits;
mod plugin;
mod resolver;
mod setting;
mod sha256;
mod sources;
mod tenant;
#[cfg(test)]
mod tests;
mod unit;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use access::{JwtKey, JwtTable};
pub use allow_list::{AllowList, AllowListError, Destination, HostName};
pub use broker_url::{Broker, BrokerUrl, InvalidBrokerUrl};
pub use effective::Effective;
pub use fault::{ConfigError, Fault, Origin};
pub use key::Key;
pub use limits::{Limit, Limits};
pub use plugin::{InvalidPluginName, PluginConfig, PluginKey, PluginName};
pub use resolver::Resolver;
pub use setting::Setting;
pub use sha256::{InvalidSha256, Sha256};
pub use sources::{ConfigFile, Flags, Sources};
pub use tenant::{InvalidTenantName, TenantConfig, TenantKey, TenantName};
pub use value::{Secret, Value};

pub use crate::auth::Scheme;
use crate::auth::{Networks, Origins};
use unit::Given;

/// Longer than anything waits here, and short enough to be added to any point in time.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Whoever stops a host does not wait for longer.
const DRAIN_MAX: Duration = Duration::from_secs(3_600);
/// The listener's own: a WebSocket there would never be reached.
const RESERVED_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// A host's configuration.
///
/// ```
/// let config = wardroom::Config { listen: "127.0.0.1:0".parse()?, ..wardroom::Config::default() };
/// assert_eq!(config.path, "/ws");
/// assert!(config.validate().is_ok());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to accept connections; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to accept those who operate the host; `None` is nowhere.
    pub admin: Option<SocketAddr>,
    /// What they have to present.
    pub admin_token: Option<Secret>,
    /// The path at which WebSockets are accepted.
    pub path: String,
    /// The pages that may connect.
    pub origins: Origins,
    /// The networks whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
    pub trusted_proxies: Networks,
    /// Which tokens are good.
    pub jwt: JwtTable,
    /// A file with the certificate and those that vouch for it, in PEM. With it and its key, TLS is spoken.
    pub tls_certificate: Option<PathBuf>,
    /// A file with the certificate's private key, in PEM.
    pub tls_key: Option<PathBuf>,
    /// The folder whose `*.wasm` files are the plugins.
    pub plugins: PathBuf,
    /// The folder for compiled code, so that a restart compiles nothing; it is made when it is not there, and must be
    /// this user's alone. `None` keeps none.
    pub cache: Option<PathBuf>,
    /// Where what plugins keep is kept; [`Self::state_store`] says what [`StateStore::Automatic`] comes to.
    pub state: StateStore,
    /// The program that compiles plugins in a process of its own, which can be killed: the `wardroom` binary of this
    /// version. `None` compiles in this process, where neither time nor memory of a compilation is limited. No file
    /// names it.
    pub compiler: Option<PathBuf>,
    /// Who finds the addresses of the hosts to which plugins send HTTP requests; `None` is the system. No file names it.
    pub resolver: Option<Resolver>,
    /// Whether the folder of plugins is watched, and what changes in it becomes live.
    pub watch: bool,
    /// This host's name in query answers and on the bus.
    pub node: String,
    /// The broker through which hosts are one server; `None` is for a host alone. A host uses the bus that it is given:
    /// [`cluster::open`](crate::cluster::open) makes the one that is meant here.
    pub cluster_url: Option<BrokerUrl>,
    /// What the names of all channels begin with: hosts with the same are one server.
    pub cluster_prefix: String,
    /// How long a connection may be silent before it is pinged; zero never pings.
    pub heartbeat_interval: Duration,
    /// How long a pinged connection may stay silent before it is closed with 1001.
    pub heartbeat_timeout: Duration,
    /// The time over which connections are closed when the host stops; zero closes them all at once.
    pub drain: Duration,
    /// What may be used of everything: by the host, and by each tenant that says nothing else.
    pub limits: Limits,
    /// What the plugins are given, by their names.
    pub plugin: BTreeMap<PluginName, PluginConfig>,
    /// The tenants. When there are none there is one, of the default name, with `path`, `plugins`, `origins`, `jwt`,
    /// `limits` and `plugin` from here: see [`Self::mounted`].
    pub tenants: BTreeMap<TenantName, TenantConfig>,
}

/// Where what plugins keep is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateStore {
    /// At the broker through which hosts are one server; of a host alone in memory.
    Automatic,
    /// In memory: a host that ends forgets it.
    Memory,
    /// At the broker, for all its hosts: each of them sees what the others keep.
    Cluster,
    /// In this file, which is made when it is not there; its folder must be. No other host may use it meanwhile.
    File(PathBuf),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            admin: None,
            admin_token: None,
            path: "/ws".to_owned(),
            origins: Origins::default(),
            trusted_proxies: Networks::default(),
            jwt: JwtTable::default(),
            tls_certificate: None,
            tls_key: None,
            plugins: PathBuf::from("plugins"),
            cache: None,
            state: StateStore::Automatic,
            compiler: None,
            resolver: None,
            watch: true,
            node: "wardroom".to_owned(),
            cluster_url: None,
            cluster_prefix: String::new(),
            heartbeat_interval: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            limits: Limits::default(),
            plugin: BTreeMap::new(),
            tenants: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Sets one value by the name of its key, written as an environment variable would have it.
    ///
    /// ```
    /// let mut config = wardroom::Config::default();
    /// config.set("limits.message_bytes_max", "64 KiB")?;
    /// assert_eq!(config.limits.message_bytes_max, 65_536);
    /// assert!(config.set("limits.mesage_bytes_max", "64 KiB").is_err());
    /// # Ok::<(), wardroom::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such key, or the text is none for it; nothing has changed then.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        let problem = match Key::all().find(|known| known.to_string() == key) {
            Some(known) => match known.read(self, Given::Any(text)) {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            },
            None => {
                let nearest = key::nearest(key, Key::all().map(|known| known.to_string()));
                format!("there is no such key; the nearest is {nearest}")
            }
        };
        ConfigError::of(vec![fault(key, problem)])
    }

    /// The keys that another configuration has other values for; those of tenants are [theirs](Self::tenants).
    pub fn changes(&self, other: &Self) -> impl Iterator<Item = Key> {
        Key::all().filter(|key| key.get(self) != key.get(other))
    }

    /// The tenants that the host has: one or more.
    #[must_use]
    pub fn mounted(&self) -> BTreeMap<TenantName, TenantConfig> {
        if !self.tenants.is_empty() {
            return self.tenants.clone();
        }
        let tenant = TenantConfig {
            plugins: self.plugins.clone(),
            path: self.path.clone(),
            hosts: vec![],
            origins: self.origins.clone(),
            cpu_share: tenant::CPU_SHARE,
            jwt: self.jwt.clone(),
            limits: self.limits.clone(),
            plugin: self.plugin.clone(),
        };
        BTreeMap::from([(TenantName::default(), tenant)])
    }

    /// How a key of one of these tenants is called here: `tenants.acme.origins`, or `origins` when none is named.
    #[must_use]
    pub fn name_of(&self, tenant: &TenantName, key: TenantKey) -> String {
        if self.tenants.is_empty() {
            return key.to_string();
        }
        key.of(tenant)
    }

    /// Where state is kept: never [`StateStore::Automatic`].
    ///
    /// ```
    /// use wardroom::config::{Config, StateStore};
    ///
    /// let mut config = Config::default();
    /// assert_eq!(config.state_store(), StateStore::Memory);
    /// config.set("cluster.url", "redis://127.0.0.1")?;
    /// assert_eq!(config.state_store(), StateStore::Cluster);
    /// # Ok::<(), wardroom::ConfigError>(())
    /// ```
    #[must_use]
    pub fn state_store(&self) -> StateStore {
        match self.state {
            StateStore::Automatic if self.may_keep_state() => StateStore::Cluster,
            StateStore::Automatic => StateStore::Memory,
            _ => self.state.clone(),
        }
    }

    /// What is shown for it means the same when it is read: where there is no broker for it, memory is what nobody has
    /// to say.
    fn settle_state(&mut self) {
        self.state = match self.state_store() {
            StateStore::Memory if !self.may_keep_state() => StateStore::Automatic,
            state => state,
        };
    }

    /// Whether there is a broker for it.
    fn may_keep_state(&self) -> bool {
        self.cluster_url.is_some()
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// All values that cannot be, each with what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        let mut check = |key: Key, is_right: bool, problem: &str| {
            if !is_right {
                faults.push(fault(&key.to_string(), problem.to_owned()));
            }
        };
        check(
            Key::Admin,
            self.admin != Some(self.listen) || self.listen.port() == 0,
            "must be another address than listen",
        );
        check(
            Key::AdminToken,
            self.admin_token.as_ref().is_none_or(is_bearer_token),
            "must be one or more letters, digits and `-._~+/`, then any number of `=`: what a bearer token may be",
        );
        if let Err(problem) = tenant::check_path(&self.path) {
            check(Key::Path, false, problem);
        }
        check(
            Key::Node,
            (1..=63).contains(&self.node.len()),
            "must have 1 to 63 bytes",
        );
        check(
            Key::State,
            self.state != StateStore::Cluster || self.may_keep_state(),
            "can be \"cluster\" only with a broker to keep it: key cluster.url",
        );
        check(
            Key::ClusterPrefix,
            is_channel_prefix(&self.cluster_prefix),
            "must be at most 64 letters, digits and `-_:/.`, and have no dot at its beginning and no two in a row",
        );
        check(
            Key::HeartbeatTimeout,
            self.heartbeat_interval.is_zero() || !self.heartbeat_timeout.is_zero(),
            "must be more than zero while heartbeat_interval is",
        );
        check(
            Key::Drain,
            self.drain <= DRAIN_MAX,
            "must be at most \"1h\"",
        );
        for key in Key::all() {
            let is_short = !matches!(key.get(self), Value::Time(time) if time > TIME_MAX);
            check(key, is_short, "must be at most \"8760h\", a year");
        }
        self.validate_access(&mut faults);
        self.limits.validate(&mut faults);
        plugin::validate(None, &self.plugin, &mut faults);
        for (name, tenant) in &self.tenants {
            tenant.validate(name, &self.limits, &mut faults);
        }
        tenant::clashes(&self.tenants, &mut faults);
        ConfigError::of(faults)
    }
}

impl Limits {
    fn validate(&self, faults: &mut Vec<Fault>) {
        for (limit, least) in self.too_small() {
            let key = Key::Limit(limit).to_string();
            faults.push(fault(&key, format!("must be at least {least}")));
        }
        if self.instances_per_plugin_max > self.instances_max as usize {
            let key = Key::Limit(Limit::InstancesMax).to_string();
            let least = self.instances_per_plugin_max;
            let problem = format!("must be at least instances_per_plugin_max ({least})");
            faults.push(fault(&key, problem));
        }
    }
}

fn fault(key: &str, problem: String) -> Fault {
    Fault {
        key: Some(key.to_owned()),
        origin: None,
        problem,
    }
}

/// What both Redis and NATS take as it is; in a subject of NATS, no part between two dots may be empty.
fn is_channel_prefix(prefix: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:/.".contains(&byte);
    let is_whole = !prefix.starts_with('.') && !prefix.contains("..");
    prefix.len() <= 64 && prefix.bytes().all(allowed) && is_whole
}

/// RFC 6750, 2.1. Others could not be sent, and what is shown in place of one is none.
fn is_bearer_token(token: &Secret) -> bool {
    let letters = token.expose().trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !letters.is_empty() && letters.bytes().all(allowed)
}
