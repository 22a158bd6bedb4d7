//! Which numbers of a host have arrived. Pure.
//!
//! The masters of a Redis Cluster pass on what the others of their shard were given, and hosts learn at different
//! moments that slots have another master: a broadcast may come by two ways, one of them late. The window is that of
//! RFC 4303, section 3.4.3, which keeps replayed packets out.

/// So many of the last numbers are remembered one by one: those of some tenths of a second, where a host says as much as
/// it can.
const NUMBERS: usize = 1 << 16;

/// The numbers of one host.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// One more than the greatest.
    next: u64,
    /// Of the last ones, each at its remainder. Empty until there is one.
    bits: Vec<u64>,
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    Seen,
    /// It is too old to say.
    Late,
}

impl Window {
    /// Takes a number in.
    pub(super) fn arrived(&mut self, number: u64) -> Arrival {
        if number >= self.next {
            self.advance(number);
        } else if self.next - number > NUMBERS as u64 {
            return Arrival::Late;
        }
        let (word, bit) = place(number);
        let Some(word) = self.bits.get_mut(word) else {
            return Arrival::Late;
        };
        let is_seen = *word & bit != 0;
        *word |= bit;
        if is_seen { Arrival::Seen } else { Arrival::New }
    }

    /// Forgets those whose places are taken by the numbers up to this one.
    fn advance(&mut self, number: u64) {
        if number - self.next >= NUMBERS as u64 || self.bits.is_empty() {
            self.bits.clear();
            self.bits.resize(NUMBERS / 64, 0);
        } else {
            for passed in self.next..=number {
                let (word, bit) = place(passed);
                if let Some(word) = self.bits.get_mut(word) {
                    *word &= !bit;
                }
            }
        }
        self.next = number.saturating_add(1);
    }
}

fn place(number: u64) -> (usize, u64) {
    let place = number % NUMBERS as u64;
    (usize::try_from(place / 64).unwrap_or(0), 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_has_an_edge() {
        let last = NUMBERS as u64 + 6;
        let mut window = Window::default();
        for (number, arrival) in [
            (5, Arrival::New),
            (5, Arrival::Seen),
            (8, Arrival::New),
            (7, Arrival::New),
            (8, Arrival::Seen),
            (last, Arrival::New),
            (7, Arrival::Seen),
            (6, Arrival::Late),
            (9, Arrival::New),
            (last + NUMBERS as u64, Arrival::New),
            (last, Arrival::Late),
            (last + 1, Arrival::New),
            (u64::MAX, Arrival::New),
            (0, Arrival::Late),
        ] {
            assert_eq!(window.arrived(number), arrival, "{number}");
        }
    }

    proptest! {
        #[test]
        fn it_knows_what_a_set_knows(numbers in proptest::collection::vec(0..3_000_u64, 0..200)) {
            let mut window = Window::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                let number = number * 40;
                let next = set.last().map_or(0, |last| last + 1);
                let expected = match set.contains(&number) {
                    _ if number + (NUMBERS as u64) < next => Arrival::Late,
                    true => Arrival::Seen,
                    false => Arrival::New,
                };
                set.insert(number);
                prop_assert_eq!(window.arrived(number), expected);
            }
        }
    }
}
