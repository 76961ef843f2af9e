//! Bytecode under its interpreter.

use policyc_bpf::Object;
use policyc_bpf::interp::{Context, Coverage, Machine, Skb, Xdp};
use policyc_decision::network::NetworkDecision;

use super::EngineError;
use super::program::{
    self, ANSWERED, Answer, Identities, PacketEngine, PacketRun, ProgramSet, events,
};

const NAME: &str = "bytecode";

/// An object's programs, interpreted.
#[derive(Debug)]
pub struct Bytecode<'a> {
    decision: &'a NetworkDecision,
    programs: ProgramSet,
    machine: Machine,
    identities: Identities,
    answered: Option<Vec<u8>>,
}

fn error(message: impl ToString) -> EngineError {
    EngineError { engine: NAME, message: message.to_string() }
}

impl<'a> Bytecode<'a> {
    /// An engine that runs one kind of programs.
    ///
    /// # Errors
    /// When the object cannot be set up.
    pub fn new(
        object: &Object,
        decision: &'a NetworkDecision,
        programs: ProgramSet,
    ) -> Result<Self, EngineError> {
        let mut machine = Machine::new(object).map_err(error)?;
        program::set_up(decision, error, |map, key, value| set(&mut machine, map, key, value))?;
        let identities = Identities::default();
        Ok(Self { decision, programs, machine, identities, answered: None })
    }

    /// Which instructions have been run.
    pub fn coverage(&self) -> &Coverage {
        self.machine.coverage()
    }
}

/// Writes one entry of a map.
fn set(machine: &mut Machine, map: &str, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
    let id = machine.map_id(map);
    let found = id.and_then(|id| machine.map_mut(id));
    let map = found.ok_or_else(|| error(format!("no map `{map}`")))?;
    map.update(key, value, 0).map_err(error)
}

impl PacketEngine for Bytecode<'_> {
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
            let id = self.machine.map_id(map).and_then(|id| self.machine.map_mut(id));
            let map = id.ok_or_else(|| error(format!("no map `{map}`")))?;
            return map.delete(key).map_err(error);
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
        let context: Context = match self.programs {
            ProgramSet::Tc | ProgramSet::Cgroup => {
                let mut skb = Skb::new(run.packet.as_slice(), run.ethertype);
                skb.cb[0] = run.attach;
                skb.linear = run.linear;
                skb.into()
            }
            ProgramSet::Xdp => {
                let mut frame = [0; policyc_codegen::lower::maps::FRAME as usize];
                frame[..4].copy_from_slice(&run.attach.to_le_bytes());
                set(&mut self.machine, "frame", &[0; 4], &frame)?;
                Xdp::new(run.packet.as_slice()).into()
            }
        };
        self.machine.environment.clock_ns = run.now;
        let outcome = self.machine.run(program, context).map_err(error)?;
        let word = outcome.events.last().and_then(|event| events::decision(&event.data));
        let returned = outcome.ret as u32;
        let sent = outcome.redirected.map(|_| match outcome.context {
            Context::Skb(skb) => skb.packet,
            _ => Vec::new(),
        });
        self.answered = sent.filter(|_| returned == ANSWERED);
        let unknown = || error(format!("the program returned {returned}"));
        self.programs.answer(returned, word).ok_or_else(unknown)
    }
}
