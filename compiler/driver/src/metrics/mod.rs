//! What is live, as Prometheus reads it.
//!
//! Guarantees: the same facts give the same text; whatever names say, the text is
//! well-formed.
//! Does not know: how facts are found ([`crate::cli`]), or when.

mod families;
mod page;
pub mod serve;

use policyc_bpf::manifest::{Decision, SetKind};
use policyc_bpf::{Manifest, Outcome, Verdict};
use policyc_runtime::{Counter, Fill, GateStatus, Live, Stage, Status};
use serde::Serialize;

pub use families::{FAMILIES, Family, Kind};
use page::{Labels, Page};

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is on the host.
    pub status: &'a Status,
    /// Names of what is live; without them there are numbers.
    pub manifest: Option<&'a Manifest>,
    /// Records without room; `None` where nothing counts them.
    pub lost_events: Option<u64>,
    /// The tables of half-open and of other connections, where there are some.
    pub connections: Option<&'a [Fill; 2]>,
}

/// The page.
pub fn render(facts: &Facts<'_>) -> String {
    let mut page = Page::default();
    let status = facts.status;
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    page.family(families::BUILD, [(version, 1)]);
    page.number(families::LIVE, status.live.is_some().into());
    page.number(families::IS_LOST, (status.live.is_none() && status.lost.is_some()).into());
    let closed = status.live.as_ref().is_some_and(|live| live.stands_for.is_some());
    page.number(families::CLOSED, closed.into());
    page.number(families::UNTIDY, status.untidy.into());
    if let Some(live) = &status.live {
        generation(&mut page, live, facts.manifest);
        points(&mut page, live);
        decisions(&mut page, live, facts.manifest);
    }
    if let Some(lost) = facts.lost_events {
        page.number(families::EVENTS_LOST, lost);
    }
    connections(&mut page, facts.connections);
    if let (Some(live), manifest) = (&status.live, facts.manifest) {
        groups(&mut page, live);
        sizes(&mut page, manifest);
    }
    page.end()
}

fn generation(page: &mut Page, live: &Live, manifest: Option<&Manifest>) {
    page.number(families::GENERATION, live.generation);
    let unknown = match manifest.map(|manifest| manifest.unknown_subject) {
        Some(Verdict::Deny) => "deny",
        Some(Verdict::Allow) => "allow",
        None => "",
    };
    let info = vec![
        ("artifact", live.name.clone()),
        ("sha256", live.hash.to_string()),
        ("unknown_subject", unknown.to_owned()),
    ];
    page.family(families::GENERATION_INFO, [(info, 1)]);
    page.number(families::SINCE, live.since);
    page.number(families::PENDING, live.confirm_within.is_some().into());
    page.number(families::REMAINING, live.confirm_within.map_or(0, |within| within.as_secs()));
    page.number(families::AUDITS, live.audits.len() as u64);
}

