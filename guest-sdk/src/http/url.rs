//! A URL, taken apart.

use crate::error::HostError;

/// The parts of a URL that a request has use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// `http` or `https`.
    pub(crate) is_secure: bool,
    /// Host and port.
    pub(crate) authority: &'a str,
    /// With its leading slash and its query, without what follows `#`.
    pub(crate) path: &'a str,
}

impl<'a> Url<'a> {
    /// Only takes it apart: what the host cannot make sense of it refuses.
    pub(crate) fn parse(url: &'a str) -> Result<Self, HostError> {
        let wrong = || HostError::Invalid(format!("the URL {url:?} is not http(s)://host/path"));
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let is_secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong()),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            is_secure,
            authority,
            path: if path.is_empty() { "/" } else { path },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, is_secure, authority, path) in [
            ("https://a.example", true, "a.example", "/"),
            ("http://a.example:8080/", false, "a.example:8080", "/"),
            ("https://[::1]/a/b?c=d#e", true, "[::1]", "/a/b?c=d"),
            ("https://a.example?c=/", true, "a.example", "?c=/"),
            ("https://a.example#/b", true, "a.example", "/"),
        ] {
            let parts = Url {
                is_secure,
                authority,
                path,
            };
            assert_eq!(Url::parse(url), Ok(parts), "{url}");
        }
        for url in [
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https:///a",
            "//a.example",
        ] {
            let refused = matches!(Url::parse(url), Err(HostError::Invalid(_)));
            assert!(refused, "{url}");
        }
    }
}
