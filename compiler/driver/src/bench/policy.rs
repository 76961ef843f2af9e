//! The policies that are measured: N rules, each one network and one port, for one
//! workload that denies everything else.
//!
//! They are made as text and take the same road as everybody's.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use policyc_bpf::Object;
use policyc_bpf::sets::{MOST, View};
use policyc_codegen::lower::set_tables::initial;
use policyc_policy::inventory::DYNAMIC;
use policyc_policy::network::{self, Flow, protocol};

use super::{BenchError, PACKETS};
use crate::pipeline::{self, Built, Input};
use crate::session::Session;

/// Different destination ports of all rules.
const PORTS: u32 = 32;
const SUBJECT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// No rule's network: rules begin at 20.0.0.0.
const STRANGER: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 1);

/// A prefix that no packet comes from.
const NOWHERE: &str = "240.0.0.0/4";

/// A compiled policy with packets for it.
#[derive(Debug)]
pub(super) struct Generated {
    /// What it is, for people.
    pub(super) title: String,
    /// The programs.
    pub(super) object: Object,
    /// The members of its run-time sets.
    pub(super) members: View,
    /// Behaviour of the one subject.
    pub(super) behaviour: u32,
    /// Flows that the policy allows, [`PACKETS`] of them.
    pub(super) allowed: Vec<Flow>,
    /// One that it denies.
    pub(super) denied: Flow,
}

/// How the rules name their networks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Naming {
    /// As prefixes.
    Prefixes,
    /// As prefixes, and one more rule names a run-time set that no packet comes from.
    BesideASet,
    /// Each as a run-time set.
    Sets,
    /// The same, and every address is in as many sets as it can be.
    ManySets,
}

impl Naming {
    /// Every one, with what it is called.
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Prefixes, ""),
        (Self::BesideASet, ", beside a set"),
        (Self::Sets, " of sets"),
        (Self::ManySets, " of sets, in 8"),
    ];
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
    pub(super) fn new(rules: usize, (naming, name): (Naming, &str)) -> Result<Self, BenchError> {
        let title = format!("{rules} rules{name}");
        let internal = |what: &str| BenchError::Internal(format!("{title}: {what}"));
        let list: Vec<Rule> = (0..rules as u32).map(rule).collect();
        let built = build(&list, naming).ok_or_else(|| internal("the policy does not compile"))?;
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
        let members = decision.sets.as_ref().map(initial).unwrap_or_default();
        let members = View::new(&members).map_err(|error| internal(&error.to_string()))?;
        Ok(Self { title, object: built.compiled.object, members, behaviour, allowed, denied })
    }
}

fn build(rules: &[Rule], naming: Naming) -> Option<Built> {
    let mut session = Session::new();
    let policy = session.sources.add("bench.yaml", policy_text(rules, naming));
    let inventory = session.sources.add("inventory.yaml", inventory_text());
    let input = Input { policies: vec![policy], inventory: vec![inventory], ..Input::default() };
    pipeline::build(&mut session, &input)
}

fn policy_text(rules: &[Rule], naming: Naming) -> String {
    let mut text = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
                    metadata: {name: bench, namespace: bench}\n\
                    spec:\n  endpointSelector: {matchLabels: {app: bench}}\n  ingress:\n"
        .to_owned();
    let mut groups = Vec::new();
    for (number, Rule { network, length, port }) in rules.iter().enumerate() {
        let network = format!("{}/{length}", Ipv4Addr::from(*network));
        let from = match naming {
            Naming::Prefixes | Naming::BesideASet => format!("fromCIDR: [{network}]"),
            Naming::Sets | Naming::ManySets => {
                groups.push(network);
                format!("fromCIDRSet: [{{cidrGroupRef: g{number}}}]")
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  - {from}\n    toPorts: [{{ports: [{{port: \"{port}\", protocol: TCP}}]}}]"
        );
    }
    let around = match naming {
        Naming::Prefixes | Naming::Sets => 0,
        Naming::BesideASet => 1,
        Naming::ManySets => MOST - 1,
    };
    let prefix = if naming == Naming::BesideASet { NOWHERE } else { "0.0.0.0/0" };
    for _ in 0..around {
        let _ = writeln!(
            text,
            "  - fromCIDRSet: [{{cidrGroupRef: g{}}}]\n    \
             toPorts: [{{ports: [{{port: \"1\", protocol: TCP}}]}}]",
            groups.len()
        );
        groups.push(prefix.to_owned());
    }
    for (number, prefix) in groups.iter().enumerate() {
        let _ = write!(
            text,
            "---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata:\n  name: g{number}\n  \
             annotations: {{{DYNAMIC}: \"true\"}}\nspec: {{externalCIDRs: [{prefix}]}}\n"
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