fn points(page: &mut Page, live: &Live) {
    let drifted = live.gates.iter().filter(|gate| gate.drift.is_some()).count();
    page.number(families::POINTS, live.gates.len() as u64);
    page.number(families::DRIFTED, drifted as u64);
    page.number(families::UNJUDGED, live.unjudged.len() as u64);
    let labels = |gate: &GateStatus| {
        vec![
            ("attach", gate.id.to_string()),
            ("point", gate.point.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("subject", gate.subject.clone().unwrap_or_default()),
            ("program", gate.program.clone()),
        ]
    };
    let drifts = live.gates.iter().map(|gate| (labels(gate), gate.drift.is_some().into()));
    page.family(families::DRIFT, drifts);
}

fn decisions(page: &mut Page, live: &Live, manifest: Option<&Manifest>) {
    let decided = |counter: &Counter| {
        manifest.and_then(|manifest| manifest.decisions.get(counter.decision as usize))
    };
    let of_packets = |counter: &&Counter| decided(counter).is_none_or(|d| d.event.is_none());
    let packets: Vec<_> = live.counters.iter().filter(of_packets).collect();
    let labels = |counter: &Counter| packet_labels(manifest, decided(counter), counter.decision);
    page.family(families::PACKETS, packets.iter().map(|c| (labels(c), c.packets)));
    page.family(families::BYTES, packets.iter().map(|c| (labels(c), c.bytes)));
    let drops = packets.iter().filter_map(|counter| {
        let decision = decided(counter).filter(|decision| decision.outcome == Outcome::Deny)?;
        Some((vec![("reason", word(&decision.reason))], counter.packets))
    });
    page.family(families::DROPS, drops);
    let events = live.counters.iter().filter_map(|counter| {
        let manifest = manifest?;
        let decision = decided(counter)?;
        let spec = manifest.events.get(decision.event? as usize)?;
        let line = manifest.line_of(counter.decision);
        let labels = vec![
            ("policy", spec.policy.clone()),
            ("rule", line.map(|line| line.rule.clone()).unwrap_or_default()),
            ("hook", spec.hook.clone()),
            ("action", word(&decision.outcome)),
        ];
        Some((labels, counter.packets))
    });
    page.family(families::EVENTS, events);
}

/// Without names, the number of the decision stands for the rule.
fn packet_labels(manifest: Option<&Manifest>, decision: Option<&Decision>, index: u32) -> Labels {
    let line = manifest.and_then(|manifest| manifest.line_of(index));
    let policy = line.map(|line| line.policy.clone()).unwrap_or_default();
    let rule = match (line, decision) {
        (Some(line), _) => line.rule.clone(),
        (None, Some(_)) => String::new(),
        (None, None) => format!("decision {index}"),
    };
    vec![
        ("policy", policy),
        ("direction", direction(&rule).to_owned()),
        ("rule", rule),
        ("verdict", decision.map_or("", |decision| verdict(decision.outcome)).to_owned()),
        ("reason", decision.map(|decision| word(&decision.reason)).unwrap_or_default()),
    ]
}

/// What becomes of a packet, in the words of `observe`.
pub(crate) const fn verdict(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "FORWARDED",
        Outcome::Deny => "DROPPED",
        Outcome::Audit => "AUDIT",
        Outcome::Post => "POSTED",
        Outcome::Suppress => "SUPPRESSED",
    }
}

/// The direction that a rule's path is about; none for what a policy denies by default.
pub(crate) fn direction(rule: &str) -> &'static str {
    let is = |word: &str| rule.split('.').any(|part| part.starts_with(word));
    match (is("ingress"), is("egress")) {
        (true, false) => "ingress",
        (false, true) => "egress",
        _ => "",
    }
}

/// The name that a value has in documents.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn connections(page: &mut Page, fills: Option<&[Fill; 2]>) {
    let tables =
        || fills.into_iter().flat_map(|fills| ["half_open", "established"].into_iter().zip(fills));
    let table = |name: &str| vec![("table", name.to_owned())];
    let stages = tables().flat_map(|(_, fill)| Stage::ALL.into_iter().zip(fill.stages));
    page.family(
        families::CONNECTIONS,
        stages.map(|(stage, count)| (vec![("stage", stage_name(stage).to_owned())], count)),
    );
    page.family(families::ENTRIES, tables().map(|(name, fill)| (table(name), fill.entries)));
    page.family(families::CAPACITY, tables().map(|(name, fill)| (table(name), fill.capacity)));
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::HalfOpen => "half_open",
        Stage::Established => "established",
        Stage::Closing => "closing",
        Stage::Cut => "cut",
    }
}

fn groups(page: &mut Page, live: &Live) {
    let groups = live.groups.iter().map(|followed| {
        let kind = match followed.group.kind {
            SetKind::Group => "group",
            SetKind::Workload { .. } => "workload",
        };
        let name = followed.group.name.clone();
        (vec![("kind", kind.to_owned()), ("name", name)], followed.group.members.len() as u64)
    });
    page.family(families::GROUPS, groups);
}

fn sizes(page: &mut Page, manifest: Option<&Manifest>) {
    let Some(manifest) = manifest else { return };
    let map = |name: &str| vec![("map", name.to_owned())];
    let entries = manifest.maps.iter().map(|m| (map(&m.name), m.max_entries.into()));
    page.family(families::MAP_ENTRIES, entries);
    let bytes = manifest.cost.maps.iter().map(|(name, bytes)| (map(name), *bytes));
    page.family(families::MAP_BYTES, bytes);
    let programs = manifest.programs.iter();
    let lengths = programs.map(|p| (vec![("program", p.name.clone())], p.insns.into()));
    page.family(families::INSNS, lengths);
}

#[cfg(test)]
mod tests;
