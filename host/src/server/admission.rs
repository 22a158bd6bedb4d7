//! Who may come in: how many at once, from where, and how fast. Each limit is the one of the moment, so that it can
//! change while the host runs; those who are in stay in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::{Limit, Limits};
use crate::rate::{Bucket, Throttle};

/// The connections of a host.
#[derive(Debug, Default)]
pub(super) struct Admission {
    connections: Arc<Places>,
    addresses: Arc<Addresses>,
    /// What is left of `connections_per_second_max`.
    rate: Mutex<Bucket>,
    /// Lines about those who are kept out.
    log: Mutex<Throttle>,
}

/// Lines within a second: whoever can connect can cause them.
const LOG_LINES_PER_SECOND: u32 = 10;

/// The right to be connected; given up when dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    _place: Place,
    _address: AddressPlace,
}

impl Admission {
    /// Lets a connection in; the log says of some that are not.
    ///
    /// # Errors
    /// The limit that keeps it out.
    pub(super) fn admit(&self, peer: SocketAddr, limits: &Limits) -> Result<Admitted, Limit> {
        self.try_admit(peer.ip(), limits)
            .inspect_err(|limit| self.log(peer, *limit))
    }

    fn log(&self, peer: SocketAddr, limit: Limit) {
        let mut log = self.log.lock();
        let now = Instant::now();
        let (is_admitted, dropped) = (log.admits(now, LOG_LINES_PER_SECOND), log.dropped(now));
        drop(log);
        if is_admitted {
            tracing::warn!(%peer, "connection refused ({})", limit.key());
        }
        if let Some(dropped) = dropped {
            tracing::warn!("connections refused: {dropped} more");
        }
    }

    fn try_admit(&self, address: IpAddr, limits: &Limits) -> Result<Admitted, Limit> {
        let place = self.connections.take(limits.connections_max);
        let place = place.ok_or(Limit::ConnectionsMax)?;
        let address = self
            .addresses
            .take(address, limits.connections_per_address_max);
        let address = address.ok_or(Limit::ConnectionsPerAddressMax)?;
        // Last, so that who is kept out anyway does not use it up.
        let is_in_time = self
            .rate
            .lock()
            .take(Instant::now(), limits.connections_per_second_max);
        if !is_in_time {
            return Err(Limit::ConnectionsPerSecondMax);
        }
        Ok(Admitted {
            _place: place,
            _address: address,
        })
    }
}

/// How many places are taken, whatever they are for.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
}

impl Places {
    /// Takes one of `max`, if fewer are taken. Where the limit was lowered, those that are taken stay so.
    pub(super) fn take(self: &Arc<Self>, max: usize) -> Option<Place> {
        let take = |taken| (taken < max).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.ok().map(|_| Place {
            places: Arc::clone(self),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many connections there are from each address, where there are any.
#[derive(Debug, Default)]
struct Addresses {
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One of an address's connections; gone when dropped.
#[derive(Debug)]
struct AddressPlace {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    fn take(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<AddressPlace> {
        let address = network(address);
        let mut taken = self.taken.lock();
        let count = taken.get(&address).copied().unwrap_or_default();
        if count >= max {
            return None;
        }
        taken.insert(address, count + 1);
        Some(AddressPlace {
            addresses: Arc::clone(self),
            address,
        })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut taken = self.addresses.taken.lock();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: of version 6 a network of 64 bits, which is the least that one customer is given
/// (RFC 6177), with as many addresses as they like.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_that_of_the_moment() {
        let places = Arc::new(Places::default());
        let (first, second) = (places.take(2), places.take(2));
        assert!(first.is_some() && second.is_some());
        assert!(places.take(2).is_none());
        let third = places.take(3);
        assert!(third.is_some(), "raised");
        drop(first);
        assert!(places.take(1).is_none(), "lowered, and two are taken");
        drop((second, third));
        assert!(places.take(1).is_some());
        assert!(places.take(1).is_some(), "and given back at once");
    }

    #[test]
    fn addresses_are_counted_apart_and_forgotten() {
        let addresses = Arc::new(Addresses::default());
        let take = |address: &str| addresses.take(address.parse().unwrap(), 1);
        let first = take("10.0.0.1");
        assert!(first.is_some() && take("10.0.0.1").is_none());
        assert!(take("::ffff:10.0.0.1").is_none(), "the same, as version 6");
        assert!(take("10.0.0.2").is_some());
        drop(first);
        assert!(addresses.taken.lock().is_empty());
        let neighbour = take("2001:db8:0:1::1");
        assert!(neighbour.is_some() && take("2001:db8:0:1:ffff::2").is_none());
        assert!(take("2001:db8:0:2::1").is_some());
    }

    #[test]
    fn who_is_kept_out_takes_nothing() {
        let admission = Admission::default();
        let limits = Limits {
            connections_max: 1,
            connections_per_address_max: 1,
            connections_per_second_max: 2,
            ..Limits::default()
        };
        let address = IpAddr::from([10, 0, 0, 1]);
        let first = admission.try_admit(address, &limits);
        for _ in 0..10 {
            let refused = admission.try_admit(address, &limits).map(drop);
            assert_eq!(refused, Err(Limit::ConnectionsMax));
        }
        let more = Limits {
            connections_max: 2,
            ..limits.clone()
        };
        let refused = admission.try_admit(address, &more).map(drop);
        assert_eq!(refused, Err(Limit::ConnectionsPerAddressMax));
        drop(first);
        assert!(admission.try_admit(address, &limits).is_ok());
    }
}
