//! Which web pages may connect. A browser lets any page open a WebSocket anywhere, with the cookies of whom it
//! connects to; that the page is no friend is seen by the `Origin` header alone (RFC 6455, 10.2).

use std::fmt;

use hyper::Uri;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::uri::Authority;

use super::Scheme;

/// The pages that may connect. A request without an `Origin` comes from no page, and none of these keeps it out: who
/// can leave the header away can also write any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// As they were given; empty for the host's own.
    texts: Vec<String>,
    allowed: Allowed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Allowed {
    /// Those of the host and port that the request itself is for.
    #[default]
    Own,
    Any,
    Listed(Vec<Pattern>),
}

/// One origin, or all below one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Same(String),
    /// What every name below ends in: `.example.com`.
    Below(String),
}

/// Why a page may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginRefused {
    /// There are several, or it is none.
    #[error("the Origin header is not that of a page")]
    Invalid,
    /// It is from elsewhere.
    #[error("the page is not of this host and scheme, and no other may connect (origins)")]
    NotOwn,
    /// It is not in the list.
    #[error("pages of this origin may not connect (origins)")]
    NotListed,
}

impl Origins {
    /// Origins such as `https://acme.example.com`, `https://*.example.com` for all names below one, or `*` for all
    /// there are. None at all are the host's own.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn of(texts: Vec<String>) -> Result<Self, String> {
        let allowed = if texts.is_empty() {
            Allowed::Own
        } else if texts.iter().any(|text| text == "*") {
            Allowed::Any
        } else {
            let patterns = texts.iter().map(|text| {
                Pattern::of(text).ok_or_else(|| {
                    format!("{text:?} is no origin, such as \"https://acme.example.com\", \"https://*.example.com\" or \"*\"")
                })
            });
            Allowed::Listed(patterns.collect::<Result<_, _>>()?)
        };
        Ok(Self { texts, allowed })
    }

    /// As they were given.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether a request may go on. `scheme` is the one that the client came by.
    ///
    /// # Errors
    /// [`OriginRefused`].
    pub fn check(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        scheme: Scheme,
    ) -> Result<(), OriginRefused> {
        if self.allowed == Allowed::Any || !headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let origin = only(headers, &header::ORIGIN).and_then(Origin::of);
        let origin = origin.ok_or(OriginRefused::Invalid)?;
        match &self.allowed {
            Allowed::Own => own(uri, headers, scheme)
                .filter(|own| *own == origin)
                .map(|_| ())
                .ok_or(OriginRefused::NotOwn),
            Allowed::Listed(patterns) => patterns
                .iter()
                .find(|pattern| pattern.matches(&origin))
                .map(|_| ())
                .ok_or(OriginRefused::NotListed),
            Allowed::Any => Ok(()),
        }
    }
}

/// What a request is for.
fn own(uri: &Uri, headers: &HeaderMap, scheme: Scheme) -> Option<Origin> {
    let authority = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => only(headers, &header::HOST)?,
    };
    let (host, port) = host_and_port(authority)?;
    Some(Origin {
        scheme: scheme.name().to_owned(),
        port: port.or_else(|| default_port(scheme.name())),
        host,
    })
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// What a page says of where it comes from (RFC 6454, 6.2), with the port that its scheme has by default.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn of(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = host_and_port(authority).filter(|_| is_scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let port = port.or_else(|| default_port(&scheme));
        Some(Self { scheme, host, port })
    }
}

impl Pattern {
    fn of(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let below = rest.strip_prefix("*.");
        let origin = Origin::of(&format!("{scheme}://{}", below.unwrap_or(rest)))?;
        if origin.host.contains('*') {
            return None;
        }
        let host = match below {
            Some(_) => Host::Below(format!(".{}", origin.host)),
            None => Host::Same(origin.host),
        };
        Some(Self {
            scheme: origin.scheme,
            host,
            port: origin.port,
        })
    }

    fn matches(&self, origin: &Origin) -> bool {
        let is_host = match &self.host {
            Host::Same(host) => origin.host == *host,
            Host::Below(end) => origin
                .host
                .strip_suffix(end.as_str())
                .is_some_and(|name| !name.is_empty()),
        };
        is_host && origin.scheme == self.scheme && origin.port == self.port
    }
}

