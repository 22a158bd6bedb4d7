//! Every key of the configuration, declared once: how it is called, which field it sets, how its value is written.

use std::fmt;
use std::path::Path;

use super::access::JWT;
use super::unit::{
    Address, FileName, Folder, Given, Keeping, Link, List, Switch, Text, Time, Unit,
};
use super::{Config, JwtKey, Limit, StateStore, Value};

/// How a key is called: as its field, unless it is in a table.
macro_rules! name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

/// Makes the enum of keys of one list: the variant, the field of [`Config`], its name if that is another, the [`Unit`]
/// in which it is written.
macro_rules! keys {
    ($($variant:ident $field:ident $($name:literal)?: $unit:ident;)+) => {
        /// A key of the configuration.
        ///
        /// ```
        /// use wardroom::config::{Key, Limit};
        ///
        /// assert_eq!(Key::Limit(Limit::MessageBytesMax).to_string(), "limits.message_bytes_max");
        /// assert_eq!(Key::Listen.variable(), "WARDROOM_LISTEN");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key {
            $(
                #[doc = concat!("See [`Config::", stringify!($field), "`].")]
                $variant,
            )+
            /// One of the table `auth.jwt`.
            Jwt(JwtKey),
            /// One of the table `limits`.
            Limit(Limit),
        }

        impl Key {
            const TOP: &[Self] = &[$(Self::$variant),+];

            /// The value that a configuration has for it.
            #[must_use]
            pub fn get(self, config: &Config) -> Value {
                if self == Self::State {
                    // What it comes to is to be seen, and to be compared.
                    return Keeping::show(&config.state_store());
                }
                // A field without a key does not compile.
                // Which program compiles and who looks up names is not said in a file; plugins and tenants have keys
                // of their own.
                let Config {
                    $($field,)+ jwt, compiler: _, resolver: _, limits, plugin: _, tenants: _
                } = config;
                match self {
                    $(Self::$variant => $unit::show($field),)+
                    Self::Jwt(key) => jwt.get(key),
                    Self::Limit(limit) => limits.get(limit),
                }
            }

            /// Takes what is given for it, or says what would be right.
            pub(super) fn read(self, config: &mut Config, given: Given<'_>) -> Result<(), String> {
                match self {
                    $(Self::$variant => config.$field = $unit::read(given)?,)+
                    Self::Jwt(key) => config.jwt.read(key, given)?,
                    Self::Limit(limit) => config.limits.read(limit, given)?,
                }
                Ok(())
            }
        }

        impl fmt::Display for Key {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => formatter.write_str(name!($field $($name)?)),)+
                    Self::Jwt(key) => write!(formatter, "{JWT}.{}", key.key()),
                    Self::Limit(limit) => write!(formatter, "{LIMITS}.{}", limit.key()),
                }
            }
        }
    };
}

keys! {
    Listen listen: Address;
    Admin admin: Address;
    AdminToken admin_token: Text;
    Path path: Text;
    Origins origins: List;
    TrustedProxies trusted_proxies: List;
    Plugins plugins: Folder;
    Cache cache: Folder;
    State state: Keeping;
    Watch watch: Switch;
    Node node: Text;
    HeartbeatInterval heartbeat_interval: Time;
    HeartbeatTimeout heartbeat_timeout: Time;
    Drain drain: Time;
    TlsCertificate tls_certificate "tls.certificate": FileName;
    TlsKey tls_key "tls.key": FileName;
    ClusterUrl cluster_url "cluster.url": Link;
    ClusterPrefix cluster_prefix "cluster.prefix": Text;
}

/// The table that limits are in.
pub(super) const LIMITS: &str = "limits";

/// What variables of the configuration begin with.
pub(super) const PREFIX: &str = "WARDROOM_";

impl Key {
    /// All of them, those in tables last, as in a file.
    pub fn all() -> impl Iterator<Item = Self> {
        let jwt = JwtKey::ALL.iter().copied().map(Self::Jwt);
        let limits = Limit::ALL.into_iter().map(Self::Limit);
        Self::TOP.iter().copied().chain(jwt).chain(limits)
    }

