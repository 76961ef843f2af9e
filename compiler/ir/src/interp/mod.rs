//! Runs BIR without a kernel.
//!
//! Guarantees: the same machine facts as the kernel for everything BIR can say
//! (contexts, packets that are not all linear, maps of all kinds, helpers, their
//! error numbers); deterministic: time, random numbers and the current task are
//! what the caller says; anything a verifier exists to prevent is a [`Fault`], never
//! a panic. Does not know: how fast, and what other programs do meanwhile.
//!
//! Source: `kernel/bpf/{arraymap,hashtab,lpm_trie,ringbuf,helpers}.c`,
//! `net/core/filter.c`, `kernel/trace/bpf_trace.c`.

mod fault;
mod frame;
mod helper;
mod map;
mod memory;
mod world;

use std::collections::BTreeMap;

use policyc_base::PrimaryMap;

pub use fault::{Fault, FaultKind};
pub use map::{MapError, MapState};
pub use world::{AddressSpace, Context, ContextKind, Packet, World};

use crate::place::Place;
use crate::types::{FuncId, MapRef, Module, Slot, Type};

/// Tail calls in a row before one does nothing (`MAX_TAIL_CALL_CNT`).
const TAIL_CALLS: u32 = 33;

/// A module with its maps, and the world that its helpers see.
#[derive(Clone, Debug)]
pub struct Machine<'m> {
    module: &'m Module,
    maps: PrimaryMap<MapRef, MapState>,
    programs: BTreeMap<(MapRef, u32), FuncId>,
    /// What helpers see of the world.
    pub world: World,
    /// Instructions and terminators that a run may take.
    pub step_limit: u64,
}

/// An argument of a run, for a parameter that is not the context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Register bits of an integer.
    Int(u64),
    /// A pointer that many bytes into the packet.
    Packet(u32),
}

/// What a run returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Register bits of an integer.
    Int(u64),
    /// A pointer that many bytes into the packet.
    Packet(u64),
    /// Another pointer.
    Pointer,
}

/// What a run left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What was returned.
    pub values: Vec<Output>,
    /// Records for ring buffers, in order.
    pub events: Vec<(MapRef, Vec<u8>)>,
    /// The context with packet as the program left them.
    pub context: Context,
    /// Where the packet is to go: an interface and `BPF_F_INGRESS` or 0, as the last
    /// `redirect` said.
    pub redirected: Option<(u32, u64)>,
    /// Instructions and terminators that were run.
    pub steps: u64,
}

impl Outcome {
    /// The only value, as a program returns it; `None` if that is not what happened.
    pub fn value(&self) -> Option<u64> {
        match self.values.as_slice() {
            [Output::Int(bits)] => Some(*bits),
            _ => None,
        }
    }
}

/// A value while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cell {
    Int(u64),
    Pointer(Region, i64),
    Map(MapRef),
    /// A lookup that found nothing.
    Null,
}

/// What a pointer points into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Region {
    Context,
    /// The packet, as it was after so many moves.
    Packet(u32),
    /// A slot of the function that many calls deep.
    Slot(usize, Slot),
    /// An entry of a map, on a CPU.
    Entry(MapRef, usize, u32),
}

impl<'m> Machine<'m> {
    /// A machine with empty maps and a world in which all is 0.
    pub fn new(module: &'m Module) -> Self {
        Self {
            module,
            maps: module.maps.values().map(MapState::new).collect(),
            programs: BTreeMap::new(),
            world: World::default(),
            step_limit: 1_000_000,
        }
    }

    /// A map by its name.
    pub fn map(&self, name: &str) -> Option<&MapState> {
        self.maps.get(self.map_ref(name)?)
    }

    /// A map by its name, to be filled or changed.
    pub fn map_mut(&mut self, name: &str) -> Option<&mut MapState> {
        let map = self.map_ref(name)?;
        Some(&mut self.maps[map])
    }

    /// Puts a function into a slot of a program array; `None` if either does not exist.
    pub fn set_program(&mut self, map: &str, index: u32, func: &str) -> Option<()> {
        let map = self.map_ref(map)?;
        let func = self.func_id(func)?;
        self.programs.insert((map, index), func);
        Some(())
    }