/// A host in lower case, and its port if it is said. `None` also for what a lenient reader would take half of: a user,
/// a port beyond 65535.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let (host, port) = (authority.host(), authority.port_u16());
    let said = match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    (!host.is_empty() && said == text).then(|| (host.to_ascii_lowercase(), port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        origins: &Origins,
        host: &str,
        scheme: Scheme,
        origin: &str,
    ) -> Result<(), OriginRefused> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        origins.check(&Uri::from_static("/ws"), &headers, scheme)
    }

    #[test]
    fn the_own_host_is_the_one_of_the_request() {
        use Scheme::{Http, Https};
        let own = Origins::default();
        for (host, scheme, origin, is_allowed) in [
            ("acme.com", Http, "http://acme.com", true),
            ("acme.com", Http, "http://ACME.com:80", true),
            ("acme.com:80", Http, "http://acme.com", true),
            ("acme.com", Https, "https://acme.com", true),
            ("acme.com:443", Https, "https://acme.com", true),
            ("acme.com:8080", Http, "http://acme.com:8080", true),
            ("[::1]:3000", Http, "http://[::1]:3000", true),
            ("acme.com", Http, "https://acme.com", false),
            ("acme.com", Https, "http://acme.com", false),
            ("acme.com:443", Http, "https://acme.com", false),
            ("acme.com:8080", Http, "http://acme.com", false),
            ("acme.com", Http, "http://acme.com.evil.com", false),
            ("acme.com", Http, "http://evil-acme.com", false),
            ("acme.com", Http, "http://acme.com@evil.com", false),
            ("acme.com", Http, "http://evil@acme.com", false),
            ("acme.com", Http, "http://acme.com:", false),
            ("acme.com", Http, "http://acme.com:65616", false),
            ("acme.com", Http, "http://acme.com/", false),
            ("acme.com", Http, "http://acme.com http://evil.com", false),
            ("acme.com", Http, "null", false),
            ("acme.com", Http, "", false),
            ("", Http, "http://", false),
            ("acme.com", Http, "file://", false),
        ] {
            let checked = check(&own, host, scheme, origin);
            assert_eq!(
                checked.is_ok(),
                is_allowed,
                "{host} {scheme:?} {origin:?}: {checked:?}"
            );
        }
    }

    #[test]
    fn a_list_has_origins_and_those_below() {
        let list = [
            "https://acme.com",
            "https://*.example.com:8443",
            "app://shop",
        ];
        let origins = Origins::of(list.map(ToOwned::to_owned).into()).unwrap();
        for (origin, is_allowed) in [
            ("https://acme.com", true),
            ("https://acme.com:443", true),
            ("http://acme.com", false),
            ("https://www.acme.com", false),
            ("https://a.example.com:8443", true),
            ("https://a.b.example.com:8443", true),
            ("https://example.com:8443", false),
            ("https://.example.com:8443", false),
            ("https://a.example.com", false),
            ("https://aexample.com:8443", false),
            ("app://shop", true),
            ("http://own.com", false),
        ] {
            let checked = check(&origins, "own.com", Scheme::Http, origin);
            assert_eq!(checked.is_ok(), is_allowed, "{origin}: {checked:?}");
        }
        let any = Origins::of(vec!["*".to_owned()]).unwrap();
        assert_eq!(check(&any, "own.com", Scheme::Http, "null"), Ok(()));
    }

    #[test]
    fn who_says_none_is_no_page_and_who_says_two_is_hostile() {
        let own = Origins::default();
        let uri = Uri::from_static("/ws");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "a".parse().unwrap());
        assert_eq!(own.check(&uri, &headers, Scheme::Http), Ok(()));
        for _ in 0..2 {
            headers.append(header::ORIGIN, "http://a".parse().unwrap());
        }
        let refused = own.check(&uri, &headers, Scheme::Http);
        assert_eq!(refused, Err(OriginRefused::Invalid));
        headers.remove(header::ORIGIN);
        headers.append(header::ORIGIN, "http://a".parse().unwrap());
        headers.append(header::HOST, "b".parse().unwrap());
        let refused = own.check(&uri, &headers, Scheme::Http);
        assert_eq!(refused, Err(OriginRefused::NotOwn));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "acme.com",
            "https://",
            "https://a/b",
            "https://*",
            "https://a.*.com",
            "https://*.",
            "",
        ] {
            assert!(Origins::of(vec![text.to_owned()]).is_err(), "{text}");
        }
    }
}