    /// Whether it is about the one tenant of a host for which none is named.
    pub(super) const fn is_of_default_tenant(self) -> bool {
        matches!(
            self,
            Self::Path | Self::Plugins | Self::Origins | Self::Jwt(_)
        )
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(self) -> String {
        let name = self.to_string().replace('.', "_").to_uppercase();
        format!("{PREFIX}{name}")
    }

    /// Whether it cannot change while a host runs: sockets are bound to it, others know the host by it, the cache, the
    /// file of state or the bus was opened with it, or address space was reserved for it.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        match self {
            Self::Listen
            | Self::Admin
            | Self::Watch
            | Self::Cache
            | Self::State
            | Self::Node
            | Self::ClusterUrl
            | Self::ClusterPrefix
            | Self::Limit(
                Limit::BusBytesMax
                | Limit::BusMessagesMax
                | Limit::InstancesMax
                | Limit::MemoryBytesMax
                | Limit::TableElementsMax
                | Limit::CacheBytesMax,
            ) => true,
            Self::AdminToken
            | Self::Path
            | Self::Plugins
            | Self::Origins
            | Self::TrustedProxies
            | Self::Jwt(_)
            | Self::TlsCertificate
            | Self::TlsKey
            | Self::HeartbeatInterval
            | Self::HeartbeatTimeout
            | Self::Drain
            | Self::Limit(_) => false,
        }
    }

    /// Makes a relative path one that is relative to this.
    pub(super) fn resolve(self, config: &mut Config, folder: &Path) {
        let path = match self {
            Self::Plugins => Some(&mut config.plugins),
            Self::Cache => config.cache.as_mut(),
            Self::State => match &mut config.state {
                StateStore::File(file) => Some(file),
                StateStore::Automatic | StateStore::Memory | StateStore::Cluster => None,
            },
            Self::TlsCertificate => config.tls_certificate.as_mut(),
            Self::TlsKey => config.tls_key.as_mut(),
            Self::Jwt(key) => return config.jwt.resolve(key, folder),
            _ => None,
        };
        if let Some(path) = path {
            *path = folder.join(&*path);
        }
    }
}

/// The name that comes nearest to one that there is not.
pub(super) fn nearest(wanted: &str, names: impl Iterator<Item = String>) -> String {
    names
        .min_by_key(|name| distance(wanted, name))
        .unwrap_or_default()
}

/// The table is what is easily forgotten, or added where there is none.
fn distance(wanted: &str, name: &str) -> usize {
    let whole = strsim::damerau_levenshtein(wanted, name);
    whole.min(1 + strsim::damerau_levenshtein(bare(wanted), bare(name)))
}

fn bare(name: &str) -> &str {
    const TABLES: [&str; 9] = [
        "limits.",
        "auth.jwt.",
        "tls.",
        "cluster.",
        "WARDROOM_LIMITS_",
        "WARDROOM_AUTH_JWT_",
        "WARDROOM_TLS_",
        "WARDROOM_CLUSTER_",
        PREFIX,
    ];
    let bare = TABLES.iter().find_map(|table| name.strip_prefix(table));
    bare.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_without_its_table_too() {
        let key = |wanted| nearest(wanted, Key::all().map(|key| key.to_string()));
        assert_eq!(key("lisen"), "listen");
        assert_eq!(key("limits.mesage_bytes_max"), "limits.message_bytes_max");
        assert_eq!(key("message_bytes_max"), "limits.message_bytes_max");
        assert_eq!(key("limits.heartbeat_timeout"), "heartbeat_timeout");
        let variable = |wanted| nearest(wanted, Key::all().map(Key::variable));
        assert_eq!(variable("WARDROOM_LISTN"), "WARDROOM_LISTEN");
        assert_eq!(
            variable("WARDROOM_PUSH_BYTES_MAX"),
            "WARDROOM_LIMITS_PUSH_BYTES_MAX"
        );
    }

    #[test]
    fn names_are_those_of_files_and_of_variables() {
        let names: Vec<_> = Key::all().map(|key| key.to_string()).collect();
        assert_eq!(names.first().map(String::as_str), Some("listen"));
        assert!(names.contains(&"limits.connections_max".to_owned()));
        assert_eq!(
            names.len(),
            Key::TOP.len() + JwtKey::ALL.len() + Limit::COUNT
        );
        assert_eq!(Key::AdminToken.variable(), "WARDROOM_ADMIN_TOKEN");
        assert_eq!(
            Key::Limit(Limit::MessageBytesMax).variable(),
            "WARDROOM_LIMITS_MESSAGE_BYTES_MAX"
        );
    }
}
