//! What this host is: facts for a profile, read from files.
//!
//! Probing by attaching is the runtime's; here is only what the kernel writes
//! down: its BTF, its tracepoints' formats, its release.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use policyc_target::{Feature, HostFacts, HostProblem, Profile};

/// Where a trace file system can be mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A profile of this host with the formats of the named tracepoints
/// (`category/event`), and what it lacks. A tracepoint that the host does not have
/// is left out; the check of policies says so.
pub fn profile(
    features: BTreeSet<Feature>,
    tracepoints: &BTreeSet<String>,
) -> (Profile, Vec<HostProblem>) {
    let kernel = proc_line("/proc/sys/kernel/osrelease");
    let btf = fs::read("/sys/kernel/btf/vmlinux").ok();
    let formats: Vec<(&str, String)> = tracepoints
        .iter()
        .filter_map(|name| {
            let (category, event) = name.split_once('/')?;
            Some((category, format_of(category, event)?))
        })
        .collect();
    let facts = HostFacts {
        kernel: &kernel,
        architecture: std::env::consts::ARCH,
        features,
        btf: btf.as_deref(),
        tracepoints: formats.iter().map(|(category, text)| (*category, text.as_str())).collect(),
    };
    Profile::from_host(&facts)
}

/// Every tracepoint of the named categories, as `category/event`.
pub fn tracepoints(categories: &[&str]) -> BTreeSet<String> {
    let Some(events) = events_folder() else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for category in categories {
        let Ok(entries) = fs::read_dir(events.join(category)) else { continue };
        let names = entries.flatten().filter(|e| e.path().join("format").is_file());
        found.extend(names.map(|e| format!("{category}/{}", e.file_name().to_string_lossy())));
    }
    found
}

/// Whether a trace file system is mounted.
pub fn has_tracefs() -> bool {
    events_folder().is_some()
}

fn events_folder() -> Option<PathBuf> {
    TRACEFS.iter().map(|root| Path::new(root).join("events")).find(|path| path.is_dir())
}

fn format_of(category: &str, event: &str) -> Option<String> {
    // Both come from a policy and name one folder each, not a path.
    if [category, event].iter().any(|name| name.contains('/') || name.starts_with('.')) {
        return None;
    }
    fs::read_to_string(events_folder()?.join(category).join(event).join("format")).ok()
}

fn proc_line(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}
