//! What is seen of a host with other people's tools: Grafana's dashboard and the alerts
//! ask for metrics that exist.
//!
//! Some need a tool that is no part of the tree, and say `SKIPPED` without it.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod dashboard;
mod map;
#[allow(dead_code, reason = "the tests of the command use the rest")]
#[path = "../cli/tool.rs"]
mod tool;

/// Whether a tool is here; says so if not.
fn is_there(tool: &str, package: &str, test: &str) -> bool {
    // Not all of them know `--version`.
    let find = format!("command -v {tool}");
    let found = std::process::Command::new("sh").args(["-c", &find]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED {test}: no `{tool}` (Debian's package {package})");
    }
    found
}
