//! Who decides about a flow, and at which line.

use std::fmt::Write as _;

use policyc_base::Origin;
use policyc_policy::network::{Direction, DirectionVerdict, Flow, Reason, Verdict};
use serde::Serialize;

use crate::session::Session;

/// The answer, for programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// `FORWARDED` or `DROPPED`.
    pub verdict: &'static str,
    /// The sender's address.
    pub source: String,
    /// The receiver's address.
    pub destination: String,
    /// What the source's side says, then the destination's.
    pub directions: Vec<DirectionExplanation>,
}

/// What one side says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DirectionExplanation {
    /// `egress` or `ingress`.
    pub direction: &'static str,
    /// `FORWARDED` or `DROPPED`.
    pub verdict: &'static str,
    /// `rule`, `default-deny`, `no-policy`, `from-host`, `not-a-subject`.
    pub reason: &'static str,
    /// The policy that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The rule in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// `file:line:column`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// `FORWARDED` or `DROPPED`.
pub const fn verdict_name(allowed: bool) -> &'static str {
    if allowed { "FORWARDED" } else { "DROPPED" }
}

/// The explanation of a verdict.
pub fn explain(session: &Session, flow: &Flow, verdict: &Verdict) -> Explanation {
    let directions = [(Direction::Egress, verdict.egress), (Direction::Ingress, verdict.ingress)];
    let directions = directions.map(|(direction, verdict)| side(session, direction, verdict));
    Explanation {
        verdict: verdict_name(verdict.allowed()),
        source: flow.source.to_string(),
        destination: flow.destination.to_string(),
        directions: directions.to_vec(),
    }
}

/// The name of a reason, and the rule it is about.
pub const fn reason_name(reason: Reason) -> (&'static str, Option<Origin>) {
    match reason {
        Reason::Entry(origin) => ("rule", Some(origin)),
        Reason::DefaultDeny(origin) => ("default-deny", Some(origin)),
        Reason::NoPolicy => ("no-policy", None),
        Reason::FromHost => ("from-host", None),
        Reason::NotASubject => ("not-a-subject", None),
    }
}

fn side(
    session: &Session,
    direction: Direction,
    verdict: DirectionVerdict,
) -> DirectionExplanation {
    let (reason, origin) = reason_name(verdict.reason);
    let info = origin.and_then(|origin| session.origins.get(origin));
    let location = info.and_then(|i| i.span).and_then(|span| session.sources.location(span));
    DirectionExplanation {
        direction: match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        },
        verdict: verdict_name(verdict.allowed),
        reason,
        policy: info.map(|i| i.policy.clone()),
        rule: info.map(|i| i.rule.clone()),
        at: location.map(|at| format!("{}:{}:{}", at.file, at.line, at.column)),
    }
}

/// The explanation for people.
pub fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    let Explanation { verdict, source, destination, directions } = explanation;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{verdict}  {source} -> {destination}");
    for side in directions {
        let _ = writeln!(text, "  {:<8} {:<10} {}", side.direction, side.verdict, words(side));
    }
    text
}

fn words(side: &DirectionExplanation) -> String {
    let rule = || {
        let (policy, rule) = (side.policy.as_deref(), side.rule.as_deref());
        let at = side.at.as_deref().map(|at| format!(" ({at})")).unwrap_or_default();
        format!("{} {}{at}", policy.unwrap_or("?"), rule.unwrap_or("?"))
    };
    match side.reason {
        "rule" => format!("by {}", rule()),
        "default-deny" => format!("no rule matches; denied by default by {}", rule()),
        "no-policy" => "no policy denies by default here".to_owned(),
        "from-host" => "its own host may always reach a workload".to_owned(),
        _ => "not in the inventory: nothing is enforced here".to_owned(),
    }
}
