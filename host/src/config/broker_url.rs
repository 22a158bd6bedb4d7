//! Where a broker is, and how to get in to it.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::Secret;

/// The URL of a broker: `redis://`, `redis-cluster://`, each with one more `s` for TLS, `nats://`, or `tls://`, which is
/// NATS with TLS. Credentials in it are shown nowhere.
///
/// Of a cluster of Redis it names one node or several, of which one has to answer at the start: it knows the others.
///
/// ```
/// use wardroom::config::BrokerUrl;
///
/// let url: BrokerUrl = "redis://wardroom:s3cret@10.0.0.7/2".parse()?;
/// assert_eq!(url.to_string(), "redis://(set)@10.0.0.7/2");
/// assert!(!format!("{url:?}").contains("s3cret"));
/// assert!("http://10.0.0.7".parse::<BrokerUrl>().is_err());
///
/// let cluster: BrokerUrl = "redis-cluster://10.0.0.7,10.0.0.8:7000".parse()?;
/// assert!(cluster.nodes().eq([("10.0.0.7", 6379), ("10.0.0.8", 7000)]));
/// # Ok::<(), wardroom::config::InvalidBrokerUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    url: Url,
    /// What is named after the first node of a cluster, each as a URL without credentials.
    others: Vec<Url>,
}

/// A text that is no URL of a broker. It is not repeated: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no URL of a broker, such as \"redis://127.0.0.1:6379\", \"nats://127.0.0.1:4222\", or of several nodes of a \
     cluster of Redis \"redis-cluster://10.0.0.1:6379,10.0.0.2:6379\""
)]
pub struct InvalidBrokerUrl;

/// Who speaks at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// Redis, or what speaks like it.
    Redis,
    /// A cluster of them, where each node has a part of the channels and keys.
    RedisCluster,
    /// NATS.
    Nats,
}

impl BrokerUrl {
    /// Who is there.
    #[must_use]
    pub fn broker(&self) -> Broker {
        // Others are no URL of a broker.
        of_scheme(self.url.scheme()).map_or(Broker::Nats, |(broker, _)| broker)
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        of_scheme(self.url.scheme()).is_some_and(|(_, is_tls)| is_tls)
    }

    /// Its name or address; one of version 6 is in brackets. Of a cluster, the first that is named.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Its port; that of Redis or NATS when none is given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port_of(&self.url)
    }

    /// The hosts and ports of all nodes that are named: of a cluster of Redis one or several, otherwise one.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, u16)> {
        let urls = std::iter::once(&self.url).chain(&self.others);
        urls.map(|url| (url.host_str().unwrap_or_default(), self.port_of(url)))
    }

    fn port_of(&self, url: &Url) -> u16 {
        url.port().unwrap_or(match self.broker() {
            Broker::Redis | Broker::RedisCluster => 6379,
            Broker::Nats => 4222,
        })
    }

    /// The user; of NATS without a password, the token.
    #[must_use]
    pub fn user(&self) -> Option<Secret> {
        Some(self.url.username())
            .filter(|user| !user.is_empty())
            .map(decoded)
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> Option<Secret> {
        self.url.password().map(decoded)
    }

    /// The number of the database of Redis; publishing and subscribing are the same in all of them. A cluster has one.
    #[must_use]
    pub fn database(&self) -> u32 {
        let path = self.url.path().trim_matches('/');
        path.parse().unwrap_or_default()
    }

    fn is_right(&self) -> bool {
        let Some((broker, _)) = of_scheme(self.url.scheme()) else {
            return false;
        };
        let path = self.url.path().trim_matches('/');
        let is_path = path.is_empty() || broker == Broker::Redis && path.parse::<u32>().is_ok();
        let is_all = self.url.query().or(self.url.fragment()).is_none();
        let are_others = self.others.is_empty() || broker == Broker::RedisCluster;
        let are_hosts = self.nodes().all(|(host, _)| !host.is_empty());
        // Credentials are the same for all, and said once.
        let is_named = |url: &Url| !url.username().is_empty() || url.password().is_some();
        let are_plain = !self.others.iter().any(is_named);
        is_path && is_all && are_others && are_hosts && are_plain
    }
}

/// Who speaks at the other end of a URL with this scheme, and whether by TLS.
fn of_scheme(scheme: &str) -> Option<(Broker, bool)> {
    match scheme {
        "redis" => Some((Broker::Redis, false)),
        "rediss" => Some((Broker::Redis, true)),
        "redis-cluster" => Some((Broker::RedisCluster, false)),
        "rediss-cluster" => Some((Broker::RedisCluster, true)),
        "nats" => Some((Broker::Nats, false)),
        "tls" => Some((Broker::Nats, true)),
        _ => None,
    }
}

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Some(split(text))
            .and_then(|(first, others)| {
                let parse = |text: &String| Url::parse(text).ok();
                Some(Self {
                    url: parse(&first)?,
                    others: others.iter().map(parse).collect::<Option<_>>()?,
                })
            })
            .filter(Self::is_right)
            .ok_or(InvalidBrokerUrl)
    }
}

