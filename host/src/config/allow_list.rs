//! Where a plugin may send HTTP requests: hosts, and networks that are not everybody's.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::auth::{Networks, Scheme};

/// Of a name, by the rules of the domain name system.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Where a plugin may send HTTP requests. An empty one, which is the default, allows none.
///
/// ```
/// use wardroom::config::{AllowList, Destination};
///
/// let list = AllowList::new(["https://api.example.com", "https://*.example.org"], [])?;
/// let allows = |scheme, authority| list.allows(&Destination::new(scheme, authority).unwrap());
/// assert!(allows("https", "api.example.com"));
/// assert!(allows("https", "a.b.example.org:443"));
/// assert!(!allows("http", "api.example.com"));
/// assert!(!allows("https", "api.example.com:8443"));
/// assert!(!allows("https", "example.org"));
/// # Ok::<(), wardroom::config::AllowListError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    hosts: Vec<Allowed>,
    networks: Networks,
}

/// What cannot be in an allow-list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// It is no host.
    #[error(
        "{0:?} is no host: write \"https://api.example.com\", \"https://*.example.com\" or \"http://10.1.2.3:8080\""
    )]
    Host(String),
    /// It is no network.
    #[error("{0}")]
    Network(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    scheme: Scheme,
    host: Pattern,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// `*`: any.
    Any,
    /// `*.example.com`: any name that ends in this, which begins with its dot.
    Below(String),
    This(HostName),
}

/// Where a request is to be sent, as the plugin says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// How.
    pub scheme: Scheme,
    /// To whom.
    pub host: HostName,
    /// The scheme's own where none is said.
    pub port: u16,
}

/// A host as a URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// In lower case.
    Name(String),
    /// An address, which needs no look-up.
    Address(IpAddr),
}

impl AllowList {
    /// A list of hosts, and of networks that may be reached although they are not everybody's.
    ///
    /// A host has a scheme, a name or an address, and a port unless it is the scheme's own; all three are compared. A
    /// `*.` before a name stands for one label or more, a `*` alone for every host. There are no paths: a server may
    /// read one in more ways than can be compared.
    ///
    /// The networks are about addresses, whatever name led to one: those of private networks, of the machine itself
    /// and the like are refused without them. A host that is listed by its address needs none.
    ///
    /// # Errors
    /// The first that is none.
    pub fn new<'a>(
        hosts: impl IntoIterator<Item = &'a str>,
        networks: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, AllowListError> {
        let mut list = Self::default();
        list.set_hosts(hosts)?;
        list.set_networks(networks)?;
        Ok(list)
    }

    /// Has these hosts from now on.
    pub(super) fn set_hosts<'a>(
        &mut self,
        hosts: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), AllowListError> {
        let hosts = hosts.into_iter().map(Allowed::parse);
        self.hosts = hosts.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Has these networks from now on.
    pub(super) fn set_networks<'a>(
        &mut self,
        networks: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), AllowListError> {
        let texts = networks.into_iter().map(ToOwned::to_owned).collect();
        self.networks = Networks::of(texts).map_err(AllowListError::Network)?;
        Ok(())
    }

    /// Its hosts, as [`Self::new`] takes them.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().map(ToString::to_string)
    }

    /// Its networks, as [`Self::new`] takes them.
    #[must_use]
    pub fn networks(&self) -> &[String] {
        self.networks.texts()
    }

    /// Whether requests may be sent there, if the address allows it.
    #[must_use]
    pub fn allows(&self, destination: &Destination) -> bool {
        self.hosts.iter().any(|allowed| {
            allowed.scheme == destination.scheme
                && allowed.port == destination.port
                && allowed.host.matches(&destination.host)
        })
    }

    /// Whether a host is listed by this very address.
    #[must_use]
    pub fn names_address(&self, destination: &Destination) -> bool {
        matches!(destination.host, HostName::Address(_))
            && self.hosts.iter().any(|allowed| {
                allowed.scheme == destination.scheme
                    && allowed.port == destination.port
                    && allowed.host == Pattern::This(destination.host.clone())
            })
    }

    /// Whether an address is in one of the networks.
    #[must_use]
    pub fn grants(&self, address: IpAddr) -> bool {
        self.networks.contain(address)
    }
}

impl Allowed {
    fn parse(text: &str) -> Result<Self, AllowListError> {
        let wrong = || AllowListError::Host(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = Scheme::named(scheme).ok_or_else(wrong)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split(authority, scheme).ok_or_else(wrong)?;
        let host = match host.strip_prefix('*') {
            None => HostName::parse(host).map(Pattern::This),
            Some("") => Some(Pattern::Any),
            Some(below) => below
                .strip_prefix('.')
                .and_then(HostName::parse)
                .and_then(Pattern::below),
        };
        Ok(Self {
            scheme,
            host: host.ok_or_else(wrong)?,
            port,
        })
    }
}

impl Pattern {
    fn below(host: HostName) -> Option<Self> {
        match host {
            HostName::Name(name) => Some(Self::Below(format!(".{name}"))),
            HostName::Address(_) => None,
        }
    }

    fn matches(&self, host: &HostName) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Below(end), HostName::Name(name)) => name.ends_with(end),
            (Self::Below(_), HostName::Address(_)) => false,
            (Self::This(this), host) => this == host,
        }
    }
}

impl Destination {
    /// Reads a scheme, in lower case, and what a URL has between its slashes; `None` when that is no host, or says
    /// more than a host and a port.
    #[must_use]
    pub fn new(scheme: &str, authority: &str) -> Option<Self> {
        let scheme = Scheme::named(scheme)?;
        let (host, port) = split(authority, scheme)?;
        Some(Self {
            scheme,
            host: HostName::parse(host)?,
            port,
        })
    }
}

/// As a `Host` header has it: without the scheme's own port.
impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(formatter)?;
        show_port(self.port, self.scheme, formatter)
    }
}

/// As a list has it: without the scheme's own port.
impl fmt::Display for Allowed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.host)?;
        show_port(self.port, self.scheme, formatter)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::Below(end) => write!(formatter, "*{end}"),
            Self::This(host) => host.fmt(formatter),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(formatter),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

fn show_port(port: u16, scheme: Scheme, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    if port == scheme.port() {
        return Ok(());
    }
    write!(formatter, ":{port}")
}

impl HostName {
    /// What a URL has for a host. Numbers that libraries take for addresses, such as `127.1`, are names here: what
    /// they lead to is looked at like what any name does.
    fn parse(text: &str) -> Option<Self> {
        if let Some(text) = text.strip_prefix('[') {
            let address: Ipv6Addr = text.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(IpAddr::V4(address)));
        }
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_letter)
        };
        let is_name = text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label);
        is_name.then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

/// Host and port, the scheme's own where none is said.
fn split(authority: &str, scheme: Scheme) -> Option<(&str, u16)> {
    let is_bare_v6 = authority.ends_with(']');
    let Some((host, port)) = authority.rsplit_once(':').filter(|_| !is_bare_v6) else {
        return Some((authority, scheme.port()));
    };
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = if is_number {
        port.parse().ok()?
    } else {
        return None;
    };
    Some((host, port))
}

#[cfg(test)]
mod tests;
