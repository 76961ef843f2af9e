//! Run-time sets: whatever their members become, every engine says what the oracle says
//! of groups with these members, without another program.
//!
//! Random rules with tiers, priorities and passes name sets beside other peers; their
//! members are random prefixes, nested and beside each other, and change twice. So do
//! the addresses of two workloads, some of which are others' before.

use std::net::IpAddr;

use ipnet::IpNet;
use policyc::engine::{
    Bytecode, DecisionGraph, Engine as _, FlowVerdict, Kernel, PROGRAM_KINDS, PacketEngine,
    ProgramSet,
};
use policyc::pipeline::{self, Built, Decided, Policy};
use policyc::session::Session;
use policyc_bpf::sets::View;
use policyc_codegen::lower::set_tables::initial;
use policyc_decision::network::NetworkDecision;
use policyc_policy::inventory::{self, Identity, Inventory};
use policyc_policy::labels::{LabelSelector, Operator, Requirement};
use policyc_policy::network::{Flow, Peer, Peers};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestCaseError;

use crate::build::compile_policy;
use crate::lineup::{bir, oracle};
use crate::random::{check, fail};
use crate::rules::{self, RuleCase, rules_about};
use crate::say::{has_kernel, say};
use crate::universe::PREFIXES;

/// Groups that change. With the exceptions six sets, and with a workload seven: an address
/// can be in eight.
const GROUPS: [&str; 3] = ["g0", "g1", "g2"];
/// Exceptions of references.
const EXCEPT: [&[&str]; 2] = [&[], &["203.0.113.64/26", "10.0.0.0/8", "2001:db8:0:1::/64"]];
/// Workloads whose addresses change.
const WORKLOADS: [&str; 2] = ["w0", "w1"];
/// Addresses that they may have; some are pods'.
const ADDRESSES: [&str; 8] = [
    "203.0.113.64",
    "203.0.113.0",
    "10.0.0.200",
    "198.51.100.7",
    "10.0.0.1",
    "2001:db8::1",
    "2001:db8:0:1::",
    "fd00::2",
];
/// How often members are given.
const TIMES: usize = 3;

/// What groups and workloads have at one time.
#[derive(Clone, Debug)]
struct Membership {
    groups: Vec<Vec<IpNet>>,
    /// Addresses, and whose they are.
    addresses: Vec<(IpAddr, usize)>,
}

#[derive(Clone, Debug)]
struct Case {
    rules: RuleCase,
    times: Vec<Membership>,
}

fn cases(flows: usize) -> impl Strategy<Value = Case> {
    let set = (select(&GROUPS[..]), select(&EXCEPT[..])).prop_map(|(name, except)| {
        let except = except.iter().map(|net| net.parse().unwrap()).collect();
        Peer::CidrGroups { selector: named(name), except }
    });
    let sets = prop::collection::vec(set, 1..4);
    let peers = (rules::peers(), sets).prop_map(|(others, sets)| match others {
        Peers::Any => Peers::OneOf(sets),
        Peers::OneOf(others) => Peers::OneOf(others.into_iter().take(1).chain(sets).collect()),
    });
    let workload =
        select(&WORKLOADS[..]).prop_map(|name| Peers::OneOf(vec![Peer::Endpoints(labelled(name))]));
    let peers = prop_oneof![3 => peers, 2 => rules::peers(), 1 => workload];
    let nets = subsequence(PREFIXES.to_vec(), 0..5)
        .prop_map(|nets| nets.iter().map(|net| net.parse().unwrap()).collect());
    let groups = prop::collection::vec(nets, GROUPS.len());
    let owners = prop::collection::vec(0..WORKLOADS.len() + 1, ADDRESSES.len());
    let addresses = owners.prop_map(|owners| {
        let all = ADDRESSES.iter().map(|address| address.parse().unwrap()).zip(owners);
        all.filter(|(_, owner)| *owner < WORKLOADS.len()).collect()
    });
    let membership = (groups, addresses);
    let membership = membership.prop_map(|(groups, addresses)| Membership { groups, addresses });
    let times = prop::collection::vec(membership, TIMES);
    (rules_about(peers, flows), times).prop_map(|(rules, mut times)| {
        // Who had an address when policy was built, and was known to stay, may get it
        // back; nobody else can.
        let is_pods = |address: &IpAddr| rules::PODS.iter().any(|pod| pod.parse() == Ok(*address));
        times[0].addresses.retain(|(address, _)| !is_pods(address));
        Case { rules, times }
    })
}

