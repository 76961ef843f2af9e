//! What an artifact says about itself, from what was built.

use std::collections::{BTreeMap, BTreeSet};

use policyc_base::{EntityId, OriginTable, PrimaryMap};
use policyc_bpf::manifest::{Answer, SetKind, group_identity, subject_identity};
use policyc_bpf::{
    AttachHint, Cost, Decision, Digest, Direction, EventField, EventFieldKind, EventSpec, Limit,
    Manifest, Outcome, ProgramEntry, Reason as BpfReason, RuntimeSet, Source, Subject, SubjectKind,
    Verdict,
};
use policyc_codegen::lower::record::{self, RecordLayout};
use policyc_codegen::lower::set_tables::prefixes;
use policyc_decision::network::{self, NetworkDecision, SetMembers, Why, builtin};
use policyc_decision::tables::{AddressClass, Cell, Row};
use policyc_decision::tracing::{EventDecision, EventGraph, EventOutcome, HookDecision};
use policyc_policy::inventory::{Attach, Identity, Inventory};
use policyc_policy::network::{DenyResponse, Dialect, Reason, Rule, RuntimeSet as RuntimeSetOf};
use policyc_policy::tracing::ArgKind;

use crate::pipeline::Built;
use crate::session::Session;

/// The manifest of what was built. Maps and lines are filled in when the artifact is
/// made.
pub fn manifest(session: &Session, built: &Built) -> Manifest {
    let policy = &built.policy;
    let mut manifest = Manifest::new(name(built), dialect_name(policy.dialect));
    manifest.events_layout = record::VERSION;
    manifest.sources = sources(session);
    manifest.cost = cost(built);
    manifest.programs = built.compiled.object.programs.iter().map(ProgramEntry::of).collect();
    if let Some(network) = &built.decided.network {
        manifest.subjects = subjects(network, &policy.inventory);
        let sets = network.sets.iter().flat_map(|tables| &tables.sets);
        manifest.sets = sets.map(|set| runtime_set(set, &policy.inventory)).collect();
        manifest.decisions = {
            let decisions = network.decisions.iter();
            decisions.map(|decision| network_decision(decision, &session.origins)).collect()
        };
        manifest.namesakes = namesakes(&policy.network, &session.origins);
        manifest.unknown_subject = verdict(network.decisions[builtin::UNKNOWN_SUBJECT].allowed);
    }
    if let Some(events) = &built.decided.events {
        add_events(&mut manifest, events);
    }
    manifest
}

/// The names of which the number of the policy is not the same in all rules.
fn namesakes(rules: &[Rule], origins: &OriginTable) -> BTreeSet<String> {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let shared = rules.iter().filter_map(|rule| {
        let name = origins.get(rule.origin)?.policy.as_str();
        (*numbers.entry(name).or_insert(rule.manner.policy) != rule.manner.policy).then_some(name)
    });
    shared.map(str::to_owned).collect()
}

/// What people call the policy set: its only policy, or its first and how many more.
fn name(built: &Built) -> String {
    let rules = built.policy.network.iter().map(|rule| rule.origin);
    let hooks = built.policy.tracing.iter().map(|policy| policy.origin);
    let lines = &built.compiled.object.lines;
    let policies = rules.chain(hooks).filter_map(|origin| lines.get(origin.index()));
    let names: BTreeSet<&str> = policies.map(|line| line.policy.as_str()).collect();
    match (names.first(), names.len()) {
        (None, _) => String::new(),
        (Some(only), 1) => (*only).to_owned(),
        (Some(first), n) => format!("{first} and {} more", n - 1),
    }
}

/// The name users type.
pub const fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Cilium120 => "cilium-1.20",
        Dialect::Cilium119 => "cilium-1.19",
        Dialect::Kubernetes => "kubernetes",
    }
}

const fn verdict(allowed: bool) -> Verdict {
    if allowed { Verdict::Allow } else { Verdict::Deny }
}

fn sources(session: &Session) -> Vec<Source> {
    let names = session.portable_names();
    let mut sources: Vec<_> = session
        .sources
        .iter()
        .map(|(_, file)| Source {
            file: names.get(&file.name).unwrap_or(&file.name).clone(),
            sha256: Digest::of(&[file.text.as_bytes()]),
        })
        .collect();
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    sources
}

fn cost(built: &Built) -> Cost {
    let mut cost = Cost::of(&built.compiled.object);
    let stack = built.compiled.stats.iter().map(|s| s.stack_bytes).max().unwrap_or(0);
    let longest = built.compiled.object.programs.iter().map(|p| p.insns.len()).max();
    let limit = |name: &str, used: u64, limit: u64| Limit { name: name.into(), used, limit };
    cost.limits = vec![
        limit("instructions of a program", longest.unwrap_or(0) as u64, 1_000_000),
        limit("stack bytes of a program", u64::from(stack), 512),
    ];
    cost
}

