//! What cannot be applied is refused with a reason, and what was live stays live.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use policyc_bpf::Artifact;
use policyc_runtime::{Error, Live};
use policyc_sys::host::FileLock;

use crate::build::{bind, bindings_text, example, ping_artifact, save};
use crate::lab::{Lab, run};
use crate::tool;
use crate::traffic::Background;

/// Files of an artifact that allows everything, and of bindings.
fn files(lab: &Lab, bindings: &str) -> (PathBuf, PathBuf) {
    let (artifact, file) = (lab.file("allow.policyc"), lab.file("bindings.yaml"));
    save(&allow(), &artifact);
    fs::write(&file, bindings_text(lab, bindings)).expect("a file");
    (artifact, file)
}

fn allow() -> Artifact {
    ping_artifact("allow", &example("ping/allow-all.yaml"))
}

fn apply<'a>(artifact: &'a Path, bindings: &'a Path) -> [&'a std::ffi::OsStr; 4] {
    ["apply".as_ref(), artifact.as_os_str(), "--bindings".as_ref(), bindings.as_os_str()]
}

const RIGHT: &str = "- subject: demo/right
  attach: {tc: {interface: veth-right, netns: RIGHT}}
";

#[test]
fn an_interface_that_is_not_there() {
    let Some(lab) = Lab::new("input::an_interface_that_is_not_there") else { return };
    let (artifact, bindings) = files(&lab, RIGHT);
    let deny = ping_artifact("deny", &example("ping/deny-echo.yaml"));
    lab.apply(&deny, &bind(&lab, RIGHT)).expect("applies");
    // The kernel may send something of its own meanwhile.
    let live = || Live { counters: Vec::new(), ..lab.live() };
    let before = live();
    let wrong = [
        ("veth-right", "veth-nope", "no interface `veth-nope` in `/run/netns/"),
        (
            "RIGHT",
            "/run/netns/policyc-nope",
            "no interface `veth-right` in `/run/netns/policyc-nope`",
        ),
        ("demo/right", "demo/nobody", "the artifact has no subject `demo/nobody`"),
        ("{interface", "{vlan: 7, interface", "unknown field `vlan`"),
    ];
    for (right, wrong, expected) in wrong {
        let text = RIGHT.replacen(right, wrong, 1);
        fs::write(&bindings, bindings_text(&lab, &text)).expect("a file");
        let ended = lab.refuses(apply(&artifact, &bindings));
        assert!(ended.err.contains(expected), "{wrong}: {}", ended.err);
    }
    let cgroup = "- subject: demo/right\n  attach: {cgroup: {path: /sys/fs/cgroup/nope}}\n";
    fs::write(&bindings, bindings_text(&lab, cgroup)).expect("a file");
    let ended = lab.refuses(apply(&artifact, &bindings));
    assert!(
        ended.err.contains("no cgroup `/sys/fs/cgroup/nope` for `demo/right`"),
        "{}",
        ended.err
    );
    fs::write(&bindings, bindings_text(&lab, &format!("{RIGHT}{RIGHT}"))).expect("a file");
    let ended = lab.refuses(apply(&artifact, &bindings));
    assert!(ended.err.contains("`demo/right` and `demo/right` are both bound to"), "{}", ended.err);

    assert_eq!(live(), before, "the same generation is live, as it was");
    let ping = format!("ip netns exec {} ping -q -c 2 -i 0.02 -W 1 10.77.0.2", lab.left);
    assert!(!run(&ping).status.success(), "and judges");
}

/// An interface comes and goes while generations are applied to it and to one that
/// stays: each is live at the one that stays, or nothing changed.
#[test]
fn an_interface_that_vanishes() {
    const ROUNDS: usize = 30;
    let Some(lab) = Lab::new("input::an_interface_that_vanishes") else { return };
    let stays = bind(&lab, RIGHT);
    let left = "- subject: demo/left
  attach: {tc: {interface: flaky, netns: RIGHT}}
";
    let both = bind(&lab, &format!("{left}{RIGHT}"));
    let artifact = allow();
    lab.apply(&artifact, &stays).expect("applies");
    let ip = format!("ip -n {}", lab.right);
    let flaky = Background::start(move |stop| {
        // It stays for shorter and longer than an `apply` takes.
        for stay in (0..).map(|round| round * 70 % 500) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            run(&format!("{ip} link add flaky type veth peer name flaky-peer"));
            thread::sleep(Duration::from_millis(stay));
            run(&format!("{ip} link del flaky"));
        }
    });
    let (mut applied, mut not_there, mut vanished) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let before = lab.live().generation;
        match lab.apply(&artifact, &both) {
            Ok(outcome) => {
                applied += 1;
                assert_eq!(lab.live().generation, outcome.generation);
            }
            Err(error @ (Error::NoInterface { .. } | Error::Attach { .. })) => {
                let was_there = matches!(error, Error::Attach { .. });
                *(if was_there { &mut vanished } else { &mut not_there }) += 1;
                assert_eq!(lab.live().generation, before, "{error}");
            }
            Err(other) => panic!("{other:?}"),
        }
        let gates = lab.live().gates;
        let right = gates.iter().filter(|gate| gate.subject.as_deref() == Some("demo/right"));
        let sound = right.filter(|gate| gate.drift.is_none()).count();
        assert_eq!(sound, 2, "{gates:?}");
    }
    flaky.end();
    lab.apply(&artifact, &stays).expect("applies");
    assert!(!lab.live().has_drift());
    println!("{applied} applied, {not_there} not there, {vanished} vanished before attaching");
}

