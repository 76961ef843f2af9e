//! Every policy file of the corpus is read without a panic, and what policyc
//! makes of it is counted.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::corpus;
use policyc_base::{OriginTable, Severity, Sink, SourceMap};
use policyc_policy::network::Dialect;
use policyc_policy::{inventory, load};

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

fn read_all(part: &str) {
    let Some(folder) = corpus(part) else { return };
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
    assert!(clean > 0);
}

#[test]
fn cilium_files_are_read() {
    read_all("cilium");
}

#[test]
fn network_policy_recipes_are_read() {
    read_all("netpol/recipes");
}
