//! What a denying decision says about an audit of its policy is what the oracle says
//! when the policy is audited.

use policyc::pipeline::{self, Policy};
use policyc_decision::network::{Decision, NetworkDecision, Why};
use policyc_policy::network::{DirectionVerdict, Flow, Reason, Rule, eval};
use proptest::test_runner::TestCaseError;

use crate::random::check;
use crate::rules::{self, rules};

/// The policy that a reason is of.
fn policy_of(rules: &[Rule], reason: Reason) -> Option<u32> {
    let is_of = |rule: &&Rule| match reason {
        Reason::Entry(origin) => rule.entries.iter().any(|entry| entry.origin == origin),
        Reason::DefaultDeny(origin) => rule.origin == origin,
        _ => false,
    };
    rules.iter().find(is_of).map(|rule| rule.manner.policy)
}

/// What the oracle says about one end of a flow.
type End = fn(&Policy, &Flow) -> DirectionVerdict;

/// Audits one policy after the other, each time the one that denies, until the flow
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
        let denying = policy_of(&policy.network, verdict.reason);
        let rules = policy.network.iter_mut();
        rules
            .filter(|rule| Some(rule.manner.policy) == denying)
            .for_each(|rule| rule.manner.audit = true);
        found = decision.decisions[policyc_base::EntityId::index(unless)];
        steps += 1;
    }
}

fn verdict(policy: &Policy, flow: &Flow) -> policyc_policy::network::Verdict {
    eval(&policy.network, &policy.inventory, policy.dialect, flow)
}

#[test]
fn what_holds_unless_a_policy_is_audited() {
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