fn subjects(network: &NetworkDecision, inventory: &Inventory) -> Vec<Subject> {
    let attached = |name: &str| {
        let Some(Identity::Workload(id)) = inventory.lookup(name) else { return None };
        Some(&inventory.workloads[id]).filter(|workload| workload.attach.is_some())
    };
    let attach = |name: &str| attached(name)?.attach.as_ref().map(attach_hint);
    let hosts = |name: &str| {
        let workload = attached(name).filter(|workload| workload.is_placed)?;
        Some(workload.nodes.iter().map(|node| inventory.nodes[*node].name.clone()).collect())
    };
    let denies = |decision: &network::Decision| !decision.allowed || decision.audited.is_some();
    let restricted = directions(network, true, denies);
    let is_default = |reason| matches!(reason, Reason::DefaultDeny(_));
    // Members of a set are spoken about by its rule.
    let by_default =
        directions(network, false, |decision| match (decision.why, decision.audited) {
            (_, Some(reason)) => is_default(reason),
            (Why::Policy(reason), None) => is_default(reason) && !decision.allowed,
            _ => false,
        });
    let mut subjects: Vec<_> = network
        .subjects
        .iter()
        .map(|subject| Subject {
            name: subject.name.clone(),
            kind: match subject.kind {
                network::SubjectKind::Workload => SubjectKind::Endpoint,
                network::SubjectKind::Node => SubjectKind::Node,
            },
            row: subject.behaviour as u32,
            addresses: subject.addresses.clone(),
            restricts: restricted[subject.behaviour].clone(),
            denies_by_default: by_default[subject.behaviour].clone(),
            attach: attach(&subject.name),
            hosts: hosts(&subject.name),
        })
        .collect();
    subjects.sort_by(|a, b| a.name.cmp(&b.name));
    subjects
}

fn runtime_set(set: &SetMembers, inventory: &Inventory) -> RuntimeSet {
    let kind = match &set.set {
        RuntimeSetOf::Group { .. } => SetKind::Group,
        RuntimeSetOf::Workload(name) => {
            SetKind::Workload { labels: labels_number(inventory, name).unwrap_or_default() }
        }
    };
    let name = set.set.name();
    RuntimeSet {
        id: group_identity(kind, name),
        kind,
        name: name.to_owned(),
        except: prefixes(set.set.except()),
        members: prefixes(&set.set.whole().members(inventory).unwrap_or_default()),
        barred: set.barred.clone(),
    }
}

/// A number of what rules can ask a workload for: its labels and named ports.
pub fn labels_number(inventory: &Inventory, name: &str) -> Option<u64> {
    let Identity::Workload(id) = inventory.lookup(name)? else { return None };
    let workload = &inventory.workloads[id];
    let mut words: Vec<String> = workload
        .labels
        .iter()
        .map(|label| format!("{}:{}={}", label.source, label.key, label.value))
        .collect();
    let ports = workload.ports.iter();
    words.extend(ports.map(|port| format!("{} {} {}", port.name, port.protocol, port.port)));
    words.sort();
    Some(subject_identity(&words.join("\0")))
}

/// For each behaviour the directions in which some cell decides so, or a run-time set could.
/// Cells that no packet meets count too: that errs on the side of judging.
fn directions(
    network: &NetworkDecision,
    sets_could: bool,
    so: impl Fn(&network::Decision) -> bool,
) -> Vec<Vec<Direction>> {
    let decides = |cell: &Cell| so(&network.decisions[cell.decision.index()]);
    let rows = network.cells.rows.iter();
    let denies: PrimaryMap<Row, bool> = rows.map(|(_, cells)| cells.iter().any(decides)).collect();
    let classes = network.rows.address_classes;
    let in_direction = |behaviour: usize, is_egress: bool| {
        let first = network.rows.index(behaviour, is_egress, AddressClass::from_index(0));
        let place = 2 * behaviour + usize::from(is_egress);
        let sets = network.sets.as_ref().filter(|_| sets_could);
        let sets = sets.and_then(|sets| sets.places.get(place));
        sets.is_some_and(|place| *place > 0)
            || network.rows.rows[first..first + classes].iter().any(|row| denies[*row])
    };
    let directions = [(Direction::Ingress, false), (Direction::Egress, true)];
    let of = |behaviour| {
        let denied = directions.iter().filter(|(_, egress)| in_direction(behaviour, *egress));
        denied.map(|(direction, _)| *direction).collect()
    };
    (0..network.behaviours.len()).map(of).collect()
}

