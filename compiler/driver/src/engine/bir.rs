//! BIR under its interpreter.

use policyc_decision::network::NetworkDecision;
use policyc_ir::Module;
use policyc_ir::interp::{Context, Machine};

use super::EngineError;
use super::program::{
    self, ANSWERED, Answer, Identities, PacketEngine, PacketRun, ProgramSet, events,
};

const NAME: &str = "bir";
/// Offsets of `protocol` and `cb[0]` in `struct __sk_buff`.
const SKB_PROTOCOL: usize = 16;
const SKB_CB0: usize = 48;

/// A lowered module with its tables, interpreted.
#[derive(Debug)]
pub struct Bir<'a> {
    decision: &'a NetworkDecision,
    programs: ProgramSet,
    machine: Machine<'a>,
    identities: Identities,
    answered: Option<Vec<u8>>,
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
            set(&mut machine, name, &[0; 4], contents)?;
        }
        program::set_up(decision, error, |map, key, value| set(&mut machine, map, key, value))?;
        let identities = Identities::default();
        Ok(Self { decision, programs, machine, identities, answered: None })
    }
}

fn set(machine: &mut Machine<'_>, map: &str, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
    let state = machine.map_mut(map).ok_or_else(|| error(format!("no map `{map}`")))?;
    state.set(key, value).map_err(error)
}

impl PacketEngine for Bir<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn programs(&self) -> ProgramSet {
        self.programs
    }

    fn decision(&self) -> &NetworkDecision {
        self.decision
    }

    fn audit(&mut self, deadlines: &[u64]) -> Result<(), EngineError> {
        let value = program::audits(self.decision, deadlines);
        set(&mut self.machine, "audits", &[0; 4], &value)
    }

    fn store(&mut self, map: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), EngineError> {
        let Some(value) = value else {
            let state =
                self.machine.map_mut(map).ok_or_else(|| error(format!("no map `{map}`")))?;
            return state.remove(key).map_err(error);
        };
        set(&mut self.machine, map, key, value)
    }

    fn answered(&self) -> Option<&[u8]> {
        self.answered.as_deref()
    }

    fn run(&mut self, run: &PacketRun) -> Result<Answer, EngineError> {
        let none = || error("there is no program for this direction");
        if let Some((key, value)) = self.identities.bind(self.decision, run) {
            set(&mut self.machine, "subjects", &key.to_le_bytes(), &value)?;
        }
        let program = self.programs.program(run.direction).ok_or_else(none)?;
        let packet = run.packet.as_slice();
        let context = match self.programs {
            ProgramSet::Tc | ProgramSet::Cgroup => {
                let protocol = u32::from(run.ethertype.to_be());
                let context = Context::skb(packet).with_u32(SKB_PROTOCOL, protocol);
                let context = context.with_u32(SKB_CB0, run.attach);
                context.with_linear(run.linear.unwrap_or(packet.len()))
            }
            ProgramSet::Xdp => {
                let mut frame = [0; policyc_codegen::lower::maps::FRAME as usize];
                frame[..4].copy_from_slice(&run.attach.to_le_bytes());
                set(&mut self.machine, "frame", &[0; 4], &frame)?;
                Context::xdp(packet)
            }
        };
        self.machine.world.coarse_time = run.now;
        let outcome = self.machine.run(program, context).map_err(error)?;
        let word = outcome.events.last().and_then(|(_, event)| events::decision(event));
        let returned = outcome.value().ok_or_else(|| error("the program returned no number"))?;
        let sent = outcome.redirected.map(|_| outcome.context.packet.bytes);
        self.answered = sent.filter(|_| returned == u64::from(ANSWERED));
        let unknown = || error(format!("the program returned {returned}"));
        self.programs.answer(returned as u32, word).ok_or_else(unknown)
    }
}
