//! Putting a loaded generation into the inactive slots of every gate.
//!
//! Before the store nobody is judged by it: existing gates use their other
//! slot, and in the active slot of a new gate stands a program that passes
//! everything on, as if there were no gate. So one store makes it live at old
//! and new attach points alike, and going back to the other parity, by the
//! gates themselves if need be, leaves the new ones without effect. A gate that
//! is not used any more gets the same program in the slot of the new parity.

use policyc_bpf::{Artifact, ProgramKind};
use policyc_sys::kernel::Object;
use policyc_sys::{Kernel, SysError, errno};

use super::plan::{Plan, PlannedGate};
use crate::bindings::Bindings;
use crate::error::{Error, OrDoing};
use crate::follow::Follower;
use crate::gate::{self, GateMaps, Scope};
use crate::generation::Generation;
use crate::host::Host;
use crate::journal::{HeldBy, Journal, Record};
use crate::members;
use crate::point::{Mechanism, Point};
use crate::restore::{ARTIFACT, BINDINGS};

/// Everything the steps need.
pub(super) struct BringUp<'a, K: Kernel> {
    pub(super) host: &'a Host<'a, K>,
    pub(super) artifact: &'a Artifact,
    pub(super) bindings: &'a Bindings,
    pub(super) plan: &'a Plan,
    pub(super) generation: &'a Generation<K>,
    pub(super) record: &'a Record,
    pub(super) state: &'a K::Map,
}

