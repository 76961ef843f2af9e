//! Cases of other people's engines on all of ours.

use std::collections::BTreeMap;
use std::time::Instant;

use policyc::engine::FlowVerdict;
use policyc_policy::inventory::{Identity, Inventory};
use policyc_policy::network::Flow;

use crate::build::compile;
use crate::case::{Case, Claim};
use crate::lineup::{Field, Lineup, Tally};
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
    let Outcome { cases, flows, rejected, tally, wrong } = &outcome;
    let seconds = begin.elapsed().as_secs_f32();
    say(&format!(
        "{name}: {cases} cases, {flows} flows, {} wrong, rejected {rejected:?}, {seconds:.0} s; \
         verdicts compared: {}",
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
            let result = result.and_then(|verdict| verify(case, claim, &verdict, inventory));
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
        case.nodes_are_subjects || !matches!(inventory.identify(address), Identity::Node(_))
    };
    let ends = [(source, verdict.egress), (destination, verdict.ingress)];
    let mut enforced = ends.iter().filter(|(address, _)| counts(*address));
    let allowed = enforced.all(|(_, end)| end.is_none_or(|end| end.allowed));
    if allowed == claim.allowed {
        return Ok(());
    }
    Err(format!("{:?}: claimed {}, judged {verdict:?}", claim.flow, claim.allowed))
}

#[test]
fn cases_of_ciliums_engine() {
    let Some(cases) = cilium::cases("cases.json", &[]) else { return };
    let outcome = run("cilium cases.json", &cases);
    outcome.check();
    assert_eq!((outcome.cases, outcome.rejected.len()), (200, 0));
}

#[test]
fn second_set_of_ciliums_engine() {
    let groups = ["cnp", "ccnp", "knp", "icmp", "kcnp"];
    let Some(cases) = cilium::cases("cases2.json", &groups) else { return };
    let outcome = run("cilium cases2.json", &cases);
    outcome.check();
    assert!(outcome.cases >= 139, "only {} cases are inside the slice", outcome.cases);
}

#[test]
fn cases_of_cyclonus() {
    let Some(cases) = cyclonus::cases() else { return };
    let outcome = run("cyclonus", &cases);
    outcome.check();
    let only_named_ports = outcome.rejected.keys().all(|codes| codes == "P0226");
    assert!(only_named_ports, "rejected: {:?}", outcome.rejected);
    assert!(outcome.cases > 100, "only {} steps are inside the slice", outcome.cases);
}
