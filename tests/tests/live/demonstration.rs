//! A ping runs all along. A policy that denies echo goes live and the replies stop;
//! one that allows is swapped in and they go on; then everything is removed. What is
//! missing is what the kernel counted as denied, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use policyc_bpf::{Artifact, Outcome};
use policyc_sys::bpf::Map;

use crate::build::{bindings_text, example, ping_artifact, save};
use crate::count::decided;
use crate::lab::{Lab, must, wait_for};
use crate::tool::{self, root};
use crate::traffic::Ping;

/// Nobody but the left's own programs can ask for an echo.
const DENY_EGRESS: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: deny-echo, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: left}}
  enableDefaultDeny: {ingress: false, egress: false}
  egressDeny:
  - toEntities: [all]
    icmps: [{fields: [{family: IPv4, type: EchoRequest}, {family: IPv6, type: EchoRequest}]}]
";

/// The two policies of a demonstration, and where they are applied.
struct Play {
    deny: PathBuf,
    allow: PathBuf,
    bindings: PathBuf,
    /// In which direction the subject is judged.
    direction: &'static str,
}

impl Play {
    fn new(lab: &Lab, deny: &str, allow: &str, bindings: &str, direction: &'static str) -> Self {
        let file = |name: &str| lab.file(name);
        let play = Self {
            deny: file("deny.policyc"),
            allow: file("allow.policyc"),
            bindings: file("bindings.yaml"),
            direction,
        };
        save(&ping_artifact("deny", deny), &play.deny);
        save(&ping_artifact("allow", allow), &play.allow);
        fs::write(&play.bindings, bindings_text(lab, bindings)).expect("a file");
        play
    }

    fn apply(&self, lab: &Lab, artifact: &Path) {
        let (artifact, bindings) = (artifact.as_os_str(), self.bindings.as_os_str());
        lab.says(["apply".as_ref(), artifact, "--bindings".as_ref(), bindings]);
    }

    /// The whole play under one ping.
    fn run(&self, lab: &Lab, mut ping: Ping) {
        ping.more_replies(5);
        self.apply(lab, &self.deny);
        let counters = lab.counters(1);
        let artifact = Artifact::from_bytes(&fs::read(&self.deny).expect("a file"));
        let artifact = artifact.expect("an artifact");
        let denied = || denied(&artifact, &counters);
        wait_for("denied packets", || (denied() >= 5).then_some(()));
        self.is_said(lab);

        self.apply(lab, &self.allow);
        let denied = denied();
        wait_for("replies after the gap", || (!ping.gaps().is_empty()).then_some(()));
        lab.says(["remove", "--all"]);
        ping.more_replies(5);
        ping.stop();
        let gaps = ping.gaps();
        assert!(matches!(gaps[..], [(_, missing)] if missing == denied), "{denied}: {gaps:?}");
    }

    /// `status` and `observe` say who denies, by name and line.
    fn is_said(&self, lab: &Lab) {
        let status = lab.says(["status"]);
        assert!(status.contains("generation 1 is live: "), "{status}");
        assert!(status.contains(" deny demo/deny-echo spec."), "{status}");
        let seen = lab.says(["observe", "--last", "3", "--verdict", "dropped"]);
        assert_eq!(seen.lines().count(), 3, "{seen}");
        for line in seen.lines() {
            let verdict = format!(" DROPPED   {:<7} demo/left (", self.direction);
            assert!(line.contains(&verdict), "{line}");
            assert!(line.contains(") -> demo/right ("), "{line}");
            assert!(line.contains(" type 8 by ") || line.contains(" type 128 by "), "{line}");
            let place = format!("demo/deny-echo spec.{}Deny[0] (", self.direction);
            assert!(line.contains(&place), "{line}");
        }
    }
}

/// Packets that decisions of an artifact denied.
fn denied(artifact: &Artifact, counters: &Map) -> u64 {
    let decisions = (0..).zip(&artifact.manifest().decisions);
    let denying = decisions.filter(|(_, decision)| decision.outcome == Outcome::Deny);
    denying.map(|(index, _)| decided(counters, index)).sum()
}