/// The group of a name, as a policy refers to it.
fn named(name: &str) -> LabelSelector {
    let key = format!("io.cilium.policy.cidrgroupname/{name}");
    let (source, operator) = ("cidrgroup".to_owned(), Operator::Exists);
    LabelSelector { requirements: vec![Requirement { source, key, operator }] }
}

/// Workloads with a label.
fn labelled(name: &str) -> LabelSelector {
    let (source, key) = ("k8s".to_owned(), "app".to_owned());
    let operator = Operator::In(vec![name.to_owned()]);
    LabelSelector { requirements: vec![Requirement { source, key, operator }] }
}

/// The policy with what groups and workloads have at first.
fn policy(case: &Case) -> Policy {
    let annotations = format!("annotations: {{{}: \"true\"}}", inventory::DYNAMIC);
    let groups = GROUPS.map(|name| {
        format!(
            "---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\n\
             metadata: {{name: {name}, {annotations}}}\nspec: {{externalCIDRs: []}}\n"
        )
    });
    let workloads = WORKLOADS.map(|name| {
        format!(
            "---\napiVersion: policyc.io/v1alpha1\nkind: Workload\nmetadata: {{name: {name}, \
             namespace: a, labels: {{app: {name}}}, {annotations}}}\nspec: {{}}\n"
        )
    });
    let mut session = Session::new();
    let text = [rules::WHO.to_owned(), groups.concat(), workloads.concat()].concat();
    let file = session.sources.add("inventory.yaml", text);
    let inventory = inventory::load(&session.sources, &[file], &mut session.sink);
    assert!(!session.sink.has_errors(), "{:?}", session.sink);
    let mut policy = Policy { inventory, ..rules::policy(&case.rules) };
    set(&mut policy, &case.times[0]);
    policy
}

fn set(policy: &mut Policy, membership: &Membership) {
    for (name, nets) in GROUPS.iter().zip(&membership.groups) {
        policy.inventory.groups.set(name, nets.clone());
    }
    for (owner, name) in WORKLOADS.iter().enumerate() {
        let Some(Identity::Workload(id)) = policy.inventory.lookup(&format!("a/{name}")) else {
            panic!("it is there");
        };
        let own = membership.addresses.iter().filter(|(_, of)| *of == owner);
        policy.inventory.move_to(id, own.map(|(address, _)| *address).collect());
    }
}

/// What holds at one time.
struct Time {
    /// As the decision graph sees it.
    decision: NetworkDecision,
    view: View,
    expected: Vec<FlowVerdict>,
    inventory: Inventory,
}

impl Time {
    /// Of what is said of a flow, what is about ends that engines know: those of whom
    /// the policy knew the address when it was built, and who have it now.
    fn known(&self, built: &NetworkDecision, flow: &Flow, said: FlowVerdict) -> FlowVerdict {
        let is_known = |address| {
            let name = |id| Some(self.inventory.workloads.get(id)?.name.as_str());
            let now = match self.inventory.identify(address) {
                Identity::Workload(id) => name(id),
                Identity::Node(id) => Some(self.inventory.nodes[id].name.as_str()),
                Identity::World => None,
            };
            built.subject_at(address).map(|subject| subject.name.as_str()) == now
        };
        FlowVerdict {
            egress: said.egress.filter(|_| is_known(flow.source)),
            ingress: said.ingress.filter(|_| is_known(flow.destination)),
        }
    }
}

