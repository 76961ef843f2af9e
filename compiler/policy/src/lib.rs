//! From YAML to policies that cannot be wrong, the inventory, and the oracle.
//!
//! Does not know that BPF exists.

pub mod codes;
pub mod documents;
pub mod inventory;
pub mod kinds;
pub mod labels;
mod load;
pub mod meta;
pub mod network;
mod selector;
pub mod tracing;
pub mod yaml;

pub use load::{Policies, load, load_as};
