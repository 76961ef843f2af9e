//! Level `kernel`: the verifier of the kernel that runs here.
//!
//! Guarantees: nothing stays loaded, pinned or attached. A missing privilege is
//! a result that says so, not a failure of the program.
//! Does not know: policies; it names the instruction and its origin.

mod blueprint;
mod loaded;
mod log;

pub use loaded::Loaded;

use blueprint::{create, kernel_type};

use policyc_bpf::{Btf, MapId, Object, Program, ProgramKind, RelocTarget, btf};
use policyc_sys::SysError;
use policyc_sys::bpf::{DebugInfo, Map, ProgLoad, btf_load, prog_load, set_map};
use policyc_sys::host::{Capability, missing_capabilities};
use std::os::fd::{AsFd, OwnedFd};

use crate::report::{Outcome, ProgramReport, Rejection};

/// `BPF_LOG_LEVEL1`: the path that fails, instruction by instruction.
const LOG_PATH: u32 = 1;
/// `BPF_LOG_STATS`: what verification cost.
const LOG_STATS: u32 = 4;

const EPERM: i32 = 1;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;

/// Offers every program of an object to the running kernel, with its maps
/// created and filled, and with its lines if the object has them.
pub fn verify_kernel(object: &Object) -> Vec<ProgramReport> {
    let kernel = running_release();
    let mut attempt = Attempt::new(object);
    let report = |program: &Program| {
        let mut report = ProgramReport {
            program: program.name.clone(),
            kernel: kernel.clone(),
            outcome: attempt.verify(program),
        };
        report.resolve(object);
        report
    };
    object.programs.iter().map(report).collect()
}

/// `uname -r` of the running kernel, or `unknown`.
pub fn running_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Why the running kernel cannot be asked about a kind of program, if so.
pub fn missing_privilege(kind: &ProgramKind) -> Option<String> {
    let second = match kind {
        ProgramKind::Tc | ProgramKind::Xdp | ProgramKind::CgroupSkb(_) => Capability::NetAdmin,
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => Capability::Perfmon,
    };
    let needed = [Capability::Bpf, second];
    let missing = missing_capabilities(&needed).unwrap_or(needed.to_vec());
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| format!("needs {}: run as root", names.join(" and ")))
}

/// The object's maps and types, as far as they are in the kernel.
struct Attempt<'a> {
    object: &'a Object,
    /// By map; made when the first program refers to it.
    maps: Vec<Option<Map>>,
    /// Types and lines, with the kernel's handle of the types.
    debug: Option<(Btf, OwnedFd)>,
}

impl<'a> Attempt<'a> {
    fn new(object: &'a Object) -> Self {
        // Lines make a log readable; without them it is still a verdict.
        let debug = btf::encode(object)
            .ok()
            .and_then(|types| btf_load(&types.types).ok().map(|fd| (types, fd)));
        Self { object, maps: object.maps.iter().map(|_| None).collect(), debug }
    }

    fn verify(&mut self, program: &Program) -> Outcome {
        if let Some(missing) = missing_privilege(&program.kind) {
            return Outcome::NotRun(missing);
        }
        match self.relocated(program) {
            Ok(insns) => self.offer(program, &insns),
            Err(error) => refused(&error),
        }
    }

    /// The code with the kernel's maps in it.
    fn relocated(&mut self, program: &Program) -> Result<Vec<[u8; 8]>, SysError> {
        let mut insns: Vec<[u8; 8]> = program.insns.iter().map(|insn| insn.to_bytes()).collect();
        for reloc in &program.relocs {
            let (id, offset) = match reloc.target {
                RelocTarget::Map(id) => (id, None),
                RelocTarget::MapValue(id, offset) => (id, Some(offset)),
            };
            set_map(&mut insns, reloc.insn as usize, self.map(id)?, offset)?;
        }
        Ok(insns)
    }

    fn map(&mut self, id: MapId) -> Result<&Map, SysError> {
        use policyc_base::EntityId;
        let missing = || SysError::new("BPF_MAP_CREATE", EINVAL).about(id.to_string());
        let spec = self.object.maps.get(id).ok_or_else(missing)?;
        let slot = self.maps.get_mut(id.index()).ok_or_else(missing)?;
        match slot {
            Some(map) => Ok(map),
            None => Ok(slot.insert(create(spec)?)),
        }
    }

    fn offer(&self, program: &Program, insns: &[[u8; 8]]) -> Outcome {
        let (prog_type, expected_attach_type) = kernel_type(&program.kind);
        let index = self.object.programs.iter().position(|p| p.name == program.name);
        let debug = self.debug.as_ref().zip(index).and_then(|((types, fd), index)| {
            let info = types.programs.get(index)?;
            Some(DebugInfo {
                btf: fd.as_fd(),
                func_info: &info.func_info,
                line_info: &info.line_info,
            })
        });
        let load = ProgLoad {
            expected_attach_type,
            name: &program.name,
            log_level: LOG_STATS,
            debug,
            ..ProgLoad::new(prog_type, program.license.as_str(), insns)
        };
        match prog_load(&load) {
            Ok(loaded) => Outcome::Verified(log::cost(&loaded.log)),
            Err(error) if error.is(EPERM) || error.is(ENOSYS) => refused(&error),
            // Once more, for the path that leads to the fault.
            Err(_) => match prog_load(&ProgLoad { log_level: LOG_PATH, ..load }) {
                Ok(loaded) => Outcome::Verified(log::cost(&loaded.log)),
                Err(error) => Outcome::Rejected(log::rejection(&error, &program.insns)),
            },
        }
    }
}

/// The outcome of a call that failed before the verifier judged.
fn refused(error: &SysError) -> Outcome {
    if error.is(EPERM) || error.is(ENOSYS) {
        return Outcome::NotRun(format!(
            "{error}: needs CAP_BPF and a bpf(2) that is not forbidden"
        ));
    }
    Outcome::Rejected(Rejection {
        insn: None,
        origin: None,
        message: error.to_string(),
        slice: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
