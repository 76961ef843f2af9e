//! An interpreter of programs without a kernel.
//!
//! Guarantees: results of the kernel bit for bit, for every program that its
//! verifier accepts; a program that it would refuse for what it *does* (a bad
//! access, a register that holds nothing, a stack byte nobody wrote) ends in a
//! [`Fault`], never in a panic; a run is a function of its inputs.
//! Does not know: whether a program is safe on other inputs; time, other CPUs, or
//! other programs. `may_goto`, legacy packet loads, kernel functions and helpers
//! that policyc does not call are faults. The host is little-endian.
//! Source: RFC 9669; `kernel/bpf/core.c` and `kernel/bpf/verifier.c` of Linux 6.18.
//! Where that kernel was seen to differ (on x86), this follows the RFC: a branch on
//! what an atomic operation fetched from a spilled register may be removed though
//! it is live; a 32-bit compare-exchange that succeeds may keep the upper half of
//! `r0`.

mod alu;
mod code;
mod context;
mod coverage;
mod environment;
mod exec;
mod fault;
mod helpers;
mod map;
mod memory;
mod skb;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::{MapId, Object, RelocTarget};
use code::Code;
use context::ContextState;
use exec::Run;
use memory::Memory;
use policyc_base::EntityId;

pub use context::Context;
pub use coverage::Coverage;
pub use environment::{Environment, SparseMemory, Task};
pub use fault::{AccessError, Fault, FaultKind};
pub use map::{Errno, MAX_CPUS, Map, MapError};
pub use skb::{Skb, Xdp};

/// Tail calls in one run (`MAX_TAIL_CALL_CNT`).
const MAX_TAIL_CALLS: u32 = 33;
/// `BPF_F_RDONLY_PROG`: programs may not write the map.
const RDONLY_PROG: u32 = 1 << 7;
/// Instructions of a run, unless the caller says otherwise.
const STEP_LIMIT: u64 = 1_000_000;
/// Maps that addresses can tell apart.
const MAX_MAPS: usize = 1 << 16;

/// Why an object cannot be run at all.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SetupError {
    /// A map that the kernel would not create.
    #[error("map `{name}`: {error}")]
    Map {
        /// Its name.
        name: String,
        /// Why.
        error: MapError,
    },
    /// More than 65,536 maps.
    #[error("too many maps")]
    TooManyMaps,
    /// A relocation that names no map, or is not at a `lddw`.
    #[error("program `{program}`: the relocation at slot {pc} has no map or no `lddw`")]
    Reloc {
        /// The program.
        program: String,
        /// The slot.
        pc: u32,
    },
}

/// A record that a program sent to a ring buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The ring buffer.
    pub map: MapId,
    /// The bytes.
    pub data: Vec<u8>,
}

/// What a run left behind, besides the maps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// `r0` at the end. The kernel looks at its lower 32 bits.
    pub ret: u64,
    /// Records in the order they were sent. Ring buffers are empty at the next run.
    pub events: Vec<Event>,
    /// The context as the program left it: packet, mark, `cb`.
    pub context: Context,
    /// Where the packet is to go: an interface and `BPF_F_INGRESS` or 0, as the last
    /// `redirect` said.
    pub redirected: Option<(u32, u64)>,
    /// Instructions executed.
    pub steps: u64,
}

/// Programs and maps of an object, ready to run. Maps keep their contents from run
/// to run, and coverage adds up.
#[derive(Clone, Debug)]
pub struct Machine {
    codes: Vec<Code>,
    maps: Vec<Map>,
    coverage: Coverage,
    random_turn: usize,
    /// The world around the programs.
    pub environment: Environment,
    /// Instructions a run may take.
    pub step_limit: u64,
}

