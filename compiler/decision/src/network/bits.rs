//! Where the answer of a predicate about peers stands in the signature of a class.
//!
//! Most predicates say the same of an address wherever it is seen from and have one
//! bit; those about one's own host and about other nodes have one for each viewpoint.
//! A cluster has as many viewpoints as nodes, so this keeps signatures short.

use super::build::Viewpoint;
use super::resolve::Predicate;

/// The bit of each predicate, by viewpoint.
pub(super) struct Bits {
    places: Vec<Place>,
    fixed: usize,
    varying: usize,
    viewpoints: usize,
}

#[derive(Clone, Copy)]
enum Place {
    /// One bit.
    Fixed(usize),
    /// A place among those that vary.
    Varying(usize),
}

impl Bits {
    /// The bits of `count` predicates; `varies` says which depend on the viewpoint.
    pub(super) fn new(count: usize, viewpoints: usize, varies: impl Fn(Predicate) -> bool) -> Self {
        let (mut fixed, mut varying) = (0, 0);
        let places = (0..count).map(|predicate| {
            let (place, counter): (fn(usize) -> Place, _) = match varies(predicate) {
                true => (Place::Varying, &mut varying),
                false => (Place::Fixed, &mut fixed),
            };
            *counter += 1;
            place(*counter - 1)
        });
        let places = places.collect();
        Self { places, fixed, varying, viewpoints }
    }

    /// Number of bits.
    pub(super) fn bound(&self) -> usize {
        self.fixed + self.varying * self.viewpoints
    }

    /// Whether the predicate depends on the viewpoint.
    pub(super) fn varies(&self, predicate: Predicate) -> bool {
        matches!(self.places[predicate], Place::Varying(_))
    }

    /// The bit that a predicate has seen from a viewpoint.
    pub(super) fn bit(&self, viewpoint: Viewpoint, predicate: Predicate) -> usize {
        match self.places[predicate] {
            Place::Fixed(at) => at,
            Place::Varying(at) => self.fixed + viewpoint * self.varying + at,
        }
    }

    /// The bits that a predicate has, whatever the viewpoint.
    pub(super) fn all(&self, predicate: Predicate) -> impl Iterator<Item = usize> + '_ {
        let viewpoints = if self.varies(predicate) { self.viewpoints } else { 1 };
        (0..viewpoints).map(move |viewpoint| self.bit(viewpoint, predicate))
    }
}
