//! What all engines that run packet programs share: which program judges which
//! end, the packet it gets, who is behind which attach point, and what its answer
//! means.

use policyc_bpf::sets::{Change, SETS, View};
use policyc_bpf::{Direction as Hook, Judges, ProgramKind};
use policyc_codegen::lower::layout::{AUDIT, AUDITED, decision_index};
use policyc_codegen::lower::maps::{ATTACH_POINTS, SUBJECT};
use policyc_codegen::lower::set_tables::initial;
use policyc_decision::network::NetworkDecision;
use policyc_policy::network::{DenyResponse, Direction, Flow};

use super::{EndVerdict, Engine, EngineError, FlowVerdict, end_verdict, frame, reason_of};

/// Which kind of program an engine runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ProgramSet {
    /// `tc_egress` and `tc_ingress`.
    Tc,
    /// `cgroup_egress` and `cgroup_ingress`.
    Cgroup,
    /// `xdp_ingress`; nothing judges what a subject sends.
    Xdp,
}

/// Every kind.
pub const PROGRAM_KINDS: [ProgramSet; 3] = [ProgramSet::Tc, ProgramSet::Cgroup, ProgramSet::Xdp];

/// A packet at an attach point, ready to be judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacketRun {
    /// Whether the subject sends or receives it.
    pub direction: Direction,
    /// The packet, from where the kind of program begins: the Ethernet header for
    /// tc and XDP, the network header for cgroups.
    pub packet: Vec<u8>,
    /// Its Ethertype, host byte order.
    pub ethertype: u16,
    /// How many bytes direct access reaches at first; `None` for all. XDP and
    /// cgroup programs have no say in it.
    pub linear: Option<usize>,
    /// Id of the attach point.
    pub attach: u32,
    /// Whose connections it may be of; `None` for a subject that has none yet.
    pub subject: Option<u64>,
    /// When it comes, in nanoseconds. The kernel has its own clock.
    pub now: u64,
}

/// What a program said about a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Forwarded, or dropped.
    pub allowed: bool,
    /// Index of the decision that its event names; `None` without an event.
    pub decision: Option<usize>,
    /// Whether it was forwarded only because a rule is audited.
    pub audited: bool,
}

/// What a tc program returns that answered: `TC_ACT_REDIRECT`.
pub(super) const ANSWERED: u32 = 7;

/// An engine that runs programs on packets, and therefore can judge flows.
pub trait PacketEngine {
    /// Its name, as users type it.
    fn name(&self) -> &'static str;

    /// Which kind of programs it runs.
    fn programs(&self) -> ProgramSet;

    /// The decision that the programs are made for.
    fn decision(&self) -> &NetworkDecision;

    /// Runs the program that judges a packet.
    ///
    /// # Errors
    /// When the engine itself fails, or the kind has no program for the direction.
    fn run(&mut self, run: &PacketRun) -> Result<Answer, EngineError>;

    /// Says until when, in nanoseconds of its clock, each decision is audited.
    ///
    /// # Errors
    /// When the engine itself fails.
    fn audit(&mut self, deadlines: &[u64]) -> Result<(), EngineError>;

    /// Stores a value of a map, or removes its key where there is none.
    ///
    /// # Errors
    /// When there is no such map, or the map does not take it.
    fn store(&mut self, map: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), EngineError>;

    /// Gives run-time sets other members, in the order in which the runtime does.
    ///
    /// # Errors
    /// When the engine itself fails.
    fn change_members(&mut self, from: &View, to: &View) -> Result<(), EngineError> {
        from.changes(to).iter().try_for_each(|change| match change {
            Change::Put(key, value) => self.store(SETS, key, Some(value)),
            Change::Delete(key) => self.store(SETS, key, None),
        })
    }

    /// The frame that the last run sent back, if it answered what it was given.
    fn answered(&self) -> Option<&[u8]>;

