//! What was live is told, and can be gone back to; on a full disk what is live stays.

use std::fs;

use crate::build::{allow_all, apply, bindings_text, deny_echo, save};
use crate::lab::{Lab, must, ping, run};
use crate::tool;

const TC: &str = "- subject: demo/right
  attach: {tc: {interface: veth-right, netns: RIGHT}}
";

#[test]
fn what_was_live_is_told_and_gone_back_to() {
    let Some(lab) = Lab::new("history::what_was_live_is_told_and_gone_back_to") else { return };
    lab.without_ipv6();
    assert_eq!(lab.says(["history"]), "nothing was live\n");
    apply(&lab, &deny_echo(), TC);
    apply(&lab, &allow_all(), TC);
    assert!(ping(&lab.left, "10.77.0.2"));
    let said = lab.says(["rollback", "--to", "1"]);
    assert!(said.starts_with("generation 3 is live: 1 again"), "{said}");
    assert!(!ping(&lab.left, "10.77.0.2"), "it denies again");

    let mut command = lab.policyc(["history"]);
    let said = tool::run(command.env("SUDO_USER", "somebody"));
    assert_eq!(said.status, Some(0), "{}", said.err);
    let heads: Vec<_> = said.out.lines().filter(|line| line.starts_with("generation")).collect();
    assert_eq!(heads.len(), 3, "{}", said.out);
    assert!(heads[0].contains("superseded") && heads[2].ends_with("live"), "{}", said.out);
    assert!(said.out.contains("by uid 0: policyc apply "), "{}", said.out);
    assert!(said.out.contains("kept: policyc rollback --to 2"), "{}", said.out);

    let document = lab.says(["history", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["generations"][0]["ended"]["how"], "superseded");
    assert_eq!(document["generations"][2]["live"], true);
    assert_eq!(document["generations"][2]["by"]["uid"], 0);

    let ended = lab.refuses(["rollback", "--to", "7"]);
    assert!(ended.err.contains("no copy of it is kept"), "{}", ended.err);
}

/// A file system of its own for the state; gone with the value.
struct Disk(String);

impl Disk {
    fn small(at: &str) -> Self {
        must(&format!("mount -t tmpfs -o size=16m tmpfs {at}"));
        Self(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(&format!("umount {}", self.0));
    }
}

#[test]
fn on_a_full_disk_what_is_live_stays() {
    let Some(lab) = Lab::new("history::on_a_full_disk_what_is_live_stays") else { return };
    lab.without_ipv6();
    let state = lab.dirs.state.display().to_string();
    fs::create_dir_all(&lab.dirs.state).expect("a folder");
    let disk = Disk::small(&state);
    apply(&lab, &deny_echo(), TC);
    // All of it: the next file has no room.
    let _ = run(&format!("dd if=/dev/zero of={state}/full bs=4k status=none"));
    let (file, to) = (lab.file("b.policyc"), lab.file("bindings.yaml"));
    save(&allow_all(), &file);
    fs::write(&to, bindings_text(&lab, TC)).expect("a file");
    let args = ["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()];
    for args in [&args[..], &["rollback".as_ref(), "--to".as_ref(), "1".as_ref()]] {
        let ended = lab.refuses(args);
        assert!(!ended.err.is_empty());
        assert!(!ping(&lab.left, "10.77.0.2"), "{}", ended.err);
        assert_eq!(lab.live().generation, 1);
    }
    let ended = lab.refuses(args);
    assert!(ended.err.to_lowercase().contains("no space left"), "{}", ended.err);
    fs::remove_file(lab.dirs.state.join("full")).expect("a file");
    lab.says(args);
    assert!(ping(&lab.left, "10.77.0.2"));
    assert!(!lab.says(["history"]).contains("not tidied"));
    lab.says(["remove"]);
    drop(disk);
}
