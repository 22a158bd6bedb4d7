//! Behind which proxies the host is, and what of their word counts: the client's address and scheme.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HeaderMap, HeaderValue};

use super::{Networks, Scheme};

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What is known of the client behind a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Its address. Behind a proxy that does not say the port, that is 0.
    pub peer: SocketAddr,
    /// How it came, if a proxy says so.
    pub scheme: Option<Scheme>,
}

impl Networks {
    /// Who is at the other end: the peer itself, or the client that proxies of these networks speak for. Of a chain of
    /// addresses the rightmost that is none of ours is the last that somebody we trust has seen; all to the left of it
    /// is hearsay.
    #[must_use]
    pub fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Forwarded {
        let mut forwarded = Forwarded { peer, scheme: None };
        // A socket that listens for both versions has those of version 4 as version 6.
        if !self.contain(peer.ip().to_canonical()) {
            return forwarded;
        }
        let hops = entries(headers, FORWARDED_FOR).map(address);
        for hop in hops {
            // What a proxy of ours wrote and we cannot read ends the chain at that proxy.
            let Some(hop) = hop else { break };
            forwarded.peer = hop;
            if !self.contain(hop.ip()) {
                break;
            }
        }
        let scheme = entries(headers, FORWARDED_PROTO).next();
        forwarded.scheme = scheme.and_then(scheme_named);
        forwarded
    }
}

/// The entries of a header's lists, from the right.
fn entries<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter().rev();
    values
        .map(HeaderValue::as_bytes)
        .flat_map(|value| value.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

fn scheme_named(name: &[u8]) -> Option<Scheme> {
    if name.eq_ignore_ascii_case(b"https") || name.eq_ignore_ascii_case(b"wss") {
        return Some(Scheme::Https);
    }
    let is_plain = name.eq_ignore_ascii_case(b"http") || name.eq_ignore_ascii_case(b"ws");
    is_plain.then_some(Scheme::Http)
}

/// An address as proxies write it: with a port or without, of version 6 with brackets or without.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = || {
        let inner = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        inner.unwrap_or(text).parse::<IpAddr>().ok()
    };
    let address = text
        .parse()
        .ok()
        .or_else(|| bare().map(|address| SocketAddr::new(address, 0)))?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[(&'static str, &str)]) -> Forwarded {
        let networks = trusted.iter().map(|text| (*text).to_owned()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let networks = Networks::of(networks).unwrap();
        networks.client(peer.parse().unwrap(), &headers)
    }

    fn address_of(chain: &str) -> String {
        let trusted = ["10.0.0.0/8", "::1", "fd00::/8"];
        let lines = [("x-forwarded-for", chain)];
        client(&trusted, "10.0.0.1:99", &lines).peer.to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_wins() {
        for (chain, expected) in [
            ("203.0.113.7", "203.0.113.7:0"),
            ("203.0.113.7:4711", "203.0.113.7:4711"),
            ("6.6.6.6, 203.0.113.7", "203.0.113.7:0"),
            ("6.6.6.6,203.0.113.7 , 10.9.9.9,fd00::2", "203.0.113.7:0"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("[2001:db8::1]", "[2001:db8::1]:0"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("::ffff:203.0.113.7", "203.0.113.7:0"),
            // All are ours: the one that is farthest away.
            ("10.1.1.1, 10.2.2.2", "10.1.1.1:0"),
            // What cannot be read, and nothing to the left of it.
            ("6.6.6.6, unknown", "10.0.0.1:99"),
            ("6.6.6.6, garbage, 10.2.2.2", "10.2.2.2:0"),
            ("6.6.6.6,", "10.0.0.1:99"),
            ("", "10.0.0.1:99"),
            ("999.1.1.1", "10.0.0.1:99"),
            ("[::1", "10.0.0.1:99"),
            ("1.2.3.4:99999", "10.0.0.1:99"),
            ("\u{fffd}", "10.0.0.1:99"),
        ] {
            assert_eq!(address_of(chain), expected, "{chain:?}");
        }
        let long = "6.6.6.6, ".repeat(500) + "203.0.113.7" + &", 10.0.0.1".repeat(500);
        assert_eq!(address_of(&long), "203.0.113.7:0");
    }

    #[test]
    fn several_headers_are_one_list() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "203.0.113.7, ::1"),
        ];
        let client = client(&["::1"], "[::1]:1", &lines);
        assert_eq!(client.peer.to_string(), "203.0.113.7:0");
    }

    #[test]
    fn the_word_of_others_counts_for_nothing() {
        let lines = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
        ];
        for trusted in [&[][..], &["10.0.0.0/8"]] {
            let client = client(trusted, "203.0.113.7:5", &lines);
            assert_eq!(
                (client.peer.to_string(), client.scheme),
                ("203.0.113.7:5".to_owned(), None)
            );
        }
    }

    #[test]
    fn the_nearest_proxy_says_the_scheme() {
        let scheme = |text| {
            let lines = [("x-forwarded-proto", text)];
            client(&["127.0.0.0/8"], "[::ffff:127.0.0.1]:1", &lines).scheme
        };
        assert_eq!(scheme("https"), Some(Scheme::Https));
        assert_eq!(scheme("http, WSS"), Some(Scheme::Https));
        assert_eq!(scheme("https,http"), Some(Scheme::Http));
        assert_eq!(scheme("gopher"), None);
    }
}