    /// Forgets every connection. Interpreters need not: their time can move on.
    ///
    /// # Errors
    /// When the engine itself fails.
    fn forget(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl<T: PacketEngine> Engine for T {
    fn name(&self) -> &'static str {
        PacketEngine::name(self)
    }

    fn judge(&mut self, flow: &Flow) -> Result<FlowVerdict, EngineError> {
        let (programs, flow) = (self.programs(), *flow);
        if !self.decision().meets_hooks(&flow) {
            return Ok(FlowVerdict { egress: None, ingress: None });
        }
        let arrivals = self.decision().arrivals(&flow);
        let mut judge = |flow: &Flow, direction| {
            let run = programs.packet(self.decision(), flow, direction);
            let answer = run.map(|run| self.run(&run)).transpose()?;
            Ok(answer.map(|answer| verdict(self.decision(), answer)))
        };
        let egress = judge(&flow, Direction::Egress)?;
        // Of several that a flow arrives at the first of the worst decides.
        let harm = |end: &EndVerdict| (!end.allowed, end.audited.is_some());
        let mut ingress: Option<EndVerdict> = None;
        for flow in arrivals {
            let end = judge(&flow, Direction::Ingress)?;
            let is_worse = |end: &EndVerdict| ingress.is_none_or(|worst| harm(end) > harm(&worst));
            ingress = end.filter(is_worse).or(ingress);
        }
        Ok(FlowVerdict { egress, ingress })
    }
}

/// The verdict behind an answer.
fn verdict(decision: &NetworkDecision, answer: Answer) -> EndVerdict {
    let decided = answer.decision.and_then(|index| decision.decisions.get(index));
    match decided {
        // It is audited while it is live: what denies is known, not what holds instead.
        Some(denies) if answer.audited && !denies.allowed => {
            let (audited, response) = (reason_of(denies.why), DenyResponse::Drop);
            EndVerdict { allowed: true, reason: None, audited, response }
        }
        _ => end_verdict(answer.allowed, decided),
    }
}

impl ProgramSet {
    /// The program that judges a direction, by name.
    pub fn program(self, direction: Direction) -> Option<&'static str> {
        match (self, direction) {
            (Self::Tc, Direction::Egress) => Some("tc_egress"),
            (Self::Tc, Direction::Ingress) => Some("tc_ingress"),
            (Self::Cgroup, Direction::Egress) => Some("cgroup_egress"),
            (Self::Cgroup, Direction::Ingress) => Some("cgroup_ingress"),
            (Self::Xdp, Direction::Egress) => None,
            (Self::Xdp, Direction::Ingress) => Some("xdp_ingress"),
        }
    }

    /// The names of its programs.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Direction::BOTH.into_iter().filter_map(move |direction| self.program(direction))
    }

    /// Kernel type of the program that judges one end.
    pub fn kind(self, judges: Judges) -> ProgramKind {
        match (self, judges) {
            (Self::Tc, _) => ProgramKind::Tc,
            (Self::Xdp, _) => ProgramKind::Xdp,
            (Self::Cgroup, Judges::Egress) => ProgramKind::CgroupSkb(Hook::Egress),
            (Self::Cgroup, _) => ProgramKind::CgroupSkb(Hook::Ingress),
        }
    }

    /// What a program returned and reported, as an answer; `None` for a number that
    /// no program of this kind returns.
    pub(super) fn answer(self, returned: u32, word: Option<u32>) -> Option<Answer> {
        let allowed = match (self, returned) {
            (Self::Tc, u32::MAX) | (Self::Xdp, 2) | (Self::Cgroup, 1) => true,
            (Self::Tc, 2 | ANSWERED) | (Self::Xdp, 1) | (Self::Cgroup, 0) => false,
            _ => return None,
        };
        let decision = word.map(|word| decision_index(word) as usize);
        Some(Answer { allowed, decision, audited: word.is_some_and(|word| word & AUDITED != 0) })
    }

    /// The packet of a flow where the source or the destination is attached, if that end
    /// is a subject and the kind has a program.
    fn packet(
        self,
        decision: &NetworkDecision,
        flow: &Flow,
        direction: Direction,
    ) -> Option<PacketRun> {
        self.program(direction)?;
        let address = match direction {
            Direction::Egress => flow.source,
            Direction::Ingress => flow.destination,
        };
        let subject = decision.subject_at(address)?;
        let packet = match self {
            Self::Cgroup => frame::packet(flow),
            Self::Tc | Self::Xdp => frame::ethernet(flow),
        };
        let (ethertype, linear) = (frame::ethertype(address), None);
        let attach = attach_id(subject.behaviour);
        Some(PacketRun { direction, packet, ethertype, linear, attach, subject: None, now: 0 })
    }
}

