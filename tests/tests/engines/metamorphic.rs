//! Cases of a corpus rewritten so that nothing should change: the decision graph
//! and bytecode give the same verdicts.

use std::collections::BTreeSet;

use ipnet::IpNet;
use policyc::engine::{Bytecode, DecisionGraph, Engine as _, ProgramSet};
use policyc::pipeline::{self, Input, Policy};
use policyc::session::Session;
use policyc_base::{OriginInfo, OriginTable};
use policyc_policy::network::{
    Direction, Entry, EntryVerdict, Flow, Peer, Peers, PerDirection, Ports, Rule, Tier,
};

use crate::build::{ROOM, compile_policy};
use crate::case::Case;
use crate::cilium;
use crate::say::say;

/// Every how many cases programs are built too: the decision is asked for all.
const BUILT: usize = 60;

/// A rewriting that must not matter, with its name.
type Rewriting = (&'static str, fn(&mut Vec<Rule>));

const REWRITINGS: [Rewriting; 6] = [
    ("rules reversed", |rules| rules.reverse()),
    ("rules twice", |rules| rules.extend(rules.clone())),
    ("entries reversed", |rules| rules.iter_mut().for_each(|rule| rule.entries.reverse())),
    ("entries as rules", split),
    ("prefixes in halves", |rules| entries(rules).for_each(halve)),
    ("tiers that pass", |rules| rules.iter_mut().for_each(pass)),
];

fn entries(rules: &mut [Rule]) -> impl Iterator<Item = &mut Entry> {
    rules.iter_mut().flat_map(|rule| &mut rule.entries)
}

/// A rule for each entry, and one for the default.
fn split(rules: &mut Vec<Rule>) {
    let of = |rule: &Rule, entries: &[Entry]| Rule { entries: entries.to_vec(), ..rule.clone() };
    *rules = rules
        .iter()
        .flat_map(|rule| {
            let single = rule
                .entries
                .chunks(1)
                .map(|entry| Rule { default_deny: PerDirection::default(), ..of(rule, entry) });
            single.chain([of(rule, &[])]).collect::<Vec<_>>()
        })
        .collect();
}

/// Each prefix as its two halves.
fn halve(entry: &mut Entry) {
    let Peers::OneOf(peers) = &mut entry.peers else { return };
    *peers = peers
        .iter()
        .flat_map(|peer| match peer {
            Peer::Cidr { net, except } if net.prefix_len() < net.max_prefix_len() => {
                let halves: Vec<IpNet> = net.subnets(net.prefix_len() + 1).unwrap().collect();
                let peer = |net| Peer::Cidr { net, except: except.clone() };
                halves.into_iter().map(peer).collect()
            }
            other => vec![other.clone()],
        })
        .collect();
}

/// Tiers before, between and behind that pass everything on.
fn pass(rule: &mut Rule) {
    for direction in Direction::BOTH {
        for tier in [Tier(1), Tier::ADMIN, Tier(201), Tier::BASELINE] {
            rule.entries.push(Entry {
                direction,
                tier,
                // Behind whatever a policy says in that tier.
                priority: u32::MAX,
                verdict: EntryVerdict::Pass,
                peers: Peers::Any,
                ports: Ports::Any,
                audit: false,
                origin: rule.origin,
            });
        }
    }
}

/// A pod, a node and a namespace that no flow has to do with.
const UNRELATED: &str = "---
{apiVersion: v1, kind: Namespace, metadata: {name: elsewhere, labels: {far: away}}}
---
{apiVersion: v1, kind: Node, metadata: {name: far}, status: {addresses: [{type: InternalIP, address: 172.31.255.1}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: elsewhere, labels: {unheard: of}}
spec: {nodeName: far}
status: {phase: Running, podIPs: [{ip: 172.31.0.9}, {ip: 'fdff::9'}]}
";

fn read(case: &Case, unrelated: &str) -> Option<(Session, Policy)> {
    let mut session = Session::new();
    let policies = vec![session.sources.add("policy.yaml", case.policies.as_str())];
    let inventory = format!("{}{unrelated}", case.inventory);
    let inventory = vec![session.sources.add("inventory.yaml", inventory)];
    let (room, dialect) = (ROOM, case.dialect);
    let input = Input { policies, inventory, dialect, room, ..Input::default() };
    let policy = pipeline::read(&mut session, &input);
    (!session.sink.has_errors()).then_some((session, policy))
}

/// Verdicts of both ends of every flow, by the decision graph; and, if programs are
/// built, the flows where bytecode says otherwise.
fn verdicts(
    session: &Session,
    policy: Policy,
    flows: &[Flow],
    build: bool,
) -> Vec<[Option<bool>; 2]> {
    let decided = pipeline::decide(&policy);
    let Some(decision) = &decided.network else { return Vec::new() };
    let mut graph = DecisionGraph { decision };
    let mut judge = |flow| graph.judge(flow).unwrap();
    let verdicts: Vec<_> = flows.iter().map(&mut judge).collect();
    if build {
        let built = compile_policy(session, policy).unwrap().unwrap();
        let object = &built.compiled.object;
        let mut bytecode = Bytecode::new(object, decision, ProgramSet::Tc).unwrap();
        for (flow, expected) in flows.iter().zip(&verdicts) {
            let verdict = bytecode.judge(flow).unwrap();
            assert!(verdict.agrees(expected), "{flow:?}: {expected:?}, bytecode {verdict:?}");
        }
    }
    verdicts.into_iter().map(|v| [v.egress, v.ingress].map(|end| end.map(|e| e.allowed))).collect()
}

/// New origins, in the order that the rules now have.
fn number(rules: &mut [Rule]) {
    let mut origins = OriginTable::new();
    let info = || OriginInfo { policy: String::new(), rule: String::new(), span: None };
    for rule in rules {
        rule.origin = origins.push(info());
        rule.entries.iter_mut().for_each(|entry| entry.origin = origins.push(info()));
    }
}

#[test]
fn rewritings_change_no_verdict() {
    let Some(mut cases) = cilium::cases("cases.json", &[]) else { return };
    cases
        .extend(cilium::cases("cases2.json", &["ccnp", "knp", "icmp", "kcnp"]).unwrap_or_default());
    let (mut compared, mut programs) = (0, 0);
    for (index, case) in cases.iter().enumerate() {
        let Some((session, policy)) = read(case, "") else { continue };
        let flows: Vec<Flow> = case.claims.iter().map(|claim| claim.flow).collect();
        let expected = verdicts(&session, policy.clone(), &flows, false);
        let build = index % BUILT == 0;
        let mut check = |name: &str, session: &Session, policy: Policy| {
            let found = verdicts(session, policy, &flows, build);
            assert_eq!(found, expected, "{}: {name}", case.id);
            compared += found.len();
            programs += usize::from(build);
        };
        for (name, rewrite) in REWRITINGS {
            let mut rewritten = policy.clone();
            rewrite(&mut rewritten.network);
            number(&mut rewritten.network);
            check(name, &session, rewritten);
        }
        let (session, more) = read(case, UNRELATED).unwrap();
        check("unrelated workloads", &session, more);
    }
    say(&format!(
        "metamorphic: {} cases, {compared} verdicts unchanged, {programs} programs built",
        cases.len()
    ));
}

/// The rewritings do something: a rewriting that changes nothing proves nothing.
#[test]
fn rewritings_rewrite() {
    let Some(cases) = cilium::cases("cases.json", &[]) else { return };
    let mut changed = BTreeSet::new();
    for case in cases.iter().take(40) {
        let Some((_, policy)) = read(case, "") else { continue };
        for (name, rewrite) in REWRITINGS {
            let mut rules = policy.network.clone();
            rewrite(&mut rules);
            if rules != policy.network {
                changed.insert(name);
            }
        }
    }
    assert_eq!(changed.len(), REWRITINGS.len(), "{changed:?}");
}
