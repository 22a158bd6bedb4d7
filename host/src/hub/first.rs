//! The first of many things that come in no order: neither are all of them kept, nor all of them sorted. Pure.

/// The first, as many as weigh no more than they may together.
pub(super) struct First<T, W> {
    /// In no order; they may weigh twice as much.
    kept: Vec<T>,
    weight: usize,
    weight_max: usize,
    weigh: W,
    /// The first of those that are too many: what is behind it is so as well.
    end: Option<T>,
}

impl<T: Ord, W: Fn(&T) -> usize> First<T, W> {
    pub(super) const fn new(weight_max: usize, weigh: W) -> Self {
        Self {
            kept: Vec::new(),
            weight: 0,
            weight_max,
            weigh,
            end: None,
        }
    }

    /// What is not before this, if it is known, is not one of them.
    pub(super) const fn end(&self) -> Option<&T> {
        self.end.as_ref()
    }

    /// Takes it, if it may be one of them.
    pub(super) fn offer(&mut self, thing: T) {
        if self.end.as_ref().is_some_and(|end| thing >= *end) {
            return;
        }
        self.weight = self.weight.saturating_add((self.weigh)(&thing));
        self.kept.push(thing);
        if self.weight > self.weight_max.saturating_mul(2) {
            self.cut();
        }
    }

    /// They, sorted, and whether there were more.
    pub(super) fn sorted(mut self) -> (Vec<T>, bool) {
        self.cut();
        (self.kept, self.end.is_some())
    }

    fn cut(&mut self) {
        self.kept.sort_unstable();
        let mut weight = 0_usize;
        let too_many = self.kept.iter().position(|thing| {
            let with = weight.saturating_add((self.weigh)(thing));
            let is_too_many = with > self.weight_max;
            if !is_too_many {
                weight = with;
            }
            is_too_many
        });
        self.weight = weight;
        if let Some(fit) = too_many {
            self.end = Some(self.kept.swap_remove(fit));
            self.kept.truncate(fit);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_those_of_all_sorted(
            things in proptest::collection::btree_set(0..200_usize, 0..60),
            turn in 0..60_usize,
            weight_max in 0..400_usize,
        ) {
            let sorted: Vec<usize> = things.into_iter().collect();
            let weigh = |thing: &usize| thing % 9;
            let mut weight = 0;
            let fit = sorted.iter().take_while(|thing| {
                weight += weigh(thing);
                weight <= weight_max
            });
            let expected: Vec<usize> = fit.copied().collect();
            // In some other order.
            let mut first = First::new(weight_max, weigh);
            let turn = turn.min(sorted.len());
            for thing in sorted[turn..].iter().rev().chain(&sorted[..turn]) {
                first.offer(*thing);
                prop_assert!(first.weight <= 2 * weight_max);
            }
            let (kept, is_cut) = first.sorted();
            prop_assert_eq!(is_cut, expected.len() < sorted.len());
            prop_assert_eq!(kept, expected);
        }
    }
}
