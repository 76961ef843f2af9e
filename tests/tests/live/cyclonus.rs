//! Cases of cyclonus end to end: its policies on nine pods, and real sockets that
//! try to reach each other. What its tables say about a pair is what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::thread;

use policyc::pipeline::Input;
use policyc_policy::network::protocol::{TCP, UDP};

use crate::build;
use crate::case::{Case, Claim};
use crate::cyclonus_cases;
use crate::pods::{Pod, Pods};

const TEST: &str = "cyclonus::real_sockets";
/// Every how many steps of its cases one is tried.
const EVERY: usize = 5;
/// Fewer would not be what this test is for.
const ENOUGH: usize = 20;

#[test]
fn real_sockets() {
    let Some(cases) = cyclonus_cases::cases() else { return };
    let Some(pods) = Pods::new(TEST, &nine()) else { return };
    let ours: BTreeSet<_> = pods.pods.iter().map(|pod| IpAddr::V4(pod.address)).collect();
    let (mut tried, mut pairs) = (0, 0);
    for case in cases.iter().step_by(EVERY).filter(|case| ends(case) == ours) {
        let options = Input { dialect: case.dialect, ..Input::default() };
        let (policies, inventory) = (&case.policies, &case.inventory);
        pods.apply(&build::artifact_with(&case.id, policies, inventory, options));
        pairs += try_case(&pods, case);
        tried += 1;
    }
    println!("{tried} cases of cyclonus: {pairs} pairs and ports as its tables say");
    assert!(tried >= ENOUGH, "{tried} cases");
}

/// The pods of its model: a, b and c in x, y and z.
fn nine() -> Vec<(String, Ipv4Addr)> {
    let pod = |(i, j): (u8, u8)| {
        let (namespace, pod) = (char::from(b'x' + i), char::from(b'a' + j));
        (format!("{namespace}/{pod}"), Ipv4Addr::new(192, 168, 1 + i, 10 + j))
    };
    (0..3).flat_map(|i| (0..3).map(move |j| (i, j))).map(pod).collect()
}

/// Everybody whom a case speaks about.
fn ends(case: &Case) -> BTreeSet<IpAddr> {
    case.claims.iter().flat_map(|claim| [claim.flow.source, claim.flow.destination]).collect()
}

/// Every pair on every port; how many there were. Not every kernel has sockets of
/// SCTP: the tests of engines judge its flows.
fn try_case(pods: &Pods, case: &Case) -> usize {
    let mut by_port: BTreeMap<(u8, u16), Vec<&Claim>> = BTreeMap::new();
    for claim in case.claims.iter().filter(|claim| [TCP, UDP].contains(&claim.flow.protocol)) {
        by_port.entry((claim.flow.protocol, claim.flow.port)).or_default().push(claim);
    }
    for ((protocol, port), claims) in &by_port {
        let _servers = pods.serve(*protocol, *port);
        try_port(pods, &case.id, claims);
    }
    by_port.values().map(Vec::len).sum()
}

/// All pairs at once: a port takes as long as its slowest pair.
fn try_port(pods: &Pods, case: &str, claims: &[&Claim]) {
    thread::scope(|scope| {
        let tries: Vec<_> = claims
            .iter()
            .map(|Claim { flow, allowed }| {
                let (from, to) = (pod(pods, flow.source), pod(pods, flow.destination));
                let to = SocketAddrV4::new(to.address, flow.port);
                (flow, allowed, scope.spawn(move || from.reaches(to, flow.protocol, *allowed)))
            })
            .collect();
        for (flow, allowed, reached) in tries {
            let reached = reached.join().expect("no panic");
            assert_eq!(reached, *allowed, "{case}: {flow:?}");
        }
    });
}

fn pod(pods: &Pods, address: IpAddr) -> &Pod {
    let found = pods.pods.iter().find(|pod| IpAddr::V4(pod.address) == address);
    found.expect("only cases about these pods are tried")
}