/// The URL with the first of the nodes that are named, and URLs of the rest. One node is all that a URL as such has.
fn split(text: &str) -> (String, Vec<String>) {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A comma may be part of the password.
    let hosts = authority.find('@').map_or(0, |at| at + 1);
    let (credentials, hosts) = authority.split_at(hosts);
    match hosts.split_once(',') {
        Some((first, others)) => (
            format!("{scheme}://{credentials}{first}{tail}"),
            Vec::from_iter(others.split(',').map(|host| format!("{scheme}://{host}"))),
        ),
        None => (text.to_owned(), Vec::new()),
    }
}

/// With `(set)` in place of the credentials.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://", self.url.scheme())?;
        if self.user().or(self.password()).is_some() {
            formatter.write_str("(set)@")?;
        }
        let mut separator = "";
        for url in std::iter::once(&self.url).chain(&self.others) {
            write!(
                formatter,
                "{separator}{}",
                url.host_str().unwrap_or_default()
            )?;
            if let Some(port) = url.port() {
                write!(formatter, ":{port}")?;
            }
            separator = ",";
        }
        formatter.write_str(self.url.path())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn decoded(text: &str) -> Secret {
    Secret::new(percent_decode_str(text).decode_utf8_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BrokerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn it_says_who_is_where() {
        let plain = url("redis://localhost");
        assert_eq!((plain.broker(), plain.is_tls()), (Broker::Redis, false));
        assert_eq!((plain.host(), plain.port()), ("localhost", 6379));
        assert_eq!((plain.user(), plain.password()), (None, None));
        let full = url("rediss://me:p%40ss@[::1]:7000/3");
        assert_eq!((full.broker(), full.is_tls()), (Broker::Redis, true));
        assert_eq!(
            (full.host(), full.port(), full.database()),
            ("[::1]", 7000, 3)
        );
        assert_eq!(full.password(), Some(Secret::new("p@ss")));
        let nats = url("tls://token@nats.example.com");
        assert_eq!(
            (nats.broker(), nats.is_tls(), nats.port()),
            (Broker::Nats, true, 4222)
        );
        assert_eq!(nats.user(), Some(Secret::new("token")));
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_nodes() {
        let one = url("redis-cluster://h");
        assert_eq!((one.broker(), one.is_tls()), (Broker::RedisCluster, false));
        assert!(one.nodes().eq([("h", 6379)]));
        let text = "rediss-cluster://me:a,%40b@one:7000,[::1]:7001,three";
        let several = url(text);
        assert_eq!(
            (several.broker(), several.is_tls()),
            (Broker::RedisCluster, true)
        );
        assert_eq!((several.host(), several.port()), ("one", 7000));
        let nodes = [("one", 7000), ("[::1]", 7001), ("three", 6379)];
        assert!(several.nodes().eq(nodes));
        assert_eq!(several.password(), Some(Secret::new("a,@b")));
        assert_eq!(
            several.to_string(),
            "rediss-cluster://(set)@one:7000,[::1]:7001,three"
        );
        assert_ne!(several, url(&text.replace("three", "four")));
        assert!(url("redis://h").nodes().eq([("h", 6379)]));
    }

    #[test]
    fn credentials_are_compared_and_never_shown() {
        let (one, other) = (url("nats://a:b@h:1"), url("nats://a:c@h:1"));
        assert_ne!(one, other);
        assert_eq!(one.to_string(), "nats://(set)@h:1");
        assert_eq!(url("redis://:b@h").to_string(), "redis://(set)@h");
        assert_eq!(url("redis://h/1").to_string(), "redis://h/1");
    }

    #[test]
    fn what_is_none_is_refused() {
        for wrong in [
            "",
            "localhost:6379",
            "redis://",
            "redis:///1",
            "http://h",
            "redis://h/x",
            "redis://h#insecure",
            "redis://h?protocol=resp2",
            "nats://h/1",
            "unix:///tmp/redis.sock",
            "redis://one,two",
            "nats://one,two",
            "redis-cluster://",
            "redis-cluster://one,",
            "redis-cluster://,two",
            "redis-cluster://one,,three",
            "redis-cluster://one,two/1",
            "redis-cluster://one/0",
            "redis-cluster://one:70000,two",
            "redis-cluster://one,two:x",
            "redis-cluster://one,two?x",
            "redis-cluster://me@one,you@two",
            "redis+cluster://one",
        ] {
            assert_eq!(wrong.parse::<BrokerUrl>(), Err(InvalidBrokerUrl), "{wrong}");
        }
    }
}
