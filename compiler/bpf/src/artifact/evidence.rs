//! Evidence: who looked at a program of an artifact, and what they found.
//!
//! Guarantees: a record names the content it is about by hash; adding one changes
//! no content. Records have no time: equal checks give equal records.

use serde::{Deserialize, Serialize};

use super::Digest;

/// How much a check says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every instruction is well-formed, every jump lands, every register is written first.
    Structural,
    /// Every path is safe in a model of the kernel's verifier.
    Model,
    /// A kernel's verifier saw it.
    Kernel,
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Finding {
    /// The program is safe as far as the level goes.
    Accepted,
    /// It is not.
    Rejected {
        /// The slot that is at fault, if the engine names one.
        insn: Option<u32>,
        /// The engine's reason.
        reason: String,
    },
}

/// One check of one program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The artifact's content.
    pub content: Digest,
    /// Name of the program.
    pub program: String,
    /// How much the check says.
    pub level: Level,
    /// Who checked: `policyc`, `prevail`, `linux`.
    pub engine: String,
    /// The engine's version; for `linux` that of policyc's loader.
    pub engine_version: String,
    /// Release and machine of the kernel: `6.12.111 x86_64`; none without one.
    pub kernel: Option<String>,
    /// Instructions the engine processed, on all paths.
    pub processed: Option<u64>,
    /// Whether the engine is asked only for a second opinion, so that a
    /// rejection is shown and not fatal.
    pub advisory: bool,
    /// What was found.
    pub finding: Finding,
}

/// JSON lines, one record each.
pub(super) fn to_lines(evidence: &[Evidence]) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    for record in evidence {
        serde_json::to_writer(&mut out, record)?;
        out.push(b'\n');
    }
    Ok(out)
}

/// The records of JSON lines.
pub(super) fn from_lines(lines: &[u8]) -> Result<Vec<Evidence>, serde_json::Error> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(serde_json::from_slice).collect()
}
