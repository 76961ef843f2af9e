//! What a denying decision says about an audit of its rule is what the oracle says
//! when the rule is audited; and programs that are told to audit it say that too.

use policyc::engine::{Bytecode, Engine, FlowVerdict, PacketEngine, ProgramSet};
use policyc::pipeline::{self, Policy};
use policyc::session::Session;
use policyc_base::{EntityId, Origin};
use policyc_decision::network::{Decision, NetworkDecision, Why};
use policyc_policy::network::{DirectionVerdict, Flow, Reason, Rule, eval};
use proptest::test_runner::TestCaseError;

use crate::build::compile_policy;
use crate::lineup::bir;
use crate::random::check;
use crate::rules::{self, rules};

/// Audits what a reason names.
fn audit(rules: &mut [Rule], reason: Reason) {
    for rule in rules {
        rule.manner.audit |= reason == Reason::DefaultDeny(rule.origin);
        for entry in &mut rule.entries {
            entry.audit |= reason == Reason::Entry(entry.origin);
        }
    }
}

/// What the oracle says about one end of a flow.
type End = fn(&Policy, &Flow) -> DirectionVerdict;

/// Audits one rule after the other, each time the one that denies, until the flow
/// is forwarded; the decision knew each step.
fn follow(
    policy: &Policy,
    decision: &NetworkDecision,
    flow: &Flow,
    end: End,
    index: usize,
) -> Result<usize, TestCaseError> {
    let fail = |what: &str, found: &Decision, verdict: &DirectionVerdict| {
        TestCaseError::fail(format!("{what}: {flow:?}: decision {found:?}, oracle {verdict:?}"))
    };
    let mut policy = policy.clone();
    let mut found = decision.decisions[index];
    let mut steps = 0;
    loop {
        let verdict = end(&policy, flow);
        if found.allowed != verdict.allowed {
            return Err(fail("verdicts differ", &found, &verdict));
        }
        if found.allowed {
            return Ok(steps);
        }
        if found.why != Why::Policy(verdict.reason) {
            return Err(fail("reasons differ", &found, &verdict));
        }
        let Some(unless) = found.unless_audited else {
            return Err(fail("nothing is said", &found, &verdict));
        };
        audit(&mut policy.network, verdict.reason);
        found = decision.decisions[unless.index()];
        steps += 1;
    }
}

fn verdict(policy: &Policy, flow: &Flow) -> policyc_policy::network::Verdict {
    eval(&policy.network, &policy.inventory, policy.dialect, flow)
}

#[test]
fn what_holds_unless_a_rule_is_audited() {
    let mut steps = 0;
    check("random audits", 300, &rules(40), |case| {
        let policy = rules::policy(&case);
        let decided = pipeline::decide(&policy);
        let Some(decision) = &decided.network else { return Ok(()) };
        for flow in rules::flows(&case) {
            let [egress, ingress] = decision.judge_flow(&flow);
            let ends: [(_, End); 2] = [
                (egress, |policy, flow| verdict(policy, flow).egress),
                (ingress, |policy, flow| verdict(policy, flow).ingress),
            ];
            for (index, end) in ends {
                let Some(index) = index else { continue };
                steps += follow(&policy, decision, &flow, end, index)?;
            }
        }
        Ok(())
    });
    assert!(steps > 0, "nobody was denied");
}

/// The rules that are audited: those that deny by default, and entries.
fn audited(rules: &[Rule]) -> Vec<Origin> {
    let entries = rules.iter().flat_map(|rule| &rule.entries);
    let entries = entries.filter(|entry| entry.audit).map(|entry| entry.origin);
    let defaults = rules.iter().filter(|rule| rule.manner.audit).map(|rule| rule.origin);
    entries.chain(defaults).collect()
}

/// The same policy with every rule enforced.
fn enforced(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    for rule in &mut policy.network {
        rule.manner.audit = false;
        rule.entries.iter_mut().for_each(|entry| entry.audit = false);
    }
    policy
}

/// For each decision whether every rule that denies, one behind the other, is audited:
/// for ever, or never.
fn deadlines(decision: &NetworkDecision, audited: &[Origin]) -> Vec<u64> {
    let is_audited = |decision: &Decision| match decision.why {
        Why::Policy(Reason::Entry(origin) | Reason::DefaultDeny(origin)) => {
            audited.contains(&origin)
        }
        _ => false,
    };
    // What holds without a rule comes before its decision.
    let mut until: Vec<u64> = Vec::new();
    for found in &decision.decisions {
        let behind = found.unless_audited.map(EntityId::index).filter(|_| is_audited(found));
        let forwards = |index: usize| decision.decisions[index].allowed || until[index] > 0;
        let is_forwarded = !found.allowed && behind.is_some_and(forwards);
        until.push(if is_forwarded { u64::MAX } else { 0 });
    }
    until
}

#[test]
fn what_is_audited_while_it_is_live() {
    let mut told = 0;
    check("random live audits", 40, &rules(25), |case| {
        let policy = rules::policy(&case);
        let audited = audited(&policy.network);
        let built = compile_policy(&Session::new(), enforced(&policy)).expect("builds");
        let Some(built) = built else { return Ok(()) };
        let Some(decision) = &built.decided.network else { return Ok(()) };
        let deadlines = deadlines(decision, &audited);
        let fail = |error| TestCaseError::fail(format!("{error}"));
        let bytecode = Bytecode::new(&built.compiled.object, decision, ProgramSet::Tc);
        let mut bytecode = bytecode.map_err(fail)?;
        let mut bir = bir(&built.lowered, decision, ProgramSet::Tc).map_err(fail)?;
        bytecode.audit(&deadlines).map_err(fail)?;
        bir.audit(&deadlines).map_err(fail)?;
        for flow in rules::flows(&case) {
            let oracle = verdict(&policy, &flow);
            let [a, b] = [bytecode.judge(&flow), bir.judge(&flow)];
            for said in [a.map_err(fail)?, b.map_err(fail)?] {
                agree(&said, &oracle, &flow)?;
            }
            told += usize::from(oracle.egress.audited.is_some());
        }
        Ok(())
    });
    assert!(told > 0, "nothing would have been denied");
}

/// Whether programs forward the same and name the same rule of what they would deny.
fn agree(
    said: &FlowVerdict,
    oracle: &policyc_policy::network::Verdict,
    flow: &Flow,
) -> Result<(), TestCaseError> {
    for (said, oracle) in [(said.egress, oracle.egress), (said.ingress, oracle.ingress)] {
        let Some(said) = said else { continue };
        if said.allowed != oracle.allowed || said.audited != oracle.audited {
            let text = format!("{flow:?}: programs {said:?}, oracle {oracle:?}");
            return Err(TestCaseError::fail(text));
        }
    }
    Ok(())
}
