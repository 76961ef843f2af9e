//! Who decides about a flow, and at which line.

use std::fmt::Write as _;

use policyc_base::Origin;
use policyc_policy::network::{self, Direction, DirectionVerdict, Fate, Flow, Reason};
use policyc_policy::tracing::{Action, Event, Match, Value};
use policyc_target::Hook;
use serde::Serialize;

use crate::fixture::FieldValue;
use crate::pipeline::Policy;
use crate::session::Session;

/// The answer, for programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// `FORWARDED`, `DROPPED` or `AUDIT`.
    pub verdict: &'static str,
    /// The sender's address.
    pub source: String,
    /// The receiver's address.
    pub destination: String,
    /// The service that the receiver's address is of, with the backend that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<Through>,
    /// What the source's side says, then the destination's.
    pub directions: Vec<DirectionExplanation>,
}

/// A service between the ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Through {
    /// `namespace/name`.
    pub service: String,
    /// The backend's address.
    pub address: String,
    /// The backend's port.
    pub port: u16,
}

/// What one side says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DirectionExplanation {
    /// `egress` or `ingress`.
    pub direction: &'static str,
    /// `FORWARDED`, `DROPPED` or `AUDIT`.
    pub verdict: &'static str,
    /// `rule`, `default-deny`, `no-policy`, `from-host`, `to-host`, `not-a-subject`.
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
    /// How a packet that is dropped is answered: `reset` or `unreachable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<&'static str>,
    /// What the policy wants told beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// The explanation of a policy's verdict.
pub fn explain(session: &Session, policy: &Policy, flow: &Flow) -> Explanation {
    let Policy { network: rules, inventory, dialect, .. } = policy;
    let verdict = network::eval(rules, inventory, *dialect, flow);
    let through = network::service::through(rules, inventory, *dialect, flow);
    let directions = [(Direction::Egress, verdict.egress), (Direction::Ingress, verdict.ingress)];
    let directions = directions.map(|(direction, verdict)| side(session, direction, verdict));
    Explanation {
        verdict: verdict.fate().name(),
        source: flow.source.to_string(),
        destination: flow.destination.to_string(),
        through: through.map(|(service, backend)| Through {
            service: service.full_name(),
            address: backend.address.to_string(),
            port: backend.port,
        }),
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
        Reason::ToHost => ("to-host", None),
        Reason::NotASubject => ("not-a-subject", None),
    }
}

fn side(
    session: &Session,
    direction: Direction,
    verdict: DirectionVerdict,
) -> DirectionExplanation {
    // What an audited policy would have done is what the reader asks about.
    let (reason, origin) = reason_name(verdict.audited.unwrap_or(verdict.reason));
    let info = origin.and_then(|origin| session.origins.get(origin));
    let location = info.and_then(|i| i.span).and_then(|span| session.sources.location(span));
    DirectionExplanation {
        direction: match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        },
        verdict: Fate::of(verdict.allowed, verdict.audited.is_some()).name(),
        reason,
        policy: info.map(|i| i.policy.clone()),
        rule: info.map(|i| i.rule.clone()),
        at: location.map(|at| format!("{}:{}:{}", at.file, at.line, at.column)),
        answer: verdict.response.answer(),
        log: origin.and_then(|origin| session.origins.log(origin)).map(str::to_owned),
    }
}

/// The explanation for people.
pub fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    let Explanation { verdict, source, destination, through, directions } = explanation;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{verdict}  {source} -> {destination}");
    if let Some(Through { service, address, port }) = through {
        let _ = writeln!(text, "  through  {service}, backend {address} port {port} decides");
    }
    for side in directions {
        let log = side.log.as_ref().map(|log| format!(", log {log:?}")).unwrap_or_default();
        let answer = side.answer.map(|how| format!(", answered: {how}")).unwrap_or_default();
        let words = words(side) + &answer;
        let _ = writeln!(text, "  {:<8} {:<10} {words}{log}", side.direction, side.verdict);
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
        "rule" | "default-deny" if side.verdict == Fate::Audited.name() => {
            format!("would be denied by {}, which is audited", rule())
        }
        "rule" => format!("by {}", rule()),
        "default-deny" => format!("no rule matches; denied by default by {}", rule()),
        "no-policy" => "no policy denies by default here".to_owned(),
        "from-host" => "its own host may always reach a workload".to_owned(),
        "to-host" => "a workload may always reach its own host".to_owned(),
        _ => "not in the inventory: nothing is enforced here".to_owned(),
    }
}

/// An event as users write it: `category/event` or `raw/name`, and its fields.
///
/// # Errors
/// In words, when the hook is none.
pub fn event(
    hook: &str,
    fields: impl IntoIterator<Item = (String, FieldValue)>,
) -> Result<Event, String> {
    let hook = match hook.split_once('/') {
        Some(("raw", name)) => Hook::RawTracepoint { name: name.to_owned() },
        Some((category, event)) => {
            Hook::Tracepoint { category: category.to_owned(), event: event.to_owned() }
        }
        None => return Err(format!("`{hook}` is no hook: write `category/event` or `raw/name`")),
    };
    let fields = fields.into_iter().map(|(name, value)| {
        let value = match value {
            FieldValue::Int(number) => Value::Int(number),
            FieldValue::Text(text) => Value::Bytes(text.into_bytes()),
        };
        (name, value)
    });
    Ok(Event { hook, fields: fields.collect() })
}

/// What one policy does about an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EventExplanation {
    /// The policy.
    pub policy: String,
    /// `Post` or `NoPost`.
    pub action: &'static str,
    /// Whether the selector surely matches; else it was taken because it could not
    /// be excluded.
    pub sure: bool,
    /// The selector in the policy.
    pub rule: String,
    /// `file:line:column`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// The explanation of what policies do about an event.
pub fn explain_event(session: &Session, matches: &[Match<'_>]) -> Vec<EventExplanation> {
    let explain = |found: &Match<'_>| {
        let info = session.origins.get(found.origin);
        let location = info.and_then(|i| i.span).and_then(|span| session.sources.location(span));
        EventExplanation {
            policy: found.policy.to_owned(),
            action: if found.actions.contains(&Action::NoPost) { "NoPost" } else { "Post" },
            sure: found.is_sure,
            rule: info.map(|i| i.rule.clone()).unwrap_or_default(),
            at: location.map(|at| format!("{}:{}:{}", at.file, at.line, at.column)),
        }
    };
    matches.iter().map(explain).collect()
}

/// The explanation for people.
pub fn event_text(explanations: &[EventExplanation]) -> String {
    if explanations.is_empty() {
        return "no selector of any policy matches\n".to_owned();
    }
    let mut text = String::new();
    for found in explanations {
        let at = found.at.as_deref().map(|at| format!(" ({at})")).unwrap_or_default();
        let doubt = if found.sure { "" } else { ", in doubt" };
        let EventExplanation { policy, action, rule, .. } = found;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{action:<6} {policy} {rule}{at}{doubt}");
    }
    text
}
