//! Run-time sets: whatever their members become, every engine says what the oracle says
//! of groups with these members, without another program.
//!
//! Random rules with tiers, priorities and passes name sets beside other peers; their
//! members are random prefixes, nested and beside each other, and change twice.

use ipnet::IpNet;
use policyc::engine::{
    Bytecode, DecisionGraph, Engine as _, FlowVerdict, Kernel, PROGRAM_KINDS, PacketEngine,
    ProgramSet,
};
use policyc::pipeline::{self, Built, Decided, Policy};
use policyc::session::Session;
use policyc_base::Sink;
use policyc_bpf::sets::View;
use policyc_codegen::lower::set_tables::initial;
use policyc_decision::network::NetworkDecision;
use policyc_policy::inventory;
use policyc_policy::labels::{LabelSelector, Requirement};
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

/// Groups that change. With the exceptions, eight sets: as many as an address can be in.
const GROUPS: [&str; 4] = ["g0", "g1", "g2", "g3"];
/// Exceptions of references.
const EXCEPT: [&[&str]; 2] = [&[], &["203.0.113.64/26", "10.0.0.0/8", "2001:db8:0:1::/64"]];
/// How often members are given.
const TIMES: usize = 3;

/// What the groups have at one time.
type Membership = Vec<Vec<IpNet>>;

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
    let peers = prop_oneof![2 => peers, 1 => rules::peers()];
    let nets = subsequence(PREFIXES.to_vec(), 0..5)
        .prop_map(|nets| nets.iter().map(|net| net.parse().unwrap()).collect());
    let times = prop::collection::vec(prop::collection::vec(nets, GROUPS.len()), TIMES);
    (rules_about(peers, flows), times).prop_map(|(rules, times)| Case { rules, times })
}

/// The group of a name, as a policy refers to it.
fn named(name: &str) -> LabelSelector {
    let key = format!("io.cilium.policy.cidrgroupname/{name}");
    let (source, operator) = ("cidrgroup".to_owned(), policyc_policy::labels::Operator::Exists);
    LabelSelector { requirements: vec![Requirement { source, key, operator }] }
}

/// The policy with what the groups have at first.
fn policy(case: &Case) -> Policy {
    let mut policy = rules::policy(&case.rules);
    let mut session = Session::new();
    let documents = GROUPS.map(|name| {
        format!(
            "---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {{name: {name}, \
             annotations: {{{}: \"true\"}}}}\nspec: {{externalCIDRs: []}}\n",
            inventory::DYNAMIC
        )
    });
    let file = session.sources.add("groups.yaml", documents.concat());
    let groups = inventory::load(&session.sources, &[file], &mut session.sink);
    assert!(!session.sink.has_errors(), "{:?}", session.sink);
    let mut sink = Sink::new();
    groups.groups.iter().cloned().for_each(|group| policy.inventory.groups.add(group, &mut sink));
    set(&mut policy, &case.times[0]);
    policy
}

fn set(policy: &mut Policy, membership: &Membership) {
    for (name, nets) in GROUPS.iter().zip(membership) {
        policy.inventory.groups.set(name, nets.clone());
    }
}

/// What holds at one time.
struct Time {
    /// As the decision graph sees it.
    decision: NetworkDecision,
    view: View,
    expected: Vec<FlowVerdict>,
}

/// What the oracle says of the flows at each time.
fn times(
    case: &Case,
    mut policy: Policy,
    decided: &Decided,
    flows: &[Flow],
) -> Result<Vec<Time>, TestCaseError> {
    let mut decision = decided.network.clone().unwrap();
    let of = |membership| {
        set(&mut policy, membership);
        if let Some(tables) = &mut decision.sets {
            for set in &mut tables.sets {
                let group = policy.inventory.groups.get(&set.set.group).unwrap();
                set.members = set.set.members(&group.nets);
            }
        }
        let view = decision.sets.as_ref().map(initial).unwrap_or_default();
        let view = View::new(&view).map_err(fail)?;
        let mut oracle = oracle(&policy);
        let expected = flows.iter().map(|flow| oracle.judge(flow).map_err(fail));
        let expected = expected.collect::<Result<_, _>>()?;
        Ok(Time { decision: decision.clone(), view, expected })
    };
    case.times.iter().map(of).collect()
}

fn decision_follows(times: &[Time], flows: &[Flow]) -> Result<(), TestCaseError> {
    for Time { decision, expected, .. } in times {
        for (flow, expected) in flows.iter().zip(expected) {
            let verdict = DecisionGraph { decision }.judge(flow).map_err(fail)?;
            if !verdict.agrees(expected) {
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
