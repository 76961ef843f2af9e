//! A rule that is said to decide nothing can be left out, and no verdict changes.

use policyc::pipeline::Policy;
use policyc_policy::network::{Flow, Rule, eval, lint};
use proptest::test_runner::TestCaseError;

use crate::random::{check, scenarios};
use crate::rules::{self, rules};
use crate::say::say;

fn allowed(policy: &Policy, rules: &[Rule], flow: &Flow) -> (bool, bool, bool) {
    let verdict = eval(rules, &policy.inventory, policy.dialect, flow);
    let audited = verdict.egress.audited.is_some() || verdict.ingress.audited.is_some();
    (verdict.egress.allowed, verdict.ingress.allowed, audited)
}

/// Leaves out each rule that is said to decide nothing; returns how many there are.
fn leave_out(policy: &Policy, flows: &[Flow]) -> Result<usize, TestCaseError> {
    let shadows = lint::shadows(&policy.network, policy.dialect);
    for (broad, narrow) in &shadows {
        let mut without = policy.network.clone();
        without.iter_mut().for_each(|rule| rule.entries.retain(|e| e.origin != *narrow));
        for flow in flows {
            let before = allowed(policy, &policy.network, flow);
            let after = allowed(policy, &without, flow);
            if before != after {
                let what = format!("{flow:?}: {before:?}, without {narrow} {after:?}");
                return Err(TestCaseError::fail(format!("{what}, said to be below {broad}")));
            }
        }
    }
    Ok(shadows.len())
}

#[test]
fn rules_that_decide_nothing_can_be_left_out() {
    let mut found = 0;
    check("random shadows", 600, &rules(60), |case| {
        found += leave_out(&rules::policy(&case), &rules::flows(&case))?;
        Ok(())
    });
    say(&format!("random shadows: {found} rules decide nothing"));
    assert!(found > 0);
}

#[test]
fn rules_of_policies_that_decide_nothing_can_be_left_out() {
    let mut found = 0;
    check("random policies, shadows", 600, &scenarios(60), |scenario| {
        let (_, policy) = scenario.read()?;
        found += leave_out(&policy, &scenario.flows())?;
        Ok(())
    });
    say(&format!("random policies, shadows: {found} rules decide nothing"));
    assert!(found > 0);
}
