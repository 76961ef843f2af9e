//! Where a subject can be met: a cgroup that comes and goes, a systemd unit, all
//! interfaces of a network namespace, a port of a bridge, the host itself.

use std::fs;
use std::path::{Path, PathBuf};

use policyc_bpf::Artifact;

use crate::beyond::Beyond;
use crate::build::{allow_all, apply, artifact, bindings_text, deny_echo, ping_artifact, save};
use crate::lab::{Lab, must, ping, run, wait_for};
use crate::tool;

/// The left end may not ask for an echo.
const LEFT_ASKS_NOT: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: asks-not, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: left}}
  enableDefaultDeny: {ingress: false, egress: false}
  egressDeny: [{toEntities: [all], icmps: [{fields: [{type: EchoRequest}]}]}]
";

/// Whether there is an answer to a ping from a process of a cgroup.
fn ping_in(cgroup: &Path, lab: &Lab) -> bool {
    let join = format!("echo $$ > {}/cgroup.procs", cgroup.display());
    let ping = format!("exec ip netns exec {} ping -q -c 2 -i 0.02 -W 1 10.77.0.2", lab.left);
    run(&format!("{join} && {ping}")).status.success()
}

/// Removes cgroups. A process that ended leaves its own a moment later.
fn destroy<const N: usize>(cgroups: [&PathBuf; N]) {
    for cgroup in cgroups {
        wait_for("the cgroup to be empty", || fs::remove_dir(cgroup).ok());
    }
}