/// What the oracle says of the flows at each time.
fn times(
    case: &Case,
    mut policy: Policy,
    decided: &Decided,
    flows: &[Flow],
) -> Result<Vec<Time>, TestCaseError> {
    let mut decision = decided.network.clone().unwrap();
    let unmoved = policy.inventory.clone();
    let of = |membership| {
        policy.inventory = unmoved.clone();
        set(&mut policy, membership);
        if let Some(tables) = &mut decision.sets {
            for set in &mut tables.sets {
                set.members = set.set.members(&policy.inventory).unwrap();
            }
        }
        let view = decision.sets.as_ref().map(initial).unwrap_or_default();
        let view = View::new(&view).map_err(fail)?;
        let mut oracle = oracle(&policy);
        let expected = flows.iter().map(|flow| oracle.judge(flow).map_err(fail));
        let expected = expected.collect::<Result<_, _>>()?;
        let inventory = policy.inventory.clone();
        Ok(Time { decision: decision.clone(), view, expected, inventory })
    };
    case.times.iter().map(of).collect()
}

fn decision_follows(times: &[Time], flows: &[Flow]) -> Result<(), TestCaseError> {
    for time in times {
        let Time { decision, expected, .. } = time;
        for (flow, expected) in flows.iter().zip(expected) {
            let verdict = DecisionGraph { decision }.judge(flow).map_err(fail)?;
            let [verdict, expected] =
                [verdict, *expected].map(|said| time.known(decision, flow, said));
            if !verdict.agrees(&expected) {
                return Err(fail(format!("{flow:?}: oracle {expected:?}, decision {verdict:?}")));
            }
        }
    }
    Ok(())
}

/// One engine through all times, with the programs it has. Returns how many verdicts
/// were compared.
fn follows(
    engine: &mut impl PacketEngine,
    times: &[Time],
    flows: &[Flow],
) -> Result<usize, TestCaseError> {
    let name = PacketEngine::name(engine);
    let xdp = engine.programs() == ProgramSet::Xdp;
    let mut view = &times[0].view;
    for (number, time) in times.iter().enumerate() {
        engine.change_members(view, &time.view).map_err(fail)?;
        view = &time.view;
        for (flow, expected) in flows.iter().zip(&time.expected) {
            let expected = FlowVerdict { egress: expected.egress.filter(|_| !xdp), ..*expected };
            let verdict = engine.judge(flow).map_err(fail)?;
            let decision = engine.decision();
            let [verdict, expected] =
                [verdict, expected].map(|said| time.known(decision, flow, said));
            if !verdict.agrees(&expected) {
                let what = format!("{flow:?} at time {number}: oracle {expected:?}");
                return Err(fail(format!("{what}, {name} {verdict:?}")));
            }
        }
    }
    Ok(times.len() * flows.len())
}

fn build(case: &Case) -> Result<Option<Built>, TestCaseError> {
    compile_policy(&Session::new(), policy(case)).map_err(fail)
}

#[test]
fn decisions_follow_members() {
    check("run-time sets, decision", 600, &cases(60), |case| {
        let policy = policy(&case);
        let decided = pipeline::decide(&policy);
        if decided.network.is_none() {
            return Ok(());
        }
        let flows = rules::flows(&case.rules);
        decision_follows(&times(&case, policy, &decided, &flows)?, &flows)
    });
}

#[test]
fn programs_follow_members() {
    let name = "run-time sets, programs";
    let has_kernel = has_kernel(name);
    let (mut number, mut compared) = (0, 0);
    check(name, 16, &cases(40), |case| {
        let Some(built) = build(&case)? else { return Ok(()) };
        let flows = rules::flows(&case.rules);
        let times = times(&case, built.policy.clone(), &built.decided, &flows)?;
        let (decision, object) = (built.decided.network.as_ref().unwrap(), &built.compiled.object);
        number += 1;
        let programs = PROGRAM_KINDS[number % PROGRAM_KINDS.len()];
        let mut bytecode = Bytecode::new(object, decision, programs).map_err(fail)?;
        compared += follows(&mut bytecode, &times, &flows)?;
        if number % 2 == 0 {
            let mut bir = bir(&built.lowered, decision, programs).map_err(fail)?;
            compared += follows(&mut bir, &times, &flows)?;
        }
        if number % 2 == 1 && has_kernel {
            let mut kernel = Kernel::new(object, decision, programs).map_err(fail)?;
            compared += follows(&mut kernel, &times, &flows)?;
        }
        Ok(())
    });
    say(&format!("{name}: {compared} flows compared"));
}
