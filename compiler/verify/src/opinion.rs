//! A second opinion: the `prevail` crate, an abstract interpreter by other people.
//!
//! Guarantees: never fatal, never longer than its budget. What it says is
//! recorded beside our own verdict and decides nothing.
//! Does not know: our own checks, and less of the kernel than they do.
//!
//! It is known to be wrong. Of 53 cases that the kernel judged, it accepted 13
//! that the kernel refuses (unaligned stack stores, unreachable instructions,
//! constants 0 as divisor and 64 as shift, results that the hook does not know,
//! reservations that leak) and refused 4 that the kernel accepts (stack bytes
//! that are read without having been written, which kernels from 6.3 allow;
//! addresses stored in map values; bounds learnt from 32-bit operations). Beside
//! these it refuses addresses behind the context as what `probe_read` reads. It
//! does not follow reservations, types of kernel structures, or how much the
//! kernel's verifier has patience for.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use policyc_base::EntityId;
use policyc_bpf::btf::map_type;
use policyc_bpf::{Insn, MapId, Object, Program, ProgramKind, RelocTarget, code};
use prevail::cfg::label::Label;
use prevail::crab::ebpf_domain::DomainContext;
use prevail::crab::var_registry::VariableRegistry;
use prevail::fwd_analyzer;
use prevail::ir::program::Program as Graph;
use prevail::ir::syntax::{Instruction, InstructionSeq};
use prevail::ir::unmarshal::unmarshal;
use prevail::linux::linux_platform::LinuxPlatform;
use prevail::platform::EbpfPlatform;
use prevail::spec::config::EbpfVerifierOptions;
use prevail::spec::type_descriptors::{EbpfMapDescriptor, ProgramInfo};
use prevail::spec::vm_isa::EbpfInst;
use serde::{Deserialize, Serialize};

/// Name and version of who is asked, as it is recorded.
pub const ENGINE: &str = "prevail 0.2.6";

/// Deep recursion on long programs must not end the process.
const STACK_BYTES: usize = 64 << 20;

/// What the second opinion is about one program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opinion {
    /// Name of the program.
    pub program: String,
    /// Whether it agrees that the program is safe.
    pub view: View,
}

/// Whether a program is safe, in the eyes of [`ENGINE`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// It is.
    Agree,
    /// It is not, or not understood: what was said.
    Disagree(String),
    /// None was formed: why.
    NoOpinion(String),
}

