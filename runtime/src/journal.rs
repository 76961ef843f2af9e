//! The journal: what policyc knows about what it put on the host.
//!
//! Written whole, before something is made and after something was undone, so
//! that whatever a killed command left is named in it. The state word in the
//! kernel, not the journal, says which generation is live.

use std::collections::BTreeSet;
use std::path::PathBuf;

use policyc_bpf::Digest;
use policyc_sys::Kernel;
use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::error::{Error, OrDoing};
use crate::history::{By, Past};
use crate::host::Host;
use crate::point::{Mechanism, Point};
use crate::state::Parity;

/// The format that this release reads and writes.
const FORMAT: u32 = 2;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Journal {
    format: u32,
    /// The boot and the pins that everything else here, but `lost`, is about.
    pub(crate) home: Home,
    /// The number of the last generation that was tried.
    pub(crate) last_number: u64,
    /// The generation that was flipped to last.
    pub(crate) active: Option<Record>,
    /// The one before, while it is kept or not yet cleaned up.
    pub(crate) previous: Option<Record>,
    /// The one that is being brought up.
    pub(crate) next: Option<Record>,
    /// The one that was live for good until its pins were gone, as they are
    /// after boot.
    pub(crate) lost: Option<Record>,
    /// The gates that there were when `lost` was lost: where it judged.
    #[serde(default)]
    pub(crate) lost_gates: Vec<Gate>,
    /// Whether `lost` was removed, and is not to come back by itself.
    #[serde(default)]
    pub(crate) removed: bool,
    /// The number of the generation that was live before: events that it
    /// reported may still be unread, and its copy names their rules.
    pub(crate) former: Option<u64>,
    /// Every gate that exists or is being made, ascending by id.
    pub(crate) gates: Vec<Gate>,
    /// Ids of the gates that are being attached to the generation that is live.
    #[serde(default)]
    pub(crate) attaching: Vec<u32>,
    /// The number of the last adoption of connections that was tried.
    #[serde(default)]
    pub(crate) last_adoption: u32,
    /// The adoption that goes with what is being attached.
    #[serde(default)]
    pub(crate) adopting: Option<u32>,
    /// What is audited.
    #[serde(default)]
    pub(crate) audits: Vec<Audit>,
    /// What was live, ascending by number.
    #[serde(default)]
    pub(crate) history: Vec<Past>,
}

/// Whose journal this is: ids and pins mean nothing elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Home {
    /// Which boot.
    pub(crate) boot: String,
    /// Where everything is pinned.
    pub(crate) pins: PathBuf,
    /// Device number of the BPF file system there.
    pub(crate) bpffs: u64,
    /// Id of the map with the state word.
    pub(crate) state: u32,
}

/// A generation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Counts applies on this host.
    pub(crate) number: u64,
    /// Its slots.
    pub(crate) parity: Parity,
    /// The artifact's content.
    pub(crate) hash: Digest,
    /// The artifact's name.
    pub(crate) name: String,
    /// Seconds since 1970.
    pub(crate) since: u64,
    /// Whether it still has to be confirmed.
    pub(crate) tentative: bool,
    /// The adoption of connections that goes with it: what that wrote is taken back if
    /// the generation does not stay.
    #[serde(default)]
    pub(crate) adoption: Option<u32>,
    /// Whether forwarded packets are reported too.
    #[serde(default)]
    pub(crate) report_forwarded: bool,
    /// The number of the generation that could not be restored, and instead of which
    /// this one denies everything.
    #[serde(default)]
    pub(crate) stands_for: Option<u64>,
    /// Who made it live.
    #[serde(default)]
    pub(crate) by: By,
    /// What had found its programs to be safe.
    #[serde(default)]
    pub(crate) evidence: Vec<String>,
    /// Where it judges.
    pub(crate) judges: Vec<Judged>,
}

/// A generation's program at a gate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// Id of the gate.
    pub(crate) gate: u32,
    /// Who is judged; nobody in particular for tracing.
    pub(crate) subject: Option<String>,
    /// Name of the program.
    pub(crate) program: String,
}

/// A gate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Gate {
    /// The attach id, which programs see.
    pub(crate) id: u32,
    /// Where it is.
    pub(crate) point: Point,
    /// What attaches it there.
    pub(crate) held_by: HeldBy,
}

/// What attaches a gate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HeldBy {
    /// Its link, by which it is found wherever it is.
    Link,
    /// A filter, which is found only in its place.
    Filter {
        /// Id of the gate's program.
        program: u32,
        /// Whether policyc made the qdisc it is on.
        own_qdisc: bool,
    },
}

impl Gate {
    /// How it is attached, where there is a choice.
    pub(crate) fn mechanism(&self) -> Option<Mechanism> {
        self.point.filter().map(|_| match self.held_by {
            HeldBy::Link => Mechanism::Tcx,
            HeldBy::Filter { .. } => Mechanism::Clsact,
        })
    }

