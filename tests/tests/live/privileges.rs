//! Without a privilege that a command needs it says which one.

use std::process::{Command, Stdio};

use crate::build::{artifact, bindings_text, example, ping_artifact, save};
use crate::lab::Lab;
use crate::tool::{self, binary, root};

/// What is dropped, what is applied, and what the message names.
const CASES: [(&str, &str, &str); 5] = [
    ("-net_admin", "network", "CAP_NET_ADMIN"),
    ("-bpf,-sys_admin", "network", "CAP_BPF"),
    ("-perfmon,-sys_admin", "tracing", "CAP_PERFMON"),
    ("-sys_admin", "network", "CAP_SYS_ADMIN"),
    ("-all", "tracing", "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"),
];

#[test]
fn what_is_missing_is_named() {
    let Some(lab) = Lab::new("privileges::what_is_missing_is_named") else { return };
    let (network, tracing) = (lab.file("network"), lab.file("tracing"));
    save(&ping_artifact("allow", &example("ping/allow-all.yaml")), &network);
    save(&artifact("hello", &example("exec/hello.yaml"), ""), &tracing);
    let bindings = lab.file("bindings.yaml");
    let right = "- subject: demo/right\n  attach: {tc: {interface: veth-right, netns: RIGHT}}\n";
    std::fs::write(&bindings, bindings_text(&lab, right)).expect("a file");

    for (dropped, what, named) in CASES {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", dropped]).arg(binary()).arg("apply").arg(lab.file(what));
        command.arg("--pins").arg(lab.dirs.pins()).arg("--state").arg(&lab.dirs.state);
        if what == "network" {
            command.arg("--bindings").arg(&bindings);
        }
        let ended = tool::run(command.current_dir(root()).stdin(Stdio::null()));
        assert_eq!(ended.status, Some(2), "{dropped}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(named), "{dropped}: {}", ended.err);
        assert!(ended.err.contains("help: run as root, or grant"), "{dropped}: {}", ended.err);
        assert!(!lab.dirs.pins().exists(), "{dropped}: nothing is pinned");
    }
}
