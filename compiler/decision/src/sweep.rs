//! Walks over an ordered space that know at every place which predicates match.
//!
//! Asking every predicate at every cut is the product of the two; a sweep costs the
//! sum of their ranges.

use std::collections::BTreeMap;

/// Where predicates begin and cease to match.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    changes: BTreeMap<u128, Vec<usize>>,
}

impl Sweep {
    /// Says that a predicate matches within ranges, both ends inclusive; they may
    /// come in any order and overlap.
    pub fn add(&mut self, predicate: usize, mut ranges: Vec<(u128, u128)>) {
        ranges.sort_unstable();
        let mut ranges = ranges.into_iter();
        let Some(mut open) = ranges.next() else { return };
        for (first, last) in ranges {
            if open.1.checked_add(1).is_none_or(|next| first <= next) {
                open.1 = open.1.max(last);
            } else {
                self.change(predicate, open);
                open = (first, last);
            }
        }
        self.change(predicate, open);
    }

    fn change(&mut self, predicate: usize, (first, last): (u128, u128)) {
        for place in std::iter::once(first).chain(last.checked_add(1)) {
            self.changes.entry(place).or_default().push(predicate);
        }
    }

    /// The predicates whose answer changes at `place`.
    pub fn changes_at(&self, place: u128) -> &[usize] {
        self.changes.get(&place).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests;
