//! Commands that ask this machine. Skipped where they may not, and say so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use policyc_bpf::{Artifact, Level};
use serde_json::Value;

use crate::tool::{Ended, policyc, run, words};

/// Whether a command could run; what is skipped for lack of privilege says so, and
/// fails where it is required.
fn ran(ended: &Ended, what: &str) -> bool {
    if ended.status != Some(2) {
        return true;
    }
    let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
    assert!(!required && ended.err.contains("run as root"), "{what}: {}", ended.err);
    eprintln!("SKIPPED {what}: {}", ended.err.trim());
    false
}

/// Builds the example `ping` into a folder.
fn artifact(folder: &Path) -> PathBuf {
    let path = folder.join("ping.policyc");
    let line = "build -f examples/ping/deny-echo.yaml -i examples/ping/inventory.yaml -o";
    let ended = run(policyc(words(line)).arg(&path));
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    path
}

/// Takes the evidence out of an artifact's file again.
fn without_evidence(path: &Path) {
    let bytes = fs::read(path).expect("an artifact");
    let artifact = Artifact::from_bytes(&bytes).expect("an artifact");
    let manifest = artifact.manifest().clone();
    let bare = Artifact::build(manifest, artifact.object()).expect("the same artifact");
    assert_eq!(bare.hash(), artifact.hash());
    fs::write(path, bare.to_bytes().expect("bytes")).expect("a file");
}

#[test]
fn a_build_for_a_saved_profile_is_the_build_for_the_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = folder.path().join("host.profile.yaml");
    let ended = run(policyc(["profile", "-o"]).arg(&profile));
    if !ran(&ended, "profile") {
        return;
    }
    assert_eq!((ended.status, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
    assert_eq!(run(&mut policyc(["profile"])).out, fs::read_to_string(&profile).expect("a file"));

    let build = |name: &str, with_profile: bool| {
        let path = folder.path().join(name).join("exec.policyc");
        fs::create_dir(folder.path().join(name)).expect("a folder");
        let line = "build -f examples/exec/hello.yaml -f examples/exec/who-runs-tmp.yaml -o";
        let mut command = policyc(words(line));
        command.arg(&path);
        if with_profile {
            command.arg("--target").arg(&profile);
        }
        let ended = run(&mut command);
        assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
        fs::read(path).expect("an artifact")
    };
    assert!(build("host", false) == build("profile", true), "the same bytes");
}

#[test]
fn verifying_adds_evidence_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = artifact(folder.path());
    without_evidence(&path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
    let read = || Artifact::from_bytes(&fs::read(&path).expect("a file")).expect("an artifact");
    let bare = read();

    let ended = run(policyc(["verify", "-o", "json"]).arg(&path));
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    let document: Value = serde_json::from_str(&ended.out).expect("JSON");
    let verified = read();
    assert_eq!(verified.hash(), bare.hash());
    assert_eq!(verified.manifest(), bare.manifest());
    assert_eq!(document["content"], format!("sha256:{}", bare.hash()));
    assert_eq!(document["recorded"], verified.evidence().len());
    let structural = verified.evidence().iter().filter(|e| e.level == Level::Structural);
    assert_eq!(structural.count(), bare.object().programs.len());
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the file's mode stays");

    let before = fs::read(&path).expect("a file");
    let ended = run(policyc(["verify"]).arg(&path));
    assert_eq!(ended.status, Some(0));
    assert!(ended.out.contains("verified: structural\n"), "{}", ended.out);
    assert!(ended.out.contains("nothing new to record"), "{}", ended.out);
    assert!(before == fs::read(&path).expect("a file"), "verified twice, recorded once");
    let files = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(files, 1, "nothing is left beside it");
}

#[test]
fn what_is_no_artifact_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = fs::read(artifact(folder.path())).expect("a file");
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    let mut newer = whole.clone();
    newer[8] = 99;
    let cases: [(&str, &[u8], &str); 4] = [
        ("cut", &whole[..whole.len() / 2], "is cut off"),
        ("altered", &altered, "was altered"),
        ("newer", &newer, "99"),
        ("foreign", b"kind: NetworkPolicy\n", "not an artifact"),
    ];
    for (name, bytes, because) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        let ended = run(policyc(["verify"]).arg(&path));
        assert_eq!((ended.status, ended.out.as_str()), (Some(2), ""), "{name}");
        assert!(ended.err.contains(because), "{name}: {}", ended.err);
        assert!(bytes == fs::read(&path).expect("a file"), "{name} is as it was");
    }
}

