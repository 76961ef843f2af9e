//! The journal: what policyc knows about what it put on the host.
//!
//! Written whole, before something is made and after something was undone, so
//! that whatever a killed command left is named in it. The state word in the
//! kernel, not the journal, says which generation is live.

use policyc_bpf::Digest;
use policyc_sys::Kernel;
use serde::{Deserialize, Serialize};

use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::point::{Mechanism, Point};
use crate::state::Parity;

/// The format that this release reads and writes.
const FORMAT: u32 = 1;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Journal {
    format: u32,
    /// The number of the last generation that was tried.
    pub(crate) last_number: u64,
    /// The generation that was flipped to last.
    pub(crate) active: Option<Record>,
    /// The one before, while it is kept or not yet cleaned up.
    pub(crate) previous: Option<Record>,
    /// The one that is being brought up.
    pub(crate) next: Option<Record>,
    /// The one that was live until its pins were gone, as they are after boot.
    pub(crate) lost: Option<Record>,
    /// Every gate that exists or is being made, ascending by id.
    pub(crate) gates: Vec<Gate>,
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
    /// How it is attached there, once that is known.
    pub(crate) mechanism: Option<Mechanism>,
    /// Whether policyc made the qdisc it is on.
    pub(crate) own_qdisc: bool,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            format: FORMAT,
            last_number: 0,
            active: None,
            previous: None,
            next: None,
            lost: None,
            gates: Vec::new(),
        }
    }
}

impl Journal {
    /// The gate with this id.
    pub(crate) fn gate_mut(&mut self, id: u32) -> Option<&mut Gate> {
        self.gates.iter_mut().find(|gate| gate.id == id)
    }

    /// The lowest id that no gate has and no generation speaks of.
    pub(crate) fn free_id(&self) -> u32 {
        let taken = |id| {
            self.gates.iter().any(|gate| gate.id == id)
                || self.generations().any(|record| record.uses(id))
        };
        (0..u32::MAX).find(|id| !taken(*id)).unwrap_or(u32::MAX)
    }

    /// Adds a gate in its place.
    pub(crate) fn add_gate(&mut self, gate: Gate) {
        let at = self.gates.partition_point(|other| other.id < gate.id);
        self.gates.insert(at, gate);
    }

    /// Every generation that has something on the host.
    pub(crate) fn generations(&self) -> impl Iterator<Item = &Record> {
        [&self.active, &self.previous, &self.next].into_iter().flatten()
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

impl<K: Kernel> Host<'_, K> {
    /// The journal; an empty one if there is none.
    pub(crate) fn read_journal(&self) -> Result<Journal, Error> {
        let path = self.dirs.journal();
        let Some(bytes) = self.kernel.read_file(&path).or_doing("read the journal")? else {
            return Ok(Journal::default());
        };
        let unreadable = |reason: String| Error::Journal { path: path.clone(), reason };
        let journal: Journal =
            serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        if journal.format != FORMAT {
            return Err(unreadable(format!("it has format {}", journal.format)));
        }
        Ok(journal)
    }

    /// Replaces the journal; one with nothing to say has no file.
    pub(crate) fn write_journal(&self, journal: &Journal) -> Result<(), Error> {
        let path = self.dirs.journal();
        if journal.is_bare() && journal.lost.is_none() {
            return self.remove(&path);
        }
        let bytes = serde_json::to_vec_pretty(journal)
            .map_err(|e| Error::Journal { path: path.clone(), reason: e.to_string() })?;
        self.kernel.write_file(&path, &bytes).or_doing("write the journal")
    }
}
