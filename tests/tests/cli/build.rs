//! Artifacts: the same input gives the same bytes, from anywhere.

use std::fs;
use std::path::Path;

use policyc_bpf::Artifact;

use crate::tool::{policyc, root, run, words};

const SOURCES: [&str; 2] = ["deny-echo.yaml", "inventory.yaml"];

/// A copy of the example `ping` in a folder.
fn copy_to(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    for name in SOURCES {
        fs::copy(root().join("examples/ping").join(name), folder.join(name)).expect("a copy");
    }
}

/// What must be the same: everything but the evidence, which says who looked at the
/// programs, and how long they took may leave somebody out.
fn content(bytes: &[u8]) -> Vec<u8> {
    let artifact = Artifact::from_bytes(bytes).expect("an artifact");
    let bare = Artifact::build(artifact.manifest().clone(), artifact.object());
    let bare = bare.expect("an artifact");
    assert_eq!(bare.hash(), artifact.hash());
    bare.to_bytes().expect("bytes")
}

/// Builds the example there, with relative names, and returns the artifact's file.
fn build(folder: &Path, variables: &[(&str, &str)]) -> Vec<u8> {
    let mut command = policyc(words("build -f deny-echo.yaml -i inventory.yaml -o ping.policyc"));
    let ended = run(command.current_dir(folder).envs(variables.iter().copied()));
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    content(&fs::read(folder.join("ping.policyc")).expect("the artifact"))
}

#[test]
fn the_same_input_gives_the_same_bytes_from_anywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, there) = (folder.path().join("here"), folder.path().join("far/away/there"));
    copy_to(&here);
    copy_to(&there);
    let first = build(&here, &[("TZ", "UTC"), ("HOME", "/root"), ("LC_ALL", "C")]);
    let zone = [("TZ", "Pacific/Auckland"), ("HOME", "/nonexistent"), ("LC_ALL", "de_DE.UTF-8")];
    assert!(first == build(&here, &[]), "twice");
    assert!(first == build(&there, &zone), "another folder, time zone, home and language");

    let artifact = Artifact::from_bytes(&first).expect("an artifact");
    let text = String::from_utf8_lossy(&first);
    assert!(!text.contains(&*folder.path().to_string_lossy()), "no folder of this machine");
    let sources: Vec<_> = artifact.manifest().sources.iter().map(|s| s.file.as_str()).collect();
    assert_eq!(sources, SOURCES);
}

#[test]
fn nothing_is_written_when_something_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.policyc");
    fs::write(&path, "what was there").expect("a file");
    let ended = run(policyc(words("build -f tests/tests/cli/cmd/bad.yaml -o")).arg(&path));
    assert_eq!((ended.status, ended.err.as_str()), (Some(1), "5 errors, 2 warnings\n"));
    assert_eq!(fs::read_to_string(&path).expect("a file"), "what was there");

    let nowhere = folder.path().join("not/there/x.policyc");
    let line = "build -f examples/ping/deny-echo.yaml -i examples/ping/inventory.yaml -o";
    let ended = run(policyc(words(line)).arg(&nowhere));
    assert_eq!(ended.status, Some(2));
    assert!(ended.err.contains("cannot write") && ended.err.contains("No such file"));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left");
}

#[test]
fn what_is_no_file_is_written_to() {
    let line =
        "build -f examples/ping/deny-echo.yaml -i examples/ping/inventory.yaml -o /dev/stdout";
    let output = policyc(words(line)).output().expect("policyc runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(Artifact::is_one(&output.stdout));
}

#[test]
fn every_stage_can_be_dumped() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_to(folder.path());
    build(folder.path(), &[]);
    let dump = |line: &str| run(policyc(words(line)).current_dir(folder.path()));
    let stages = ["policy", "decision", "bir", "bpf", "tables", "cost"];
    let mut of_policy = Vec::new();
    for stage in stages {
        let ended = dump(&format!("dump deny-echo.yaml -i inventory.yaml --at {stage}"));
        assert_eq!((ended.status, ended.err.as_str()), (Some(0), ""), "{stage}");
        assert!(ended.out.lines().count() > 2, "{stage}: {}", ended.out);
        of_policy.push(ended.out);
    }
    for (stage, of_policy) in stages.iter().zip(of_policy) {
        let ended = dump(&format!("dump ping.policyc --at {stage}"));
        if ["policy", "decision", "bir"].contains(stage) {
            assert_eq!(ended.status, Some(2), "{stage}");
            assert!(ended.err.contains("name the policies instead"), "{}", ended.err);
        } else if *stage != "cost" {
            // Costs of an artifact name its programs, which a policy has not made.
            assert_eq!((ended.status, ended.out), (Some(0), of_policy), "{stage}");
        }
    }
}

#[test]
fn the_room_for_connections_is_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_to(folder.path());
    let build = |more: &str| {
        let line = format!("build -f deny-echo.yaml -i inventory.yaml -o ping.policyc {more}");
        run(policyc(words(&line)).current_dir(folder.path()))
    };
    let ended = build("--conntrack-entries 3000");
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    assert!(
        ended.out.contains("room for 4096 connections, then 16 of each subject"),
        "{}",
        ended.out
    );
    let bytes = fs::read(folder.path().join("ping.policyc")).expect("the artifact");
    let artifact = Artifact::from_bytes(&bytes).expect("an artifact");
    let entries = |name: &str| {
        let map = artifact.manifest().maps.iter().find(|map| map.name == name);
        map.map(|map| map.max_entries)
    };
    let tables = ["ct", "ct_ring", "ct_half"].map(entries);
    assert_eq!(tables, [Some(5120), Some(5120), Some(1024)]);
    for bad in ["0", "1023", "16777217", "4294967296", "many"] {
        let ended = build(&format!("--conntrack-entries {bad}"));
        assert_eq!((ended.status, ended.out.as_str()), (Some(2), ""), "{bad}");
        assert!(ended.err.contains("--conntrack-entries"), "{}", ended.err);
    }
}
