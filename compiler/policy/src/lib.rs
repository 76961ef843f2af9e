//! From YAML to policies that cannot be wrong, the inventory, and the oracle.
//!
//! Does not know that BPF exists.

pub mod codes;
pub mod labels;
pub mod network;
pub mod yaml;
