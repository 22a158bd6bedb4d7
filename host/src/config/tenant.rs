//! One tenant's part of the configuration: the table `tenants.NAME`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::access::JWT;
use super::unit::{Count, Folder, Given, List, Text, Texts, Unit};
use super::{
    Fault, JwtKey, JwtTable, Limit, Limits, PluginConfig, PluginName, Value, fault, plugin,
};
use crate::auth::Origins;

/// The table that tenants are in.
pub(super) const TENANTS: &str = "tenants";

/// The path of a tenant that says none.
pub(super) const PATH: &str = "/ws";

/// What is wrong with what is said of the one tenant where there are others: it would be said to nobody.
pub(super) const OF_NONE: &str = "is the one tenant's where none is named, and there are [tenants]: say it in the table of one of them";

/// The share of a tenant that says none.
pub(super) const CPU_SHARE: u32 = 100;

/// A tenant's name: 1 to 63 of `a-z 0-9 -`. Cheap to clone.
///
/// ```
/// use wardroom::config::TenantName;
///
/// assert_eq!("acme".parse::<TenantName>()?.as_str(), "acme");
/// assert!("Acme".parse::<TenantName>().is_err());
/// // On the bus it would be taken for a room of the default tenant.
/// assert!("room".parse::<TenantName>().is_err());
/// # Ok::<(), wardroom::config::InvalidTenantName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Arc<str>);

/// A text that is no tenant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant's name has 1 to 63 characters of a-z, 0-9 and -, and `room` is none")]
pub struct InvalidTenantName;

impl TenantName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How logs name one of its plugins: `acme/chat`. Those of the default tenant have their own name.
    #[must_use]
    pub fn qualify(&self, plugin: &str) -> String {
        if *self == Self::default() {
            return plugin.to_owned();
        }
        format!("{self}/{plugin}")
    }
}

impl Default for TenantName {
    /// That of the one tenant of a host for which none is configured: `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

impl FromStr for TenantName {
    type Err = InvalidTenantName;

    fn from_str(text: &str) -> Result<Self, InvalidTenantName> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=63).contains(&text.len()) && text.bytes().all(is_allowed);
        if is_name && text != "room" {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTenantName)
        }
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Makes the enum of a tenant's keys of one list, as `keys!` makes that of the host's.
macro_rules! tenant_keys {
    ($($variant:ident $field:ident: $unit:ident;)+) => {
        /// A key of a tenant's table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum TenantKey {
            $(
                #[doc = concat!("See [`TenantConfig::", stringify!($field), "`].")]
                $variant,
            )+
            /// One of its table `auth.jwt`.
            Jwt(JwtKey),
            /// One of its table `limits`.
            Limit(Limit),
        }

        impl TenantKey {
            const TOP: &[Self] = &[$(Self::$variant),+];

            /// The value that a tenant has for it.
            #[must_use]
            pub fn get(self, tenant: &TenantConfig) -> Value {
                // A field without a key does not compile; plugins have keys of their own.
                let TenantConfig { $($field,)+ jwt, limits, plugin: _ } = tenant;
                match self {
                    $(Self::$variant => $unit::show($field),)+
                    Self::Jwt(key) => jwt.get(key),
                    Self::Limit(limit) => limits.get(limit),
                }
            }

            /// Takes what is given for it, or says what would be right.
            pub(super) fn read(self, tenant: &mut TenantConfig, given: Given<'_>) -> Result<(), String> {
                match self {
                    $(Self::$variant => tenant.$field = $unit::read(given)?,)+
                    Self::Jwt(key) => tenant.jwt.read(key, given)?,
                    Self::Limit(limit) if limit.is_of_host() => {
                        return Err("is the host's: it stands in the table [limits]".to_owned());
                    }
                    Self::Limit(limit) => tenant.limits.read(limit, given)?,
                }
                Ok(())
            }
        }

        impl fmt::Display for TenantKey {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => formatter.write_str(stringify!($field)),)+
                    Self::Jwt(key) => write!(formatter, "{JWT}.{}", key.key()),
                    Self::Limit(limit) => write!(formatter, "limits.{}", limit.key()),
                }
            }
        }
    };
}

tenant_keys! {
    Plugins plugins: Folder;
    Path path: Text;
    Hosts hosts: Texts;
    Origins origins: List;
    CpuShare cpu_share: Count;
}

/// What a tenant is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantConfig {
    /// The folder whose `*.wasm` files are its plugins.
    pub plugins: PathBuf,
    /// The path at which its WebSockets are accepted.
    pub path: String,
    /// The names of this host under which they are accepted, without a port, in lower case. None are all, but those
    /// that another tenant has at the same path.
    pub hosts: Vec<String>,
    /// The pages that may connect.
    pub origins: Origins,
    /// Its share of the CPU time of handlers that run for more than a millisecond, when other tenants want it too: who
    /// has twice the share of another has twice the time.
    pub cpu_share: u32,
    /// Which tokens are good.
    pub jwt: JwtTable,
    /// What may be used of everything. Those of the host as a whole are the host's.
    pub limits: Limits,
    /// What its plugins are given, by their names.
    pub plugin: BTreeMap<PluginName, PluginConfig>,
}

