//! Labels and label selectors.

/// A label selector; see the module's owner for the final shape.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LabelSelector {}