fn attach_hint(attach: &Attach) -> AttachHint {
    match attach {
        Attach::SystemdUnit(unit) => AttachHint::SystemdUnit(unit.clone()),
        Attach::Interface(name) => AttachHint::Interface(name.clone()),
        Attach::Netns(netns) => AttachHint::Netns(netns.clone()),
        Attach::Cgroup(path) => AttachHint::Cgroup(path.clone()),
    }
}

fn network_decision(decision: &network::Decision, origins: &OriginTable) -> Decision {
    // Of what is audited people are told what would deny.
    let why = decision.audited.map_or(decision.why, Why::Policy);
    let (reason, origin) = match why {
        Why::UnknownSubject => (BpfReason::UnknownSubject, None),
        Why::Truncated => (BpfReason::Truncated, None),
        Why::Malformed => (BpfReason::Malformed, None),
        Why::Arp => (BpfReason::Arp, None),
        Why::UnknownL3 => (BpfReason::UnknownL3, None),
        Why::Established => (BpfReason::Established, None),
        Why::Related => (BpfReason::Related, None),
        Why::ConntrackFull => (BpfReason::ConntrackFull, None),
        Why::Fragment => (BpfReason::Fragment, None),
        Why::Neighbour => (BpfReason::Neighbour, None),
        Why::Policy(Reason::Entry(origin)) => (BpfReason::Rule, Some(origin)),
        Why::Policy(Reason::DefaultDeny(origin)) => (BpfReason::DefaultDeny, Some(origin)),
        Why::Policy(Reason::FromHost) => (BpfReason::FromHost, None),
        Why::Policy(Reason::ToHost) => (BpfReason::ToHost, None),
        Why::Unenforced | Why::Policy(Reason::NoPolicy | Reason::NotASubject) => {
            (BpfReason::NoPolicy, None)
        }
    };
    let outcome = match (decision.allowed, decision.audited) {
        (true, None) => Outcome::Allow,
        (true, Some(_)) => Outcome::Audit,
        (false, _) => Outcome::Deny,
    };
    Decision {
        outcome,
        reason,
        line: origin.map(|o| o.index() as u32),
        event: None,
        log: origin.and_then(|o| origins.log(o)).map(str::to_owned),
        unless_audited: decision.unless_audited.map(|other| other.index() as u32),
        answer: match decision.response {
            DenyResponse::Drop => None,
            DenyResponse::Reset => Some(Answer::Reset),
            DenyResponse::Unreachable => Some(Answer::Unreachable),
        },
    }
}

/// Tracing decisions follow those of network policy, in the order of the outcomes.
fn add_events(manifest: &mut Manifest, events: &EventDecision) {
    let first = manifest.decisions.len();
    manifest.decisions.extend(events.outcomes.iter().map(event_decision));
    for hook in &events.hooks {
        let layout = RecordLayout::of(hook);
        for graph in &hook.graphs {
            let index = manifest.events.len() as u32;
            manifest.events.push(event_spec(hook, graph, &layout));
            for outcome in selected(graph) {
                manifest.decisions[first + outcome].event = Some(index);
            }
        }
    }
}

fn event_decision(outcome: &EventOutcome) -> Decision {
    Decision {
        outcome: if outcome.posts { Outcome::Post } else { Outcome::Suppress },
        reason: BpfReason::Rule,
        line: Some(outcome.origin.index() as u32),
        event: None,
        log: None,
        unless_audited: None,
        answer: None,
    }
}

/// The outcomes that a graph can lead to.
fn selected(graph: &EventGraph) -> Vec<usize> {
    use policyc_decision::graph::Node;
    use policyc_decision::tracing::EventLeaf;
    let leaves = graph.graph.iter().filter_map(|(_, node)| match node {
        Node::Leaf(EventLeaf::Selected(outcome)) => Some(*outcome),
        _ => None,
    });
    leaves.collect()
}

fn event_spec(hook: &HookDecision, graph: &EventGraph, layout: &RecordLayout) -> EventSpec {
    let fields = graph.reports.iter().map(|(field, label)| {
        let index = field.0 as usize;
        let read = &hook.reads[index];
        EventField {
            name: read.name.clone(),
            label: label.clone(),
            kind: match read.kind {
                ArgKind::Text => EventFieldKind::Text,
                ArgKind::Int(ty) if ty.signed => EventFieldKind::Signed,
                ArgKind::Int(_) => EventFieldKind::Unsigned,
            },
            // INVARIANT: records are far smaller than 2^31 bytes.
            offset: layout.fields[index] as u32,
        }
    });
    EventSpec {
        policy: graph.policy.clone(),
        hook: hook.hook.to_string(),
        message: graph.message.clone(),
        tags: graph.tags.clone(),
        fields: fields.collect(),
    }
}

#[cfg(test)]
mod tests;
