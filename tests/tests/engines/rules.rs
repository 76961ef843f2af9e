//! Random rules with tiers, priorities, passes and audits, in combinations that no
//! policy kind allows.

use policyc::pipeline::Policy;
use policyc::session::Session;
use policyc_base::{OriginInfo, OriginTable};
use policyc_policy::inventory;
use policyc_policy::labels::LabelSelector;
use policyc_policy::network::{
    DenyResponse, Dialect, Direction, Entity, Entry, EntryVerdict, Flow, Manner, Peer, Peers,
    PerDirection, PortMatch, Ports, Rule, Subject, Tier, protocol,
};
use policyc_target::Profile;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::universe::{PORTS, PREFIXES, Sketch, meet, sketches};

/// Two pods on one node, one on another, and the nodes.
pub(crate) const WHO: &str = r"
apiVersion: v1
kind: NodeList
items:
- {metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.168.255.1}, {type: InternalIP, address: 'fd00:ffff::1'}]}}
- {metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 192.168.255.2}, {type: InternalIP, address: 'fd00:ffff::2'}]}}
---
apiVersion: v1
kind: PodList
items:
- {metadata: {name: p1, namespace: a}, spec: {nodeName: n1}, status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}
- {metadata: {name: p2, namespace: a}, spec: {nodeName: n1}, status: {podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]}}
- {metadata: {name: p3, namespace: b}, spec: {nodeName: n2}, status: {podIPs: [{ip: 10.0.0.3}]}}
";
pub(crate) const PODS: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2"];

/// How many policies the rules are of, at most.
const POLICIES: usize = 4;

/// Rules with their flows. Origins are given by [`policy`].
#[derive(Clone, Debug)]
pub(crate) struct RuleCase {
    rules: Vec<Rule>,
    /// Which policies are audited.
    audits: [bool; POLICIES],
    sketches: Vec<Sketch>,
}

/// Up to four rules of up to six entries.
pub(crate) fn rules(flows: usize) -> impl Strategy<Value = RuleCase> {
    let rules = prop::collection::vec(rule(peers().boxed()), 1..5);
    let audits = prop::array::uniform4(prop::bool::weighted(0.25));
    let parts = (rules, audits, sketches(flows));
    parts.prop_map(|(rules, audits, sketches)| RuleCase { rules, audits, sketches })
}

/// The same with other peers.
pub(crate) fn rules_about(
    peers: impl Strategy<Value = Peers> + 'static,
    flows: usize,
) -> impl Strategy<Value = RuleCase> {
    let rules = prop::collection::vec(rule(peers.boxed()), 1..5);
    let audits = prop::array::uniform4(prop::bool::weighted(0.25));
    let parts = (rules, audits, sketches(flows));
    parts.prop_map(|(rules, audits, sketches)| RuleCase { rules, audits, sketches })
}

fn rule(peers: BoxedStrategy<Peers>) -> impl Strategy<Value = Rule> {
    let subject = select(vec![
        Subject::Endpoints(LabelSelector::default()),
        Subject::Nodes(LabelSelector::default()),
    ]);
    let default_deny = (any::<bool>(), any::<bool>());
    let entries = prop::collection::vec(entry(peers), 0..7);
    let audit = prop::bool::weighted(0.1);
    let fields = (subject, default_deny, entries, 0..POLICIES as u32, audit);
    fields.prop_map(|(subject, (ingress, egress), entries, policy, audit)| {
        let default_deny = PerDirection { ingress, egress };
        let responses = DenyResponse::ALL;
        let response = responses[policy as usize % responses.len()];
        let manner = Manner { policy, audit, response };
        let origin = OriginTable::new().push(origin(0));
        Rule { subject, default_deny, entries, manner, origin }
    })
}

fn entry(peers: BoxedStrategy<Peers>) -> impl Strategy<Value = Entry> {
    let tier = select(vec![Tier::ADMIN, Tier::NORMAL, Tier::BASELINE]);
    let verdict = select(vec![EntryVerdict::Deny, EntryVerdict::Allow, EntryVerdict::Pass]);
    let audit = prop::bool::weighted(0.1);
    let place = (select(Direction::BOTH.to_vec()), tier, 0..3u32, verdict, audit);
    let fields = (place, peers, ports());
    fields.prop_map(|((direction, tier, priority, verdict, audit), peers, ports)| {
        let origin = OriginTable::new().push(origin(0));
        Entry { direction, tier, priority, verdict, peers, ports, audit, origin }
    })
}

pub(crate) fn peers() -> impl Strategy<Value = Peers> {
    let cidr = subsequence(PREFIXES.to_vec(), 1..3).prop_map(|nets| {
        let parse = |net: &&str| net.parse::<ipnet::IpNet>().unwrap();
        let net = parse(&nets[0]);
        let except = nets[1..].iter().map(parse).filter(|hole| net.contains(hole)).collect();
        Peer::Cidr { net, except }
    });
    let entity = select(Entity::NAMES).prop_map(|(_, entity)| Peer::Entity(entity));
    let endpoints = Just(Peer::Endpoints(LabelSelector::default()));
    let peer = prop_oneof![3 => cidr, 2 => entity, 1 => endpoints];
    let list = prop::collection::vec(peer, 0..4).prop_map(Peers::OneOf);
    prop_oneof![1 => Just(Peers::Any), 3 => list]
}

fn ports() -> impl Strategy<Value = Ports> {
    let protocols =
        vec![protocol::TCP, protocol::UDP, protocol::SCTP, protocol::ICMP, protocol::ICMPV6];
    let range = subsequence(PORTS.to_vec(), 1..=2);
    let port = (select(protocols), range).prop_map(|(protocol, range)| {
        let icmp = matches!(protocol, protocol::ICMP | protocol::ICMPV6);
        let most = if icmp { 255 } else { u16::MAX };
        let (first, last) = (range[0].min(most), range[range.len() - 1].min(most));
        PortMatch { protocol, first, last }
    });
    let list = prop::collection::vec(port, 0..4).prop_map(Ports::OneOf);
    prop_oneof![1 => Just(Ports::Any), 2 => list]
}

fn origin(number: usize) -> OriginInfo {
    OriginInfo { policy: "random".to_owned(), rule: format!("rule {number}"), span: None }
}

/// The rules as a policy, each entry with an origin of its own.
pub(crate) fn policy(case: &RuleCase) -> Policy {
    let mut session = Session::new();
    let who = session.sources.add("inventory.yaml", WHO);
    let inventory = inventory::load(&session.sources, &[who], &mut session.sink);
    assert!(!session.sink.has_errors(), "{:?}", session.sink);
    let mut network = case.rules.clone();
    let mut origins = OriginTable::new();
    let mut next = (0..).map(|number| origins.push(origin(number)));
    for rule in &mut network {
        rule.origin = next.next().unwrap();
        let audit = case.audits[rule.manner.policy as usize];
        rule.manner.audit |= audit;
        for entry in &mut rule.entries {
            entry.audit |= audit;
            entry.origin = next.next().unwrap();
        }
    }
    drop(next);
    let (tracing, profile) = (Vec::new(), Profile::default());
    Policy {
        network,
        tracing,
        inventory,
        dialect: Dialect::Cilium120,
        profile,
        unknown_subject_allowed: false,
        room: crate::build::ROOM,
    }
}

/// The flows of a case.
pub(crate) fn flows(case: &RuleCase) -> Vec<Flow> {
    meet(&case.sketches, &PODS.map(|address| address.parse().unwrap()))
}
