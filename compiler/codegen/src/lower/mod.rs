//! From decisions to BIR.
//!
//! One packet program for each kind of hook and each direction, all sharing the
//! tables: what differs between two policies of one shape is in the tables, so
//! programs stay short whatever the number of rules. One tracing program for each
//! kernel hook, whatever the number of policies on it.
//!
//! Does not know: registers, instructions.

mod event;
pub mod layout;
pub mod maps;
mod packet;
mod question;
pub mod record;
mod search;
pub mod set_tables;
mod stdlib;

use policyc_base::PrimaryMap;
use policyc_bpf::{Direction, Judges, MapId, MapSpec, ProgramKind};
use policyc_decision::network::NetworkDecision;
use policyc_decision::tracing::{EventDecision, HookDecision};
use policyc_ir::{FuncId, MapRef, Module};
use policyc_target::{Hook, Profile};

use crate::CodegenError;
use event::{EventMaps, EventProgram};
use maps::{Maps, Room, Tables};
use packet::PacketProgram;
use record::RecordLayout;
use stdlib::{AnswerLib, EventLib, PacketLib};

/// A program to be compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Name for the kernel and for people.
    pub name: String,
    /// Kernel type and hook.
    pub kind: ProgramKind,
    /// Whose packets or events it judges.
    pub judges: Judges,
    /// Its code.
    pub function: FuncId,
}

/// BIR with everything that belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lowered {
    /// Programs and the functions they call.
    pub module: Module,
    /// Blueprints of the module's maps; ids are equal by number.
    pub maps: PrimaryMap<MapId, MapSpec>,
    /// The programs.
    pub plans: Vec<Plan>,
}

/// What is lowered into one artifact.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decisions<'a> {
    /// Network policy, if there is any.
    pub network: Option<&'a NetworkDecision>,
    /// Tracing policy with the host it is for, if there is any.
    pub tracing: Option<(&'a EventDecision, &'a Profile)>,
    /// How many connections are remembered.
    pub room: Room,
}

impl Decisions<'_> {
    /// Index of the first tracing outcome among the artifact's decisions: behind
    /// those of network policy.
    pub fn first_event(&self) -> usize {
        self.network.map_or(0, |network| network.decisions.len())
    }
}

/// BIR for all policy of an artifact.
///
/// # Errors
/// Tables beyond any target's limits; bugs of the standard library or of the
/// policies' check.
pub fn lower(decisions: Decisions<'_>) -> Result<Lowered, CodegenError> {
    let mut maps = Maps::default();
    let tables = decisions.network.map(|n| maps.network(n, decisions.room)).transpose()?;
    let outcomes = decisions.tracing.map_or(0, |(events, _)| events.outcomes.len());
    let ring = maps.common(decisions.first_event() + outcomes);
    let hooks = decisions.tracing.map_or(&[][..], |(events, _)| &events.hooks);
    let scratch = hooks.iter().enumerate().map(|(i, hook)| maps.scratch(i, record_size(hook)));
    let scratch: Vec<_> = scratch.collect();
    let Maps { mut module, specs } = maps;
    stdlib::link(policyc_stdlib_bpf::COMMON, &mut module)?;
    let mut plans = Vec::new();
    if let (Some(decision), Some(tables)) = (decisions.network, tables) {
        packet_plans(&mut module, decision, &tables, &mut plans)?;
    }
    if let Some((decision, profile)) = decisions.tracing {
        let first = decisions.first_event();
        let programs = EventPrograms { decision, profile, first, scratch: &scratch, ring };
        event_plans(&mut module, &programs, &mut plans)?;
    }
    module.compact();
    Ok(Lowered { module, maps: specs, plans })
}

/// Bytes of a hook's record, in whole words.
fn record_size(hook: &HookDecision) -> u32 {
    RecordLayout::of(hook).size.next_multiple_of(8)
}

fn packet_plans(
    module: &mut Module,
    decision: &NetworkDecision,
    tables: &Tables,
    plans: &mut Vec<Plan>,
) -> Result<(), CodegenError> {
    let library = PacketLib::link(module)?;
    let answers = tables.answers.map(|_| AnswerLib::link(module)).transpose()?;
    for program in packet_programs() {
        // Elsewhere nothing can be sent back.
        let answers = answers.filter(|_| program.kind == ProgramKind::Tc);
        let libraries = packet::Libraries { packet: library, answers };
        let function = packet::lower(module, decision, tables, libraries, &program);
        let name = program.name().to_owned();
        plans.push(Plan { name, kind: program.kind, judges: program.judges, function });
    }
    Ok(())
}

/// The packet programs that every network artifact has. XDP sees no sent packets.
fn packet_programs() -> [PacketProgram; 5] {
    use Direction::{Egress, Ingress};
    let program = |kind, judges| PacketProgram { kind, judges };
    [
        program(ProgramKind::CgroupSkb(Egress), Judges::Egress),
        program(ProgramKind::CgroupSkb(Ingress), Judges::Ingress),
        program(ProgramKind::Tc, Judges::Egress),
        program(ProgramKind::Tc, Judges::Ingress),
        program(ProgramKind::Xdp, Judges::Ingress),
    ]
}

/// What all tracing programs of an artifact share.
struct EventPrograms<'a> {
    decision: &'a EventDecision,
    profile: &'a Profile,
    first: usize,
    /// One for each hook.
    scratch: &'a [MapRef],
    ring: MapRef,
}

fn event_plans(
    module: &mut Module,
    programs: &EventPrograms<'_>,
    plans: &mut Vec<Plan>,
) -> Result<(), CodegenError> {
    let EventPrograms { decision, profile, first, scratch, ring } = *programs;
    let library = EventLib::find(module)?;
    for ((index, hook), scratch) in decision.hooks.iter().enumerate().zip(scratch) {
        let maps = EventMaps { scratch: *scratch, events: ring };
        let name = format!("event_{index}");
        let program =
            EventProgram { name: &name, index, hook, decision, profile, first_decision: first };
        let function = event::lower(module, maps, &library, &program)?;
        let (kind, judges) = (program_kind(&hook.hook), Judges::Events);
        plans.push(Plan { name, kind, judges, function });
    }
    Ok(())
}

fn program_kind(hook: &Hook) -> ProgramKind {
    match hook {
        Hook::Tracepoint { category, event } => {
            ProgramKind::Tracepoint { category: category.clone(), event: event.clone() }
        }
        Hook::RawTracepoint { name } => ProgramKind::RawTracepoint(name.clone()),
    }
}
