//! House rules as tests: what a reviewer would otherwise have to remember.
//!
//! Reads manifests, sources and pages as text and never runs the code it judges.
//! A finding names the file and what to do; a rule that has to bend is changed
//! here, in the open.

mod arrows;
mod pages;
mod sources;
mod strip;
mod tree;
mod workspace;

/// Fails with every finding at once, one a line.
fn none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}\n", findings.join("\n  "));
}
