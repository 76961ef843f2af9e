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
mod stdlib;

use policyc_base::PrimaryMap;
use policyc_bpf::{Direction, Judges, MapId, MapSpec, ProgramKind};
use policyc_decision::network::NetworkDecision;
use policyc_decision::tracing::EventDecision;
use policyc_ir::{FuncId, Module};
use policyc_target::{Hook, Profile};

use crate::CodegenError;
use event::{EventMaps, EventProgram};
use maps::Maps;
use packet::PacketProgram;
use record::RecordLayout;
use stdlib::{EventLib, PacketLib};

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

/// BIR for network policy.
///
/// # Errors
/// Tables beyond any target's limits; bugs of the standard library.
pub fn network(decision: &NetworkDecision) -> Result<Lowered, CodegenError> {
    let mut maps = Maps::default();
    let tables = maps.network(decision)?;
    maps.common(decision.decisions.len());
    let Maps { mut module, specs } = maps;
    let library = PacketLib::link(&mut module)?;
    let mut plans = Vec::new();
    for program in packet_programs() {
        let function = packet::lower(&mut module, decision, &tables, &library, &program);
        let name = program.name().to_owned();
        plans.push(Plan { name, kind: program.kind, judges: program.judges, function });
    }
    Ok(Lowered { module, maps: specs, plans })
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

/// BIR for tracing policy on the host of a profile.
///
/// # Errors
/// Bugs of the standard library or of the policies' check.
pub fn tracing(decision: &EventDecision, profile: &Profile) -> Result<Lowered, CodegenError> {
    let mut maps = Maps::default();
    let events = maps.common(decision.outcomes.len());
    let sizes = decision.hooks.iter().map(|hook| RecordLayout::of(hook).size);
    let scratch = maps.scratch(sizes.max().unwrap_or(8).next_multiple_of(8));
    let Maps { mut module, specs } = maps;
    let library = EventLib::link(&mut module)?;
    let mut plans = Vec::new();
    for (index, hook) in decision.hooks.iter().enumerate() {
        let name = format!("event_{index}");
        let program =
            EventProgram { name: &name, index, hook, decision, profile, first_decision: 0 };
        let maps = EventMaps { scratch, events };
        let function = event::lower(&mut module, maps, &library, &program)?;
        let (kind, judges) = (program_kind(&hook.hook), Judges::Events);
        plans.push(Plan { name, kind, judges, function });
    }
    Ok(Lowered { module, maps: specs, plans })
}

fn program_kind(hook: &Hook) -> ProgramKind {
    match hook {
        Hook::Tracepoint { category, event } => {
            ProgramKind::Tracepoint { category: category.clone(), event: event.clone() }
        }
        Hook::RawTracepoint { name } => ProgramKind::RawTracepoint(name.clone()),
    }
}
