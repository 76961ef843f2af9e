//! Booting kernels. Skipped, loudly, where there is no emulator or no kernel;
//! with `POLICYC_REQUIRE_VM=1` that is a failure.
//!
//! Kernels are what `POLICYC_KERNELS` names (images, separated by colons), else
//! what `tests/fetch-kernels.sh` has fetched.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use policyc_bpf::{Insn, ProgramKind, Size};

use crate::fixtures::*;
use crate::vm::*;
use crate::{Outcome, verify_structural};

fn kernels() -> Vec<PathBuf> {
    if let Some(list) = std::env::var_os("POLICYC_KERNELS") {
        return std::env::split_paths(&list).collect();
    }
    let mut found = Vec::new();
    for series in ["6.1", "6.12"] {
        let boot = PathBuf::from("/var/cache/policyc-kernels").join(series).join("boot");
        let files = std::fs::read_dir(boot).into_iter().flatten().flatten();
        let image = |file: &PathBuf| {
            file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        };
        found.extend(files.map(|file| file.path()).filter(image));
    }
    found
}

fn init() -> Result<InitImage, String> {
    static BUILT: OnceLock<Result<InitImage, String>> = OnceLock::new();
    let build = || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/build-init.sh");
        let output = Command::new(script).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        InitImage::at(path.as_ref()).map_err(|error| error.to_string())
    };
    BUILT.get_or_init(build).clone()
}

/// What a machine needs, or `None` if the test is to be skipped.
fn setup() -> Option<(Vec<PathBuf>, VmOptions)> {
    let emulator = Command::new("qemu-system-x86_64").arg("--version").output();
    let kernels = kernels();
    let missing = if emulator.is_err() {
        "qemu-system-x86_64 is not installed (package qemu-system-x86)".to_owned()
    } else if kernels.is_empty() {
        "no kernels: run tests/fetch-kernels.sh".to_owned()
    } else {
        match init() {
            Ok(init) => return Some((kernels, VmOptions::new(init))),
            Err(error) => format!("the init cannot be built: {error}"),
        }
    };
    let required = std::env::var("POLICYC_REQUIRE_VM").is_ok_and(|value| value == "1");
    assert!(!required, "VM tests are required: {missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

/// The good programs, one bad one, and mutants that our checks pass.
/// `POLICYC_MUTANTS` says how many.
#[test]
fn other_kernels_judge() {
    let Some((kernels, mut options)) = setup() else { return };
    let mutants = std::env::var("POLICYC_MUTANTS").ok().and_then(|n| n.parse().ok());
    let mutants: u32 = mutants.unwrap_or(100);
    options.timeout += Duration::from_millis(200) * mutants;
    let mut objects: Vec<_> = good().into_iter().map(|(_, object)| object).collect();
    let mut seed = 11;
    while objects.len() < mutants as usize {
        let (_, object) = mutant(&mut seed);
        if verify_structural(&object).is_empty() {
            objects.push(object);
        }
    }
    let bad = Asm::new().mov(R6, 1).push([Insn::load(Size::W, R4, R6, 0)]).ret(0);
    objects.push(bad.object(ProgramKind::Tc));
    for kernel in kernels {
        let mut reports = verify_vm_all(&objects, &kernel, &options).unwrap();
        let last = reports.pop().unwrap();
        for (report, object) in reports.iter().flatten().zip(&objects) {
            assert!(report.is_verified(), "{report:#?}\n{:#?}", object.programs[0].insns);
        }
        let Outcome::Rejected(rejection) = &last[0].outcome else { panic!("{last:#?}") };
        assert_eq!(rejection.insn, Some(1), "{rejection:#?}");
        assert_eq!(rejection.origin, objects.last().unwrap().programs[0].origins[1]);
        let release = &last[0].kernel;
        let series = release.split('.').take(2).collect::<Vec<_>>().join(".");
        assert!(kernel.to_string_lossy().contains(&format!("vmlinuz-{series}.")), "{release}");
    }
}

#[test]
fn a_machine_that_hangs_is_killed() {
    let Some((kernels, mut options)) = setup() else { return };
    options.timeout = Duration::from_millis(100);
    let (_, object) = good().remove(0);
    let error = verify_vm(&object, &kernels[0], &options).unwrap_err();
    assert!(matches!(error, VmError::Timeout { .. }), "{error}");
}

#[test]
fn what_is_no_kernel_is_an_error() {
    let Some((_, options)) = setup() else { return };
    let (_, object) = good().remove(0);
    let own = std::env::current_exe().unwrap();
    let error = verify_vm(&object, &own, &options).unwrap_err();
    assert!(matches!(error, VmError::Ended { .. }), "{error}");
    let error = verify_vm(&object, "/nonexistent".as_ref(), &options).unwrap_err();
    assert!(matches!(error, VmError::NoKernel(..)), "{error}");
}
