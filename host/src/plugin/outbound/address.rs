//! Which addresses a request may be sent to: everybody's, and those that were granted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::config::{AllowList, Destination};

/// What is not everybody's of version 4.
const NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),       // this host, and unspecified
    v4([10, 0, 0, 0], 8),      // private
    v4([100, 64, 0, 0], 10),   // behind the provider's translation
    v4([127, 0, 0, 0], 8),     // loopback
    v4([169, 254, 0, 0], 16),  // link-local, and a cloud's metadata
    v4([172, 16, 0, 0], 12),   // private
    v4([192, 0, 0, 0], 24),    // protocols' own
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 88, 99, 0], 24),  // relays of 6to4
    v4([192, 168, 0, 0], 16),  // private
    v4([198, 18, 0, 0], 15),   // benchmarks
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, and broadcast
];

/// All that is everybody's of version 6. Outside of it are loopback, unspecified, link-local, site-local, unique local,
/// multicast, and addresses of version 4 in the clothes of version 6 (`::ffff:0:0/96`, `::/96`, `64:ff9b::/96`).
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0], 3);

/// What of that is not.
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),     // protocols' own, Teredo among them
    v6([0x2001, 0xdb8], 32), // documentation
    v6([0x2002, 0], 16),     // 6to4
    v6([0x3fff, 0], 20),     // documentation
];

/// Prefixes of addresses in which there is one of version 4.
const TEREDO: Ipv6Net = v6([0x2001, 0], 32);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0], 16);
/// The well-known prefix of NAT64 and that of local ones, a little more of each than is in use.
const NAT64: Ipv6Net = v6([0x64, 0xff9b], 32);

/// Whether a request to this destination may be sent to that address, which its name has led to. What the network
/// would make of the address is looked at as well: it has to be everybody's, or granted, in all its forms.
pub(super) fn may_reach(list: &AllowList, destination: &Destination, address: IpAddr) -> bool {
    if list.names_address(destination) {
        return true;
    }
    let may = |form: IpAddr| is_public(form) || list.grants(form);
    may(address) && inner(address).into_iter().all(|form| may(form.into()))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) => {
            PUBLIC_V6.contains(&v6) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&v6))
        }
    }
}

const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

/// What follows the first two groups is zero.
const fn v6([a, b]: [u16; 2], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), bits)
}

/// The addresses of version 4 that a gateway, or this machine, would make of one of version 6.
fn inner(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return Vec::new();
    };
    let bits = v6.to_bits();
    // The last 32 of so many bits from the front.
    let at = |end: u32| Ipv4Addr::from_bits((bits >> (128 - end)) as u32);
    let is_special = v6 == Ipv6Addr::UNSPECIFIED || v6 == Ipv6Addr::LOCALHOST;
    let is_mapped_or_compatible = bits >> 48 == 0 && !is_special;
    if NAT64.contains(&v6) || is_mapped_or_compatible {
        vec![at(128)]
    } else if SIX_TO_FOUR.contains(&v6) {
        vec![at(48)]
    } else if TEREDO.contains(&v6) {
        // The server's, and the client's with all bits turned around.
        vec![at(64), Ipv4Addr::from_bits(!at(128).to_bits())]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(list: &AllowList, host: &str, address: &str) -> bool {
        let destination = Destination::new("http", host).unwrap();
        may_reach(list, &destination, address.parse().unwrap())
    }

    #[test]
    fn only_what_is_everybodys_is_reached_without_a_grant() {
        let list = AllowList::new(["http://name.example"], []).unwrap();
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "172.32.0.1",
            "2606:4700::1111",
            "2a00::1",
        ] {
            assert!(may(&list, "name.example", address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::7f00:1",
            "64:ff9b::101:101",
            "64:ff9b:1::7f00:1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!may(&list, "name.example", address), "{address}");
        }
    }

    #[test]
    fn a_granted_network_is_reached_by_any_name() {
        let list = AllowList::new(["http://name.example"], ["10.0.0.0/8", "fd00::/8"]).unwrap();
        assert!(may(&list, "name.example", "10.1.2.3"));
        assert!(may(&list, "name.example", "fd00::1"));
        assert!(!may(&list, "name.example", "192.168.0.1"));
        assert!(!may(&list, "name.example", "::ffff:10.1.2.3"));
    }

    #[test]
    fn a_granted_gateway_is_no_way_to_what_is_not_granted() {
        let gateways = ["64:ff9b::/96", "2002::/16", "2001::/32", "::ffff:0:0/96"];
        let list = AllowList::new(["http://name.example"], gateways).unwrap();
        for (inside, outside) in [
            ("64:ff9b::101:101", "64:ff9b::7f00:1"),
            ("2002:101:101::", "2002:7f00:1::"),
            // 1.1.1.1 is the server, and the client is 1.1.1.1 or 127.0.0.1.
            ("2001:0:101:101::fefe:fefe", "2001:0:101:101::80ff:fffe"),
            ("::ffff:1.1.1.1", "::ffff:10.0.0.1"),
        ] {
            assert!(may(&list, "name.example", inside), "{inside}");
            assert!(!may(&list, "name.example", outside), "{outside}");
        }
    }

    #[test]
    fn an_address_that_is_listed_is_granted_to_itself_alone() {
        let list = AllowList::new(["http://127.0.0.1", "http://localhost"], []).unwrap();
        assert!(may(&list, "127.0.0.1", "127.0.0.1"));
        assert!(!may(&list, "localhost", "127.0.0.1"));
    }
}
