//! The unit files: what systemd says of them, and what they promise.
//!
//! Needs `systemd-analyze`; a test that cannot run says `SKIPPED` and why, and fails with
//! `POLICYC_REQUIRE_KERNEL=1`.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn units() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let files = fs::read_dir(&folder).expect("unit files").flatten();
    let mut files: Vec<_> = files.map(|file| file.path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Runs `systemd-analyze`; `None`, loudly, where it is missing.
fn analyze(test: &str, args: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
            assert!(!required, "{test}: systemd-analyze (package systemd): {error}");
            eprintln!("SKIPPED {test}: systemd-analyze: {error}");
            None
        }
    }
}

/// The unit with a command that is there: what is checked is the unit.
fn installed(unit: &Path, folder: &TempDir) -> PathBuf {
    let name = unit.file_name().expect("a name");
    let text = fs::read_to_string(unit).expect("a unit");
    assert!(text.contains("ExecStart=/usr/bin/policyc "), "{}", unit.display());
    let copy = folder.path().join(name);
    fs::write(&copy, text.replace("/usr/bin/policyc ", "/bin/true ")).expect("a file");
    copy
}

#[test]
fn systemd_has_nothing_to_say() {
    let folder = tempfile::tempdir().expect("a folder");
    for unit in units() {
        let copy = installed(&unit, &folder);
        let copy = copy.to_string_lossy();
        let args = ["verify", "--man=no", "--recursive-errors=no", &*copy];
        let Some(output) = analyze("systemd_has_nothing_to_say", &args) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        // Units of the machine itself are not what is tested.
        let name = unit.file_name().expect("a name").to_string_lossy();
        let of_unit: Vec<_> = said.lines().filter(|line| line.contains(&*name)).collect();
        assert!(output.status.success() && of_unit.is_empty(), "{said}");
    }
}

#[test]
fn they_are_hardened() {
    let folder = tempfile::tempdir().expect("a folder");
    for unit in units() {
        let copy = installed(&unit, &folder);
        let copy = copy.to_string_lossy();
        // 10 is without any protection, tenths of them in the argument.
        let args = ["security", "--offline=true", "--no-pager", "--threshold=40", &*copy];
        let Some(output) = analyze("they_are_hardened", &args) else { return };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn they_have_no_more_capabilities_than_they_need() {
    for unit in units() {
        let text = fs::read_to_string(&unit).expect("a unit");
        let bound = "CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN CAP_PERFMON";
        assert!(text.lines().any(|line| line == bound), "{}", unit.display());
        assert!(text.lines().any(|line| line == "NoNewPrivileges=yes"), "{}", unit.display());
    }
}