#[test]
fn an_artifact_that_is_none() {
    let Some(lab) = Lab::new("input::an_artifact_that_is_none") else { return };
    let (artifact, bindings) = files(&lab, RIGHT);
    let bytes = fs::read(&artifact).expect("a file");
    // Altered anywhere, cut anywhere: none is taken for an artifact.
    for at in (0..bytes.len()).step_by(bytes.len() / 300) {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(Artifact::from_bytes(&altered).is_err(), "byte {at} is altered");
        assert!(Artifact::from_bytes(&bytes[..at]).is_err(), "only {at} bytes");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let mut altered = bytes.clone();
    altered[bytes.len() / 2] ^= 0x10;
    let bad = [
        ("cut", &bytes[..bytes.len() - 1]),
        ("longer", &longer),
        ("altered", &altered),
        ("empty", &[]),
        ("foreign", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"),
        ("policy", example("ping/allow-all.yaml").as_bytes()),
    ]
    .map(|(name, bytes)| (name, bytes.to_vec()));
    for (name, bytes) in bad {
        let file = lab.file(name);
        fs::write(&file, bytes).expect("a file");
        let ended = lab.refuses(apply(&file, &bindings));
        assert!(ended.err.starts_with("policyc: `"), "{name}: {}", ended.err);
        assert!(!lab.dirs.pins().exists(), "{name}: nothing is loaded");
        assert!(!lab.dirs.state.exists(), "{name}: nothing is written");
    }
}

#[test]
fn no_bpf_file_system() {
    let Some(lab) = Lab::new("input::no_bpf_file_system") else { return };
    let (artifact, bindings) = files(&lab, RIGHT);
    let plain = lab.file("plain");
    fs::create_dir(&plain).expect("a folder");
    fs::write(plain.join("precious"), "data").expect("a file");
    let mut command = tool::policyc(apply(&artifact, &bindings));
    command.arg("--state").arg(&lab.dirs.state).arg("--pins").arg(plain.join("policyc"));
    let ended = tool::run(&mut command);
    assert_eq!(ended.status, Some(2), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("no BPF file system at `"), "{}", ended.err);
    assert!(ended.err.contains("help: mount it"), "{}", ended.err);
    assert!(plain.join("precious").is_file(), "nothing is hidden by a mount");
}

#[test]
fn two_at_once() {
    let Some(lab) = Lab::new("input::two_at_once") else { return };
    let (artifact, bindings) = files(&lab, RIGHT);
    let held = FileLock::acquire(&lab.dirs.state.join("lock"), "policyc apply, process 4711");
    let held = held.expect("free");
    for command in [&apply(&artifact, &bindings)[..], &["remove".as_ref(), "--all".as_ref()]] {
        let ended = lab.refuses(command);
        let expected = "another command is at work: policyc apply, process 4711\n  help: wait";
        assert!(ended.err.contains(expected), "{}", ended.err);
    }
    drop(held);

    let spawn = |_| {
        let mut command = lab.policyc(apply(&artifact, &bindings));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs")
    };
    let children: Vec<_> = (0..6).map(spawn).collect();
    let mut applied = 0;
    for child in children {
        let output = child.wait_with_output().expect("ends");
        let error = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => applied += 1,
            Some(2) => {
                assert!(
                    error.contains("another command is at work: policyc apply, process "),
                    "{error}"
                );
            }
            other => panic!("{other:?}: {error}"),
        }
    }
    assert_eq!(lab.live().generation, applied);
    assert!(!lab.live().has_drift());
    lab.says(["status"]);
}
