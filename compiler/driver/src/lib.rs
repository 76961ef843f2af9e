//! The policyc library and command: the passes in order, and what users type.
//!
//! The only part of the compiler that reads files, looks at the host and prints.
//! [`pipeline`] is the table of contents of the compiler; [`cli`] is a thin shell
//! around it.

pub mod bench;
pub mod bindings;
pub mod cli;
pub mod codes;
pub mod document;
pub mod engine;
pub mod explain;
pub mod fixture;
pub mod host;
pub mod input;
pub mod machine;
pub mod manifest;
pub mod members;
pub mod metrics;
pub mod naming;
pub mod observe;
pub mod pipeline;
pub mod policy_text;
pub mod render;
pub mod service_map;
pub mod session;
pub mod signature;
pub mod size;
pub mod suite;
pub mod top;
pub mod tracefs;
pub mod verification;
pub mod who;
pub mod witness;
