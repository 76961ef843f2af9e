//! From policies to rule sets, decision graphs and tables: what is true about
//! policies, before anything is said about programs.
//!
//! [`network`] turns rules and an inventory into behaviours, classes and cells;
//! [`tracing`] turns tracing policies into one graph per hook and policy. Both
//! come out as a [`graph::DecisionGraph`] over [`tables`], which prints and can be
//! evaluated without any program.
//!
//! Does not know: BIR, bytecode, interfaces.

pub mod bitset;
pub mod graph;
pub mod intervals;
pub mod network;
pub mod sweep;
pub mod tables;
pub mod tracing;
