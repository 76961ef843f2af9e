//! The examples are true: every fixture on every engine, and what each becomes at
//! every stage.
//!
//! What a fixture's policies become lies in `snapshots/EXAMPLE/FIXTURE/`: the
//! decision graph with its tables, one program as BIR and as bytecode, the cost.
//! `BLESS=1` writes it; the difference is to be read.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod changing;
mod example;
mod stages;

use std::fs;
use std::time::Duration;

use policyc::bindings;
use policyc::cli::args::EngineName;
use policyc_verify::{Opinion, View};

/// Engines that need no privilege.
const ENGINES: [EngineName; 4] =
    [EngineName::Oracle, EngineName::Decision, EngineName::Bir, EngineName::Bytecode];

/// Until when an opinion is waited for: as long as a machine under load may need.
const PATIENCE: Duration = Duration::from_secs(1200);

#[test]
fn every_engine_says_what_the_fixtures_say() {
    let mut wrong = Vec::new();
    for example in example::all() {
        match example.run(&ENGINES) {
            Ok(failures) => wrong.extend(failures.iter().map(|f| format!("{}: {f}", example.name))),
            Err(error) => wrong.push(format!("{}: {error}", example.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_kernel_says_what_the_fixtures_say() {
    let mut wrong = Vec::new();
    for example in example::all() {
        match example.run(&[EngineName::Kernel]) {
            Ok(failures) => wrong.extend(failures.iter().map(|f| format!("{}: {f}", example.name))),
            Err(error) => {
                let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
                assert!(!required, "{}: {error}", example.name);
                eprintln!("SKIPPED the kernel on {}: {error}", example.name);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_stage_is_as_it_was() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut changed = Vec::new();
    for example in example::all() {
        let build = match example.build() {
            Ok(build) => build,
            Err(reason) => {
                changed.push(format!("{}: {reason}", example.name));
                continue;
            }
        };
        let folder = example::root().join("snapshots").join(&example.name);
        for (stage, text) in stages::of(&build) {
            let path = folder.join(format!("{stage}.txt"));
            if fs::read_to_string(&path).is_ok_and(|before| before == text) {
                continue;
            }
            if bless {
                fs::create_dir_all(&folder).expect("a folder for snapshots");
                fs::write(&path, text).expect("a snapshot can be written");
            } else {
                changed.push(format!("snapshots/{}/{stage}.txt", example.name));
            }
        }
    }
    assert!(changed.is_empty(), "not as it was (BLESS=1 writes it):\n{}", changed.join("\n"));
}

/// Programs of events: it is known to doubt that `probe_read` may be given addresses
/// behind the context.
const DOUBTED: &str = "event_";

#[test]
fn the_second_opinion_is_formed_about_every_program() {
    let mut wrong = Vec::new();
    for example in example::all() {
        let Ok(build) = example.build() else { continue };
        let opinions = policyc_verify::second_opinion(&build.result.compiled.object, PATIENCE);
        for Opinion { program, view } in opinions {
            let known = matches!(view, View::Disagree(_)) && program.starts_with(DOUBTED);
            if view != View::Agree && !known {
                wrong.push(format!("{}: {program}: {view:?}", example.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_snapshot_has_its_fixture() {
    let folder = example::root().join("snapshots");
    let stages = stages::NAMES.map(|stage| format!("{stage}.txt"));
    let examples = example::all();
    let known = examples.iter().map(|example| folder.join(&example.name));
    let known: Vec<_> = known.flat_map(|f| stages.iter().map(move |s| f.join(s))).collect();
    let stray = example::files(&folder).into_iter().filter(|file| !known.contains(file));
    let stray: Vec<_> = stray.collect();
    assert!(stray.is_empty(), "snapshots without a fixture or stage: {stray:?}");
}

#[test]
fn bindings_name_subjects_of_their_example() {
    for folder in example::folders(&example::root().join("examples")) {
        let path = folder.join("bindings.yaml");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let read = bindings::read(&text);
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let inventory = fs::read_to_string(folder.join("inventory.yaml")).expect("an inventory");
        for binding in &read.bindings {
            let (namespace, name) = binding.subject.split_once('/').expect("namespace/name");
            let subject = format!("metadata: {{name: {name}, namespace: {namespace},");
            assert!(inventory.contains(&subject), "{}: {}", path.display(), binding.subject);
        }
        assert!(!read.bindings.is_empty(), "{}", path.display());
    }
}
