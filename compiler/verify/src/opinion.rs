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
//! kernel's verifier has patience for; and it is slow on long programs.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use policyc_base::EntityId;
use policyc_bpf::btf::map_type;
use policyc_bpf::{Insn, MapId, Object, Program, ProgramKind, RelocTarget, code};
use prevail::crab::ebpf_domain::DomainContext;
use prevail::crab::var_registry::VariableRegistry;
use prevail::fwd_analyzer;
use prevail::ir::program::Program as Graph;
use prevail::ir::unmarshal::unmarshal;
use prevail::linux::linux_platform::LinuxPlatform;
use prevail::platform::EbpfPlatform;
use prevail::spec::config::EbpfVerifierOptions;
use prevail::spec::type_descriptors::{EbpfMapDescriptor, ProgramInfo};
use prevail::spec::vm_isa::EbpfInst;
use serde::{Deserialize, Serialize};

/// Name and version of who is asked, as it is recorded.
pub const ENGINE: &str = "prevail 0.2.6";

/// Longer programs are not asked about: the time it takes grows faster than they do,
/// to minutes for packet programs that keep connections.
const LONGEST: usize = 2_000;
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
/// The asking happens in a thread. One that does not come to an end in time is
/// left alone: it holds no resource but memory and ends with the process.
pub fn second_opinion(object: &Object, budget: Duration) -> Vec<Opinion> {
    let deadline = Instant::now() + budget;
    let (sender, receiver) = mpsc::channel();
    let asked = object.clone();
    let worker =
        thread::Builder::new().name(ENGINE.into()).stack_size(STACK_BYTES).spawn(move || {
            for program in &asked.programs {
                if sender.send(ask(&asked, program)).is_err() {
                    return;
                }
            }
        });
    let mut silence = match worker {
        Ok(_) => None,
        Err(error) => Some(format!("no thread: {error}")),
    };
    let mut form = |program: &Program| {
        let view = match &silence {
            Some(reason) => View::NoOpinion(reason.clone()),
            None => {
                let left = deadline.saturating_duration_since(Instant::now());
                receiver.recv_timeout(left).unwrap_or_else(|error| {
                    let reason = match error {
                        mpsc::RecvTimeoutError::Timeout => format!("none within {budget:?}"),
                        mpsc::RecvTimeoutError::Disconnected => "it gave up".into(),
                    };
                    silence = Some(reason.clone());
                    View::NoOpinion(reason)
                })
            }
        };
        Opinion { program: program.name.clone(), view }
    };
    object.programs.iter().map(&mut form).collect()
}

fn ask(object: &Object, program: &Program) -> View {
    if program.insns.len() > LONGEST {
        return View::NoOpinion(format!("longer than {LONGEST} instructions"));
    }
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
        Ok(sequence) => sequence,
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
            Some(label) => format!("{label}: {}", error.message),
            None => error.message,
        },
        None => "refused without a reason".into(),
    })
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
