//! One meaning on every engine: the oracle, the decision graph, BIR and bytecode
//! under their interpreters, bytecode in the kernel.
//!
//! `corpus` holds them against verdicts that other people's engines gave, `random`
//! against each other on generated policies, `metamorphic` on cases rewritten so
//! that nothing should change, `packets` on packets that are no flow, `events` on
//! generated tracing policies, `sets` on run-time sets whose members change, `fixtures`
//! on verdicts that a person stated, `audit` against the oracle with policies taken
//! away, `shadows` with rules taken away that are said to decide nothing, `answers` on
//! what is said to who is denied.
//! What was compared is said on standard error, one line a test.

#![allow(clippy::unwrap_used, reason = "tests")]

mod administrators;
mod answers;
mod audit;
mod build;
mod case;
mod cilium;
mod connections;
mod corpus;
mod cyclonus;
mod escapes;
mod events;
mod expired;
mod fixtures;
mod lineup;
mod metamorphic;
mod packets;
mod policies;
mod random;
mod rules;
mod say;
mod sets;
mod shadows;
mod small;
mod universe;
mod wire;
mod witness;
