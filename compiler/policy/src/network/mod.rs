//! Network policy: documents, checks, meaning.

pub mod types;

pub use types::*;
