//! YAML with places: a tree whose every key and value knows its bytes, and a
//! decoder that reports everything wrong in one pass.
//!
//! Guarantees: [`parse`] and the decoder never panic; the tree is at most
//! [`MAX_DEPTH`] deep and [`MAX_NODES`] large with aliases followed, so a
//! recursive reader of it terminates soon and does not exhaust the stack.
//! Does not know: what any field means.
//! Source: YAML 1.2 by `saphyr-parser`; plain scalars as Kubernetes reads them.

mod build;
pub mod decode;
mod node;
mod offsets;

pub use build::{MAX_BYTES, MAX_DEPTH, MAX_NODES, parse};
pub use decode::{Fields, closest};
pub use node::{Field, Map, Node, Resolved, Scalar, Value, shorten};

#[cfg(test)]
mod tests;
