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
mod answers;
mod attach;
mod audit;
mod beyond;
mod blind_reset;
mod build;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests of engines use the rest")]
#[path = "../engines/case.rs"]
mod case;
mod count;
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "../engines/cyclonus.rs"]
mod cyclonus_cases;
mod lab;
mod pods;
#[allow(dead_code, reason = "the tests of engines use the rest")]
#[path = "../engines/say.rs"]
mod say;
#[allow(dead_code, reason = "the tests of the command use the rest")]
#[path = "../cli/tool.rs"]
mod tool;
mod traffic;

mod companion;
mod connections;
mod conntrack;
mod cyclonus;
mod demonstration;
mod frames;
mod generic;
mod history;
mod input;
mod instances;
mod killed;
mod many;
mod members;
mod metrics;
mod neighbours;
mod observe;
mod order;
mod own_node;
mod packet_of_death;
mod places;
mod privileges;
mod races;
mod restore;
mod service_map;
mod services;
mod signatures;
mod sockets;
mod subjects;
mod swaps;
mod syn_cookies;
mod syn_flood;
mod tools;
mod top;
mod tracing;
mod unknown;
