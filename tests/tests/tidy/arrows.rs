//! The dependency rule: which crate may know which.
//!
//! The map is the block marked `arrows` in `docs/architecture.md`, one line a
//! crate: `codegen: base bpf …`. Here it is held against the manifests, in both
//! directions, and against the promises that no edit of the map may break.

use std::collections::{BTreeMap, BTreeSet};

use crate::none;
use crate::workspace::{packages, read};

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What a crate must not reach, however long the way.
const NEVER: &[(&str, &[&str], &str)] = &[
    (
        "verify",
        &["policy", "decision", "ir", "codegen", "stdlib-bpf", "driver"],
        "its verdict is evidence only if it is independent",
    ),
    (
        "runtime",
        &["target", "policy", "decision", "ir", "codegen", "stdlib-bpf", "verify", "driver"],
        "it knows artifacts and nothing of the compiler",
    ),
    ("policy", &["bpf", "ir", "sys"], "it does not know that BPF exists"),
    ("ir", &["policy", "decision", "target", "bpf"], "it does not know that policies exist"),
    ("bpf", &["policy", "decision", "ir"], "an instruction set has no opinions"),
];

/// Who may enter the kernel. What reads no file and asks no kernel is a pure
/// function of its input.
const MAY_KNOW_SYS: &[&str] = &["verify", "runtime", "driver"];

#[test]
fn crates_know_only_what_the_map_says() {
    let (map, real) = (map(), real());
    let mut findings = Vec::new();
    let mut differ = |from: &Arrows, to: &Arrows, what: &str| {
        for (name, needs) in from {
            let other = to.get(name).cloned().unwrap_or_default();
            let extra = needs.difference(&other);
            findings.extend(extra.map(|need| format!("`{name}` → `{need}` {what}")));
        }
    };
    differ(&real, &map, "is in Cargo.toml and not in docs/architecture.md");
    differ(&map, &real, "is in docs/architecture.md and not in Cargo.toml");
    let names = |arrows: &Arrows| arrows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&map), names(&real), "docs/architecture.md names every crate");
    none("the dependency rule", findings);
}

#[test]
fn no_crate_reaches_what_it_must_not_know() {
    let real = real();
    let mut findings = Vec::new();
    for (name, forbidden, because) in NEVER {
        let reached = reached(&real, name);
        let bad = forbidden.iter().filter(|other| reached.contains(**other));
        findings.extend(bad.map(|other| format!("`{name}` reaches `{other}`: {because}")));
    }
    for name in real.keys().filter(|name| *name != "sys" && reached(&real, name).contains("sys")) {
        if !MAY_KNOW_SYS.contains(&name.as_str()) {
            findings.push(format!("`{name}` reaches `sys`: it must be pure"));
        }
    }
    if real["sys"].iter().any(|need| !need.is_empty()) {
        findings.push("`sys` knows no other crate of the house".to_owned());
    }
    none("what a crate must not know", findings);
}

/// Everything that `name` depends on, over any number of arrows.
fn reached(arrows: &Arrows, name: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        for need in arrows.get(&name).into_iter().flatten() {
            if reached.insert(need.clone()) {
                next.push(need.clone());
            }
        }
    }
    reached
}

/// The arrows between our crates, by short name; tests may know everything.
fn real() -> Arrows {
    let packages = packages();
    let is_ours = |name: &&String| packages.contains_key(*name);
    let known = packages.values().filter(|package| package.name != "policyc-tests");
    known
        .map(|p| (short(&p.name), p.needs.iter().filter(is_ours).map(|n| short(n)).collect()))
        .collect()
}

fn map() -> Arrows {
    let page = read("docs/architecture.md");
    let block = page.split("```arrows\n").nth(1).expect("the page has a block marked `arrows`");
    let lines = block.lines().take_while(|line| !line.starts_with("```"));
    let arrow = |line: &str| {
        let (name, needs) = line.split_once(':').expect("`crate: what it knows`");
        (name.trim().to_owned(), needs.split_whitespace().map(str::to_owned).collect())
    };
    lines.map(arrow).collect()
}

/// `policyc-ir` is `ir`, and the library `policyc` is what lies in `driver`.
fn short(name: &str) -> String {
    match name.strip_prefix("policyc-") {
        Some(short) => short.to_owned(),
        None if name == "policyc" => "driver".to_owned(),
        None => name.to_owned(),
    }
}
