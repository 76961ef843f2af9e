//! From decisions to BIR.
//!
//! One program for each kind of hook and each direction; all share the tables.
//! What differs between two policies of one shape is in the tables, so programs
//! stay short whatever the number of rules.
//!
//! Does not know: registers, instructions.

pub mod layout;
pub mod maps;
mod packet;
mod search;
mod stdlib;

use policyc_base::PrimaryMap;
use policyc_bpf::{Direction, Judges, MapId, MapSpec, ProgramKind};
use policyc_decision::network::NetworkDecision;
use policyc_ir::{FuncId, Module};

use crate::CodegenError;
use packet::PacketProgram;
use stdlib::PacketLib;

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
    /// The programs, by name.
    pub plans: Vec<Plan>,
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

/// BIR for network policy.
///
/// # Errors
/// Tables beyond any target's limits; bugs of the standard library.
pub fn network(decision: &NetworkDecision) -> Result<Lowered, CodegenError> {
    let mut module = Module::default();
    let mut maps = PrimaryMap::new();
    let refs = maps::declare(decision, &mut module, &mut maps)?;
    let library = PacketLib::link(&mut module)?;
    let mut plans = Vec::new();
    for program in packet_programs() {
        let function = packet::lower(&mut module, decision, &refs, &library, &program);
        let name = program.name().to_owned();
        plans.push(Plan { name, kind: program.kind, judges: program.judges, function });
    }
    Ok(Lowered { module, maps, plans })
}
