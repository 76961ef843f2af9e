//! Rules about everything that is tracked.

use std::collections::BTreeSet;
use std::fs;

use crate::none;
use crate::strip::{code, has_word};
use crate::workspace::{files, read, root};

/// Where dependencies come from, and from nowhere else.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn no_machine_and_no_registry_is_named() {
    // In two pieces, or this file would be a finding.
    let bad = [
        ["/wo", "rk/"],
        ["/home", "/"],
        ["/Us", "ers/"],
        ["/farm", "/"],
        ["/root", "/."],
        ["deb.debian", ".org"],
        ["security.debian", ".org"],
        ["index.crates", ".io"],
        ["static.crates", ".io"],
        ["proxy.golang", ".org"],
        ["registry.npm", "js.org"],
    ];
    let mut findings = Vec::new();
    for file in files() {
        let bytes = fs::read(root().join(&file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in (1..).zip(text.lines()) {
            let found = bad.iter().map(|parts| parts.concat()).find(|bad| line.contains(bad));
            findings.extend(found.map(|bad| format!("{file}:{number}: `{bad}`")));
        }
    }
    none("the tree names no folder of a machine and no package server", findings);
}

#[test]
fn dependencies_come_from_one_place() {
    let sources = read("Cargo.lock");
    let sources = sources.lines().filter_map(|line| line.strip_prefix("source = "));
    let foreign = sources.map(|s| s.trim_matches('"')).filter(|s| *s != REGISTRY);
    let findings: BTreeSet<String> = foreign.map(str::to_owned).collect();
    none("every dependency comes from the registry", findings.into_iter().collect());
}

#[test]
fn the_standard_library_is_text() {
    let rust: Vec<_> = files()
        .into_iter()
        .filter(|file| file.starts_with("stdlib-bpf/src/") && file.ends_with(".rs"))
        .collect();
    assert_eq!(rust, ["stdlib-bpf/src/lib.rs"], "`stdlib-bpf` is one file and its `.bir` texts");
    let code = code(&read("stdlib-bpf/src/lib.rs"));
    let logic = ["fn", "impl", "if", "match", "for", "while", "loop", "macro_rules"];
    let found = logic.iter().filter(|word| has_word(&code, word));
    none(
        "`stdlib-bpf` is texts and a table of their names; this is logic",
        found.map(|word| (*word).to_owned()).collect(),
    );
    let units = read("stdlib-bpf/src/lib.rs");
    let unnamed = files().into_iter().filter(|file| file.ends_with(".bir"));
    let unnamed =
        unnamed.filter_map(|file| file.strip_prefix("stdlib-bpf/bir/").map(str::to_owned));
    let unnamed = unnamed.filter(|name| !units.contains(&format!("/bir/{name}\"")));
    none("every text of `stdlib-bpf/bir` is in the table; these are not", unnamed.collect());
}

#[test]
fn snapshots_have_their_test() {
    let mut findings = Vec::new();
    for file in files() {
        let Some(below) = file.strip_prefix("snapshots/") else { continue };
        if below.ends_with(".snap") {
            // insta writes down which test made a snapshot.
            let text = read(&file);
            let source = text.lines().find_map(|line| line.strip_prefix("source: "));
            let source = source.map(|source| source.trim_matches('"'));
            if !source.is_some_and(|source| root().join(source).is_file()) {
                findings.push(format!("{file}: the test {source:?} is gone"));
            }
        } else if let Some((example, _)) = below.split_once('/')
            && !root().join("examples").join(example).is_dir()
        {
            findings.push(format!("{file}: there is no example `{example}`"));
        }
    }
    none("a snapshot that no test looks at rots", findings);
}
