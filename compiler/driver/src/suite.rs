//! Fixtures on engines: every case on every engine that was asked for.

use policyc_policy::network::{Fate, Reason};
use policyc_policy::tracing::{self, Action};

use crate::cli::args::EngineName;
use crate::engine::{
    Bir, Bytecode, DecisionGraph, EndVerdict, Engine, EngineError, FlowVerdict, Kernel, Oracle,
    ProgramSet,
};
use crate::explain;
use crate::fixture::{Case, Direction, EventCase, Fixture, FlowCase};
use crate::pipeline::Built;
use crate::session::Session;
use crate::who;

/// One expectation that was not met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The fixture.
    pub fixture: String,
    /// The engine.
    pub engine: &'static str,
    /// `file:line:column` of the case.
    pub at: String,
    /// What was expected, and what came.
    pub message: String,
}

/// What came of a fixture.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Verdicts that were as expected: cases times engines.
    pub passed: usize,
    /// The others.
    pub failures: Vec<Failure>,
    /// Verdicts that an engine was asked for and cannot give: only the oracle judges
    /// events, and without network policy there is no program to run a flow through.
    pub unjudged: usize,
}

/// Runs all cases of a fixture. `written` is where the fixture itself was read.
///
/// # Errors
/// When an engine cannot be set up or fails.
pub fn run(
    fixture: &Fixture,
    built: &Built,
    session: &Session,
    written: &Session,
    names: &[EngineName],
) -> Result<Outcome, EngineError> {
    let mut outcome = Outcome::default();
    let mut engines = engines(built, names)?;
    for case in &fixture.cases {
        let (span, results) = match case {
            Case::Flow(case) => (case.span, flow_case(case, built, session, &mut engines)?),
            Case::Event(case) => (case.span, vec![("oracle", event_case(case, built))]),
        };
        let missing = match case {
            Case::Flow(_) => names.len() - engines.len(),
            Case::Event(_) => names.iter().filter(|name| **name != EngineName::Oracle).count(),
        };
        outcome.unjudged += missing;
        let at = written.sources.location(span);
        let at = at.map(|a| format!("{}:{}:{}", a.file, a.line, a.column)).unwrap_or_default();
        for (engine, result) in results {
            match result {
                Ok(()) => outcome.passed += 1,
                Err(message) => {
                    let (fixture, at) = (fixture.name.clone(), at.clone());
                    outcome.failures.push(Failure { fixture, engine, at, message });
                }
            }
        }
    }
    Ok(outcome)
}

/// The engines that were asked for; those that run programs need network policy.
fn engines<'a>(
    built: &'a Built,
    names: &[EngineName],
) -> Result<Vec<Box<dyn Engine + 'a>>, EngineError> {
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    for name in names {
        if *name == EngineName::Oracle {
            let policy = &built.policy;
            let (rules, inventory) = (&policy.network, &policy.inventory);
            engines.push(Box::new(Oracle { rules, inventory, dialect: policy.dialect }));
            continue;
        }
        let Some(decision) = &built.decided.network else { continue };
        let object = &built.compiled.object;
        engines.push(match name {
            EngineName::Oracle | EngineName::Decision => Box::new(DecisionGraph { decision }),
            EngineName::Bir => {
                let module = &built.lowered.module;
                let flat = object.maps.values().filter(|m| !m.contents.is_empty());
                let tables = flat.map(|m| (m.name.as_str(), m.contents.as_slice()));
                Box::new(Bir::new(module, tables, decision, ProgramSet::Tc)?)
            }
            EngineName::Bytecode => Box::new(Bytecode::new(object, decision, ProgramSet::Tc)?),
            EngineName::Kernel => Box::new(Kernel::new(object, decision, ProgramSet::Tc)?),
        });
    }
    Ok(engines)
}

type CaseResult = Result<(), String>;