impl Machine {
    /// A machine with empty maps, arrays with their contents.
    ///
    /// # Errors
    /// An object that no kernel would load for reasons outside its code.
    pub fn new(object: &Object) -> Result<Self, SetupError> {
        if object.maps.len() > MAX_MAPS {
            return Err(SetupError::TooManyMaps);
        }
        let map = |spec: &crate::MapSpec| {
            Map::new(spec).map_err(|error| SetupError::Map { name: spec.name.clone(), error })
        };
        let maps = object.maps.values().map(map).collect::<Result<Vec<_>, _>>()?;
        for program in &object.programs {
            for reloc in &program.relocs {
                let (RelocTarget::Map(map) | RelocTarget::MapValue(map, _)) = reloc.target;
                let insn = program.insns.get(reloc.insn as usize..).map(crate::decode);
                let is_load = matches!(insn, Some(Ok(crate::Instruction::LoadImm { .. })));
                if map.index() >= maps.len() || !is_load {
                    let program = program.name.clone();
                    return Err(SetupError::Reloc { program, pc: reloc.insn });
                }
            }
        }
        Ok(Self {
            codes: object.programs.iter().map(Code::new).collect(),
            maps,
            coverage: Coverage::default(),
            random_turn: 0,
            environment: Environment::default(),
            step_limit: STEP_LIMIT,
        })
    }

    /// Runs a program.
    ///
    /// # Errors
    /// What the verifier would have refused, or a limit of the interpreter. Maps keep
    /// what was written until then.
    pub fn run(&mut self, program: &str, context: impl Into<Context>) -> Result<Outcome, Fault> {
        let at_start = |kind| Fault { program: program.into(), pc: 0, kind };
        let index = self.index_of(program).ok_or_else(|| at_start(FaultKind::NoProgram))?;
        let context = ContextState::new(&self.codes[index].kind, context.into())
            .ok_or_else(|| at_start(FaultKind::WrongContext))?;
        let memory = Memory { context, stacks: Vec::new(), maps: &mut self.maps };
        let (codes, turn) = (&self.codes, &mut self.random_turn);
        let mut run = Run::new(codes, index, memory, &mut self.environment, turn);
        let result = run.run(self.step_limit);
        for (code, executed) in codes.iter().zip(&run.executed) {
            let slots = executed.iter().enumerate().filter(|(_, yes)| **yes);
            self.coverage.extend(&code.name, slots.map(|(pc, _)| pc as u32));
        }
        let (events, redirected, steps) = (run.events, run.redirected, run.steps);
        let context = run.memory.context.finish();
        Ok(Outcome { ret: result?, events, context, redirected, steps })
    }

    /// A map's contents.
    pub fn map(&self, map: MapId) -> Option<&Map> {
        self.maps.get(map.index())
    }

    /// A map's contents, to be changed.
    pub fn map_mut(&mut self, map: MapId) -> Option<&mut Map> {
        self.maps.get_mut(map.index())
    }

    /// The map of that name.
    pub fn map_id(&self, name: &str) -> Option<MapId> {
        self.maps.iter().position(|map| map.spec().name == name).map(MapId::from_index)
    }

    /// Puts a program into a slot of a program array, or empties the slot.
    ///
    /// # Errors
    /// `ENOENT` if there is no such program or map, else the kernel's.
    pub fn set_tail_call(
        &mut self,
        map: MapId,
        slot: u32,
        program: Option<&str>,
    ) -> Result<(), Errno> {
        let program = match program {
            Some(name) => Some(self.index_of(name).ok_or(Errno::ENOENT)?),
            None => None,
        };
        self.maps.get_mut(map.index()).ok_or(Errno::ENOENT)?.set_program(slot, program)
    }

    /// What was executed since the machine was made or coverage was taken.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Hands out the coverage and begins anew.
    pub fn take_coverage(&mut self) -> Coverage {
        std::mem::take(&mut self.coverage)
    }

    fn index_of(&self, program: &str) -> Option<usize> {
        self.codes.iter().position(|code| code.name == program)
    }
}