/// The attach id that engines give to the subjects of a behaviour, by its index: a
/// program cannot tell them apart. 0 is kept for "nobody".
pub fn attach_id(behaviour: usize) -> u32 {
    // INVARIANT: engines refuse more behaviours than there are attach points.
    behaviour as u32 + 1
}

/// Fills the maps that the runtime fills when programs are live: `config`, and
/// `subjects`, for each attach id the behaviour + 1. `set` writes an entry of a map.
///
/// # Errors
/// More behaviours than attach points, in words; what `set` said.
pub(super) fn set_up(
    decision: &NetworkDecision,
    error: impl FnOnce(&'static str) -> EngineError,
    mut set: impl FnMut(&str, &[u8], &[u8]) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    if decision.behaviours.len() >= ATTACH_POINTS as usize {
        return Err(error("too many distinct behaviours"));
    }
    set("config", &[0; 4], &CONFIG)?;
    for behaviour in 0..decision.behaviours.len() {
        set(
            "subjects",
            &attach_id(behaviour).to_le_bytes(),
            &subject(behaviour, Direction::Egress, 0),
        )?;
    }
    let Some(tables) = &decision.sets else { return Ok(()) };
    // INVARIANT: programs are made only of members that have a view.
    let view = View::new(&initial(tables)).unwrap_or_default();
    View::default().changes(&view).iter().try_for_each(|change| match change {
        Change::Put(key, value) => set(SETS, key, value),
        Change::Delete(_) => Ok(()),
    })
}

/// The contents of the map `audits`.
pub(super) fn audits(decision: &NetworkDecision, deadlines: &[u64]) -> Vec<u8> {
    let mut value: Vec<u8> = deadlines.iter().copied().flat_map(u64::to_le_bytes).collect();
    value.resize(decision.decisions.len().next_power_of_two() * AUDIT as usize, 0);
    value
}

/// An entry of `subjects`. What a subject sends is met where its interface's host end
/// receives it, and the other way round.
fn subject(behaviour: usize, direction: Direction, identity: u64) -> [u8; SUBJECT as usize] {
    let mut value = [0; SUBJECT as usize];
    value[..4].copy_from_slice(&(behaviour as u32 + 1).to_le_bytes());
    let hook: u32 = match direction {
        Direction::Egress => 1,
        Direction::Ingress => 2,
    };
    value[4..8].copy_from_slice(&hook.to_le_bytes());
    value[8..].copy_from_slice(&identity.to_le_bytes());
    value
}

/// Gives each run the subject that it wants: one that was there before, or one that no
/// packet was of yet. The identities of the latter count down from the largest.
#[derive(Debug, Default)]
pub(super) struct Identities(u64);

impl Identities {
    /// The entry of `subjects` for a run, and its key; `None` where nobody is bound.
    pub(super) fn bind(
        &mut self,
        decision: &NetworkDecision,
        run: &PacketRun,
    ) -> Option<(u32, [u8; SUBJECT as usize])> {
        let behaviour = (run.attach as usize).checked_sub(1)?;
        if behaviour >= decision.behaviours.len() {
            return None;
        }
        let identity = run.subject.unwrap_or_else(|| {
            self.0 = self.0.wrapping_sub(1);
            self.0
        });
        Some((run.attach, subject(behaviour, run.direction, identity)))
    }
}

/// What verdict events say.
pub mod events {
    /// Offset of the decision word in a verdict event.
    pub const DECISION: usize = 20;
    /// Bytes of a verdict event.
    pub const SIZE: usize = 136;

    /// The decision word of a verdict event.
    pub fn decision(event: &[u8]) -> Option<u32> {
        let bytes = event.get(DECISION..DECISION + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// The contents of the map `config` for engines: generation 1, forwarded packets
/// are reported, so that every verdict comes with its decision.
const CONFIG: [u8; 8] = [1, 0, 0, 0, 1, 0, 0, 0];
