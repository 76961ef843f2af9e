//! What is live, and whether it is still as it was put. Changes nothing.

mod counters;
pub(crate) mod drift;

use std::time::Duration;

use policyc_bpf::Digest;
use policyc_bpf::manifest::RuntimeSet;
use policyc_sys::Kernel;

use crate::apply::unjudged;
use crate::audit::{self, Audited};
use crate::error::Error;
use crate::host::Host;
use crate::journal::{Gate, Journal, Record};
use crate::members::{self, Group};
use crate::point::{Mechanism, Point};
use crate::restore::read_copy;

pub use counters::Counter;
pub use drift::Drift;

/// What is on the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The generation that judges now.
    pub live: Option<Live>,
    /// The generation that was live until its pins were gone, as they are after
    /// boot, or until `remove`: its number and the artifact's name.
    pub lost: Option<(u64, String)>,
    /// Whether a killed command left something that the next one tidies.
    pub untidy: bool,
}

/// A live generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    /// Its number.
    pub generation: u64,
    /// The artifact's content.
    pub hash: Digest,
    /// The artifact's name.
    pub name: String,
    /// Seconds since 1970.
    pub since: u64,
    /// The number of the generation that could not be restored, and instead of which
    /// everything is denied.
    pub stands_for: Option<u64>,
    /// How much longer it waits for its confirmation.
    pub confirm_within: Option<Duration>,
    /// Where it judges, ascending by attach id.
    pub gates: Vec<GateStatus>,
    /// Where its bindings say that it judges, and it does not: what they name came
    /// later. With the subject.
    pub unjudged: Vec<(Point, Option<String>)>,
    /// What is audited, and for how much longer.
    pub audits: Vec<(Audited, Duration)>,
    /// Groups and workloads whose addresses change, by name.
    pub groups: Vec<Followed>,
    /// Packets by decision; empty if the artifact does not count.
    pub counters: Vec<Counter>,
}

/// An attach point of the live generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GateStatus {
    /// The attach id, as events carry it.
    pub id: u32,
    /// Where; `None` when the gate is gone and was forgotten.
    pub point: Option<Point>,
    /// How, where there is a choice.
    pub mechanism: Option<Mechanism>,
    /// Whether it is XDP that the driver does not run: the network stack does,
    /// later and slower.
    pub generic_xdp: bool,
    /// Who is judged.
    pub subject: Option<String>,
    /// By which program.
    pub program: String,
    /// What is not as it was put.
    pub drift: Option<Drift>,
}

/// A group or workload whose addresses change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    /// What is known of it.
    pub group: Group,
    /// Whether a rule of what is live names it.
    pub is_named: bool,
}

impl Live {
    /// Whether something is not as it was put.
    pub fn has_drift(&self) -> bool {
        !self.unjudged.is_empty() || self.gates.iter().any(|gate| gate.drift.is_some())
    }
}

/// Looks at the host.
///
/// # Errors
/// What failed; see [`Error`].
pub fn status<K: Kernel>(host: &Host<'_, K>) -> Result<Status, Error> {
    let journal = host.read_journal()?;
    let lost = |record: &Record| (record.number, record.name.clone());
    let Some(state) = host.find_home(&journal)?.state() else {
        let last = journal.confirmed().or(journal.lost.as_ref());
        return Ok(Status { live: None, lost: last.map(lost), untidy: !journal.is_bare() });
    };
    let word = host.read_state(&state)?;
    let now = host.kernel.now();
    let active = word.active(now);
    let deadline = word.deadline().filter(|deadline| now < *deadline);
    let live = journal.generation(active);
    let live = live.map(|record| live_generation(host, &journal, record)).transpose()?;
    let missed = word.deadline().is_some() && deadline.is_none();
    let used = |gate: &Gate| journal.generations().any(|record| record.uses(gate.id));
    let stray = !journal.gates.iter().all(used);
    // Members that cannot be read are no reason to show nothing.
    let is_patching = journal
        .generation(active)
        .is_some_and(|record| members::is_unfinished(host, record).unwrap_or_default());
    let leftover = journal.previous.is_some() && word.deadline().is_none();
    Ok(Status {
        live: live.map(|live| Live {
            confirm_within: deadline.map(|deadline| Duration::from_nanos(deadline - now)),
            ..live
        }),
        lost: journal.lost.as_ref().map(lost),
        untidy: journal.next.is_some()
            || !journal.attaching.is_empty()
            || journal.adopting.is_some()
            || missed
            || leftover
            || is_patching
            || stray,
    })
}

fn live_generation<K: Kernel>(
    host: &Host<'_, K>,
    journal: &Journal,
    record: &Record,
) -> Result<Live, Error> {
    let mut gates = Vec::new();
    for judged in &record.judges {
        let gate = journal.gates.iter().find(|gate| gate.id == judged.gate);
        let drift = match gate {
            None => Some(Drift::Detached),
            Some(gate) => drift::of_gate(host, gate)
                .or_else(|| drift::of_slot(host, record, judged))
                .or_else(|| drift::of_names(host, &gate.point))
                .or_else(|| drift::of_following(host, gate))
                .or_else(|| drift::of_chain(host, gate, journal)),
        };
        gates.push(GateStatus {
            id: judged.gate,
            point: gate.map(|gate| gate.point.clone()),
            mechanism: gate.and_then(Gate::mechanism),
            generic_xdp: gate.is_some_and(|gate| is_generic_xdp(host, &gate.point)),
            subject: judged.subject.clone(),
            program: judged.program.clone(),
            drift,
        });
    }
    let points: Vec<&Point> = gates.iter().filter_map(|gate| gate.point.as_ref()).collect();
    // Without a copy that can be read, nothing says what was bound.
    let copy = read_copy(host, record).ok().flatten();
    let unjudged =
        copy.as_ref().map(|(artifact, bindings)| unjudged(host, artifact, bindings, &points));
    let sets = copy.as_ref().map_or(&[][..], |(artifact, _)| &artifact.manifest().sets);
    Ok(Live {
        groups: followed(host, record, sets),
        unjudged: unjudged.unwrap_or_default(),
        generation: record.number,
        hash: record.hash,
        name: record.name.clone(),
        since: record.since,
        stands_for: record.stands_for,
        confirm_within: None,
        gates,
        audits: audit::left(journal, host.kernel.now()),
        counters: counters::read(host, record.number)?,
    })
}

fn followed<K: Kernel>(host: &Host<'_, K>, record: &Record, sets: &[RuntimeSet]) -> Vec<Followed> {
    let facts = members::read(host, record).ok().flatten().unwrap_or_default();
    let groups = facts
        .groups
        .into_iter()
        .map(|(id, group)| Followed { is_named: sets.iter().any(|set| set.id == id), group });
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by(|a, b| a.group.name.cmp(&b.group.name));
    groups
}

fn is_generic_xdp<K: Kernel>(host: &Host<'_, K>, point: &Point) -> bool {
    let Point::Xdp { interface } = point else { return false };
    let found = host.kernel.interface(&interface.netns(), &interface.name);
    found.is_ok_and(|found| found.generic_xdp)
}