    /// Whether policyc made the qdisc it is on.
    pub(crate) fn owns_qdisc(&self) -> bool {
        matches!(self.held_by, HeldBy::Filter { own_qdisc: true, .. })
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            format: FORMAT,
            home: Home::default(),
            last_number: 0,
            active: None,
            previous: None,
            next: None,
            lost: None,
            lost_gates: Vec::new(),
            removed: false,
            former: None,
            gates: Vec::new(),
            attaching: Vec::new(),
            last_adoption: 0,
            adopting: None,
            audits: Vec::new(),
            history: Vec::new(),
        }
    }
}

impl Journal {
    /// The gate with this id.
    pub(crate) fn gate_mut(&mut self, id: u32) -> Option<&mut Gate> {
        self.gates.iter_mut().find(|gate| gate.id == id)
    }

    /// The ids that no gate has and no generation speaks of, ascending.
    pub(crate) fn free_ids(&self) -> impl Iterator<Item = u32> + use<> {
        let used = self.generations().flat_map(|record| &record.judges).map(|judged| judged.gate);
        let taken: BTreeSet<u32> = self.gates.iter().map(|gate| gate.id).chain(used).collect();
        (0..u32::MAX).filter(move |id| !taken.contains(id))
    }

    /// The same, with nothing half attached.
    pub(crate) fn with_all_attached(&self) -> Self {
        Self { attaching: Vec::new(), adopting: None, ..self.clone() }
    }

    /// The number of another adoption; never 0, which is that of none.
    pub(crate) fn next_adoption(&self) -> u32 {
        self.last_adoption.wrapping_add(1).max(1)
    }

    /// Adds a gate in its place.
    pub(crate) fn add_gate(&mut self, gate: Gate) {
        let at = self.gates.partition_point(|other| other.id < gate.id);
        self.gates.insert(at, gate);
    }

    /// The generation that was made live for good last.
    pub(crate) fn confirmed(&self) -> Option<&Record> {
        let confirmed = match &self.active {
            Some(active) if !active.tentative => Some(active),
            _ => self.previous.as_ref(),
        };
        // Somebody applied the one that it stands for.
        confirmed.filter(|record| record.stands_for.is_none())
    }

    /// The generation that judges by policy, whether it is confirmed or not.
    pub(crate) fn judging(&self) -> Option<&Record> {
        self.active.as_ref().filter(|record| record.stands_for.is_none())
    }

    /// What was confirmed is gone; what never was is not what was live.
    pub(crate) fn lose(&mut self) {
        if let Some(lost) = self.confirmed().cloned() {
            self.lost = Some(lost);
            self.lost_gates.clone_from(&self.gates);
        }
    }

    /// Something that was confirmed takes the place of what was lost.
    pub(crate) fn forget_lost(&mut self) {
        if self.active.as_ref().is_some_and(|live| !live.tentative && live.stands_for.is_none()) {
            self.lost = None;
            self.lost_gates.clear();
            self.removed = false;
        }
    }

    /// The generation whose slots are those of the parity.
    pub(crate) fn generation(&self, parity: Parity) -> Option<&Record> {
        self.generations().find(|record| record.parity == parity)
    }

    /// Every generation that has something on the host.
    pub(crate) fn generations(&self) -> impl Iterator<Item = &Record> {
        [&self.active, &self.previous, &self.next].into_iter().flatten()
    }

    /// Whether the copy of this generation is kept.
    pub(crate) fn keeps_copy(&self, number: u64) -> bool {
        let former = self.former.filter(|_| !self.is_bare());
        let mut records = self.generations().chain(&self.lost);
        let has_kept = !self.is_bare() || self.lost.is_some();
        records.any(|record| record.number == number)
            || former == Some(number)
            || has_kept && self.kept().any(|past| past.generation == number)
    }

    /// Whether it knows of nothing on the host.
    pub(crate) fn is_bare(&self) -> bool {
        self.generations().next().is_none() && self.gates.is_empty()
    }
}

impl Record {
    /// Whether it judges at the gate.
    pub(crate) fn uses(&self, gate: u32) -> bool {
        self.judges.iter().any(|judged| judged.gate == gate)
    }
}

/// What every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl<K: Kernel> Host<'_, K> {
    /// The journal; an empty one if there is none.
    pub(crate) fn read_journal(&self) -> Result<Journal, Error> {
        let path = self.dirs.journal();
        let Some(bytes) = self.kernel.read_file(&path).or_doing("read the journal")? else {
            return Ok(Journal::default());
        };
        let unreadable = |reason: String| Error::Journal { path: path.clone(), reason };
        // The format first: another one need not have the same fields.
        let Format { format } =
            serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        if format != FORMAT {
            let reason = format!("it has format {format}, and this release reads {FORMAT}");
            return Err(unreadable(reason));
        }
        serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))
    }

    /// Replaces the journal; one with nothing to say has no file.
    pub(crate) fn write_journal(&self, journal: &Journal) -> Result<(), Error> {
        let path = self.dirs.journal();
        if journal.is_bare() && journal.lost.is_none() && journal.history.is_empty() {
            return self.remove(&path);
        }
        let bytes = serde_json::to_vec_pretty(journal)
            .map_err(|e| Error::Journal { path: path.clone(), reason: e.to_string() })?;
        self.kernel.write_file(&path, &bytes).or_doing("write the journal")
    }
}
