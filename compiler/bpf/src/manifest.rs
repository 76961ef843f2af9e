//! The manifest: everything about an artifact that is not code or a table.
//!
//! Guarantees: plain data; a canonical JSON form (fields in the order of
//! declaration, no blanks, maps sorted), so that equal manifests are equal bytes.
//! Does not know: interfaces or file descriptors of any host, nor the version of
//! policyc that wrote it: it must not change the bytes of an equal build.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policyc_base::EntityId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::artifact::Digest;
use crate::sets::Prefix;
use crate::{Direction, Judges, License, MapSpec, Object, Program, ProgramKind, SourceLine};

/// What an artifact says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the policy set, for people.
    pub name: String,
    /// Whose meaning the policies have: `cilium-1.20`.
    pub dialect: String,
    /// The programs of the object, in its order. Written by
    /// [`Artifact::build`](crate::artifact::Artifact::build).
    pub programs: Vec<ProgramEntry>,
    /// The maps of the object, by [`MapId`](crate::MapId). Written by
    /// [`Artifact::build`](crate::artifact::Artifact::build).
    pub maps: Vec<MapSpec>,
    /// Every line that code or decisions come from. Written by
    /// [`Artifact::build`](crate::artifact::Artifact::build).
    pub lines: Vec<SourceLine>,
    /// What can be decided, by the index that cells and events carry.
    pub decisions: Vec<Decision>,
    /// Whom the artifact holds policy for, ascending by name.
    pub subjects: Vec<Subject>,
    /// The run-time sets that rules name, by their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<RuntimeSet>,
    /// What happens to packets of a subject that is not in the artifact.
    pub unknown_subject: Verdict,
    /// Names that several network policies have, of different kinds.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub namesakes: BTreeSet<String>,
    /// Version of the layout of ring buffer events.
    pub events_layout: u32,
    /// What tracing records hold.
    pub events: Vec<EventSpec>,
    /// The texts it was built from, ascending by name.
    pub sources: Vec<Source>,
    /// What a host must be able to do, by the names of the target profile.
    pub requires: BTreeSet<String>,
    /// How large it is, and how near to the target's limits.
    pub cost: Cost,
}

/// One program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramEntry {
    /// Its name in the object.
    pub name: String,
    /// Kernel type and hook.
    pub kind: ProgramKind,
    /// Whose packets or events it judges.
    pub judges: Judges,
    /// Licence declared to the kernel.
    pub license: License,
    /// Its length in slots.
    pub insns: u32,
    /// Where its code comes from, as runs: the first slot of a run, and the
    /// index in [`Manifest::lines`] or none for code that no rule asked for.
    pub origins: Vec<(u32, Option<u32>)>,
}

/// Whether a packet passes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It passes on to the next program of the chain.
    Allow,
    /// It is dropped.
    Deny,
}

/// What a decision does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A packet passes.
    Allow,
    /// A packet is dropped.
    Deny,
    /// A packet passes because the rule that denies it is audited.
    Audit,
    /// An event is reported.
    Post,
    /// An event is not reported.
    Suppress,
}

/// Why a decision is what it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A rule says so.
    Rule,
    /// No rule matched, and one that selects the subject denies by default.
    DefaultDeny,
    /// No rule matched, and none denies by default.
    NoPolicy,
    /// A workload's own host may always reach it.
    FromHost,
    /// A workload may always reach its own host.
    ToHost,
    /// Nobody is bound to the attach point.
    UnknownSubject,
    /// Headers end before they are complete.
    Truncated,
    /// Headers contradict themselves, or go on for too long.
    Malformed,
    /// ARP.
    Arp,
    /// Neither IP nor ARP.
    UnknownL3,
    /// A reply to a connection that policy allowed earlier.
    Established,
    /// An ICMP error about a connection that policy allowed earlier.
    Related,
    /// There is no room to remember another connection.
    ConntrackFull,
    /// A later fragment of which the first was not forwarded.
    Fragment,
    /// Neighbour discovery.
    Neighbour,
}

/// One entry of the table of decisions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What it does.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The rule that decides or denies by default, as an index in
    /// [`Manifest::lines`]; none for what no rule wrote.
    pub line: Option<u32>,
    /// For a tracing decision, what its records hold: an index in
    /// [`Manifest::events`].
    pub event: Option<u32>,
    /// What the policy wants told beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Of a rule's denial: the decision that holds without the rule, by index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless_audited: Option<u32>,
    /// How a packet that it drops on tc is answered, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// How a packet that is dropped is answered; `policyc.io/deny-response`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A TCP connection is reset.
    Reset,
    /// ICMP says that it is prohibited.
    Unreachable,
}

/// What the records of one policy at one hook hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSpec {
    /// The policy's name.
    pub policy: String,
    /// The hook, as people write it: `tracepoint sched/sched_process_exec`.
    pub hook: String,
    /// What its events say.
    pub message: Option<String>,
    /// What its events are labelled with.
    pub tags: Vec<String>,
    /// The fields it reports, in the order written.
    pub fields: Vec<EventField>,
}

/// One field of a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventField {
    /// Its name in the kernel's record.
    pub name: String,
    /// What the policy calls it.
    pub label: Option<String>,
    /// What it holds.
    pub kind: EventFieldKind,
    /// Where it lies in the record, in bytes.
    pub offset: u32,
}

/// What a field of a record holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventFieldKind {
    /// 8 bytes, two's complement.
    Signed,
    /// 8 bytes.
    Unsigned,
    /// 8 bytes with the length including the NUL (negative: unreadable), then bytes.
    Text,
}

/// What a subject is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// A workload.
    Endpoint,
    /// A host.
    Node,
}