    /// Runs a function whose only parameter, if any, is the context.
    pub fn run(&mut self, func: &str, context: Context) -> Result<Outcome, Fault> {
        self.call(func, context, &[])
    }

    /// Runs a function; `inputs` are for its parameters without the context, in order.
    pub fn call(
        &mut self,
        func: &str,
        context: Context,
        inputs: &[Input],
    ) -> Result<Outcome, Fault> {
        let start = |kind| Fault { func: func.to_owned(), place: Place::Header, kind };
        let id = self.func_id(func).ok_or_else(|| start(FaultKind::NoFunction))?;
        self.maps.iter_mut().for_each(|(_, map)| map.sweep());
        let mut run = Run {
            machine: self,
            context,
            events: vec![],
            redirected: None,
            stack: vec![],
            moves: 0,
            steps: 0,
            tail_calls: 0,
        };
        let args = run.arguments(id, inputs).ok_or_else(|| start(FaultKind::Arguments))?;
        let values = run.program(id, args)?;
        let values = values.into_iter().map(|cell| match cell {
            Cell::Int(bits) => Output::Int(bits),
            Cell::Pointer(Region::Packet(_), at) => Output::Packet(at.max(0) as u64),
            _ => Output::Pointer,
        });
        let values = values.collect();
        let Run { events, context, redirected, steps, .. } = run;
        Ok(Outcome { values, events, context, redirected, steps })
    }

    fn map_ref(&self, name: &str) -> Option<MapRef> {
        self.module.maps.iter().find(|(_, decl)| decl.name == name).map(|(map, _)| map)
    }

    fn func_id(&self, name: &str) -> Option<FuncId> {
        self.module.functions.iter().find(|(_, func)| func.name == name).map(|(func, _)| func)
    }
}

/// One run in progress.
struct Run<'a, 'm> {
    machine: &'a mut Machine<'m>,
    context: Context,
    events: Vec<(MapRef, Vec<u8>)>,
    redirected: Option<(u32, u64)>,
    /// Slots of the functions that are running.
    stack: Vec<memory::Stack>,
    /// How often the packet moved.
    moves: u32,
    steps: u64,
    tail_calls: u32,
}

impl Run<'_, '_> {
    /// Cells for the parameters of a function; `None` if the inputs do not fit.
    fn arguments(&self, id: FuncId, inputs: &[Input]) -> Option<Vec<Cell>> {
        let func = self.machine.module.functions.get(id)?;
        let mut inputs = inputs.iter();
        let mut cells = vec![];
        for param in func.params() {
            let cell = match func.values.get(*param)?.ty {
                Type::Ctx => Cell::Pointer(Region::Context, 0),
                Type::Int(width, _) => match inputs.next()? {
                    Input::Int(bits) if *bits <= crate::eval::mask(width) => Cell::Int(*bits),
                    _ => return None,
                },
                Type::Pkt => match inputs.next()? {
                    Input::Packet(at) => Cell::Pointer(Region::Packet(self.moves), (*at).into()),
                    Input::Int(_) => return None,
                },
                _ => return None,
            };
            cells.push(cell);
        }
        inputs.next().is_none().then_some(cells)
    }

    /// Runs a function, and what it tail-calls.
    fn program(&mut self, mut id: FuncId, mut args: Vec<Cell>) -> Result<Vec<Cell>, Fault> {
        loop {
            match self.function(id, args)? {
                frame::End::Return(values) => return Ok(values),
                frame::End::TailCall(next) => {
                    self.stack.clear();
                    id = next;
                    args = self.arguments(id, &[]).ok_or_else(|| Fault {
                        func: self.name(id),
                        place: Place::Header,
                        kind: FaultKind::Arguments,
                    })?;
                }
            }
        }
    }

    fn name(&self, id: FuncId) -> String {
        self.machine.module.functions.get(id).map_or_else(String::new, |func| func.name.clone())
    }
}
