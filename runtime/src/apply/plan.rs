//! Which gates a generation uses: those that exist, and those to be made.

use policyc_bpf::Artifact;
use policyc_sys::Kernel;

use super::resolve::Wanted;
use super::{Options, Outcome};
use crate::audit::Audit;
use crate::error::Error;
use crate::history::{self, By};
use crate::host::Host;
use crate::journal::{Gate, HeldBy, Home, Journal, Judged, Record};
use crate::members::Beginning;
use crate::point::{Mechanism, Point};
use crate::state::Parity;
use crate::status::drift;

/// What a generation will look like on this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    /// Ascending by attach id.
    pub(super) gates: Vec<PlannedGate>,
    /// Ids of gates that nothing will judge at any more.
    pub(super) outgoing: Vec<u32>,
    /// Where it will be.
    pub(super) home: Home,
    /// What is audited, and stays so.
    pub(super) audits: Vec<Audit>,
    /// The members of its run-time sets.
    pub(super) members: Beginning,
    /// The generation instead of which it denies.
    pub(super) stands_for: Option<u64>,
    /// Who applies it.
    pub(super) by: By,
}

/// A gate, and what it will run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PlannedGate {
    pub(super) id: u32,
    pub(super) exists: bool,
    pub(super) wanted: Wanted,
}

/// Gives every place its gate. The journal's gates are alive: recovery removed
/// the others.
pub(super) fn plan(journal: &Journal, wanted: Vec<Wanted>, home: Home) -> Plan {
    let mut free = journal.free_ids();
    let mut gates = Vec::new();
    for wanted in wanted {
        let existing = journal.gates.iter().find(|gate| is_at(gate, &wanted)).map(|gate| gate.id);
        let id = existing.or_else(|| free.next()).unwrap_or(u32::MAX);
        gates.push(PlannedGate { id, exists: existing.is_some(), wanted });
    }
    gates.sort_by_key(|gate| gate.id);
    let outgoing = journal.gates.iter().map(|gate| gate.id);
    let outgoing = outgoing.filter(|id| gates.iter().all(|gate| gate.id != *id)).collect();
    let (audits, members) = (journal.audits.clone(), Beginning::default());
    let number = journal.last_number + 1;
    Plan { number, gates, outgoing, home, audits, members, stands_for: None, by: By::default() }
}

/// Gives every place a gate of its own, beside those that a generation has.
pub(super) fn plan_more(journal: &Journal, wanted: Vec<Wanted>, number: u64) -> Plan {
    let ids = journal.free_ids();
    let gates = ids.zip(wanted).map(|(id, wanted)| PlannedGate { id, exists: false, wanted });
    let (home, audits) = (journal.home.clone(), journal.audits.clone());
    let members = Beginning::default();
    let (gates, outgoing) = (gates.collect(), Vec::new());
    Plan { number, gates, outgoing, home, audits, members, stands_for: None, by: By::default() }
}

/// Whether the gate is where `wanted` wants one, attached as it wants.
fn is_at(gate: &Gate, wanted: &Wanted) -> bool {
    gate.point == wanted.point
        && (wanted.mechanism.is_none() || gate.mechanism() == wanted.mechanism)
}

fn gate(id: u32, wanted: &Wanted) -> Gate {
    Gate { id, point: wanted.point.clone(), held_by: HeldBy::Link }
}

impl PlannedGate {
    /// Its entry in the journal before it is attached; a filter has its own.
    pub(super) fn gate(&self) -> Gate {
        gate(self.id, &self.wanted)
    }

    /// Whether the binding insists on this mechanism.
    pub(super) fn insists_on(&self, mechanism: Mechanism) -> bool {
        self.wanted.mechanism == Some(mechanism)
    }

    fn subject(&self) -> Option<String> {
        self.wanted.subject.as_ref().map(|(name, _)| name.clone())
    }
}

impl Plan {
    /// Refuses to count on a gate that cannot be looked at.
    pub(super) fn check<K: Kernel>(
        &self,
        host: &Host<'_, K>,
        journal: &Journal,
    ) -> Result<(), Error> {
        for planned in self.gates.iter().filter(|planned| planned.exists) {
            let Some(gate) = journal.gates.iter().find(|gate| gate.id == planned.id) else {
                continue;
            };
            drift::look(host, gate)
                .map_err(|error| Error::Attach { point: Box::new(gate.point.clone()), error })?;
        }
        Ok(())
    }

    /// The generation's entry in the journal.
    pub(super) fn record(
        &self,
        artifact: &Artifact,
        options: &Options,
        parity: Parity,
        since: u64,
        adoption: Option<u32>,
    ) -> Record {
        Record {
            number: self.number,
            parity,
            hash: artifact.hash(),
            name: artifact.manifest().name.clone(),
            since,
            tentative: options.confirm.is_some(),
            adoption,
            report_forwarded: options.report_forwarded,
            stands_for: self.stands_for,
            by: self.by.clone(),
            evidence: history::evidence(artifact),
            judges: self.judges(artifact),
        }
    }

    /// What it judges.
    pub(super) fn judges(&self, artifact: &Artifact) -> Vec<Judged> {
        let programs = &artifact.object().programs;
        let name = |index: usize| programs.get(index).map(|p| p.name.clone()).unwrap_or_default();
        let judges = self.gates.iter().map(|gate| Judged {
            gate: gate.id,
            subject: gate.subject(),
            program: name(gate.wanted.program),
        });
        judges.collect()
    }

    /// What applying it comes to, before it is live.
    pub(super) fn outcome(
        &self,
        artifact: &Artifact,
        options: &Options,
        journal: &Journal,
    ) -> Outcome {
        let stays = |point: &Point| self.gates.iter().any(|gate| gate.wanted.point == *point);
        let outgoing = journal.gates.iter().filter(|gate| self.outgoing.contains(&gate.id));
        let left = outgoing.map(|gate| &gate.point).filter(|point| !stays(point));
        let points = self.gates.iter().map(|gate| (gate.wanted.point.clone(), gate.subject()));
        Outcome {
            generation: self.number,
            hash: artifact.hash(),
            live: false,
            points: points.collect(),
            new_gates: self.gates.iter().filter(|gate| !gate.exists).count(),
            old_gates: self.outgoing.len(),
            left: left.cloned().collect(),
            replaced: self.members.replaced.clone(),
            confirm_within: options.confirm,
            adopted: None,
        }
    }
}
