//! Where a broker is, and how to get in to it.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::Secret;

/// The URL of a broker: `redis://`, `rediss://` with TLS, `nats://`, or `tls://`, which is NATS with TLS. Credentials
/// in it are shown nowhere.
///
/// ```
/// use wardroom::config::BrokerUrl;
///
/// let url: BrokerUrl = "redis://wardroom:s3cret@10.0.0.7/2".parse()?;
/// assert_eq!(url.to_string(), "redis://(set)@10.0.0.7/2");
/// assert!(!format!("{url:?}").contains("s3cret"));
/// assert!("http://10.0.0.7".parse::<BrokerUrl>().is_err());
/// # Ok::<(), wardroom::config::InvalidBrokerUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(Url);

/// A text that is no URL of a broker. It is not repeated: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no URL of a broker, such as \"redis://127.0.0.1:6379\" or \"nats://127.0.0.1:4222\"")]
pub struct InvalidBrokerUrl;

/// Who speaks at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// Redis, or what speaks like it.
    Redis,
    /// NATS.
    Nats,
}

impl BrokerUrl {
    /// Who is there.
    #[must_use]
    pub fn broker(&self) -> Broker {
        if self.0.scheme().starts_with("redis") {
            return Broker::Redis;
        }
        Broker::Nats
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.0.scheme(), "rediss" | "tls")
    }

    /// Its name or address; one of version 6 is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Its port; that of Redis or NATS when none is given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(match self.broker() {
            Broker::Redis => 6379,
            Broker::Nats => 4222,
        })
    }

    /// The user; of NATS without a password, the token.
    #[must_use]
    pub fn user(&self) -> Option<Secret> {
        Some(self.0.username())
            .filter(|user| !user.is_empty())
            .map(decoded)
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> Option<Secret> {
        self.0.password().map(decoded)
    }

    /// The number of the database of Redis; publishing and subscribing are the same in all of them.
    #[must_use]
    pub fn database(&self) -> u32 {
        let path = self.0.path().trim_matches('/');
        path.parse().unwrap_or_default()
    }

    fn is_right(&self) -> bool {
        let Self(url) = self;
        let path = url.path().trim_matches('/');
        let is_path = match self.broker() {
            Broker::Redis => path.is_empty() || path.parse::<u32>().is_ok(),
            Broker::Nats => path.is_empty(),
        };
        let is_known = matches!(url.scheme(), "redis" | "rediss" | "nats" | "tls");
        is_known && !self.host().is_empty() && is_path && url.query().or(url.fragment()).is_none()
    }
}

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map(Self).map_err(|_| InvalidBrokerUrl)?;
        Some(url).filter(Self::is_right).ok_or(InvalidBrokerUrl)
    }
}

/// With `(set)` in place of the credentials.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(url) = self;
        write!(formatter, "{}://", url.scheme())?;
        if self.user().or(self.password()).is_some() {
            formatter.write_str("(set)@")?;
        }
        formatter.write_str(self.host())?;
        if let Some(port) = url.port() {
            write!(formatter, ":{port}")?;
        }
        formatter.write_str(url.path())
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
        ] {
            assert_eq!(wrong.parse::<BrokerUrl>(), Err(InvalidBrokerUrl), "{wrong}");
        }
    }
}
