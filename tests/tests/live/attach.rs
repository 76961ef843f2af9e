//! What comes after `apply` is bound to the generation that is live.

use std::fs;

use crate::build::{bindings_text, example, ping_artifact, save};
use crate::lab::{Lab, must, run, wait_for};
use crate::tool;

const HEARS_NOT: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: hears-not, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: right}}
  enableDefaultDeny: {ingress: false, egress: false}
  ingressDeny: [{fromEntities: [all], icmps: [{fields: [{type: EchoRequest}]}]}]
";

fn apply(lab: &Lab, policy: &str, bindings: &str) {
    let (file, to) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
    save(&ping_artifact("a", policy), &file);
    fs::write(&to, bindings_text(lab, bindings)).expect("a file");
    lab.says(["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()]);
}

fn ping(lab: &Lab, to: &str) -> bool {
    let ping = format!("ip netns exec {} ping -q -c 2 -i 0.02 -W 1 {to}", lab.left);
    run(&ping).status.success()
}

/// A second wire between the two ends.
fn second_wire(lab: &Lab) {
    let (left, right) = (&lab.left, &lab.right);
    must(&format!("ip link add second netns {left} type veth peer name second netns {right}"));
    for (netns, end) in [(left, 1), (right, 2)] {
        must(&format!("ip -n {netns} addr add 10.80.0.{end}/24 dev second"));
        must(&format!("ip -n {netns} link set second up"));
    }
    wait_for("the wire to carry", || ping(lab, "10.80.0.2").then_some(()));
}

#[test]
fn an_interface_that_came_later() {
    let Some(lab) = Lab::new("attach::an_interface_that_came_later") else { return };
    lab.without_ipv6();
    let bindings = "- subject: demo/right\n  attach: {netns: {path: RIGHT}}\n";
    apply(&lab, HEARS_NOT, bindings);
    assert!(!ping(&lab, "10.77.0.2"));

    second_wire(&lab);
    let told = tool::run(&mut lab.policyc(["status"]));
    assert_eq!(told.status, Some(1), "{}{}", told.out, told.err);
    let line = format!("tc ingress of second in {}: demo/right", Lab::netns(&lab.right).display());
    assert!(told.out.contains(&line), "{}", told.out);
    assert!(told.out.contains("DRIFT: bound, and not judged yet"), "{}", told.out);
    assert!(told.out.contains("help: `policyc attach`"), "{}", told.out);

    let said = lab.says(["attach", "--netns", &lab.right]);
    assert!(said.starts_with("generation 1 judges there too\n"), "{said}");
    assert!(!ping(&lab, "10.80.0.2"), "it is judged by the same generation");
    lab.says(["status"]);
    let said = lab.says(["attach", "--netns", &lab.right]);
    assert_eq!(said, "generation 1 judges there already\n");

    // The next generation judges at both, and `remove` leaves neither.
    apply(&lab, &example("ping/allow-all.yaml"), bindings);
    assert!(ping(&lab, "10.80.0.2") && ping(&lab, "10.77.0.2"));
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
    apply(&lab, HEARS_NOT, &left);
    assert!(ping(&lab, "10.77.0.2"));
    let unknown = lab.refuses(["attach", "--netns", &lab.right]);
    assert!(unknown.err.contains("nobody is bound there by what was applied"), "{}", unknown.err);
    let wrong = lab.refuses(["attach", "--netns", &lab.right, "--subject", "demo/nobody"]);
    assert!(wrong.err.contains("the artifact has no subject `demo/nobody`"), "{}", wrong.err);
    let gone = lab.refuses(["attach", "--iface", "pc-nowhere", "--subject", "demo/right"]);
    assert!(gone.err.contains("no interface `pc-nowhere` for `demo/right`"), "{}", gone.err);
    lab.says(["status"]);

    let said = lab.says(["attach", "--netns", &lab.right, "--subject", "demo/right"]);
    assert!(said.contains("tc ingress of veth-right in "), "{said}");
    assert!(!ping(&lab, "10.77.0.2"));
    lab.says(["status"]);
    let counted = lab.says(["status", "-o", "json"]);
    assert!(counted.contains("demo/hears-not"), "{counted}");
    let seen = lab.says(["observe", "--last", "1", "--verdict", "dropped"]);
    assert!(seen.contains("demo/hears-not spec.ingressDeny[0]"), "{seen}");
}

#[test]
fn nothing_is_live() {
    let Some(lab) = Lab::new("attach::nothing_is_live") else { return };
    let refused = lab.refuses(["attach", "--iface", "lo", "--subject", "demo/right"]);
    assert!(refused.err.contains("nothing is live to be attached"), "{}", refused.err);
    assert!(refused.err.contains("help: `policyc apply` first"), "{}", refused.err);
}
