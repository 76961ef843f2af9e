//! BIR under its interpreter.

use policyc_decision::network::NetworkDecision;
use policyc_ir::Module;
use policyc_ir::interp::{Context, Machine};
use policyc_policy::network::Flow;

use super::program::{self, ProgramSet, Run, events};
use super::{EndVerdict, Engine, EngineError, FlowVerdict};

const NAME: &str = "bir";
/// Offset of `cb[0]` in `struct __sk_buff`.
const SKB_CB0: usize = 48;

/// A lowered module with its tables, interpreted.
#[derive(Debug)]
pub struct Bir<'a> {
    decision: &'a NetworkDecision,
    programs: ProgramSet,
    machine: Machine<'a>,
}

fn error(message: impl ToString) -> EngineError {
    EngineError { engine: NAME, message: message.to_string() }
}

impl<'a> Bir<'a> {
    /// An engine that runs one kind of programs of a module; `tables` are the
    /// contents of its flat maps, by name.
    ///
    /// # Errors
    /// When a table does not fit its map.
    pub fn new<'t>(
        module: &'a Module,
        tables: impl IntoIterator<Item = (&'t str, &'t [u8])>,
        decision: &'a NetworkDecision,
        programs: ProgramSet,
    ) -> Result<Self, EngineError> {
        let mut machine = Machine::new(module);
        for (name, contents) in tables {
            set(&mut machine, name, 0, contents)?;
        }
        set(&mut machine, "config", 0, &program::CONFIG)?;
        let bindings = program::bindings(decision).ok_or_else(|| error("too many subjects"))?;
        for (attach, behaviour) in bindings {
            set(&mut machine, "subjects", attach, &behaviour.to_le_bytes())?;
        }
        Ok(Self { decision, programs, machine })
    }

    fn run(&mut self, run: Run) -> Result<EndVerdict, EngineError> {
        let context = match self.programs {
            ProgramSet::Tc | ProgramSet::Cgroup => {
                Context::skb(run.packet).with_u32(SKB_CB0, run.attach)
            }
            ProgramSet::Xdp => {
                let mut frame = [0; policyc_codegen::lower::maps::FRAME as usize];
                frame[..4].copy_from_slice(&run.attach.to_le_bytes());
                set(&mut self.machine, "frame", 0, &frame)?;
                Context::xdp(run.packet)
            }
        };
        let outcome = self.machine.run(run.program, context).map_err(error)?;
        let answer = outcome.value().ok_or_else(|| error("the program returned no number"))?;
        let allowed = self.programs.allowed(answer as u32);
        let allowed = allowed.ok_or_else(|| error(format!("the program returned {answer}")))?;
        let word = outcome.events.last().and_then(|(_, event)| events::decision(event));
        Ok(program::end_verdict(self.decision, allowed, word))
    }
}

fn set(machine: &mut Machine<'_>, map: &str, key: u32, value: &[u8]) -> Result<(), EngineError> {
    let state = machine.map_mut(map).ok_or_else(|| error(format!("no map `{map}`")))?;
    state.set(&key.to_le_bytes(), value).map_err(error)
}

impl Engine for Bir<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&mut self, flow: &Flow) -> Result<FlowVerdict, EngineError> {
        let mut ends = [None, None];
        for (end, run) in ends.iter_mut().zip(self.programs.runs(self.decision, flow)) {
            *end = run.map(|run| self.run(run)).transpose()?;
        }
        Ok(program::flow_verdict(ends))
    }
}
