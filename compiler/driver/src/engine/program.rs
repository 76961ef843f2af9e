//! What all engines that run programs share: which program judges which end, the
//! packet it gets, who is behind which attach point, and what its answer means.

use policyc_bpf::{Direction, Judges, ProgramKind};
use policyc_codegen::lower::layout::ALLOW;
use policyc_codegen::lower::maps::ATTACH_POINTS;
use policyc_decision::network::NetworkDecision;
use policyc_policy::network::Flow;

use super::{EndVerdict, FlowVerdict, frame, reason_of};

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

/// One end of a flow, ready to be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// Name of the program.
    pub(super) program: &'static str,
    /// The packet, from where the program's kind begins.
    pub(super) packet: Vec<u8>,
    /// Ethertype of the packet.
    pub(super) ethertype: u16,
    /// The attach point's id.
    pub(super) attach: u32,
}

impl ProgramSet {
    /// The program that judges one end, by name.
    fn program(self, judges: Judges) -> Option<&'static str> {
        match (self, judges) {
            (Self::Tc, Judges::Egress) => Some("tc_egress"),
            (Self::Tc, _) => Some("tc_ingress"),
            (Self::Cgroup, Judges::Egress) => Some("cgroup_egress"),
            (Self::Cgroup, _) => Some("cgroup_ingress"),
            (Self::Xdp, Judges::Egress) => None,
            (Self::Xdp, _) => Some("xdp_ingress"),
        }
    }

    /// The names of its programs.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        [Judges::Egress, Judges::Ingress].into_iter().filter_map(move |j| self.program(j))
    }

    /// Kernel type of the program that judges one end.
    pub fn kind(self, judges: Judges) -> ProgramKind {
        match (self, judges) {
            (Self::Tc, _) => ProgramKind::Tc,
            (Self::Xdp, _) => ProgramKind::Xdp,
            (Self::Cgroup, Judges::Egress) => ProgramKind::CgroupSkb(Direction::Egress),
            (Self::Cgroup, _) => ProgramKind::CgroupSkb(Direction::Ingress),
        }
    }

    /// Whether an answer means "forward"; `None` for an answer that no program of
    /// this kind gives.
    pub(super) fn allowed(self, answer: u32) -> Option<bool> {
        match (self, answer) {
            (Self::Tc, u32::MAX) | (Self::Xdp, 2) | (Self::Cgroup, 1) => Some(true),
            (Self::Tc, 2) | (Self::Xdp, 1) | (Self::Cgroup, 0) => Some(false),
            _ => None,
        }
    }

    /// The runs that judge a flow: at the source and at the destination, where
    /// they are subjects.
    pub(super) fn runs(self, decision: &NetworkDecision, flow: &Flow) -> [Option<Run>; 2] {
        let ends = [(flow.source, Judges::Egress), (flow.destination, Judges::Ingress)];
        ends.map(|(address, judges)| {
            let mut subjects = decision.subjects.iter();
            let subject = subjects.position(|s| s.addresses.contains(&address))?;
            let program = self.program(judges)?;
            let packet = match self {
                Self::Cgroup => frame::packet(flow),
                Self::Tc | Self::Xdp => frame::ethernet(flow),
            };
            let ethertype = if address.is_ipv4() { 0x0800 } else { 0x86dd };
            Some(Run { program, packet, ethertype, attach: attach_id(subject) })
        })
    }
}

/// The attach id that engines give to a subject. 0 is kept for "nobody".
fn attach_id(subject: usize) -> u32 {
    // INVARIANT: engines refuse more subjects than there are attach points.
    subject as u32 + 1
}

/// The contents of the map `subjects`: for each attach id, behaviour + 1. `None`
/// when there are more subjects than attach points.
pub(super) fn bindings(decision: &NetworkDecision) -> Option<Vec<(u32, u32)>> {
    let fits = decision.subjects.len() < ATTACH_POINTS as usize;
    let subjects = decision.subjects.iter().enumerate();
    fits.then(|| subjects.map(|(i, s)| (attach_id(i), s.behaviour as u32 + 1)).collect())
}

/// The verdict behind an answer and, where there is an event, its decision.
pub(super) fn end_verdict(
    decision: &NetworkDecision,
    allowed: bool,
    word: Option<u32>,
) -> EndVerdict {
    let index = word.map(|w| (w & !ALLOW) as usize);
    let why = index.and_then(|i| decision.decisions.get(i)).map(|d| d.why);
    EndVerdict { allowed, reason: why.and_then(reason_of) }
}

/// A flow's verdict from those of its ends. XDP says nothing about the source, so
/// it is left to be what another engine says.
pub(super) fn flow_verdict(ends: [Option<EndVerdict>; 2]) -> FlowVerdict {
    let [egress, ingress] = ends;
    FlowVerdict { egress, ingress }
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
pub(super) const CONFIG: [u8; 8] = [1, 0, 0, 0, 1, 0, 0, 0];
