//! Bytecode in this kernel, by test runs.

use std::borrow::Cow;
use std::os::fd::AsFd;

use policyc_bpf::Object;
use policyc_decision::network::NetworkDecision;
use policyc_sys::bpf::{Map, TestRun, prog_test_run};
use policyc_sys::ringbuf::Ringbuf;
use policyc_verify::kernel::Loaded;

use super::EngineError;
use super::program::{
    self, ANSWERED, Answer, Identities, PacketEngine, PacketRun, ProgramSet, events,
};

const NAME: &str = "kernel";
/// Bytes of `struct __sk_buff` that test runs take, and offsets of two fields.
const SKB: usize = 192;
const SKB_CB0: usize = 48;
const SKB_DATA_END: usize = 80;

/// An object's programs, loaded here.
#[derive(Debug)]
pub struct Kernel<'a> {
    decision: &'a NetworkDecision,
    programs: ProgramSet,
    loaded: Loaded,
    events: Ringbuf,
    cpus: usize,
    identities: Identities,
    answered: Option<Vec<u8>>,
}

fn error(message: impl ToString) -> EngineError {
    EngineError { engine: NAME, message: message.to_string() }
}

impl<'a> Kernel<'a> {
    /// An engine that runs one kind of programs.
    ///
    /// # Errors
    /// When the kernel does not take the object; missing privileges among others.
    pub fn new(
        object: &Object,
        decision: &'a NetworkDecision,
        programs: ProgramSet,
    ) -> Result<Self, EngineError> {
        let names: Vec<_> = programs.names().collect();
        let loaded = Loaded::new(object, |name| names.contains(&name)).map_err(error)?;
        let cpus = policyc_sys::bpf::possible_cpus().map_err(error)?;
        let ring = loaded.map("events").ok_or_else(|| error("no map `events`"))?;
        let ring = ring.as_fd().try_clone_to_owned().map_err(error)?;
        let events = Map::from_fd(ring).and_then(Ringbuf::new).map_err(error)?;
        let identities = Identities::default();
        let engine = Self { decision, programs, loaded, events, cpus, identities, answered: None };
        program::set_up(decision, error, |map, key, value| engine.set(map, key, value))?;
        Ok(engine)
    }

    fn set(&self, map: &str, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let map = self.loaded.map(map).ok_or_else(|| error(format!("no map `{map}`")))?;
        map.update(key, value, 0).map_err(error)
    }

    /// The decision word of the event that the last run sent.
    fn reported(&mut self) -> Option<u32> {
        let mut word = None;
        while let Some(record) = self.events.next_record() {
            word = events::decision(&record);
        }
        word
    }
}

/// A context with the attach id and, if not all of the packet is linear, where
/// its linear part ends.
// KERNEL: >= 6.18 takes `data_end` for that; older ones refuse it.
fn skb(attach: u32, linear: Option<usize>) -> Vec<u8> {
    let mut ctx = vec![0; SKB];
    ctx[SKB_CB0..SKB_CB0 + 4].copy_from_slice(&attach.to_ne_bytes());
    if let Some(linear) = linear {
        ctx[SKB_DATA_END..SKB_DATA_END + 4].copy_from_slice(&(linear as u32).to_ne_bytes());
    }
    ctx
}

impl PacketEngine for Kernel<'_> {
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
        self.set("audits", &[0; 4], &value)
    }

    fn store(&mut self, map: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), EngineError> {
        let Some(value) = value else {
            let map = self.loaded.map(map).ok_or_else(|| error(format!("no map `{map}`")))?;
            return map.delete(key).map(drop).map_err(error);
        };
        self.set(map, key, value)
    }

    fn answered(&self) -> Option<&[u8]> {
        self.answered.as_deref()
    }

    fn run(&mut self, run: &PacketRun) -> Result<Answer, EngineError> {
        let none = || error("there is no program for this direction");
        if let Some((key, value)) = self.identities.bind(self.decision, run) {
            self.set("subjects", &key.to_le_bytes(), &value)?;
        }
        let name = self.programs.program(run.direction).ok_or_else(none)?;
        let mut data = Cow::Borrowed(run.packet.as_slice());
        let mut ctx = Vec::new();
        match self.programs {
            ProgramSet::Tc => ctx = skb(run.attach, run.linear),
            ProgramSet::Cgroup => {
                ctx = skb(run.attach, None);
                // KERNEL: test runs take an Ethernet header and hide it from
                // cgroup programs; its type says what follows.
                data = [&[0; 12][..], &run.ethertype.to_be_bytes(), &run.packet].concat().into();
            }
            ProgramSet::Xdp => {
                let mut frame = [0; policyc_codegen::lower::maps::FRAME as usize];
                frame[..4].copy_from_slice(&run.attach.to_ne_bytes());
                self.set("frame", &[0; 4], &frame.repeat(self.cpus))?;
            }
        }
        let program = self.loaded.program(name);
        let program = program.ok_or_else(|| error(format!("no program `{name}`")))?;
        let test = TestRun { data: &data, ctx: &ctx, ..TestRun::default() };
        let result = prog_test_run(program, &test).map_err(error)?;
        let returned = result.retval;
        self.answered = (returned == ANSWERED).then_some(result.data);
        let word = self.reported();
        let unknown = || error(format!("the program returned {returned}"));
        self.programs.answer(returned, word).ok_or_else(unknown)
    }

    fn forget(&mut self) -> Result<(), EngineError> {
        for name in ["ct", "ct_half", "frags"] {
            let map = self.loaded.map(name).ok_or_else(|| error(format!("no map `{name}`")))?;
            while let Some(key) = map.next_key(None).map_err(error)? {
                map.delete(&key).map_err(error)?;
            }
        }
        Ok(())
    }
}
