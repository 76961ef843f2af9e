use policyc_bpf::{Decision, Manifest, Outcome, Reason, SourceLine};
use policyc_runtime::Counter;

use super::{Reading, Sort, rows, unreachable, unused};

fn manifest() -> Manifest {
    let mut manifest = Manifest::new("shop", "cilium-1.20");
    let line = |policy: &str, rule: &str, line| SourceLine {
        policy: policy.to_owned(),
        rule: rule.to_owned(),
        file: "a.yaml".to_owned(),
        line,
        column: 3,
        text: String::new(),
    };
    manifest.lines = vec![line("shop/web", "spec.ingress[0]", 7), line("shop/db", "spec", 5)];
    let decision = |outcome, reason, line| Decision {
        outcome,
        reason,
        line,
        event: None,
        log: None,
        unless_audited: None,
        answer: None,
    };
    manifest.decisions = vec![
        decision(Outcome::Allow, Reason::Rule, Some(0)),
        // What holds without another rule is a decision of its own.
        decision(Outcome::Deny, Reason::DefaultDeny, Some(1)),
        decision(Outcome::Deny, Reason::DefaultDeny, Some(1)),
        decision(Outcome::Allow, Reason::Established, None),
    ];
    manifest
}

fn reading(generation: u64, packets: [u64; 4]) -> Reading {
    let counter = |(decision, packets)| Counter { decision, packets, bytes: 1000 - packets };
    Reading { generation, counters: (0..).zip(packets).map(counter).collect() }
}

fn shown(before: &Reading, after: &Reading, sort: Sort) -> Vec<(String, u64)> {
    let rows = rows(before, after, Some(&manifest()), sort);
    let name = |policy: Option<String>| policy.unwrap_or_default();
    rows.into_iter().map(|row| (name(row.policy), row.packets)).collect()
}

#[test]
fn rules_are_told_by_the_difference() {
    let (before, after) = (reading(3, [1, 2, 3, 50]), reading(3, [2, 7, 5, 50]));
    let expected = [("shop/db", 7), ("shop/web", 1), ("", 0)];
    let expected = expected.map(|(name, packets)| (name.to_owned(), packets)).to_vec();
    assert_eq!(shown(&before, &after, Sort::Packets), expected);
    let by_name: Vec<_> =
        shown(&before, &after, Sort::Name).into_iter().map(|(name, _)| name).collect();
    assert_eq!(by_name, ["", "shop/db", "shop/web"]);
}

#[test]
fn another_generation_counts_from_nothing() {
    let shown = shown(&reading(3, [9, 9, 9, 9]), &reading(4, [2, 0, 0, 1]), Sort::Packets);
    assert_eq!(shown.iter().map(|(_, packets)| *packets).collect::<Vec<_>>(), [2, 1, 0]);
}

#[test]
fn rules_that_decided_nothing_are_found_and_defaults_of_nobody_are_not() {
    let rows = rows(&Reading::default(), &reading(1, [4, 0, 0, 0]), Some(&manifest()), Sort::Name);
    let unused: Vec<_> = unused(&rows).map(|row| row.at.clone().unwrap_or_default()).collect();
    assert_eq!(unused, ["a.yaml:5:3"]);
}

#[test]
fn without_names_there_are_numbers() {
    let rows = rows(&Reading::default(), &reading(1, [4, 0, 0, 0]), None, Sort::Packets);
    assert_eq!((rows[0].reason.as_str(), rows[0].packets, rows.len()), ("decision 0", 4, 4));
}

#[test]
fn rules_that_nothing_reaches_are_found() {
    let mut manifest = manifest();
    let rule =
        |rule: &str, line| SourceLine { rule: rule.to_owned(), line, ..manifest.lines[0].clone() };
    let more = [rule("spec.ingress[1]", 9), rule("spec", 5), rule("spec.egress[0]", 0)];
    manifest.lines.extend(more);
    let rows = unreachable(&manifest);
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(
        (row.rule.as_deref(), row.reason.as_str()),
        (Some("spec.ingress[1]"), "unreachable")
    );
    assert_eq!((row.at.as_deref(), row.direction), (Some("a.yaml:9:3"), Some("ingress")));
}
