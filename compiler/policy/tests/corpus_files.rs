//! Every policy file of the corpus: what policyc makes of it and why, as a table, and
//! how many of those that are valid and about layers 3 and 4 compile, which is all.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use common::corpus;
use policyc_base::{OriginTable, Severity, Sink, SourceMap};
use policyc_policy::network::{Dialect, Reading};
use policyc_policy::{Policies, inventory, load_as};

/// How many files of Cilium's tree hold network policies that compile.
const CILIUM: usize = 122;
/// How many of the recipes do.
const RECIPES: usize = 10;

/// What needs more than layers 3 and 4, with what it is called.
const ABOVE: &[(&str, &str)] = &[
    ("P0220", "toFQDNs"),
    ("P0221", "rules above layer 4"),
    ("P0227", "authentication"),
    ("P0229", "serverNames"),
    ("P0230", "listener"),
    ("P0231", "TLS interception"),
];
/// Documents of other kinds than network policy.
const OTHER_KINDS: &[&str] = &["P0201", "P0202", "P0203"];
/// Where the corpus and the reference about it say that files are not valid, and why.
const INVALID: &[(&str, &str)] = &[
    ("_cases/", "a table of verdicts, no policy"),
    ("_historic-removed/examples/minikube/", "deleted: an API, or a field, that is gone"),
    ("_historic-removed/examples/policies/", "deleted: rules as before there were kinds"),
    ("Documentation/_inline/network__kubernetes__configuration.rst.1", "a console's text"),
    ("Documentation/_inline/operations__upgrade.rst.", "a fragment"),
    ("Documentation/_inline/operations__performance__scalability__report.rst.", "unknown fields"),
    ("examples/policies/auth/auth.yaml", "`auth` is no field"),
    ("examples/policies/l3/requires/requires.yaml", "`fromRequires` was removed"),
];

/// What becomes of a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    Compiles(usize),
    /// It has no network policy.
    NoPolicy,
    /// A template, which is no YAML before it is filled in, or has a placeholder.
    Template,
    /// Needs this.
    Above(Vec<&'static str>),
    /// The corpus says why.
    Invalid(&'static str),
    /// Valid as far as the corpus says, and yet refused with these codes.
    Refused(Vec<String>),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiles(rules) => write!(f, "compiles | {rules} rules"),
            Self::NoPolicy => f.write_str("no policy | other kinds only"),
            Self::Template => f.write_str("refused | a template"),
            Self::Above(what) => write!(f, "refused | not L3/L4: {}", what.join(", ")),
            Self::Invalid(why) => write!(f, "refused | invalid: {why}"),
            Self::Refused(codes) => write!(f, "refused | {}", codes.join(" ")),
        }
    }
}

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

/// Reads a file as policies and as an inventory: some hold both.
fn read(path: &Path, name: &str, dialect: Dialect) -> Outcome {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let mut sources = SourceMap::new();
    let file = sources.add(path.display().to_string(), text.as_str());
    let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
    let reading = Reading { mixed: &[file], dialect, ..Reading::default() };
    let policies = load_as(&sources, &[file], reading, &mut origins, &mut sink);
    inventory::load_beside(&sources, &[file], &[file], &mut Sink::new());
    for finding in sink.iter() {
        let location = finding.span.and_then(|s| sources.location(s));
        assert!(location.is_some(), "{}: {finding:?}", path.display());
        let known = policyc_policy::codes::ALL.iter().any(|(c, _)| *c == finding.code);
        assert!(known || finding.code.0.starts_with("P06"), "{} is no code", finding.code);
    }
    let errors = sink.iter().filter(|d| d.severity == Severity::Error);
    let errors: BTreeSet<String> = errors.map(|d| d.code.to_string()).collect();
    outcome(name, &text, &errors, &policies)
}

fn outcome(name: &str, text: &str, errors: &BTreeSet<String>, policies: &Policies) -> Outcome {
    let rules = policies.network.len();
    let of_policies = errors.iter().filter(|code| !OTHER_KINDS.contains(&code.as_str()));
    let of_policies: Vec<String> = of_policies.cloned().collect();
    let above = ABOVE.iter().filter(|(code, _)| errors.contains(*code));
    let above: Vec<_> = above.map(|(_, what)| *what).collect();
    let invalid = INVALID.iter().find(|(prefix, _)| name.starts_with(prefix));
    if of_policies.is_empty() && rules > 0 {
        return Outcome::Compiles(rules);
    }
    if let Some((_, why)) = invalid {
        return Outcome::Invalid(why);
    }
    if text.contains("{{") || text.contains("NODE_WITHOUT_CILIUM_IP") {
        return Outcome::Template;
    }
    if !above.is_empty() {
        return Outcome::Above(above);
    }
    let unread = ["P0101", "P0204"].iter().any(|code| errors.contains(*code));
    if policies.documents == 0 && !unread {
        return Outcome::NoPolicy;
    }
    Outcome::Refused(errors.iter().cloned().collect())
}

/// Prints for every file what becomes of it, and why; returns how many compile.
fn table(part: &str) -> Option<usize> {
    let folder = corpus(part)?;
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let (mut compiled, mut counts, mut refused) = (0, BTreeMap::new(), Vec::new());
    println!("| file | outcome | reason |\n| --- | --- | --- |");
    for path in &paths {
        let name = path.strip_prefix(&folder).unwrap().display().to_string();
        for dialect in [Dialect::Cilium119, Dialect::Kubernetes] {
            read(path, &name, dialect);
        }
        let outcome = read(path, &name, Dialect::Cilium120);
        println!("| {name} | {outcome} |");
        let kind = match &outcome {
            Outcome::Compiles(_) => "compile",
            Outcome::NoPolicy => "hold no network policy",
            Outcome::Template => "are templates",
            Outcome::Above(_) => "need more than L3 and L4",
            Outcome::Invalid(_) => "are invalid",
            Outcome::Refused(_) => "are refused and should not be",
        };
        *counts.entry(kind).or_insert(0) += 1;
        compiled += usize::from(matches!(outcome, Outcome::Compiles(_)));
        refused.extend(matches!(outcome, Outcome::Refused(_)).then_some((name, outcome)));
    }
    println!("{part}: {} files: {counts:?}", paths.len());
    println!("{part}: {compiled} of {} valid L3/L4 files compile", compiled + refused.len());
    assert!(refused.is_empty(), "valid as far as the corpus says: {refused:#?}");
    Some(compiled)
}

#[test]
fn cilium_files_compile() {
    assert!(table("cilium").is_none_or(|compiled| compiled >= CILIUM));
}

#[test]
fn network_policy_recipes_compile() {
    assert!(table("netpol/recipes").is_none_or(|compiled| compiled >= RECIPES));
}
