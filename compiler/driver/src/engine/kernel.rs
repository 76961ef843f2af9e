//! Bytecode in this kernel, by test runs.

use policyc_bpf::Object;
use policyc_decision::network::NetworkDecision;
use policyc_policy::network::Flow;
use policyc_sys::bpf::{TestRun, prog_test_run};

use super::loaded::Loaded;
use super::program::{self, ProgramSet, Run};
use super::{EndVerdict, Engine, EngineError, FlowVerdict};

const NAME: &str = "kernel";
/// Bytes of `struct __sk_buff` that test runs take, and offset of `cb[0]`.
const SKB: usize = 192;
const SKB_CB0: usize = 48;

/// An object's programs, loaded here.
#[derive(Debug)]
pub struct Kernel<'a> {
    decision: &'a NetworkDecision,
    programs: ProgramSet,
    loaded: Loaded,
    cpus: usize,
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
        let engine = Self { decision, programs, loaded, cpus };
        // Events would fill the ring: nobody reads it here.
        engine.set("config", 0, &[1, 0, 0, 0, 0, 0, 0, 0])?;
        let bindings = program::bindings(decision).ok_or_else(|| error("too many subjects"))?;
        for (attach, behaviour) in bindings {
            engine.set("subjects", attach, &behaviour.to_ne_bytes())?;
        }
        Ok(engine)
    }

    fn set(&self, map: &str, key: u32, value: &[u8]) -> Result<(), EngineError> {
        let map = self.loaded.map(map).ok_or_else(|| error(format!("no map `{map}`")))?;
        map.update(&key.to_ne_bytes(), value, 0).map_err(error)
    }

    fn run(&self, run: &Run) -> Result<EndVerdict, EngineError> {
        let program = self.loaded.program(run.program);
        let program = program.ok_or_else(|| error(format!("no program `{}`", run.program)))?;
        let mut data = run.packet.clone();
        let mut ctx = Vec::new();
        match self.programs {
            ProgramSet::Tc => ctx = skb(run.attach),
            ProgramSet::Cgroup => {
                ctx = skb(run.attach);
                // KERNEL: test runs take an Ethernet header and hide it from
                // cgroup programs; its type says what follows.
                data = [&[0; 12][..], &run.ethertype.to_be_bytes(), &run.packet].concat();
            }
            ProgramSet::Xdp => {
                let mut frame = [0; policyc_codegen::lower::maps::FRAME as usize];
                frame[..4].copy_from_slice(&run.attach.to_ne_bytes());
                self.set("frame", 0, &frame.repeat(self.cpus))?;
            }
        }
        let test = TestRun { data: &data, ctx: &ctx, ..TestRun::default() };
        let result = prog_test_run(program, &test).map_err(error)?;
        let allowed = self
            .programs
            .allowed(result.retval)
            .ok_or_else(|| error(format!("the program returned {}", result.retval)))?;
        Ok(program::end_verdict(self.decision, allowed, None))
    }
}

/// A context whose only field that is set is the attach id.
fn skb(attach: u32) -> Vec<u8> {
    let mut ctx = vec![0; SKB];
    ctx[SKB_CB0..SKB_CB0 + 4].copy_from_slice(&attach.to_ne_bytes());
    ctx
}

impl Engine for Kernel<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&mut self, flow: &Flow) -> Result<FlowVerdict, EngineError> {
        let mut ends = [None, None];
        for (end, run) in ends.iter_mut().zip(self.programs.runs(self.decision, flow)) {
            *end = run.map(|run| self.run(&run)).transpose()?;
        }
        Ok(program::flow_verdict(ends))
    }
}
