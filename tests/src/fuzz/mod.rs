//! What the fuzz targets do, callable on a stable toolchain.
//!
//! A target is a function from bytes to nothing that panics when a property does
//! not hold. `tests/fuzz` has one libFuzzer program for each; `fuzz_seeds` runs
//! each on the committed seeds. The properties are in the table of
//! `tests/fuzz/README.md`.
//!
//! Guarantees: a run is a function of the bytes; no file, no clock, no kernel.
//! Does not know: how the bytes came to be.

mod artifacts;
mod choices;
mod command;
mod documents;
mod flows;
mod functions;
mod hosts;
mod pipelines;
mod policies;
mod programs;

pub use artifacts::{artifact, artifact_resealed};
pub use command::{arguments, record, service_map, who};
pub use documents::{bindings, fixture, inventory, policy, tracing, yaml};
pub use hosts::{btf, profile, tracepoint};
pub use pipelines::{bir, bir_text, policies, policy_text, tracing_text};
pub use programs::{asm, bir_reader, elf, instructions, interpreter};

/// A target.
pub type Target = fn(&[u8]);

/// Every target with its name, which is that of its program and of its folder of
/// seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("arguments", arguments),
    ("artifact", artifact),
    ("artifact_resealed", artifact_resealed),
    ("asm", asm),
    ("bindings", bindings),
    ("bir", bir),
    ("bir_reader", bir_reader),
    ("bir_text", bir_text),
    ("btf", btf),
    ("elf", elf),
    ("fixture", fixture),
    ("instructions", instructions),
    ("interpreter", interpreter),
    ("inventory", inventory),
    ("policies", policies),
    ("policy", policy),
    ("policy_text", policy_text),
    ("profile", profile),
    ("record", record),
    ("service_map", service_map),
    ("tracepoint", tracepoint),
    ("tracing", tracing),
    ("tracing_text", tracing_text),
    ("who", who),
    ("yaml", yaml),
];

/// The bytes as text, if they are text: every reader of text is behind one that
/// refuses what is not.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
