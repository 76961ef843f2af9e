//! Other kernels, in virtual machines: what is built loads there, what is live
//! works there, and what they cannot do is known.
//!
//! `load` offers the examples to each kernel, as `policyc verify --kernel` does;
//! `live` runs the runtime in machines (`tests/src/bin/vm-guest`). `machines` finds
//! kernels and boots one machine at a time.

#![allow(clippy::print_stderr, reason = "a skipped test says so; what was seen is shown")]

mod artifacts;
mod boot;
#[path = "../examples/example.rs"]
#[allow(dead_code, reason = "the examples' own tests use the rest")]
mod example;
mod live;
mod load;
mod machines;
#[path = "../../src/bin/vm-guest/said.rs"]
mod said;
