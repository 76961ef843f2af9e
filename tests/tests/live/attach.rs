//! What comes after `apply` is bound to the generation that is live.

use crate::build::{allow_all, apply, deny_echo};
use crate::lab::{Lab, must, ping, wait_for};
use crate::tool;

/// A second wire between the two ends.
fn second_wire(lab: &Lab) {
    let (left, right) = (&lab.left, &lab.right);
    must(&format!("ip link add second netns {left} type veth peer name second netns {right}"));
    for (netns, end) in [(left, 1), (right, 2)] {
        must(&format!("ip -n {netns} addr add 10.80.0.{end}/24 dev second"));
        must(&format!("ip -n {netns} link set second up"));
    }
    wait_for("the wire to carry", || ping(left, "10.80.0.2").then_some(()));
}

#[test]
fn an_interface_that_came_later() {
    let Some(lab) = Lab::new("attach::an_interface_that_came_later") else { return };
    lab.without_ipv6();
    let bindings = "- subject: demo/right\n  attach: {netns: {path: RIGHT}}\n";
    apply(&lab, &deny_echo(), bindings);
    assert!(!ping(&lab.left, "10.77.0.2"));

    second_wire(&lab);
    let told = tool::run(&mut lab.policyc(["status"]));
    assert_eq!(told.status, Some(1), "{}{}", told.out, told.err);
    let line = format!("tc ingress of second in {}: demo/right", Lab::netns(&lab.right).display());
    assert!(told.out.contains(&line), "{}", told.out);
    assert!(told.out.contains("DRIFT: bound, and not judged yet"), "{}", told.out);
    assert!(told.out.contains("help: `policyc attach`"), "{}", told.out);

    let said = lab.says(["attach", "--netns", &lab.right]);
    assert!(said.starts_with("generation 1 judges there too\n"), "{said}");
    assert!(!ping(&lab.left, "10.80.0.2"), "it is judged by the same generation");
    lab.says(["status"]);
    let said = lab.says(["attach", "--netns", &lab.right]);
    assert_eq!(said, "generation 1 judges there already\n");

    // The next generation judges at both, and `remove` leaves neither.
    apply(&lab, &allow_all(), bindings);
    assert!(ping(&lab.left, "10.80.0.2") && ping(&lab.left, "10.77.0.2"));
    lab.says(["status"]);
    lab.says(["remove", "--all"]);
    assert!(!lab.dirs.pins().exists());
}

#[test]
fn somebody_else_somewhere_else() {
    let Some(mut lab) = Lab::new("attach::somebody_else_somewhere_else") else { return };
    lab.without_ipv6();
    // Nothing needs a program of tc yet.
    let cgroup = lab.cgroup();
    let left =
        format!("- subject: demo/left\n  attach: {{cgroup: {{path: {}}}}}\n", cgroup.display());
    apply(&lab, &deny_echo(), &left);
    assert!(ping(&lab.left, "10.77.0.2"));
    let unknown = lab.refuses(["attach", "--netns", &lab.right]);
    assert!(unknown.err.contains("nobody is bound there by what was applied"), "{}", unknown.err);
    let wrong = lab.refuses(["attach", "--netns", &lab.right, "--subject", "demo/nobody"]);
    assert!(wrong.err.contains("the artifact has no subject `demo/nobody`"), "{}", wrong.err);
    let gone = lab.refuses(["attach", "--iface", "pc-nowhere", "--subject", "demo/right"]);
    assert!(gone.err.contains("no interface `pc-nowhere` for `demo/right`"), "{}", gone.err);
    lab.says(["status"]);

    let said = lab.says(["attach", "--netns", &lab.right, "--subject", "demo/right"]);
    assert!(said.contains("tc ingress of veth-right in "), "{said}");
    assert!(!ping(&lab.left, "10.77.0.2"));
    lab.says(["status"]);
    let counted = lab.says(["status", "-o", "json"]);
    assert!(counted.contains("demo/deny-echo"), "{counted}");
    let seen = lab.says(["observe", "--last", "1", "--verdict", "dropped"]);
    assert!(seen.contains("demo/deny-echo spec.ingressDeny[0]"), "{seen}");
}

#[test]
fn nothing_is_live() {
    let Some(lab) = Lab::new("attach::nothing_is_live") else { return };
    let refused = lab.refuses(["attach", "--iface", "lo", "--subject", "demo/right"]);
    assert!(refused.err.contains("nothing is live to be attached"), "{}", refused.err);
    assert!(refused.err.contains("help: `policyc apply` first"), "{}", refused.err);
}
