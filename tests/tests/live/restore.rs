//! What is live after a boot: here the pins are taken away, and the journal is made that
//! of another boot; `vm` boots machines.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::build::{apply, deny_echo};
use crate::lab::{Lab, must, ping, run, wait_for};
use crate::tool::{self, Ended, binary, root};

const TC: &str = "- subject: demo/right
  attach: {tc: {interface: veth-right, netns: RIGHT}}
";
/// The tool is run in the namespace: what a boot needs, it needs without CAP_SYS_ADMIN.
const INSIDE: &str = "- subject: demo/right
  attach: {tc: {interface: veth-right}}
";

/// Takes everything away that a boot takes away, and waits until packets pass.
fn boot(lab: &Lab) {
    fs::remove_dir_all(lab.dirs.pins()).expect("pins");
    let journal = lab.dirs.state.join("journal.json");
    let mut document: serde_json::Value =
        serde_json::from_slice(&fs::read(&journal).expect("a journal")).expect("JSON");
    document["home"]["boot"] = "another boot".into();
    fs::write(&journal, document.to_string()).expect("a file");
    // The kernel detaches a link when nothing refers to it any more, a little later.
    wait_for("an open host", || passes(lab).then_some(()));
}

fn passes(lab: &Lab) -> bool {
    ping(&lab.left, "10.77.0.2")
}

fn restore(lab: &Lab, args: &[&str]) -> Ended {
    tool::run(lab.policyc(["restore"].iter().chain(args)).current_dir(root()))
}

#[test]
fn what_was_live_is_live_again() {
    let Some(lab) = Lab::new("restore::what_was_live_is_live_again") else { return };
    lab.without_ipv6();
    assert!(lab.says(["restore"]).contains("nothing was applied"));
    apply(&lab, &deny_echo(), TC);
    assert!(!passes(&lab));
    boot(&lab);
    let status = tool::run(&mut lab.policyc(["status"]));
    assert_eq!(status.status, Some(1));
    assert!(status.out.contains("policyc restore"), "{}", status.out);

    let said = lab.says(["restore", "--on-failure", "closed"]);
    assert!(said.starts_with("generation 2 is live: 1 again"), "{said}");
    assert!(said.contains("tc ingress of veth-right"), "{said}");
    assert!(!passes(&lab), "it denies again");
    assert!(lab.says(["restore"]).starts_with("generation 2 is live already"));
    assert!(lab.says(["status"]).contains("generation 2 is live"));

    // What was removed stays away.
    lab.says(["remove"]);
    assert!(lab.says(["restore"]).contains("was removed"));
    assert!(passes(&lab));
}

#[test]
fn what_comes_later_is_bound_by_the_same_command() {
    let test = "restore::what_comes_later_is_bound_by_the_same_command";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    apply(&lab, &deny_echo(), TC);
    boot(&lab);
    must(&format!("ip -n {} link set veth-right down name other", lab.right));
    let ended = restore(&lab, &["--on-failure", "closed"]);
    assert_eq!(ended.status, Some(1), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("not there yet: no interface `veth-right`"), "{}", ended.out);
    must(&format!("ip -n {} link set other name veth-right", lab.right));
    must(&format!("ip -n {} link set veth-right up", lab.right));
    // The kernel forgot it with the interface.
    let to = "10.77.0.1 dev veth-right lladdr 02:00:00:00:00:01";
    run(&format!("ip -n {} neigh replace {to}", lab.right));
    wait_for("an open host", || passes(&lab).then_some(()));
    let said = lab.says(["restore"]);
    assert!(said.contains("it judges there too\n  tc ingress of veth-right"), "{said}");
    assert!(!passes(&lab));
}

#[test]
fn what_cannot_be_restored_is_closed_or_left_open() {
    let test = "restore::what_cannot_be_restored_is_closed_or_left_open";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    apply(&lab, &crate::build::allow_all(), TC);
    let copy = lab.dirs.state.join("generations/1/artifact");
    let whole = fs::read(&copy).expect("a copy");
    boot(&lab);
    fs::write(&copy, &whole[..whole.len() / 2]).expect("a file");
    let ended = restore(&lab, &[]);
    assert_eq!(ended.status, Some(2), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("NOTHING IS ENFORCED"), "{}", ended.err);
    assert!(passes(&lab) && !lab.dirs.pins().exists());

    let ended = restore(&lab, &["--on-failure", "closed"]);
    assert_eq!(ended.status, Some(2), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("generation 1 could not be restored"), "{}", ended.err);
    assert!(ended.err.contains("EVERYTHING IS DENIED"), "{}", ended.err);
    assert!(!passes(&lab));
    let status = tool::run(&mut lab.policyc(["status"]));
    assert_eq!(status.status, Some(1));
    assert!(status.out.contains("DENIES EVERYTHING: generation 1"), "{}", status.out);

    // Made whole, it comes back.
    fs::write(&copy, &whole).expect("a file");
    assert!(lab.says(["restore"]).contains("1 again"));
    assert!(passes(&lab));
}

#[test]
fn three_capabilities_are_enough() {
    let Some(lab) = Lab::new("restore::three_capabilities_are_enough") else { return };
    lab.without_ipv6();
    let (file, to) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
    crate::build::save(&deny_echo(), &file);
    fs::write(&to, crate::build::bindings_text(&lab, INSIDE)).expect("a file");
    // Not `ip netns exec`, which hides the BPF file system.
    let inside = |args: &[&str]| {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", Lab::netns(&lab.right).display()));
        command.args(["setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon"]);
        command.arg(binary()).args(args);
        command.arg("--pins").arg(lab.dirs.pins()).arg("--state").arg(&lab.dirs.state);
        let ended = tool::run(command.current_dir(root()).stdin(Stdio::null()));
        assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
        ended.out
    };
    let (file, to) = (file.to_string_lossy(), to.to_string_lossy());
    inside(&["apply", &file, "--bindings", &to]);
    assert!(!passes(&lab));
    boot(&lab);
    let said = inside(&["restore", "--on-failure", "closed"]);
    assert!(said.contains("1 again") && !passes(&lab), "{said}");
    inside(&["remove", "--all"]);
}

/// Killed at any moment it leaves nothing judged or all of it, and the next one, after a
/// boot or without, finishes.
#[test]
fn a_killed_one_is_finished_by_the_next() {
    const KILLS: u32 = 12;
    let Some(lab) = Lab::new("restore::a_killed_one_is_finished_by_the_next") else { return };
    lab.without_ipv6();
    apply(&lab, &deny_echo(), TC);
    boot(&lab);
    let start = Instant::now();
    lab.says(["restore"]);
    let whole = start.elapsed();
    let mut killed = 0;
    for round in 0..KILLS {
        boot(&lab);
        let mut command = lab.policyc(["restore", "--on-failure", "closed"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        // In an order that jumps.
        thread::sleep(whole * (round * 5 % KILLS + 1) / KILLS);
        killed += u32::from(child.try_wait().expect("waits").is_none());
        child.kill().expect("kills");
        child.wait().expect("ends");
        if round % 2 == 1 && lab.dirs.pins().exists() {
            boot(&lab);
        }
        lab.says(["restore", "--on-failure", "closed"]);
        assert!(!passes(&lab), "round {round}: it denies again");
        let said = lab.says(["status"]);
        assert!(!said.contains("interrupted") && !said.contains("DRIFT"), "{said}");
        let generations = fs::read_dir(lab.dirs.pins().join("generations")).expect("pins");
        assert_eq!(generations.count(), 1, "only the live generation is left");
    }
    println!("{killed} of {KILLS} killed while they were at work, each within {whole:?}");
}
