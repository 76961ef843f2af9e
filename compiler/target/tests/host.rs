//! The BTF and the tracepoints of the machine that runs the tests.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, reason = "a test")]

use std::fs;
use std::path::Path;

use policyc_target::{Hook, HostFacts, Kind, Profile};

/// What a file holds, or `None` after saying that the test is skipped.
fn read(path: &str) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("SKIPPED: {path}: {error}");
            None
        }
    }
}

fn tracepoints() -> Option<Vec<(String, String)>> {
    let events = Path::new("/sys/kernel/tracing/events");
    let Ok(categories) = fs::read_dir(events) else {
        eprintln!("SKIPPED: {} cannot be read", events.display());
        return None;
    };
    let mut found = Vec::new();
    for category in categories.flatten() {
        for event in fs::read_dir(category.path()).into_iter().flatten().flatten() {
            if let Ok(text) = fs::read_to_string(event.path().join("format")) {
                found.push((category.file_name().to_string_lossy().into_owned(), text));
            }
        }
    }
    if found.is_empty() {
        eprintln!("SKIPPED: {} is empty (is tracefs mounted?)", events.display());
        return None;
    }
    Some(found)
}

fn assert_reads_back(profile: &Profile) {
    let read = Profile::parse(&profile.print().unwrap()).unwrap();
    let differ = |(a, b): &(_, _)| a != b;
    let records = |p: &Profile| {
        let (plain, raw) = (p.tracepoints.clone(), p.raw_tracepoints.clone());
        plain.into_iter().chain(raw).collect::<Vec<_>>()
    };
    let difference = records(&read).into_iter().zip(records(profile)).find(differ);
    assert_eq!(difference, None);
    assert!(read == *profile);
}

#[test]
fn raw_tracepoints_and_layouts_come_from_the_kernels_types() {
    let Some(btf) = read("/sys/kernel/btf/vmlinux") else { return };
    let (profile, problems) =
        Profile::from_host(&HostFacts { btf: Some(&btf), ..HostFacts::default() });
    assert_eq!(problems, []);
    let exec: Vec<_> = profile.raw_tracepoints["sched_process_exec"]
        .iter()
        .map(|field| (field.type_name.as_str(), field.name.as_str(), field.offset))
        .collect();
    let expected = [
        ("struct task_struct *", "p", 0),
        ("pid_t", "old_pid", 8),
        ("struct linux_binprm *", "bprm", 16),
    ];
    assert_eq!(exec, expected);
    let tgid = profile.field("task_struct", "tgid").unwrap();
    assert_eq!((tgid.size, tgid.offset % 4), (4, 0));
    assert!(profile.field("task_struct", "real_parent").is_some_and(|field| field.size == 8));
    assert_reads_back(&profile);
}

#[test]
fn every_tracepoint_of_the_kernel_is_understood() {
    let Some(found) = tracepoints() else { return };
    let tracepoints = found.iter().map(|(category, text)| (category.as_str(), text.as_str()));
    let facts =
        HostFacts { tracepoints: tracepoints.collect(), btf: Some(&[]), ..HostFacts::default() };
    let (profile, problems) = Profile::from_host(&facts);
    assert_eq!(problems.len(), 1, "only the empty BTF: {problems:?}");
    let (mut fields, mut opaque) = (0, 0);
    for name in profile.tracepoints.keys() {
        let (category, event) = name.split_once('/').unwrap();
        let hook = Hook::Tracepoint { category: category.into(), event: event.into() };
        for field in profile.schema(&hook).unwrap().fields {
            fields += 1;
            opaque += usize::from(matches!(field.kind, Kind::Opaque(_)));
        }
    }
    println!("{} tracepoints, {fields} fields, {opaque} opaque", profile.tracepoints.len());
    assert_reads_back(&profile);
}