impl<K: Kernel> BringUp<'_, K> {
    /// All steps up to the store.
    pub(super) fn run(&self, journal: &mut Journal) -> Result<(), Error> {
        self.announce(journal)?;
        self.copy_sources()?;
        self.pin()?;
        for planned in &self.plan.gates {
            if planned.exists {
                self.put(planned)?;
            } else {
                self.raise(planned, journal)?;
            }
        }
        for &id in &self.plan.outgoing {
            self.put_absent(id, journal)?;
        }
        Ok(())
    }

    /// The new gates of a generation that is live. Each judges from the moment on at
    /// which it is attached.
    pub(super) fn run_more(&self, journal: &mut Journal) -> Result<(), Error> {
        for planned in &self.plan.gates {
            journal.attaching.push(planned.id);
            journal.add_gate(planned.gate());
        }
        if let Some(active) = &mut journal.active {
            // What is gone was buried, and its place may be the one that is new.
            active.judges.retain(|judged| journal.gates.iter().any(|g| g.id == judged.gate));
            active.judges.extend(self.plan.judges(self.artifact));
        }
        self.host.write_journal(journal)?;
        self.plan.gates.iter().try_for_each(|planned| self.raise(planned, journal))
    }

    /// The journal names everything before it is made.
    fn announce(&self, journal: &mut Journal) -> Result<(), Error> {
        journal.last_number = self.record.number;
        journal.last_adoption = self.record.adoption.unwrap_or(journal.last_adoption);
        journal.next = Some(self.record.clone());
        journal.home = self.plan.home.clone();
        for planned in &self.plan.gates {
            match journal.gate_mut(planned.id) {
                // The same place, perhaps by other names.
                Some(gate) => gate.point = planned.wanted.point.clone(),
                None => journal.add_gate(planned.gate()),
            }
        }
        self.host.write_journal(journal)
    }

    /// Copies of artifact and bindings, to be applied again after boot, and what is known
    /// of groups that change.
    fn copy_sources(&self) -> Result<(), Error> {
        let copy = self.host.dirs.copy(self.record.number);
        let artifact = self.artifact.to_bytes().map_err(|e| Error::Artifact(e.to_string()))?;
        let bindings =
            serde_json::to_vec_pretty(self.bindings).map_err(|e| Error::Artifact(e.to_string()))?;
        let write = |name, bytes: &[u8]| self.host.kernel.write_file(&copy.join(name), bytes);
        write(ARTIFACT, &artifact).or_doing("copy the artifact")?;
        write(BINDINGS, &bindings).or_doing("copy the bindings")?;
        members::write(self.host, self.record.number, &self.plan.members.facts)
    }

    fn pin(&self) -> Result<(), Error> {
        let (kernel, dirs) = (self.host.kernel, self.host.dirs);
        kernel.make_dir(&dirs.pins()).or_doing("make a directory for pins")?;
        if self.host.open_state()?.is_none() {
            let path = dirs.state_word();
            kernel.pin(Object::Map(self.state), &path).or_doing("pin the state word")?;
        }
        self.generation.pin(self.host)
    }

    /// Puts the program into the inactive slot of a gate that exists.
    fn put(&self, planned: &PlannedGate) -> Result<(), Error> {
        let slots = self.open_slots(planned.id)?;
        self.set(&slots, self.program(planned)?)
    }

    /// Puts the program that passes everything on into the inactive slot.
    fn put_absent(&self, id: u32, journal: &Journal) -> Result<(), Error> {
        let Some(gate) = journal.gates.iter().find(|gate| gate.id == id) else {
            return Ok(());
        };
        let slots = self.open_slots(id)?;
        let absent = self.absent(&gate.point.kind())?;
        self.set(&slots, &absent)
    }

    /// Makes a gate: slots first, so that it never runs with an empty one.
    fn raise(&self, planned: &PlannedGate, journal: &mut Journal) -> Result<(), Error> {
        let (kernel, dirs) = (self.host.kernel, self.host.dirs);
        let kind = planned.wanted.point.kind();
        let slots = kernel.map_create(&gate::slots_def()).or_doing("create the slots of a gate")?;
        let absent = self.absent(&kind)?;
        kernel
            .set_slot(&slots, self.record.parity.other().slot(), &absent)
            .or_doing("fill a slot")?;
        self.set(&slots, self.program(planned)?)?;

        let frame = (kind == ProgramKind::Xdp).then(|| self.generation.map("frame")).flatten();
        let point = &planned.wanted.point;
        let follower = match point {
            Point::Followed { .. } => Some(Follower::ensure(self.host)?),
            _ => None,
        };
        if let Some(follower) = &follower {
            follower.follow(kernel, planned.id, point)?;
        }
        let members = follower.as_ref().map(|follower| &follower.members);
        let maps = GateMaps { state: self.state, slots: &slots, frame, members };
        let program = gate::load(kernel, &kind, planned.id, Scope::of(point), &maps)
            .map_err(|error| Error::Load { program: format!("gate_{}", planned.id), error })?;
        let dir = dirs.gate(planned.id);
        kernel.make_dir(&dir).or_doing("make a directory for pins")?;
        kernel.pin(Object::Map(&slots), &dir.join("slots")).or_doing("pin the slots of a gate")?;
        kernel.pin(Object::Prog(&program), &dir.join("program")).or_doing("pin a gate")?;
        self.attach(planned, &program, journal)
    }

    /// By link where there is one; by filter where the binding wants it or the
    /// kernel has no tcx.
    fn attach(
        &self,
        planned: &PlannedGate,
        program: &K::Prog,
        journal: &mut Journal,
    ) -> Result<(), Error> {
        let point = &planned.wanted.point;
        let failed = |error| Error::Attach { point: Box::new(point.clone()), error };
        if planned.insists_on(Mechanism::Clsact) {
            return self.attach_filter(planned, program, journal);
        }
        let link = match self.host.kernel.attach(program, &point.hook()) {
            // KERNEL: < 6.6 does not know the attach type.
            Err(error) if error.is(errno::EINVAL) && point.filter().is_some() => {
                return self.attach_filter(planned, program, journal);
            }
            other => other.map_err(failed)?,
        };
        let path = self.host.dirs.gate(planned.id).join("link");
        self.host.kernel.pin(Object::Link(&link), &path).or_doing("pin a link")
    }

    fn attach_filter(
        &self,
        planned: &PlannedGate,
        program: &K::Prog,
        journal: &mut Journal,
    ) -> Result<(), Error> {
        let kernel = self.host.kernel;
        let Some(place) = planned.wanted.point.filter() else { return Ok(()) };
        let failed = |error| Error::Attach { point: Box::new(planned.wanted.point.clone()), error };
        // Filters and qdiscs outlive this process without a pin: the journal
        // says whose they are before they exist.
        let had_qdisc = kernel.has_clsact(&place.port).map_err(failed)?;
        let others = journal.gates.iter().any(|gate| {
            gate.owns_qdisc() && gate.point.filter().is_some_and(|other| other.port == place.port)
        });
        let id = kernel.prog_info(program).or_doing("look at a gate")?.id;
        if let Some(gate) = journal.gate_mut(planned.id) {
            gate.held_by = HeldBy::Filter { program: id, own_qdisc: !had_qdisc || others };
        }
        self.host.write_journal(journal)?;
        kernel.clsact_add(&place.port).map_err(failed)?;
        kernel.filter_add(program, &place).map_err(failed)
    }

    fn program(&self, planned: &PlannedGate) -> Result<&K::Prog, Error> {
        let program = self.generation.program(planned.wanted.program);
        program.map(|program| &program.prog).ok_or_else(|| Error::NoProgram {
            subject: planned.wanted.point.to_string(),
            kind: "matching",
        })
    }

    fn absent(&self, kind: &ProgramKind) -> Result<K::Prog, Error> {
        gate::load_absent(self.host.kernel, kind)
            .map_err(|error| Error::Load { program: "absent".to_owned(), error })
    }

    fn open_slots(&self, id: u32) -> Result<K::Map, Error> {
        let path = self.host.dirs.gate(id).join("slots");
        let slots = self.host.kernel.open_map(&path).or_doing("open the slots of a gate")?;
        slots.ok_or_else(|| {
            let gone = SysError::new("BPF_OBJ_GET", errno::ENOENT).about(path.to_string_lossy());
            Error::sys("open the slots of a gate", gone)
        })
    }

    fn set(&self, slots: &K::Map, program: &K::Prog) -> Result<(), Error> {
        let slot = self.record.parity.slot();
        self.host.kernel.set_slot(slots, slot, program).or_doing("fill a slot")
    }
}
