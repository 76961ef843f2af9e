//! Sets of small numbers: which predicates match.

/// A set of numbers below a fixed bound. Equal sets are equal values, so a set
/// can be the signature of a class.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    /// The empty set of numbers below `bound`.
    pub fn new(bound: usize) -> Self {
        Self { words: vec![0; bound.div_ceil(64)] }
    }

    /// Adds `index`. INVARIANT: `index` is below the bound.
    pub fn insert(&mut self, index: usize) {
        self.words[index / 64] |= 1 << (index % 64);
    }

    /// Adds `index` if it is not in the set, else takes it out. INVARIANT: `index` is
    /// below the bound.
    pub fn flip(&mut self, index: usize) {
        self.words[index / 64] ^= 1 << (index % 64);
    }

    /// What is in this set or in `other`. INVARIANT: the bounds are equal.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            words: self.words.iter().zip(&other.words).map(|(own, other)| own | other).collect(),
        }
    }

    /// Whether `index` is in the set; never beyond the bound.
    pub fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|w| w & (1 << (index % 64)) != 0)
    }

    /// Numbers in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, w)| bits(*w).map(move |bit| i * 64 + bit))
    }
}

/// The positions of the set bits of a word, ascending.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros() as usize;
        word &= word - 1;
        Some(bit)
    })
}