#[test]
fn a_cgroup_that_is_destroyed_and_made_again() {
    let test = "subjects::a_cgroup_that_is_destroyed_and_made_again";
    let Some(mut lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let slice = lab.cgroup();
    let (unit, other) = (slice.join("billing.service"), slice.join("other.service"));
    let bindings = format!(
        "- subject: demo/left\n  attach: {{cgroup: {{path: {}, at: {}}}}}\n",
        unit.display(),
        slice.display()
    );
    // It is not there yet.
    let denies = ping_artifact("deny", LEFT_ASKS_NOT);
    let said = apply(&lab, &denies, &bindings);
    let place = format!("egress of cgroup {}, at {}: demo/left", unit.display(), slice.display());
    assert!(said.contains(&place), "{said}");
    for round in 0..3 {
        for cgroup in [&unit, &other] {
            fs::create_dir(cgroup).expect("a cgroup");
        }
        // Those of its processes are judged wherever below they are.
        let inner = unit.join("worker");
        fs::create_dir(&inner).expect("a cgroup");
        assert!(!ping_in(&unit, &lab), "round {round}: no command ran since it was made");
        assert!(!ping_in(&inner, &lab), "round {round}: nor in one below");
        assert!(ping_in(&other, &lab), "round {round}: what is beside it is not judged");
        assert!(ping(&lab.left, "10.77.0.2"), "round {round}: nor what is outside");
        lab.says(["status"]);
        destroy([&inner, &unit, &other]);
        lab.says(["status"]);
    }
    fs::create_dir(&unit).expect("a cgroup");
    apply(&lab, &allow_all(), &bindings);
    assert!(ping_in(&unit, &lab), "the next generation judges the same cgroup");
    apply(&lab, &denies, &bindings);
    assert!(!ping_in(&unit, &lab));
    lab.says(["remove", "--all"]);
    assert!(ping_in(&unit, &lab), "and none");
    destroy([&unit]);
    assert!(!lab.dirs.pins().exists());
}

#[test]
fn a_systemd_unit_that_is_started_again() {
    let test = "subjects::a_systemd_unit_that_is_started_again";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let mount = policyc_sys::host::cgroup2_mount().expect("a hierarchy");
    let slice = mount.join(format!("{}.slice", lab.dirs.name));
    let name = format!("{}.service", lab.dirs.name);
    let unit = slice.join(&name);
    fs::create_dir_all(&unit).expect("cgroups");
    let bindings = format!("- subject: demo/left\n  attach: {{unit: {{name: {name}}}}}\n");
    let said = apply(&lab, &ping_artifact("deny", LEFT_ASKS_NOT), &bindings);
    assert!(said.contains(&format!("egress of cgroup {}, at ", unit.display())), "{said}");
    assert!(!ping_in(&unit, &lab));
    // With the last unit its slice goes.
    destroy([&unit, &slice]);
    fs::create_dir_all(&unit).expect("cgroups");
    let judged = !ping_in(&unit, &lab);
    destroy([&unit, &slice]);
    assert!(judged, "started again, it is judged as before");
    lab.says(["status"]);

    for (wrong, expected) in [
        ("billing", "`billing` of `demo/left` is not the name of a unit that has a cgroup"),
        ("a/b.service", "`a/b.service` of `demo/left` is not the name of a unit"),
    ] {
        let text = bindings_text(&lab, &bindings.replace(&name, wrong));
        let (file, to) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
        fs::write(&to, text).expect("a file");
        let args = ["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()];
        let ended = lab.refuses(args);
        assert!(ended.err.contains(expected), "{}", ended.err);
        assert!(ended.err.contains("help: write its full name"), "{}", ended.err);
    }
}

#[test]
fn all_interfaces_of_a_network_namespace() {
    let Some(lab) = Lab::new("subjects::all_interfaces_of_a_network_namespace") else { return };
    lab.without_ipv6();
    let (left, right) = (&lab.left, &lab.right);
    must(&format!("ip link add second netns {left} type veth peer name second netns {right}"));
    for (netns, end) in [(left, 1), (right, 2)] {
        must(&format!("ip -n {netns} addr add 10.80.0.{end}/24 dev second"));
        must(&format!("ip -n {netns} link set second up"));
    }
    for to in ["10.77.0.2", "10.80.0.2"] {
        wait_for("the wires to carry", || ping(left, to).then_some(()));
    }
    let bindings = "- subject: demo/right\n  attach: {netns: {path: RIGHT}}\n";
    let said = apply(&lab, &deny_echo(), bindings);
    assert!(said.contains("ingress of veth-right in "), "{said}");
    assert!(said.contains("egress of second in "), "{said}");
    assert!(!said.contains(" of lo "), "the loopback is left alone: {said}");
    assert!(!ping(left, "10.77.0.2") && !ping(left, "10.80.0.2"), "both are judged");
    assert!(ping(right, "127.0.0.1"), "what stays inside is not");
    apply(&lab, &allow_all(), bindings);
    assert!(ping(left, "10.77.0.2") && ping(left, "10.80.0.2"));
}

#[test]
fn a_port_of_a_bridge() {
    let Some(lab) = Lab::new("subjects::a_port_of_a_bridge") else { return };
    lab.without_ipv6();
    // The host's end of the left's pair is a port; the address is the bridge's.
    for command in [
        "link add br0 address 02:00:00:00:00:02 type bridge",
        "addr flush dev veth-right",
        "link set veth-right master br0",
        "link set br0 up",
        "addr add 10.77.0.2/24 dev br0",
        "neigh add 10.77.0.1 dev br0 lladdr 02:00:00:00:00:01",
    ] {
        must(&format!("ip -n {} {command}", lab.right));
    }
    wait_for("the bridge to carry", || ping(&lab.left, "10.77.0.2").then_some(()));
    let port = "- subject: demo/left
  attach: {tc: {interface: veth-right, netns: RIGHT, side: host}}
";
    apply(&lab, &ping_artifact("deny", LEFT_ASKS_NOT), port);
    assert!(!ping(&lab.left, "10.77.0.2"), "what it sends is judged at its port");
    assert!(ping(&lab.right, "10.77.0.1"), "what others ask it is not what it asks");
    apply(&lab, &allow_all(), port);
    assert!(ping(&lab.left, "10.77.0.2"));
}

/// The right end is a host that forwards.
pub(crate) const HOST: &str = "
apiVersion: v1
kind: Node
metadata: {name: gateway, labels: {role: gateway}}
status: {addresses: [{type: InternalIP, address: 10.77.0.2}]}
";

fn host_policy(direction: &str, peers: &str) -> Artifact {
    let policy = format!(
        "
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {{name: no-echo}}
spec:
  nodeSelector: {{matchLabels: {{role: gateway}}}}
  enableDefaultDeny: {{ingress: false, egress: false}}
  {direction}Deny: [{{{peers}: [all], icmps: [{{fields: [{{type: EchoRequest}}]}}]}}]
"
    );
    artifact("host", &policy, HOST)
}

/// The command, in the network namespace that is the host here.
pub(crate) fn apply_in(lab: &Lab, artifact: &Artifact, bindings: &str) -> tool::Ended {
    let (file, to) = (lab.file("h.policyc"), lab.file("host.yaml"));
    save(artifact, &file);
    fs::write(&to, bindings_text(lab, bindings)).expect("a file");
    let command =
        lab.policyc(["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()]);
    // `ip netns exec` would hide the BPF file system.
    let mut inside = std::process::Command::new("nsenter");
    let netns: PathBuf = Lab::netns(&lab.right);
    inside.arg(format!("--net={}", netns.display())).arg(command.get_program());
    tool::run(inside.args(command.get_args()))
}

#[test]
fn the_host_and_not_what_it_forwards() {
    let Some(lab) = Lab::new("subjects::the_host_and_not_what_it_forwards") else { return };
    lab.without_ipv6();
    let beyond = Beyond::new(&lab);
    let (left, right) = (&lab.left, &lab.right);
    let all = "- subject: gateway\n  attach: {host: {}}\n";
    let works = || [ping(left, "10.77.0.2"), ping(left, "10.79.0.2"), ping(right, "10.77.0.1")];
    wait_for("the wires to carry", || (works() == [true; 3]).then_some(()));

    let ended = apply_in(&lab, &host_policy("ingress", "fromEntities"), all);
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    for interface in ["veth-right", "beyond"] {
        let place = format!("ingress of the host by {interface}: gateway");
        assert!(ended.out.contains(&place), "{}", ended.out);
    }
    assert!(!ended.out.contains(" by lo"), "{}", ended.out);
    assert_eq!(works(), [false, true, true], "what it takes is judged, not what it forwards");
    assert!(!ping(left, "10.79.0.1"), "by whichever address it is asked");
    assert!(!ping(&beyond.name, "10.77.0.2"), "and from wherever");
    assert!(ping(right, "127.0.0.1"), "the loopback is left alone");

    let ended = apply_in(&lab, &host_policy("egress", "toEntities"), all);
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(works(), [true, true, false], "what it sends is judged, not what it forwards");

    // An interface without Ethernet headers is not passed over in silence.
    must(&format!("ip -n {right} tuntap add dev tun7 mode tun"));
    must(&format!("ip -n {right} link set tun7 up"));
    let ended = apply_in(&lab, &host_policy("egress", "toEntities"), all);
    assert_eq!(ended.status, Some(2), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("interface `tun7` of `gateway` has no Ethernet"), "{}", ended.err);
    let named = "- subject: gateway\n  attach: {host: {interfaces: [veth-right, beyond]}}\n";
    let ended = apply_in(&lab, &host_policy("ingress", "fromEntities"), named);
    assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(works(), [false, true, true]);
}
