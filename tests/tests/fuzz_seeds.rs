//! Every fuzz target on its seeds: examples to begin from, and what once failed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use policyc_tests::fuzz::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn seeds_hold() {
    let mut failures = Vec::new();
    for (name, target) in TARGETS {
        let folder = fuzz().join("seeds").join(name);
        for seed in names(&folder) {
            let bytes = fs::read(folder.join(&seed)).unwrap();
            if catch_unwind(|| target(&bytes)).is_err() {
                failures.push(format!("{name}/{seed}"));
            }
        }
    }
    assert!(failures.is_empty(), "these seeds fail: {failures:#?}");
}

#[test]
fn every_target_has_a_program_seeds_and_a_line() {
    let targets: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("seeds")), targets);
    let programs = names(&fuzz().join("fuzz_targets"));
    let programs: Vec<_> = programs.iter().map(|file| file.trim_end_matches(".rs")).collect();
    assert_eq!(programs, targets);
    let (page, manifest) = ["README.md", "Cargo.toml"]
        .map(|file| fs::read_to_string(fuzz().join(file)).unwrap())
        .into();
    for name in targets {
        assert!(page.contains(&format!("| `{name}` |")), "README.md leaves out `{name}`");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "no program `{name}`");
    }
}
