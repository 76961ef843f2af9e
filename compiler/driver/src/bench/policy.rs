//! The policies that are measured: N rules, each one network and one port, for one
//! workload that denies everything else.
//!
//! They are made as text and take the same road as everybody's.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use policyc_bpf::Object;
use policyc_policy::network::{self, Flow, protocol};

use super::{BenchError, PACKETS};
use crate::pipeline::{self, Built, Input};
use crate::session::Session;

/// Different destination ports of all rules.
const PORTS: u32 = 32;
const SUBJECT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// No rule's network: rules begin at 20.0.0.0.
const STRANGER: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 1);

/// A compiled policy with packets for it.
#[derive(Debug)]
pub(super) struct Generated {
    /// How many rules it has.
    pub(super) rules: usize,
    /// The programs.
    pub(super) object: Object,
    /// Behaviour of the one subject.
    pub(super) behaviour: u32,
    /// Flows that the policy allows, [`PACKETS`] of them.
    pub(super) allowed: Vec<Flow>,
    /// One that it denies.
    pub(super) denied: Flow,
}

/// One rule.
#[derive(Clone, Copy)]
struct Rule {
    network: u32,
    length: u32,
    port: u16,
}

impl Generated {
    /// Compiles a policy and asks the oracle about its packets.
    ///
    /// # Errors
    /// What is always a bug: these policies have no mistakes.
    pub(super) fn new(rules: usize) -> Result<Self, BenchError> {
        let internal = |what: &str| BenchError::Internal(format!("{rules} rules: {what}"));
        let list: Vec<Rule> = (0..rules as u32).map(rule).collect();
        let built = build(&list).ok_or_else(|| internal("the policy does not compile"))?;
        let decision = built.decided.network.as_ref().ok_or_else(|| internal("no decision"))?;
        let subject = decision.subjects.iter().find(|s| s.addresses.contains(&SUBJECT.into()));
        let behaviour = subject.ok_or_else(|| internal("no subject"))?.behaviour as u32;
        let allowed: Vec<Flow> = (0..PACKETS).map(|packet| allowed(&list, packet)).collect();
        let denied = flow(STRANGER, list[0].port);
        let policy = &built.policy;
        let is_allowed = |flow: &Flow| {
            network::eval(&policy.network, &policy.inventory, policy.dialect, flow).allowed()
        };
        if !allowed.iter().all(is_allowed) || is_allowed(&denied) {
            return Err(internal("the oracle judges the packets differently"));
        }
        Ok(Self { rules, object: built.compiled.object, behaviour, allowed, denied })
    }
}

fn build(rules: &[Rule]) -> Option<Built> {
    let mut session = Session::new();
    let policy = session.sources.add("bench.yaml", policy_text(rules));
    let inventory = session.sources.add("inventory.yaml", inventory_text());
    let input = Input { policies: vec![policy], inventory: vec![inventory], ..Input::default() };
    pipeline::build(&mut session, &input)
}

fn policy_text(rules: &[Rule]) -> String {
    let mut text = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
                    metadata: {name: bench, namespace: bench}\n\
                    spec:\n  endpointSelector: {matchLabels: {app: bench}}\n  ingress:\n"
        .to_owned();
    for Rule { network, length, port } in rules {
        let network = Ipv4Addr::from(*network);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  - fromCIDR: [{network}/{length}]\n    \
             toPorts: [{{ports: [{{port: \"{port}\", protocol: TCP}}]}}]"
        );
    }
    text
}

fn inventory_text() -> String {
    format!(
        "apiVersion: policyc.io/v1alpha1\nkind: Workload\n\
         metadata: {{name: bench, namespace: bench, labels: {{app: bench}}}}\n\
         spec: {{addresses: [{SUBJECT}]}}\n"
    )
}

/// Networks of 16 to 32 bits between 20.0.0.0 and 219.255.255.255.
fn rule(index: u32) -> Rule {
    let length = 16 + scattered(index, 1) % 17;
    let address = (20 + scattered(index, 2) % 200) << 24 | scattered(index, 3) >> 8;
    let port = (1024 + scattered(index, 4) % PORTS * 977) as u16;
    Rule { network: address & mask(length), length, port }
}

fn mask(length: u32) -> u32 {
    u32::MAX << (32 - length)
}

/// A packet that some rule allows; packets are spread over all rules.
fn allowed(rules: &[Rule], packet: usize) -> Flow {
    let Rule { network, length, port } = match rules.len() {
        n if n < PACKETS => rules[packet % n],
        n => rules[packet * n / PACKETS],
    };
    let host = scattered(packet as u32, 5) & !mask(length);
    flow(Ipv4Addr::from(network | host), port)
}

fn flow(source: Ipv4Addr, port: u16) -> Flow {
    let (source, destination) = (IpAddr::V4(source), IpAddr::V4(SUBJECT));
    Flow { source, destination, protocol: protocol::TCP, port }
}

/// A number that looks like chance and is the same everywhere (the mixing function
/// of MurmurHash3).
fn scattered(index: u32, salt: u32) -> u32 {
    let mut n = index.wrapping_mul(0x9e37_79b9) ^ salt.wrapping_mul(0x85eb_ca6b);
    for factor in [0x85eb_ca6b, 0xc2b2_ae35] {
        n = (n ^ n >> 15).wrapping_mul(factor);
    }
    n ^ n >> 16
}
