//! Random policies, inventories and flows: every engine says what the oracle says.
//!
//! The same cases at every run, unless `POLICYC_SOAK_SECONDS` is set: then other
//! ones for that long. `PROPTEST_CASES` says how many otherwise.

use std::fmt::Debug;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use policyc::engine::{DecisionGraph, Engine as _};
use policyc::pipeline::{self, Built, Input, Policy};
use policyc::session::Session;
use policyc_policy::network::{Dialect, Flow};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::Value;

use crate::build::{ROOM, compile_policy};
use crate::lineup::{Field, Lineup, Tally, oracle};
use crate::policies::policies;
use crate::rules::{self, rules};
use crate::say::{has_kernel, say};
use crate::universe::{Sketch, inventory, meet, sketches};

/// Policies with who there is, and flows between them.
pub(crate) struct Scenario {
    policies: Vec<Value>,
    inventory: Vec<Value>,
    pods: Vec<IpAddr>,
    dialect: Dialect,
    sketches: Vec<Sketch>,
}

impl Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = (text(&self.policies), text(&self.inventory));
        writeln!(f, "# dialect {:?}\n{}# inventory\n{}", self.dialect, texts.0, texts.1)
    }
}

/// Documents as a person would write them.
fn text(documents: &[Value]) -> String {
    let texts = documents.iter().map(|document| serde_yaml::to_string(document).unwrap());
    texts.map(|text| format!("---\n{text}")).collect()
}

pub(crate) fn scenarios(flows: usize) -> impl Strategy<Value = Scenario> {
    let dialects = vec![Dialect::Cilium120, Dialect::Cilium119, Dialect::Kubernetes];
    let parts = (policies(), inventory(), select(dialects), sketches(flows));
    parts.prop_map(|(policies, (inventory, pods), dialect, sketches)| Scenario {
        policies,
        inventory,
        pods,
        dialect,
        sketches,
    })
}

impl Scenario {
    /// The policies, read.
    pub(crate) fn read(&self) -> Result<(Session, Policy), TestCaseError> {
        let mut session = Session::new();
        let policies = vec![session.sources.add("policy.yaml", text(&self.policies))];
        let inventory = vec![session.sources.add("inventory.yaml", text(&self.inventory))];
        let (room, dialect) = (ROOM, self.dialect);
        let input = Input { policies, inventory, dialect, room, ..Input::default() };
        let policy = pipeline::read(&mut session, &input);
        if session.sink.has_errors() {
            let found = session.findings();
            return Err(TestCaseError::fail(format!("a generated policy is refused: {found:?}")));
        }
        Ok((session, policy))
    }

    /// The flows. A pod always reaches itself in Kubernetes, and such a packet never
    /// meets a program: there are none of these.
    pub(crate) fn flows(&self) -> Vec<Flow> {
        let mut flows = meet(&self.sketches, &self.pods);
        flows.retain(|f| self.dialect != Dialect::Kubernetes || f.source != f.destination);
        flows
    }
}

/// Runs a test on generated cases, or on as many as fit into a soak.
pub(crate) fn check<S: Strategy>(
    name: &str,
    cases: u32,
    strategy: &S,
    mut test: impl FnMut(S::Value) -> Result<(), TestCaseError>,
) where
    S::Value: Debug,
{
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let soak = std::env::var("POLICYC_SOAK_SECONDS").ok().and_then(|n| n.parse().ok());
    let end = soak.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut total = 0;
    loop {
        let rng = match end {
            Some(_) => TestRng::from_rng_seed(),
            None => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        };
        let mut runner = TestRunner::new_with_rng(config.clone(), rng);
        let cell = std::cell::RefCell::new(&mut test);
        match runner.run(strategy, |case| (cell.borrow_mut())(case)) {
            Ok(()) => total += cases,
            Err(TestError::Fail(reason, case)) => {
                let text = format!("# {name}: {reason}\n{case:?}");
                panic!("{text}\n(in {})", write(name, &text).display());
            }
            Err(TestError::Abort(reason)) => panic!("{name}: {reason}"),
        }
        if end.is_none_or(|end| Instant::now() >= end) {
            return say(&format!("{name}: {total} generated cases"));
        }
    }
}

