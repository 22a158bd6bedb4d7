//! Networks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses that begin alike: `10.1.0.0/16`, `fd00::/8`.
///
/// ```
/// use wardroom::config::Network;
///
/// let network: Network = "10.1.0.0/16".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?));
/// assert!(!network.contains("10.2.0.0".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// What follows the first bits is zero.
    first: IpAddr,
    bits: u32,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network, such as \"10.1.0.0/16\" or \"fd00::/8\"")]
pub struct NetworkError(String);

impl Network {
    /// The addresses of version 4 whose first bits are these.
    #[must_use]
    pub const fn v4(first: [u8; 4], bits: u32) -> Self {
        let [a, b, c, d] = first;
        Self {
            first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            bits,
        }
    }

    /// The addresses of version 6 whose first bits are these; what follows the first two groups is zero.
    #[must_use]
    pub const fn v6(first: [u16; 2], bits: u32) -> Self {
        let [a, b] = first;
        Self {
            first: IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)),
            bits,
        }
    }

    /// Whether an address is one of them. One of another version never is, however it is written.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let rest = 32 - self.bits;
                let differ = first.to_bits() ^ address.to_bits();
                differ.checked_shr(rest).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let rest = 128 - self.bits;
                let differ = first.to_bits() ^ address.to_bits();
                differ.checked_shr(rest).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.bits)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// An address without a length is a network of its own. One that has bits behind its length is a mistake.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (first, bits) = match text.split_once('/') {
            Some((first, bits)) => (first, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        let (all, set) = match first {
            IpAddr::V4(first) => (32, 32 - first.to_bits().trailing_zeros()),
            IpAddr::V6(first) => (128, 128 - first.to_bits().trailing_zeros()),
        };
        let is_number = |bits: &str| bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => all,
            Some(bits) if is_number(bits) => bits.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        if bits > all || set > bits {
            return Err(wrong());
        }
        Ok(Self { first, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn the_length_says_how_much_is_compared() {
        let cases = [
            ("0.0.0.0/0", "255.255.255.255", true),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("100.64.0.0/10", "100.127.255.255", true),
            ("100.64.0.0/10", "100.128.0.0", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("::/0", "ffff::1", true),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::", false),
            ("::1", "::1", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", false),
            ("::ffff:0:0/96", "127.0.0.1", false),
        ];
        for (text, address, is_in) in cases {
            let contains = network(text).contains(address.parse().unwrap());
            assert_eq!(contains, is_in, "{address} in {text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "ten",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.1/8",
            "fd00::1/8",
            "fd00::/129",
            "10.0.0/8",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert_eq!(network("fd00::/8").to_string(), "fd00::/8");
    }

    #[test]
    fn constants_are_what_their_texts_are() {
        assert_eq!(Network::v4([10, 0, 0, 0], 8), network("10.0.0.0/8"));
        assert_eq!(Network::v6([0x2001, 0xdb8], 32), network("2001:db8::/32"));
    }
}
