//! Until when each decision is audited, and what is no audit.

use policyc_bpf::Reason;

use super::*;

/// Decisions as (rule, whether it forwards, what holds without the rule).
fn manifest(decisions: &[(Option<&str>, Outcome, Option<u32>)]) -> Manifest {
    let mut manifest = Manifest::new("test", "cilium-1.20");
    for (rule, outcome, unless_audited) in decisions {
        let line = rule.map(|rule| {
            let (policy, rule) = rule.split_once(' ').expect("policy and rule");
            manifest.lines.push(SourceLine {
                policy: policy.to_owned(),
                rule: rule.to_owned(),
                file: String::new(),
                line: 1,
                column: 1,
                text: String::new(),
            });
            manifest.lines.len() as u32 - 1
        });
        let (outcome, unless_audited) = (*outcome, *unless_audited);
        let (reason, event, log) = (Reason::Rule, None, None);
        let answer = None;
        manifest.decisions.push(Decision {
            outcome,
            reason,
            line,
            event,
            log,
            unless_audited,
            answer,
        });
    }
    manifest
}

fn about(policy: &str, rule: Option<&str>, until: u64) -> Audit {
    let what = Audited { policy: policy.to_owned(), rule: rule.map(str::to_owned) };
    Audit { what, until }
}

#[test]
fn a_decision_is_audited_as_long_as_all_that_deny_are() {
    use Outcome::{Allow, Deny};
    let manifest = manifest(&[
        (None, Allow, None),
        (Some("a spec"), Deny, Some(0)),
        (Some("b spec"), Deny, Some(1)),
        (Some("a spec.ingressDeny[0]"), Deny, Some(2)),
        // Behind more rules than are followed.
        (Some("a spec.ingressDeny[1]"), Deny, None),
    ]);
    let cases: [(&[Audit], [u64; 5]); 6] = [
        (&[], [0; 5]),
        (&[about("a", None, 7)], [0, 7, 0, 0, 0]),
        (&[about("b", None, 7)], [0; 5]),
        (&[about("a", None, 7), about("b", None, 9)], [0, 7, 7, 7, 0]),
        (&[about("a", Some("spec"), 9), about("b", None, 5)], [0, 9, 5, 0, 0]),
        // The longer of two that mean the same rule.
        (&[about("a", Some("spec"), 9), about("a", None, 5)], [0, 9, 0, 0, 0]),
    ];
    for (audits, expected) in cases {
        assert_eq!(deadlines(&manifest, audits), expected, "{audits:?}");
    }
}

#[test]
fn what_denies_nothing_is_not_audited() {
    let manifest = manifest(&[
        (None, Outcome::Allow, None),
        (Some("shop/a spec"), Outcome::Deny, Some(0)),
        (Some("shop/a spec.ingress[0]"), Outcome::Allow, None),
    ]);
    let ask = |policy: &str, rule: Option<&str>| rules(&manifest, &about(policy, rule, 0).what);
    assert_eq!(ask("shop/a", None).expect("denies"), BTreeSet::from(["spec".to_owned()]));
    let mut two = manifest.clone();
    two.namesakes = BTreeSet::from(["shop/a".to_owned()]);
    let refused = rules(&two, &about("shop/a", None, 0).what);
    assert!(matches!(refused, Err(Error::Namesakes { .. })));
    assert_eq!(deadlines(&two, &[about("shop/a", None, 7)]), [0; 3]);
    let words = |result: Result<_, Error>| result.expect_err("denies nothing").to_string();
    let expected = "`shop/b` denies nothing in the live generation; what denies: `shop/a`";
    assert_eq!(words(ask("shop/b", None)), expected);
    let expected = "`spec.ingress[0]` of `shop/a` denies nothing in the live generation; what \
                    denies: `spec`";
    assert_eq!(words(ask("shop/a", Some("spec.ingress[0]"))), expected);
}
