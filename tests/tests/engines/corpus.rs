//! Cases of other people's engines on all of ours.

use std::collections::BTreeMap;
use std::time::Instant;

use policyc::engine::{Engine as _, FlowVerdict};
use policyc_policy::inventory::{Identity, Inventory};
use policyc_policy::labels::RESERVED;
use policyc_policy::network::Flow;

use crate::build::compile;
use crate::case::{Case, Claim};
use crate::lineup::{self, Field, Lineup, Tally};
use crate::say::{has_kernel, say};
use crate::{cilium, cyclonus};

/// Most flows of one case that all engines judge. Of a case with more, these are
/// spread evenly, and the short field judges all.
const FLOWS: usize = 120;

/// What came of a set of cases.
#[derive(Default)]
struct Outcome {
    cases: usize,
    flows: usize,
    /// Flows that the other engine lets pass, or cuts off, because it fails open.
    fails_open: usize,
    rejected: BTreeMap<String, usize>,
    tally: Tally,
    wrong: Vec<String>,
}

fn run(name: &str, cases: &[Case]) -> Outcome {
    let begin = Instant::now();
    let field = if has_kernel(name) { Field::All } else { Field::Interpreters };
    let mut outcome = Outcome::default();
    for case in cases {
        outcome.case(case, field);
    }
    let Outcome { cases, flows, fails_open, rejected, tally, wrong } = &outcome;
    let seconds = begin.elapsed().as_secs_f32();
    say(&format!(
        "{name}: {cases} cases run, {flows} flows, {fails_open} of them where it fails open, {} \
         wrong; left, by reason: {rejected:?}; {seconds:.0} s; verdicts compared: {}",
        wrong.len(),
        tally.line(),
    ));
    outcome
}

impl Outcome {
    fn case(&mut self, case: &Case, field: Field) {
        let built = match compile(&case.policies, &case.inventory, case.dialect) {
            Ok(built) => built,
            Err(codes) => return *self.rejected.entry(codes.join("+")).or_default() += 1,
        };
        self.cases += 1;
        self.flows += case.claims.len();
        let inventory = &built.policy.inventory;
        let step = case.claims.len().div_ceil(FLOWS).max(1);
        let mut all = match Lineup::new(&built, field) {
            Ok(lineup) => lineup,
            Err(error) => return self.wrong.push(format!("{}: {error}", case.id)),
        };
        let mut short = (step > 1).then(|| Lineup::new(&built, Field::Short).unwrap());
        for (number, claim) in case.claims.iter().enumerate() {
            let lineup = short.as_mut().filter(|_| number % step != 0).unwrap_or(&mut all);
            let result = lineup.judge(&claim.flow, &mut self.tally);
            let result = result.and_then(|verdict| {
                let wrong = verify(case, claim, &verdict, inventory);
                let fails_open = wrong.is_err() && is_open(case, claim);
                self.fails_open += usize::from(fails_open);
                if fails_open { Ok(()) } else { wrong }
            });
            self.wrong.extend(result.err().map(|wrong| format!("{}: {wrong}", case.id)));
        }
    }

    fn check(&self) {
        let shown = self.wrong.iter().take(20).map(String::as_str).collect::<Vec<_>>();
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), shown.join("\n"));
    }
}

/// Holds the verdict of all our engines against the claim.
fn verify(
    case: &Case,
    claim: &Claim,
    verdict: &FlowVerdict,
    inventory: &Inventory,
) -> Result<(), String> {
    let Flow { source, destination, .. } = claim.flow;
    let counts = |address| {
        case.all_are_subjects
            || match inventory.identify(address) {
                Identity::Node(_) => false,
                Identity::Workload(id) => {
                    let mut labels = inventory.workloads[id].labels.iter();
                    labels.all(|label| label.source != RESERVED)
                }
                Identity::World => true,
            }
    };
    let ends = [(source, verdict.egress), (destination, verdict.ingress)];
    let mut enforced = ends.iter().filter(|(address, _)| counts(*address));
    let allowed = enforced.all(|(_, end)| end.is_none_or(|end| end.allowed));
    if allowed == claim.allowed {
        return Ok(());
    }
    Err(format!("{:?}: claimed {}, judged {verdict:?}", claim.flow, claim.allowed))
}

/// Whether the claim is what the other engine makes of lists that it fails open on:
/// see docs/coverage.md.
fn is_open(case: &Case, claim: &Claim) -> bool {
    if case.opened == case.policies {
        return false;
    }
    let Ok(opened) = compile(&case.opened, &case.inventory, case.dialect) else { return false };
    let mut oracle = lineup::oracle(&opened.policy);
    let verdict = oracle.judge(&claim.flow).unwrap();
    verify(case, claim, &verdict, &opened.policy.inventory).is_ok()
}

#[test]
fn cases_of_ciliums_engine() {
    let Some(cases) = cilium::cases("cases.json", &[]) else { return };
    let outcome = run("cilium cases.json", &cases);
    outcome.check();
    assert_eq!((outcome.cases, outcome.rejected.len()), (200, 0));
}

/// The cases of the second set that are left, by code and reason: what is not about L3
/// and L4, what an API server refuses, and what docs/coverage.md refuses on purpose. The
/// numbers may only fall.
const LEFT: &[(&str, usize, &str)] = &[
    ("P0205", 1, "a field that does not exist"),
    ("P0208", 1, "the schema refuses it: a port range that ends at 70000"),
    ("P0220", 18, "names (`toFQDNs`, `domainNames`): not L3/L4"),
    ("P0301", 1, "the schema refuses it: a selector that is null"),
    ("P0308", 2, "the API refuses it: a port of NetworkPolicy that is none"),
    ("P0309", 1, "the API refuses it: a protocol of NetworkPolicy that is none"),
    ("P0310", 1, "the API refuses it: a range of NetworkPolicy that ends before it begins"),
    ("P0311", 1, "an ICMP type below 0"),
    ("P0314", 1, "an IPv4 prefix written as IPv6, which never matches"),
    ("P0322", 1, "the API refuses it: a policy type of NetworkPolicy that is none"),
    ("P0340", 1, "a tier that does not exist"),
    ("P0342", 1, "an element of `protocols` that names none"),
];
/// How many of its cases run. May not fall.
const CASES: usize = 305;
/// How many of their flows differ because Cilium fails open.
const FAILS_OPEN: usize = 52;

#[test]
fn second_set_of_ciliums_engine() {
    let groups = ["cnp", "ccnp", "knp", "icmp", "cidrgroup", "kcnp"];
    let Some(cases) = cilium::cases("cases2.json", &groups) else { return };
    let outcome = run("cilium cases2.json", &cases);
    outcome.check();
    let left: Vec<_> = outcome.rejected.iter().map(|(codes, n)| (codes.as_str(), *n)).collect();
    let known: Vec<_> = LEFT.iter().map(|(codes, n, _)| (*codes, *n)).collect();
    assert_eq!((outcome.cases, left, outcome.fails_open), (CASES, known, FAILS_OPEN));
    for (code, count, reason) in LEFT {
        say(&format!("cilium cases2.json: {count} left, {code}: {reason}"));
    }
}

#[test]
fn cases_of_cyclonus() {
    let Some(cases) = cyclonus::cases() else { return };
    let outcome = run("cyclonus", &cases);
    outcome.check();
    assert_eq!((outcome.cases, outcome.rejected.len()), (cases.len(), 0));
}
