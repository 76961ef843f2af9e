//! From YAML to policies that cannot be wrong, the inventory, and the oracle.
//!
//! Does not know that BPF exists.

pub mod codes;
pub mod documents;
pub mod kinds;
pub mod labels;
mod load;
pub mod network;
pub mod yaml;

pub use load::{Policies, load};
