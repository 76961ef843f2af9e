//! The command as users meet it: what it reads, writes, says, and how it ends.
//!
//! `cmd/*.trycmd` are sessions with their output, run in the workspace's folder;
//! `TRYCMD=overwrite` writes what is said now. What depends on the machine is
//! asserted in Rust.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod build;
mod help;
mod host;
mod input;
mod json;
mod tool;

#[test]
fn sessions() {
    std::env::set_current_dir(tool::root()).expect("the workspace is a folder");
    let cases = trycmd::TestCases::new();
    cases.register_bin("policyc", tool::binary());
    cases.case("tests/tests/cli/cmd/*.trycmd");
}