/// Somebody the artifact holds policy for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `namespace/name`, or the name of a node.
    pub name: String,
    /// What it is.
    pub kind: SubjectKind,
    /// Its row in the tables: its behaviour class.
    pub row: u32,
    /// Its addresses, as the inventory gives them.
    pub addresses: Vec<IpAddr>,
    /// The directions in which its policy denies something, seen from the subject:
    /// wherever it is bound, these have to be judged.
    pub restricts: Vec<Direction>,
    /// Those in which it denies what no rule speaks about: answers to what goes the other
    /// way pass only where that is judged too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denies_by_default: Vec<Direction>,
    /// Where the inventory says it is attached; none leaves it to the bindings.
    pub attach: Option<AttachHint>,
    /// The names of the only nodes on which it is attached there; on any, if the
    /// inventory does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
}

/// A peer whose addresses change while policy is live.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeSet {
    /// What its group is called in every generation: a number of kind and name.
    pub id: u64,
    /// What it is.
    #[serde(default, skip_serializing_if = "SetKind::is_group")]
    pub kind: SetKind,
    /// The name of the group or workload that it stands for.
    pub name: String,
    /// Addresses of the group that are no members: the exceptions of one reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Prefix>,
    /// The group if nobody says otherwise, the exceptions too; ascending.
    pub members: Vec<Prefix>,
    /// Addresses that cannot become members: what is said of them is in the tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barred: Vec<IpAddr>,
}

/// What a run-time set stands for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetKind {
    /// A group: an address may be in several.
    #[default]
    Group,
    /// A workload: an address is of one.
    Workload {
        /// A number of its labels and ports: the tables say what they mean.
        labels: u64,
    },
}

impl SetKind {
    const fn is_group(&self) -> bool {
        matches!(self, Self::Group)
    }
}

impl RuntimeSet {
    /// Those of its members that come from one of the group.
    pub fn part_of(&self, prefix: Prefix) -> Vec<Prefix> {
        prefix.without(&self.except)
    }
}

/// The number of a group or workload; see [`subject_identity`] for its form.
pub fn group_identity(kind: SetKind, name: &str) -> u64 {
    let kind = if kind.is_group() { "group" } else { "workload" };
    subject_identity(&format!("set\0{kind}\0{name}"))
}

/// By what a subject's connections are told from those of others, in every generation:
/// a number of its name alone, not of a row, which may mean somebody else tomorrow. Names
/// of workloads have a `/`, names of nodes have none.
///
/// The first eight bytes of SHA-256: who may choose a name cannot choose one that shares
/// another subject's connections.
pub fn subject_identity(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where a subject's packets can be judged on its host. The form of an
/// inventory's `attach` field.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttachHint {
    /// The cgroup of a systemd unit.
    SystemdUnit(String),
    /// An interface of the host, by name.
    Interface(String),
    /// A network namespace, by name or path.
    Netns(String),
    /// A cgroup, by its path below the cgroup2 mount.
    Cgroup(String),
}

/// A text that was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name as the user typed it, relative.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// The size of everything.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Slots of all programs.
    pub insns: u64,
    /// Bytes of keys and values of all maps, without the kernel's own overhead;
    /// a per-CPU value counts once.
    pub map_bytes: u64,
    /// Bytes of keys and values by map.
    pub maps: BTreeMap<String, u64>,
    /// Limits of the target that were counted against.
    pub limits: Vec<Limit>,
}

/// A limit, and how much of it is used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What is limited: `instructions`, `subjects`.
    pub name: String,
    /// How much is used.
    pub used: u64,
    /// How much there may be.
    pub limit: u64,
}

impl Cost {
    /// The sizes of an object; no limit is counted.
    pub fn of(object: &Object) -> Self {
        let maps: BTreeMap<String, u64> =
            object.maps.values().map(|m| (m.name.clone(), map_bytes(m))).collect();
        Self {
            insns: object.programs.iter().map(|p| p.insns.len() as u64).sum(),
            map_bytes: maps.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
            maps,
            limits: Vec::new(),
        }
    }
}

/// Bytes of keys and values of a map; a ring buffer's are its entries.
fn map_bytes(map: &MapSpec) -> u64 {
    let entry = u64::from(map.key_size) + u64::from(map.value_size);
    entry.max(1).saturating_mul(u64::from(map.max_entries))
}

impl ProgramEntry {
    /// The entry of a program.
    pub fn of(program: &Program) -> Self {
        let mut origins: Vec<(u32, Option<u32>)> = Vec::new();
        for (slot, origin) in program.origins.iter().enumerate() {
            let line = origin.map(|o| o.index() as u32);
            if origins.last().is_none_or(|(_, last)| *last != line) {
                origins.push((slot as u32, line));
            }
        }
        Self {
            name: program.name.clone(),
            kind: program.kind.clone(),
            judges: program.judges,
            license: program.license,
            insns: program.insns.len() as u32,
            origins,
        }
    }
}

impl Manifest {
    /// A manifest that says nothing yet: no subject, unknown subjects denied.
    pub fn new(name: impl Into<String>, dialect: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            dialect: dialect.into(),
            programs: Vec::new(),
            maps: Vec::new(),
            lines: Vec::new(),
            decisions: Vec::new(),
            subjects: Vec::new(),
            sets: Vec::new(),
            unknown_subject: Verdict::Deny,
            namesakes: BTreeSet::new(),
            events_layout: 0,
            events: Vec::new(),
            sources: Vec::new(),
            requires: BTreeSet::new(),
            cost: Cost::default(),
        }
    }

    /// The line of a decision, or `None` for a default or a foreign index.
    pub fn line_of(&self, decision: u32) -> Option<&SourceLine> {
        let line = self.decisions.get(decision as usize)?.line?;
        self.lines.get(line as usize)
    }
}
