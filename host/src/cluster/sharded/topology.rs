//! Which master has which slots. Pure.

use std::fmt;

use super::slots::SLOTS;

/// Where a server of the cluster is, by what it announces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Slots from the first to the last, and whose they are.
pub(super) type Range = (u16, u16, Address);

/// A division of all slots among masters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topology {
    /// Each once, in the order of their slots.
    masters: Vec<Address>,
    /// By slot: the place of its master among them.
    owners: Vec<Option<u16>>,
}

impl Topology {
    /// Of ranges in any order; of slots that were said twice, the last counts. `None` when there is no sense in it.
    pub(super) fn of(mut ranges: Vec<Range>) -> Option<Self> {
        ranges.sort_by_key(|(first, ..)| *first);
        let mut topology = Self {
            masters: Vec::new(),
            owners: vec![None; SLOTS.into()],
        };
        for (first, last, address) in ranges {
            let masters = &mut topology.masters;
            let known = masters.iter().position(|known| *known == address);
            let place = known.unwrap_or(masters.len());
            if known.is_none() {
                masters.push(address);
            }
            let slots = usize::from(first)..=usize::from(last);
            let owners = topology.owners.get_mut(slots)?;
            owners.fill(Some(u16::try_from(place).ok()?));
        }
        Some(topology)
    }

    /// All that have slots.
    pub(super) fn masters(&self) -> &[Address] {
        &self.masters
    }

    /// The place among the masters of the one that has the slot.
    pub(super) fn owner(&self, slot: u16) -> Option<usize> {
        let owner = *self.owners.get(usize::from(slot))?;
        owner.map(usize::from)
    }

    /// Whether there is a master for each slot.
    pub(super) fn is_whole(&self) -> bool {
        !self.owners.is_empty() && self.owners.iter().all(Option::is_some)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(formatter, "[{}]:{}", self.host, self.port);
        }
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address {
            host: "h".to_owned(),
            port,
        }
    }

    #[test]
    fn slots_have_the_masters_that_were_said() {
        let ranges = vec![(8_000, 16_383, at(2)), (0, 7_998, at(1))];
        let holed = Topology::of(ranges.clone()).unwrap();
        assert_eq!(holed.masters(), [at(1), at(2)]);
        assert_eq!((holed.owner(0), holed.owner(7_998)), (Some(0), Some(0)));
        assert_eq!((holed.owner(7_999), holed.owner(16_383)), (None, Some(1)));
        assert_eq!(holed.owner(SLOTS), None);
        assert!(!holed.is_whole());
        let rest = vec![(7_999, 7_999, at(2))];
        let whole = Topology::of([ranges, rest].concat()).unwrap();
        assert!(whole.is_whole());
        assert_eq!(whole.masters(), [at(1), at(2)]);
        assert_eq!(whole.owner(7_999), Some(1));
        assert_ne!(holed, whole);
    }

    #[test]
    fn what_makes_no_sense_is_none() {
        assert_eq!(Topology::of(vec![(0, SLOTS, at(1))]), None);
        assert_eq!(Topology::of(vec![(5, 3, at(1))]), None);
        let empty = Topology::of(Vec::new()).unwrap();
        assert!(!empty.is_whole() && !Topology::default().is_whole());
        assert_eq!(empty.owner(0), None);
    }

    #[test]
    fn an_address_of_version_6_is_in_brackets() {
        assert_eq!(at(1).to_string(), "h:1");
        let host = "::1".to_owned();
        assert_eq!(Address { host, port: 2 }.to_string(), "[::1]:2");
    }
}