impl TenantConfig {
    /// What stands for a tenant of this name before its table is read.
    pub(super) fn unread(name: &TenantName, limits: &Limits) -> Self {
        Self {
            plugins: Path::new(TENANTS).join(name.as_str()),
            path: PATH.to_owned(),
            hosts: vec![],
            origins: Origins::default(),
            cpu_share: CPU_SHARE,
            jwt: JwtTable::default(),
            limits: limits.clone(),
            plugin: BTreeMap::new(),
        }
    }

    /// Whether a request for this path and host may be for both.
    fn clashes(&self, other: &Self) -> bool {
        let is_same_host = |host: &String| other.hosts.contains(host);
        self.path == other.path
            && ((self.hosts.is_empty() && other.hosts.is_empty())
                || self.hosts.iter().any(is_same_host))
    }

    /// Says what is wrong with it beside its types.
    pub(super) fn validate(&self, name: &TenantName, host: &Limits, faults: &mut Vec<Fault>) {
        let mut check = |key: TenantKey, is_right: bool, problem: String| {
            if !is_right {
                faults.push(fault(&key.of(name), problem));
            }
        };
        if let Err(problem) = check_path(&self.path) {
            check(TenantKey::Path, false, problem.to_owned());
        }
        let is_share = self.cpu_share > 0;
        let problem = || "must be at least 1".to_owned();
        check(TenantKey::CpuShare, is_share, problem());
        let wrong = self.hosts.iter().find(|host| !is_host_name(host));
        let problem = wrong.map(|host| {
            format!("{host:?} must be the name of a host, in lower case and without a port, such as \"acme.example.com\"")
        });
        check(
            TenantKey::Hosts,
            wrong.is_none(),
            problem.unwrap_or_default(),
        );
        for (limit, least) in self.limits.too_small() {
            check(
                TenantKey::Limit(limit),
                false,
                format!("must be at least {least}"),
            );
        }
        // Address space was reserved for the host's.
        for limit in [Limit::MemoryBytesMax, Limit::TableElementsMax] {
            let most = host.get(limit);
            let is_right = match limit {
                Limit::MemoryBytesMax => self.limits.memory_bytes_max <= host.memory_bytes_max,
                _ => self.limits.table_elements_max <= host.table_elements_max,
            };
            let problem = format!("must be at most that of the table [limits] ({most})");
            check(TenantKey::Limit(limit), is_right, problem);
        }
        self.jwt
            .validate(&format!("{TENANTS}.{name}.{JWT}"), faults);
        plugin::validate(Some(name), &self.plugin, faults);
    }
}

impl TenantKey {
    /// All of them, those in tables last, as in a file; without the limits that are the host's.
    pub fn all() -> impl Iterator<Item = Self> {
        let is_own = |key: &Self| !matches!(key, Self::Limit(limit) if limit.is_of_host());
        Self::known().filter(is_own)
    }

    /// Those of the host as well, so that what is wrong with them can be said.
    pub(super) fn known() -> impl Iterator<Item = Self> {
        let jwt = JwtKey::ALL.iter().copied().map(Self::Jwt);
        let limits = Limit::ALL.into_iter().map(Self::Limit);
        Self::TOP.iter().copied().chain(jwt).chain(limits)
    }

    /// Its name in the whole of a configuration: `tenants.acme.path`.
    #[must_use]
    pub fn of(self, tenant: &TenantName) -> String {
        format!("{TENANTS}.{tenant}.{self}")
    }

    /// Makes a relative folder or file one that is relative to this.
    pub(super) fn resolve(self, tenant: &mut TenantConfig, folder: &Path) {
        match self {
            Self::Plugins => tenant.plugins = folder.join(&tenant.plugins),
            Self::Jwt(key) => tenant.jwt.resolve(key, folder),
            _ => {}
        }
    }
}

/// Says of each two tenants that a request could be for either.
pub(super) fn clashes(tenants: &BTreeMap<TenantName, TenantConfig>, faults: &mut Vec<Fault>) {
    for (place, (name, tenant)) in tenants.iter().enumerate() {
        let mut before = tenants.iter().take(place);
        if let Some((other, _)) = before.find(|(_, other)| tenant.clashes(other)) {
            let problem = format!(
                "is that of tenant {other}, under the same hosts; give one of them another path, or hosts"
            );
            faults.push(fault(&TenantKey::Path.of(name), problem));
        }
    }
}

/// What may be the path of WebSockets, or what would be right.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    let is_escaped = |letter: char| matches!(letter, '?' | '#') || !letter.is_ascii_graphic();
    if !path.starts_with('/') || path.contains(is_escaped) {
        return Err(
            "must begin with a slash and hold neither `?`, `#` nor anything that a URL would escape, for example `/ws`",
        );
    }
    if super::RESERVED_PATHS.contains(&path) {
        return Err("is the host's own; choose another, for example `/ws`");
    }
    Ok(())
}

/// A name or an address as a `Host` header has it, less the port.
fn is_host_name(host: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(is_allowed);
    is_name || host.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
