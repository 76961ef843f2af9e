//! What a kernel said about a program.
//!
//! Guarantees: plain data that reads back from its JSON, so that it can cross
//! from a virtual machine to the host and into an artifact's evidence.
//! Does not know: how the kernel was asked.

use policyc_base::Origin;
use policyc_bpf::Object;
use serde::{Deserialize, Serialize};

/// What one kernel said about one program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProgramReport {
    /// Name of the program.
    pub program: String,
    /// Release of the kernel, as `uname -r` prints it; empty if none was asked.
    pub kernel: String,
    /// What it said.
    pub outcome: Outcome,
}

/// What a kernel said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The program was loaded.
    Verified(Cost),
    /// The program or one of its maps was refused.
    Rejected(Rejection),
    /// The kernel was not asked, and why: a privilege that is missing, say.
    NotRun(String),
}

/// What verification cost the kernel; 0 where its log does not say.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Instructions followed on all paths, of at most 1,000,000.
    pub insns_processed: u32,
    /// States kept at the same time.
    pub peak_states: u32,
    /// States kept in all.
    pub total_states: u32,
    /// Bytes of stack used.
    pub stack_bytes: u32,
}

/// Why a program was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rejection {
    /// Slot of the instruction at fault, if the kernel named one.
    pub insn: Option<u32>,
    /// The rule that the instruction was made for.
    #[serde(skip)]
    pub origin: Option<Origin>,
    /// The kernel's own words, one or a few lines.
    pub message: String,
    /// The instructions that matter, from the kernel's log, in the order in
    /// which they run; the last one is at fault.
    pub slice: Vec<String>,
}

impl ProgramReport {
    /// Fills in the origin of the instruction at fault, which does not cross
    /// from another machine.
    pub fn resolve(&mut self, object: &Object) {
        let Outcome::Rejected(rejection) = &mut self.outcome else { return };
        let program = object.programs.iter().find(|program| program.name == self.program);
        rejection.origin = rejection
            .insn
            .zip(program)
            .and_then(|(insn, program)| program.origins.get(insn as usize).copied().flatten());
    }

    /// Whether the kernel loaded the program.
    pub fn is_verified(&self) -> bool {
        matches!(self.outcome, Outcome::Verified(_))
    }
}
