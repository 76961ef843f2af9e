//! What is read: files, folders, standard input, and what is none of these.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::tool::{Ended, policyc, run, run_with_input};

const GOOD: &str = "apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: good, namespace: shop}
spec:
  endpointSelector: {}
  ingress:
  - fromEntities: [world]
";

fn check(path: &Path) -> Command {
    let mut command = policyc(["check", "-f"]);
    command.arg(path);
    command
}

/// It could not run, and says why in one line on standard error.
fn could_not_run(ended: &Ended, because: &[&str]) {
    assert_eq!((ended.status, ended.out.as_str()), (Some(2), ""), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    for word in because {
        assert!(ended.err.contains(word), "no `{word}` in {}", ended.err);
    }
}

#[test]
fn standard_input_is_a_file() {
    let ended = run_with_input(&mut policyc(["check", "-f", "-"]), GOOD.as_bytes());
    assert_eq!((ended.status, ended.err.as_str()), (Some(0), "nothing found\n"), "{}", ended.out);
    let bad = GOOD.replace("world", "wurld");
    let ended = run_with_input(&mut policyc(["check", "-f", "-"]), bad.as_bytes());
    assert_eq!(ended.status, Some(1));
    assert!(ended.out.contains("[-:7:"), "{}", ended.out);
}

/// What `kubectl get cnp,pods -o yaml` prints is both; a pod is no policy and a policy
/// is nobody, and each reader leaves the other's.
#[test]
fn one_input_can_be_both() {
    let pod = "---\n{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}}\n";
    let both = format!("{GOOD}{pod}");
    let ended = run_with_input(&mut policyc(["check", "-f", "-"]), both.as_bytes());
    assert!(ended.out.contains("P0203"), "{}", ended.out);
    let ended = run_with_input(&mut policyc(["check", "-f", "-", "-i", "-"]), both.as_bytes());
    assert_eq!((ended.status, ended.err.as_str()), (Some(0), "nothing found\n"), "{}", ended.out);
    // What is wrong with the text is said once.
    let ended = run_with_input(&mut policyc(["check", "-f", "-", "-i", "-"]), b"kind: [");
    assert_eq!((ended.status, ended.out.matches("P0101").count()), (Some(1), 1), "{}", ended.out);
}

#[test]
fn a_folder_is_read_with_its_folders_only_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).expect("a folder in it");
    fs::write(inner.join("bad.yaml"), "kind: [").expect("a file");
    could_not_run(&run(&mut check(folder.path())), &["is a folder with no `.yaml`", "`-R`"]);

    fs::write(folder.path().join("good.yaml"), GOOD).expect("a file");
    fs::write(folder.path().join("README.md"), "kind: [").expect("a file");
    assert_eq!(run(&mut check(folder.path())).status, Some(0));
    let ended = run(check(folder.path()).arg("-R"));
    assert_eq!(ended.status, Some(1));
    assert!(ended.out.contains("inner/bad.yaml:1:"), "{}", ended.out);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let missing = path("missing.yaml");
    could_not_run(&run(&mut check(&missing)), &["missing.yaml", "No such file"]);

    fs::write(path("latin1.yaml"), b"kind: \xe9\n").expect("a file");
    could_not_run(&run(&mut check(&path("latin1.yaml"))), &["not UTF-8", "offset 6"]);

    let large = fs::File::create(path("large.yaml")).expect("a file");
    large.set_len(33 << 20).expect("33 MiB of nothing");
    could_not_run(&run(&mut check(&path("large.yaml"))), &["large.yaml", "at most 32 MiB"]);

    let input = vec![b'#'; 33 << 20];
    let ended = run_with_input(&mut policyc(["check", "-f", "-"]), &input);
    could_not_run(&ended, &["`-`", "at most 32 MiB"]);

    for command in ["dump", "verify"] {
        let mut command = policyc([command]);
        command.arg(&missing);
        if command.get_args().any(|arg| arg == "dump") {
            command.args(["--at", "cost"]);
        }
        could_not_run(&run(&mut command), &["missing.yaml", "No such file"]);
    }
}

#[test]
fn many_mistakes_are_found_in_one_run() {
    let bad = "tests/tests/cli/cmd/bad.yaml";
    let ended = run(&mut policyc(["check", "-f", bad]));
    assert_eq!((ended.status, ended.err.as_str()), (Some(1), "5 errors, 2 warnings\n"));
    // Findings do not depend on what else is read.
    let more = run(&mut policyc(["check", "-f", "examples/ping/allow-all.yaml", "-f", bad]));
    assert_eq!((more.out, more.err), (ended.out, ended.err));
}

#[test]
fn warnings_fail_when_asked() {
    let warned = GOOD.replace("fromEntities: [world]", "fromCIDR: [10.0.0.1/8]");
    let status = |args: &[&str]| {
        run_with_input(policyc(["check", "-f", "-"]).args(args), warned.as_bytes()).status
    };
    assert_eq!(status(&[]), Some(0));
    assert_eq!(status(&["--fail-on", "warning"]), Some(1));
}
