//! The whole road on the running kernel: policies become programs that judge real
//! packets and events, are swapped under them, and are gone afterwards.
//!
//! Needs root, `bpf(2)`, network namespaces, `iproute2` and `iputils-ping`. A test
//! that cannot run says `SKIPPED` and why; with `POLICYC_REQUIRE_KERNEL=1` it fails.
//! Every test has namespaces, pins and state of its own, so they run side by side.
//! Nothing is asserted about time: tests wait for what must happen, and what must
//! not happen is counted in the kernel.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]
#![allow(clippy::print_stdout, reason = "how much was tried")]

mod adopt;
mod attach;
mod audit;
