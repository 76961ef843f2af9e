//! A thousand workloads that behave in ten ways cost what ten workloads cost.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use policyc_bpf::{Artifact, MapSpec};

use crate::build::{artifact, bind};
use crate::lab::Lab;
use crate::traffic::within;

const WORKLOADS: usize = 1000;
const BEHAVIOURS: usize = 10;

/// Workload N is of team N % 10, and each team has one rule of its own.
fn teams(workloads: usize) -> Artifact {
    let (mut inventory, mut policies) = (String::new(), String::new());
    for number in 0..workloads {
        let (team, a, b) = (number % BEHAVIOURS, number / 250, number % 250 + 1);
        // Writing to a string cannot fail.
        let _ = writeln!(
            inventory,
            "---\napiVersion: policyc.io/v1alpha1\nkind: Workload\n\
             metadata: {{name: w{number}, namespace: demo, labels: {{team: t{team}}}}}\n\
             spec: {{addresses: [10.9.{a}.{b}]}}"
        );
    }
    for team in 0..BEHAVIOURS {
        let port = 7100 + team;
        let _ = writeln!(
            policies,
            "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
             metadata: {{name: t{team}, namespace: demo}}\n\
             spec:\n  endpointSelector: {{matchLabels: {{team: t{team}}}}}\n  \
             ingress: [{{toPorts: [{{ports: [{{port: '{port}', protocol: UDP}}]}}]}}]"
        );
    }
    artifact("teams", &policies, &inventory)
}

fn map<'a>(artifact: &'a Artifact, name: &str) -> &'a MapSpec {
    let mut maps = artifact.object().maps.values();
    maps.find(|map| map.name == name).unwrap_or_else(|| panic!("no map `{name}`"))
}

#[test]
fn a_thousand_workloads_of_ten_behaviours_cost_ten_rows() {
    let (many, few) = (teams(WORKLOADS), teams(BEHAVIOURS));
    let behaviours = |artifact: &Artifact| -> BTreeSet<u32> {
        artifact.manifest().subjects.iter().map(|subject| subject.row).collect()
    };
    assert_eq!(many.manifest().subjects.len(), WORKLOADS);
    assert_eq!(behaviours(&many), (0..BEHAVIOURS as u32).collect());
    assert_eq!(behaviours(&few), behaviours(&many));
    // No table has more in it than that of ten workloads, and the programs are as long.
    for spec in few.object().maps.values() {
        let same = map(&many, &spec.name);
        assert_eq!(same.contents.len(), spec.contents.len(), "{}", spec.name);
        assert_eq!(same.max_entries, spec.max_entries, "{}", spec.name);
    }
    let cost = |artifact: &Artifact| artifact.manifest().cost.clone();
    assert_eq!(cost(&many).insns, cost(&few).insns);
    assert_eq!(cost(&many).map_bytes, cost(&few).map_bytes);
    println!("{} subjects, rows and cells of {} bytes", WORKLOADS, cost(&many).maps["rows"]);
}

#[test]
fn a_thousand_workloads_are_live() {
    let Some(lab) = Lab::new("many::a_thousand_workloads_are_live") else { return };
    lab.without_ipv6();
    let artifact = teams(WORKLOADS);
    // Two of them, of teams 7 and 3, are here; what they allow is told apart.
    let bindings = "- subject: demo/w997
  attach: {tc: {interface: veth-right, netns: RIGHT}}
- subject: demo/w3
  attach: {tc: {interface: veth-left, netns: LEFT}}
";
    lab.apply(&artifact, &bind(&lab, bindings)).unwrap_or_else(|error| panic!("{error:?}"));
    let receiver = |port: u16| lab.udp(port);
    let (sender, allowed) = receiver(7107);
    let denied = within(&lab.right, || std::net::UdpSocket::bind((lab.address(2), 7103)));
    denied.set_nonblocking(true).expect("a mode");
    let _ = sender.send_to(b"no", (lab.address(2), 7103));
    sender.send(b"yes").expect("sends");
    let mut buffer = [0; 8];
    allowed.set_read_timeout(Some(crate::lab::PATIENCE)).expect("a timeout");
    assert_eq!(allowed.recv(&mut buffer).expect("what is allowed arrives"), 3);
    // It was sent first, on the same wire.
    assert!(denied.recv(&mut buffer).is_err(), "what another team allows is denied");
}