/// Asks about every program of an object, for at most `budget` in all.
///
/// The asking happens in threads, as many as there are processors. One that does not
/// come to an end in time is left alone: it holds no resource but memory and ends with
/// the process.
pub fn second_opinion(object: &Object, budget: Duration) -> Vec<Opinion> {
    let deadline = Instant::now() + budget;
    let mut views: Vec<Option<View>> = vec![None; object.programs.len()];
    let receiver = match ask_beside(object) {
        Ok(receiver) => receiver,
        Err(error) => return opinions(object, views, &format!("no thread: {error}")),
    };
    while views.iter().any(Option::is_none) {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok((program, view)) => views[program] = Some(view),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return opinions(object, views, &format!("none within {budget:?}"));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    opinions(object, views, "it gave up")
}

/// Starts the threads that ask; what they are told comes with the program's number.
fn ask_beside(object: &Object) -> io::Result<mpsc::Receiver<(usize, View)>> {
    let (sender, receiver) = mpsc::channel();
    let asked = Arc::new(object.clone());
    let next = Arc::new(AtomicUsize::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..threads.min(object.programs.len()) {
        let (asked, next, sender) = (asked.clone(), next.clone(), sender.clone());
        let ask_all = move || {
            while let number = next.fetch_add(1, Ordering::Relaxed)
                && let Some(program) = asked.programs.get(number)
                && sender.send((number, ask(&asked, program))).is_ok()
            {}
        };
        thread::Builder::new().name(ENGINE.into()).stack_size(STACK_BYTES).spawn(ask_all)?;
    }
    Ok(receiver)
}

/// One opinion for each program; those that are missing are missing for `silence`.
fn opinions(object: &Object, views: Vec<Option<View>>, silence: &str) -> Vec<Opinion> {
    let opinion = |(program, view): (&Program, Option<View>)| Opinion {
        program: program.name.clone(),
        view: view.unwrap_or_else(|| View::NoOpinion(silence.to_owned())),
    };
    object.programs.iter().zip(views).map(opinion).collect()
}

fn ask(object: &Object, program: &Program) -> View {
    let options = EbpfVerifierOptions::default();
    let mut platform = LinuxPlatform::new();
    platform.map_descriptors = descriptors(object);
    let program_type = platform.get_program_type(section(&program.kind), "");
    platform.set_program_type(&program_type);
    let mut info = ProgramInfo {
        map_descriptors: platform.map_descriptors.clone(),
        program_type,
        supported_conformance_groups: platform.supported_conformance_groups(),
        ..ProgramInfo::default()
    };
    let insns = instructions(program);
    let sequence = match unmarshal(&insns, &mut Vec::new(), &info, &platform, &options) {
        Ok(sequence) => no_callbacks(sequence),
        Err(error) => return View::Disagree(error.to_string()),
    };
    let graph = match Graph::from_sequence(&sequence, &mut info, &platform, &options) {
        Ok(graph) => graph,
        Err(error) => return View::Disagree(error.to_string()),
    };
    let context = DomainContext {
        program_info: &info,
        program: &graph,
        runtime: &options.runtime,
        options: &options,
        platform: &platform,
    };
    let result = fwd_analyzer::analyze(&graph, &context, &mut VariableRegistry::new());
    if !result.failed {
        return View::Agree;
    }
    View::Disagree(match result.find_first_error() {
        Some(error) => match error.label {
            Some(label) => format!("{}: {}", label.from, error.message),
            None => error.message,
        },
        None => "refused without a reason".into(),
    })
}

/// The same sequence, with labels that cannot be where a callback begins.
///
/// For every instruction at which one could, the graph's constructor looks for a way
/// to the exit, which takes nine tenths of all time in programs of thousands of
/// instructions. Labels that say where they lead are exempt. The field stands for
/// nothing else but their print, and -2 is no instruction's number, so they are not
/// the label of a jump either.
///
/// INVARIANT: our programs have no callbacks. Of one that had some, prevail would say
/// that the callback is not an instruction: a false reject, which is only shown.
fn no_callbacks(mut sequence: InstructionSeq) -> InstructionSeq {
    let exempt = |label: &mut Label| label.to = -2;
    for (label, instruction, _) in &mut sequence {
        exempt(label);
        match instruction {
            Instruction::Jmp(jump) => exempt(&mut jump.target),
            Instruction::CallLocal(call) => exempt(&mut call.target),
            _ => {}
        }
    }
    sequence
}

/// The section name that stands for a kind of program there.
fn section(kind: &ProgramKind) -> &'static str {
    match kind {
        ProgramKind::Tc => "classifier",
        ProgramKind::Xdp => "xdp",
        ProgramKind::CgroupSkb(_) => "cgroup/skb",
        ProgramKind::RawTracepoint(_) => "raw_tracepoint/",
        ProgramKind::Tracepoint { .. } => "tracepoint/",
    }
}

/// The number that stands for a map's file descriptor.
fn mock_fd(map: MapId) -> i32 {
    i32::try_from(map.index() + 1).unwrap_or(i32::MAX)
}

fn descriptors(object: &Object) -> Vec<EbpfMapDescriptor> {
    let describe = |(id, map): (MapId, &policyc_bpf::MapSpec)| EbpfMapDescriptor {
        original_fd: mock_fd(id),
        map_type: map_type(map.kind),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        inner_map_fd: -1,
        name: map.name.clone(),
        is_inner_map_template: false,
    };
    object.maps.iter().map(describe).collect()
}

/// The code with map numbers where relocations are.
fn instructions(program: &Program) -> Vec<EbpfInst> {
    let mut insns = program.insns.clone();
    for reloc in &program.relocs {
        let slot = reloc.insn as usize;
        let Some([first, second]) = insns.get_mut(slot..slot.saturating_add(2)) else { continue };
        match reloc.target {
            RelocTarget::Map(map) => {
                first.src = code::PSEUDO_MAP_FD;
                first.imm = mock_fd(map);
            }
            RelocTarget::MapValue(map, offset) => {
                first.src = code::PSEUDO_MAP_VALUE;
                first.imm = mock_fd(map);
                second.imm = offset as i32;
            }
        }
    }
    insns.into_iter().map(instruction).collect()
}

fn instruction(insn: Insn) -> EbpfInst {
    EbpfInst {
        opcode: insn.code,
        dst_src: insn.src << 4 | insn.dst & 0xf,
        offset: insn.off,
        imm: insn.imm,
    }
}

#[cfg(test)]
#[path = "opinion_tests.rs"]
mod tests;
