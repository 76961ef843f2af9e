//! Every policy file of the corpus is read without a panic, and what policyc
//! makes of it is counted.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::corpus;
use policyc_base::{OriginTable, Severity, Sink, SourceMap};
use policyc_policy::network::Dialect;
use policyc_policy::{inventory, load};

/// How many files of Cilium's tree are read without an error.
const CILIUM: usize = 120;

/// What needs more than L3 and L4, or is no network policy.
const OUTSIDE: &[&str] =
    &["P0201", "P0202", "P0203", "P0220", "P0221", "P0227", "P0229", "P0230", "P0231"];
/// Where the corpus says that files are invalid, or no policies as a cluster has them.
const INVALID: &[&str] = &[
    "_cases/",
    "_historic-removed/",
    "Documentation/",
    "examples/policies/auth/auth.yaml",
    "examples/policies/l3/requires/requires.yaml",
];

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json") {
            out.push(path);
        }
    }
}

/// Prints for every file what becomes of it, and why; returns how many have no error.
fn read_all(part: &str) -> Option<usize> {
    let folder = corpus(part)?;
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    let (mut clean, mut rules) = (0, 0);
    for path in &paths {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        let mut sources = SourceMap::new();
        let file = sources.add(path.display().to_string(), text);
        for dialect in [Dialect::Cilium119, Dialect::Kubernetes, Dialect::Cilium120] {
            let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
            let policies = load(&sources, &[file], dialect, &mut origins, &mut sink);
            inventory::load(&sources, &[file], &mut Sink::new());
            if dialect != Dialect::Cilium120 {
                continue;
            }
            clean += usize::from(!sink.has_errors());
            let errors = sink.iter().filter(|d| d.severity == Severity::Error);
            let errors: BTreeSet<_> = errors.map(|d| d.code.to_string()).collect();
            let outcome = match (errors.is_empty(), policies.network.len()) {
                (true, 0) => "read, no rule of network policy".to_owned(),
                (true, rules) => format!("compiles, {rules} rules"),
                (false, _) => format!("refused {}", Vec::from_iter(errors.clone()).join(" ")),
            };
            let name = path.strip_prefix(&folder).unwrap_or(path).display().to_string();
            println!("{name}: {outcome}");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let is_template = text.contains("{{") || text.contains("NODE_WITHOUT_CILIUM_IP");
            let explained = errors.is_empty()
                || !text.contains("NetworkPolicy")
                || name.ends_with("Chart.yaml")
                || errors.iter().any(|code| OUTSIDE.contains(&code.as_str()))
                || is_template
                || INVALID.iter().any(|prefix| name.starts_with(prefix));
            assert!(explained, "{name} is valid as far as the corpus says: {outcome}");
            rules += policies.network.len();
            for finding in sink.iter().filter(|d| d.severity == Severity::Error) {
                *codes.entry(finding.code.to_string()).or_default() += 1;
                let known = policyc_policy::codes::ALL.iter().any(|(c, _)| *c == finding.code);
                let tracing = finding.code.0.starts_with("P06");
                assert!(known || tracing, "{} is not in the table", finding.code);
            }
            for finding in sink.iter() {
                let location = finding.span.and_then(|s| sources.location(s));
                assert!(location.is_some(), "{}: {finding:?}", path.display());
            }
        }
    }
    println!("{part}: {} files, {clean} without errors, {rules} rules, {codes:?}", paths.len());
    Some(clean)
}

#[test]
fn cilium_files_are_read() {
    // The share that is read without an error; may not fall.
    assert!(read_all("cilium").is_none_or(|clean| clean >= CILIUM));
}

#[test]
fn network_policy_recipes_are_read() {
    assert!(read_all("netpol/recipes").is_none_or(|clean| clean >= 10));
}
