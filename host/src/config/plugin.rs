//! What one plugin is given: the table `plugin.NAME`, of a tenant or, where there is none, of the host.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::tenant::TENANTS;
use super::unit::{Given, Hex, Texts, Unit};
use super::{AllowList, Fault, Setting, Sha256, TenantName, Value, fault};

/// The table that they are in: `plugins` is the folder.
pub(super) const PLUGIN: &str = "plugin";

/// The table of the values that a plugin reads, in its own.
pub(super) const CONFIG: &str = "config";

/// Of the name of a value.
const KEY_BYTES_MAX: usize = 256;

/// A plugin's name, as its manifest says it: 1 to 63 of `a-z 0-9 -`.
///
/// ```
/// use wardroom::config::PluginName;
///
/// assert_eq!("chat-2".parse::<PluginName>()?.as_str(), "chat-2");
/// assert!("Chat".parse::<PluginName>().is_err());
/// # Ok::<(), wardroom::config::InvalidPluginName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName(String);

/// A text that is no plugin's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a plugin's name has 1 to 63 characters of a-z, 0-9 and -")]
pub struct InvalidPluginName;

impl PluginName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = InvalidPluginName;

    fn from_str(text: &str) -> Result<Self, InvalidPluginName> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPluginName)
        }
    }
}

impl Borrow<str> for PluginName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a plugin is given, and what it must be. By default nothing, and anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginConfig {
    /// Where it may send HTTP requests.
    pub http: AllowList,
    /// What its file must be; `None` is any.
    pub sha256: Option<Sha256>,
    /// The values that it can read, by their names of 1 to 256 bytes.
    pub config: BTreeMap<String, Setting>,
}

/// A key of a plugin's table; the values that it reads are in a table `config` beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginKey {
    /// The hosts of [`PluginConfig::http`].
    Http,
    /// Its networks.
    HttpNetworks,
    /// See [`PluginConfig::sha256`].
    Sha256,
}

impl PluginKey {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http, Self::HttpNetworks, Self::Sha256];

    /// The value that a plugin has for it.
    #[must_use]
    pub fn get(self, plugin: &PluginConfig) -> Value {
        // A field without a key does not compile.
        let PluginConfig {
            http,
            sha256,
            config: _,
        } = plugin;
        match self {
            Self::Http => Value::Texts(http.hosts().collect()),
            Self::HttpNetworks => Value::Texts(http.networks().to_vec()),
            Self::Sha256 => Hex::show(sha256),
        }
    }

    /// Takes what is given for it, or says what would be right.
    pub(super) fn read(self, plugin: &mut PluginConfig, given: Given<'_>) -> Result<(), String> {
        match self {
            Self::Http | Self::HttpNetworks => {
                let texts: Vec<String> = Texts::read(given)?;
                let texts = texts.iter().map(String::as_str);
                let taken = match self {
                    Self::Http => plugin.http.set_hosts(texts),
                    _ => plugin.http.set_networks(texts),
                };
                taken.map_err(|error| error.to_string())
            }
            Self::Sha256 => {
                plugin.sha256 = Hex::read(given)?;
                Ok(())
            }
        }
    }
}

impl fmt::Display for PluginKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http => "http",
            Self::HttpNetworks => "http_networks",
            Self::Sha256 => "sha256",
        })
    }
}

/// The table of a plugin's in the whole of a configuration: `tenants.acme.plugin.chat`.
pub(super) fn table_of(tenant: Option<&TenantName>, plugin: &str) -> String {
    match tenant {
        Some(tenant) => format!("{TENANTS}.{tenant}.{PLUGIN}.{plugin}"),
        None => format!("{PLUGIN}.{plugin}"),
    }
}

/// Says what is wrong with them beside their types.
pub(super) fn validate(
    tenant: Option<&TenantName>,
    plugins: &BTreeMap<PluginName, PluginConfig>,
    faults: &mut Vec<Fault>,
) {
    for (plugin, given) in plugins {
        let is_wrong = |key: &&String| !(1..=KEY_BYTES_MAX).contains(&key.len());
        for key in given.config.keys().filter(is_wrong) {
            let problem = format!("the name of a value must have 1 to {KEY_BYTES_MAX} bytes");
            let table = table_of(tenant, plugin.as_str());
            faults.push(fault(&format!("{table}.{CONFIG}.{key}"), problem));
        }
    }
}

#[cfg(test)]
mod tests;