fn demonstrate(lab: &Lab, bindings: &str, to: &str) {
    let (deny, allow) = (example("ping/deny-echo.yaml"), example("ping/allow-all.yaml"));
    let ping = Ping::start(&lab.left, to, "");
    Play::new(lab, &deny, &allow, bindings, "ingress").run(lab, ping);
}

#[test]
fn on_tcx() {
    let both = "- subject: demo/left
  attach: {tc: {interface: veth-left, netns: LEFT}}
- subject: demo/right
  attach: {tc: {interface: veth-right, netns: RIGHT}}
";
    let Some(lab) = Lab::new("demonstration::on_tcx") else { return };
    demonstrate(&lab, both, "10.77.0.2");
}

/// The far end of the subject's wire: what it receives is what the subject sent.
#[test]
fn on_the_far_end_of_the_wire() {
    let Some(lab) = Lab::new("demonstration::on_the_far_end_of_the_wire") else { return };
    let far = "- subject: demo/left
  attach: {tc: {interface: veth-right, netns: RIGHT, side: host}}
";
    let play = Play::new(&lab, DENY_EGRESS, &example("ping/allow-all.yaml"), far, "egress");
    play.run(&lab, Ping::start(&lab.left, "fd77::2", ""));
}

#[test]
fn on_clsact() {
    let right = "- subject: demo/right
  attach: {clsact: {interface: veth-right, netns: RIGHT}}
";
    let Some(lab) = Lab::new("demonstration::on_clsact") else { return };
    // While this qdisc is made or removed, the kernel drops what the interface sends.
    must(&format!("tc -n {} qdisc add dev veth-right clsact", lab.right));
    demonstrate(&lab, right, "fd77::2");
}

#[test]
fn on_xdp() {
    let right = "- subject: demo/right
  attach: {xdp: {interface: veth-right, netns: RIGHT}}
";
    let Some(lab) = Lab::new("demonstration::on_xdp") else { return };
    demonstrate(&lab, right, "10.77.0.2");
}

#[test]
fn on_a_cgroup() {
    let Some(mut lab) = Lab::new("demonstration::on_a_cgroup") else { return };
    let cgroup = lab.cgroup();
    let left =
        format!("- subject: demo/left\n  attach: {{cgroup: {{path: {}}}}}\n", cgroup.display());
    let join = format!("echo $$ > {}/cgroup.procs;", cgroup.display());
    let ping = Ping::start(&lab.left, "10.77.0.2", &join);
    Play::new(&lab, DENY_EGRESS, &example("ping/allow-all.yaml"), &left, "egress").run(&lab, ping);
}

/// What the example's page says, word for word but for the names of the namespaces.
#[test]
fn as_the_example_says() {
    let Some(lab) = Lab::new("demonstration::as_the_example_says") else { return };
    let bindings = example("ping/bindings.yaml");
    let bindings = bindings.replace("/run/netns/left", &format!("/run/netns/{}", lab.left));
    let bindings = bindings.replace("/run/netns/right", &format!("/run/netns/{}", lab.right));
    let bindings_file = lab.file("bindings.yaml");
    fs::write(&bindings_file, bindings).expect("a file");
    for (policy, name) in [("deny-echo", "deny"), ("allow-all", "allow")] {
        let policy = format!("examples/ping/{policy}.yaml");
        let (inventory, artifact) = ("examples/ping/inventory.yaml", lab.file(name));
        let mut build = tool::policyc(["build", "-f", &policy, "-i", inventory, "-o"]);
        let built = tool::run(build.arg(artifact).current_dir(root()));
        assert_eq!(built.status, Some(0), "{}{}", built.out, built.err);
        assert!(built.out.contains("verified: kernel "), "{}", built.out);
    }
    let play = Play {
        deny: lab.file("deny"),
        allow: lab.file("allow"),
        bindings: bindings_file,
        direction: "ingress",
    };
    play.run(&lab, Ping::start(&lab.left, "10.77.0.2", ""));
}
