//! Networks of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks of addresses, such as those that the proxies before a host are in.
///
/// ```
/// use wardroom::auth::Networks;
///
/// let networks = Networks::of(vec!["10.1.0.0/16".to_owned(), "::1".to_owned()])?;
/// assert!(networks.contain("10.1.2.3".parse()?));
/// assert!(!networks.contain("10.2.0.0".parse()?));
/// assert!(Networks::of(vec!["10.1.2.3/16".to_owned()]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// As they were given.
    texts: Vec<String>,
    networks: Vec<IpNet>,
}

impl Networks {
    /// Networks such as `10.0.0.0/8`, or single addresses.
    ///
    /// # Errors
    /// What is wrong with one of them; bits behind the length of its prefix are, because one of the two is a mistake.
    pub fn of(texts: Vec<String>) -> Result<Self, String> {
        let networks = texts.iter().map(|text| {
            parse(text).ok_or_else(|| {
                format!(
                    "{text:?} is no network, such as \"10.0.0.0/8\", \"127.0.0.1\" or \"fd00::/8\""
                )
            })
        });
        let networks = networks.collect::<Result<_, _>>()?;
        Ok(Self { texts, networks })
    }

    /// As they were given.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether an address is in one of them. One of another version never is, however it is written.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

fn parse(text: &str) -> Option<IpNet> {
    let network = match text.parse() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    (network.trunc() == network).then_some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Result<Networks, String> {
        Networks::of(vec![text.to_owned()])
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
            let contain = networks(text).unwrap().contain(address.parse().unwrap());
            assert_eq!(contain, is_in, "{address} in {text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "*",
            "localhost",
            "10.0.0",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "fd00::1/8",
            "fd00::/129",
        ] {
            assert!(networks(text).is_err(), "{text}");
        }
    }
}
