//! The HTTP request that asks for a WebSocket: is it one, and what of it do plugins get to see?

use std::net::SocketAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::hub::Request;
use crate::tenant::PluginSet;

/// The subprotocol that is chosen whenever a client offers it.
const SUBPROTOCOL: &str = "wardroom.json";

/// A request that is no WebSocket upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoUpgrade {
    /// It does not ask for one.
    #[error("this is a WebSocket endpoint: send an upgrade request (RFC 6455)")]
    NotRequested,
    /// It asks for another version of the protocol.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// It asks, but not as the protocol says.
    #[error(
        "a WebSocket upgrade is a GET over HTTP/1.1 with a Sec-WebSocket-Key of 16 bytes in base64"
    )]
    Invalid,
}

impl NoUpgrade {
    /// What is answered.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::NotRequested | Self::Invalid => StatusCode::BAD_REQUEST,
        }
    }
}

/// The 101 that accepts a request.
///
/// # Errors
/// [`NoUpgrade`], when there is nothing to accept.
pub fn accept(request: &Parts) -> Result<Response<()>, NoUpgrade> {
    let headers = &request.headers;
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return Err(NoUpgrade::NotRequested);
    }
    if request.method != Method::GET
        || request.version != Version::HTTP_11
        || !has_token(headers, &header::CONNECTION, "upgrade")
    {
        return Err(NoUpgrade::Invalid);
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(NoUpgrade::Version);
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key))
        .ok_or(NoUpgrade::Invalid)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accepted = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .expect("base64 is a header's value");
    answers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    if let Some(protocol) = choose_subprotocol(headers) {
        answers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// What plugins get to see of a request.
#[must_use]
pub fn describe(request: &Parts, peer: SocketAddr, plugins: &PluginSet) -> Request {
    let kept = request
        .headers
        .iter()
        .filter(|(name, _)| plugins.keeps_header(name.as_str()));
    Request {
        path: request.uri.path().to_owned(),
        query: request.uri.query().map(ToOwned::to_owned),
        headers: kept
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        cookies: cookies(&request.headers),
        peer,
        claims: None,
    }
}

/// A header may hold any bytes; plugins get text.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .map(text)
        .collect::<Vec<_>>();
    let pairs = lines
        .iter()
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// Whether a header's comma-separated lists have a word, in any case (RFC 9110, 5.6.1).
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// 16 bytes in base64: 22 digits and two signs of padding (RFC 6455, 4.1).
fn is_key(key: &HeaderValue) -> bool {
    let Some((digits, b"==")) = key.as_bytes().split_at_checked(22) else {
        return false;
    };
    digits
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// The host's own when it is offered, else the first that is, else none.
fn choose_subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let own = offered.iter().find(|protocol| **protocol == SUBPROTOCOL);
    let chosen = own.or_else(|| offered.iter().find(|protocol| !protocol.is_empty()))?;
    HeaderValue::try_from(*chosen).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            )
        };
        lines.iter().map(pair).collect()
    }

    #[test]
    fn words_are_found_in_lists_and_in_any_case() {
        let headers = headers(&[("connection", "keep-alive, Upgrade"), ("connection", "x")]);
        assert!(has_token(&headers, &header::CONNECTION, "upgrade"));
        assert!(!has_token(&headers, &header::CONNECTION, "keep"));
    }

    #[test]
    fn the_own_subprotocol_is_preferred_to_the_first() {
        let choose =
            |offer: &str| choose_subprotocol(&headers(&[("sec-websocket-protocol", offer)]));
        assert_eq!(choose("a, wardroom.json").unwrap(), "wardroom.json");
        assert_eq!(choose("b, a").unwrap(), "b");
        assert_eq!(choose_subprotocol(&HeaderMap::new()), None);
    }

    #[test]
    fn a_key_is_sixteen_bytes() {
        let is = |key: &str| is_key(&HeaderValue::try_from(key).unwrap());
        assert!(is("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!is("dGhlIHNhbXBsZSBub25jZQ"));
        assert!(!is("dGhlIHNhbXBsZSBub25jZ!=="));
        assert!(!is(""));
    }

    #[test]
    fn cookies_are_split() {
        let headers = headers(&[("cookie", "a=1; b = x=y"), ("cookie", "c=3;broken")]);
        let pairs = cookies(&headers);
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x=y"), ("c", "3")]);
    }
}