#[test]
fn other_kernels_are_asked_in_machines() {
    let (kernels, init) = match machines() {
        Ok(found) => found,
        Err(missing) => {
            let required = std::env::var_os("POLICYC_REQUIRE_VM").is_some();
            assert!(!required, "{missing}");
            eprintln!("SKIPPED other kernels: {missing}");
            return;
        }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = artifact(folder.path());
    let images: Vec<_> = kernels.iter().map(|k| k.display().to_string()).collect();
    let mut command = policyc(["verify", "-o", "json", "--timeout", "5m"]);
    command.env("POLICYC_INIT", init).arg(&path).args(["--kernel", &images.join(",")]);
    let ended = run(&mut command);
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    let document: Value = serde_json::from_str(&ended.out).expect("JSON");
    let bytes = fs::read(&path).expect("a file");
    let artifact = Artifact::from_bytes(&bytes).expect("an artifact");
    let checks = document["checks"].as_array().expect("a list");
    let asked = &checks[checks.len() - kernels.len()..];
    for check in asked {
        assert_eq!((&check["level"], &check["verdict"]), (&"kernel".into(), &"verified".into()));
        let kernel = check["kernel"].as_str();
        let evidence = artifact.evidence().iter().filter(|e| e.kernel.as_deref() == kernel);
        assert_eq!(evidence.count(), artifact.object().programs.len(), "{kernel:?}");
    }
}

/// The kernels' images and the machines' init, or what is missing.
fn machines() -> Result<(Vec<PathBuf>, String), String> {
    let emulator = Command::new("qemu-system-x86_64").arg("--version").output();
    emulator.map_err(|_| "no qemu-system-x86_64 (package qemu-system-x86)")?;
    let kernels = kernels();
    if kernels.is_empty() {
        return Err("no kernels: run tests/fetch-kernels.sh".to_owned());
    }
    let script = crate::tool::root().join("tests/build-init.sh");
    let output = Command::new(script).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let init = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
    Ok((kernels, init.trim().to_owned()))
}

fn kernels() -> Vec<PathBuf> {
    if let Some(list) = std::env::var_os("POLICYC_KERNELS") {
        return std::env::split_paths(&list).collect();
    }
    let mut found = Vec::new();
    for series in ["6.1", "6.12"] {
        let boot = Path::new("/var/cache/policyc-kernels").join(series).join("boot");
        let files = fs::read_dir(boot).into_iter().flatten().flatten().map(|file| file.path());
        found.extend(files.filter(|path| path.to_string_lossy().contains("/vmlinuz-")));
    }
    found
}

#[test]
fn an_image_that_is_missing_is_named_before_anything_is_done() {
    let ended = run(&mut policyc(["verify", "missing.policyc", "--kernel", "no/vmlinuz"]));
    assert_eq!((ended.status, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("kernel image `no/vmlinuz`: No such file"), "{}", ended.err);
}

#[test]
fn packets_cost_what_they_cost() {
    let ended = run(&mut policyc(["bench", "--rounds", "5", "-o", "json"]));
    if !ran(&ended, "bench") {
        return;
    }
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let document: Value = serde_json::from_str(&ended.out).expect("JSON");
    let rows = document["rows"].as_array().expect("rows");
    let programs = rows.iter().map(|row| row["program"].as_str().unwrap_or_default());
    let rules = ["empty", "parse only", "10 rules", "1000 rules"];
    let sets = ["10 rules, beside a set", "10 rules of sets", "10 rules of sets, in 8"];
    let conversations = ["no connection", "established", "reply"];
    let expected = [&rules[..], &sets[..], &conversations[..]].concat();
    assert_eq!(programs.collect::<Vec<_>>(), [expected.clone(), expected].concat());
    for row in rows {
        let ratio = |column: &str| row[column]["ratio"].as_f64().expect("a ratio");
        // Machines are noisy; a table that is searched rule by rule is not in doubt.
        assert!(ratio("hot") < 10.0 && ratio("random") < 10.0, "{row}");
        if row["program"] == "empty" {
            assert_eq!((ratio("hot"), ratio("random")), (1.0, 1.0));
        }
    }
}
