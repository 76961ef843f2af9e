//! The unit of the service.

use std::fs;
use std::process::Command;

use crate::is_there;
use crate::tool::root;

#[test]
fn systemd_has_nothing_to_say() {
    if !is_there("systemd-analyze", "systemd", "unit::systemd_has_nothing_to_say") {
        return;
    }
    let unit = root().join("packaging/systemd/policyc-metrics.service");
    let text = fs::read_to_string(unit).expect("a unit");
    assert!(text.contains("ExecStart=/usr/bin/policyc metrics --listen ${LISTEN}\n"));
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("policyc-metrics.service");
    // What is checked is the unit: a command that is there stands for the one that is not.
    fs::write(&copy, text.replace("/usr/bin/policyc ", "/bin/true ")).expect("a file");
    for args in [
        &["verify", "--man=no", "--recursive-errors=no"][..],
        // 10 is without any protection; tenths of them.
        &["security", "--offline=true", "--no-pager", "--threshold=40"],
    ] {
        let output = Command::new("systemd-analyze").args(args).arg(&copy).output();
        let output = output.expect("systemd-analyze runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("policyc-metrics"), "{said}");
    }
}