fn flow_case(
    case: &FlowCase,
    built: &Built,
    session: &Session,
    engines: &mut [Box<dyn Engine + '_>],
) -> Result<Vec<(&'static str, CaseResult)>, EngineError> {
    let port = who::port(&case.port);
    let flows = port.and_then(|p| who::flows(&case.from, &case.to, p, &built.policy.inventory));
    let flows = match flows {
        Ok(flows) => flows,
        Err(error) => return Ok(vec![("oracle", Err(error.to_string()))]),
    };
    let mut results = Vec::new();
    for engine in engines {
        let mut result = Ok(());
        for flow in &flows {
            let verdict = engine.judge(flow)?;
            let about = |message| format!("{} -> {}: {message}", flow.source, flow.destination);
            result = result.and_then(|()| compare(case, &verdict, session).map_err(about));
        }
        results.push((engine.name(), result));
    }
    Ok(results)
}

/// Holds a verdict against what is expected.
fn compare(case: &FlowCase, verdict: &FlowVerdict, session: &Session) -> CaseResult {
    let says_why = [verdict.egress, verdict.ingress].iter().flatten().any(EndVerdict::says_why);
    // An engine that gives no reasons cannot tell an audit from an allow.
    let expected = match case.fate {
        Fate::Audited if !says_why => Fate::Forwarded,
        fate => fate,
    };
    if verdict.fate() != expected {
        let (expected, came) = (expected.name(), verdict.fate().name());
        return Err(format!("expected {expected}, got {came}{}", by(verdict, session)));
    }
    if let Some(direction) = case.direction {
        let end = match direction {
            Direction::Ingress => verdict.ingress,
            Direction::Egress => verdict.egress,
        };
        if end.is_none_or(|end| end_fate(&end) != expected) {
            return Err("the other direction decides".to_owned());
        }
    }
    let Some(wanted) = &case.by else { return Ok(()) };
    let deciding = deciding_policies(verdict, session);
    // An engine that gives no reasons cannot be held against them.
    let Some(policies) = deciding else { return Ok(()) };
    if policies.contains(wanted) {
        return Ok(());
    }
    Err(format!("expected it to be by {wanted}, but it is{}", by(verdict, session)))
}

fn end_fate(end: &EndVerdict) -> Fate {
    Fate::of(end.allowed, end.audited.is_some())
}

/// The policies whose rules decide: of the ends that drop if one does, else of those
/// that would, else of both. `None` when the engine gives no reasons.
fn deciding_policies(verdict: &FlowVerdict, session: &Session) -> Option<Vec<String>> {
    let ends = [verdict.egress, verdict.ingress];
    let ends = ends.iter().flatten().filter(|end| end_fate(end) == verdict.fate());
    let ends: Vec<_> = ends.collect();
    if !ends.iter().any(|end| end.says_why()) {
        return None;
    }
    let origins = ends.iter().filter_map(|end| match end.audited.or(end.reason)? {
        Reason::Entry(origin) | Reason::DefaultDeny(origin) => Some(origin),
        Reason::FromHost | Reason::ToHost | Reason::NoPolicy | Reason::NotASubject => None,
    });
    Some(origins.filter_map(|o| session.origins.get(o)).map(|i| i.policy.clone()).collect())
}

fn by(verdict: &FlowVerdict, session: &Session) -> String {
    match deciding_policies(verdict, session) {
        Some(policies) if !policies.is_empty() => format!(" by {}", policies.join(" and ")),
        Some(_) => " by no policy".to_owned(),
        None => String::new(),
    }
}

/// Events are judged by the oracle.
fn event_case(case: &EventCase, built: &Built) -> CaseResult {
    let event = explain::event(&case.hook, case.fields.iter().cloned())?;
    let matches = tracing::eval(&built.policy.tracing, &event);
    let posts = matches.iter().filter(|m| !m.actions.contains(&Action::NoPost));
    let came: Vec<&str> = posts.map(|m| m.policy).collect();
    let by = || if came.is_empty() { "nobody".to_owned() } else { came.join(" and ") };
    match (&case.by, case.posts) {
        (_, true) if came.is_empty() => Err("expected Post, but no policy reports it".to_owned()),
        (_, false) if !came.is_empty() => Err(format!("expected NoPost, but {} reports it", by())),
        (Some(wanted), true) if !came.contains(&wanted.as_str()) => {
            Err(format!("expected it to be by {wanted}, but it is by {}", by()))
        }
        _ => Ok(()),
    }
}