/// Writes a failing case, shrunk, where it stays: a file to read, and to make a fixture
/// of.
fn write(name: &str, text: &str) -> PathBuf {
    let name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.txt"));
    std::fs::write(&path, text).unwrap();
    path
}

/// A generator seeded by the system.
trait Seeded {
    fn from_rng_seed() -> Self;
}

impl Seeded for TestRng {
    fn from_rng_seed() -> Self {
        let state = std::collections::hash_map::RandomState::new();
        let mut seed = [0; 32];
        for (number, bytes) in seed.chunks_exact_mut(8).enumerate() {
            let word = std::hash::BuildHasher::hash_one(&state, number);
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self::from_seed(RngAlgorithm::ChaCha, &seed)
    }
}

pub(crate) fn fail(message: impl ToString) -> TestCaseError {
    TestCaseError::fail(message.to_string())
}

/// The oracle against the decision graph, which needs no program.
fn decision_agrees(policy: &Policy, flows: &[Flow]) -> Result<(), TestCaseError> {
    let decided = pipeline::decide(policy);
    let Some(decision) = &decided.network else { return Ok(()) };
    let mut oracle = oracle(policy);
    for flow in flows {
        let expected = oracle.judge(flow).map_err(fail)?;
        let verdict = DecisionGraph { decision }.judge(flow).map_err(fail)?;
        if !verdict.agrees(&expected) {
            return Err(fail(format!("{flow:?}: oracle {expected:?}, decision {verdict:?}")));
        }
    }
    Ok(())
}

/// The oracle against every engine of a field.
fn engines_agree(
    built: &Built,
    flows: &[Flow],
    field: Field,
    tally: &mut Tally,
) -> Result<(), TestCaseError> {
    let mut lineup = Lineup::new(built, field).map_err(fail)?;
    for flow in flows {
        lineup.judge(flow, tally).map_err(fail)?;
    }
    Ok(())
}

#[test]
fn decisions_of_generated_policies() {
    check("random policies, decision", 400, &scenarios(60), |scenario| {
        let (_, policy) = scenario.read()?;
        decision_agrees(&policy, &scenario.flows())
    });
}

#[test]
fn programs_of_generated_policies() {
    let name = "random policies, programs";
    let has_kernel = has_kernel(name);
    let mut tally = Tally::default();
    let mut number = 0;
    check(name, 24, &scenarios(60), |scenario| {
        let (session, policy) = scenario.read()?;
        let built = compile_policy(&session, policy).map_err(fail)?;
        let Some(built) = built else { return Ok(()) };
        number += 1;
        let field = match number % 4 {
            0 if has_kernel => Field::All,
            0 => Field::Interpreters,
            _ => Field::Short,
        };
        engines_agree(&built, &scenario.flows(), field, &mut tally)
    });
    say(&format!("{name}: verdicts compared: {}", tally.line()));
}

#[test]
fn decisions_of_generated_rules() {
    check("random tiers, decision", 600, &rules(60), |case| {
        let policy = rules::policy(&case);
        decision_agrees(&policy, &rules::flows(&case))
    });
}

#[test]
fn programs_of_generated_rules() {
    let mut tally = Tally::default();
    check("random tiers, programs", 12, &rules(60), |case| {
        let built = compile_policy(&Session::new(), rules::policy(&case)).map_err(fail)?;
        let Some(built) = built else { return Ok(()) };
        engines_agree(&built, &rules::flows(&case), Field::Short, &mut tally)
    });
    say(&format!("random tiers, programs: verdicts compared: {}", tally.line()));
}
