//! Why an artifact cannot be written, or is refused.

use super::{Digest, FORMAT};
use crate::{ElfError, ObjectError};

/// Why an artifact cannot be written, or is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It does not begin as an artifact does.
    #[error("not an artifact of policyc")]
    Foreign,
    /// Its format is not one this release reads.
    #[error("the artifact has format {0}, and this release reads format {FORMAT}")]
    Version(u32),
    /// It ends too early.
    #[error("the artifact is cut off: {found} bytes of at least {expected}")]
    Truncated {
        /// Bytes there must be.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// It does not end where it should.
    #[error("the artifact has {0} bytes after its end")]
    Trailing(u64),
    /// A section is larger than any that is written.
    #[error("the artifact's {section} takes {size} bytes, and the limit is {limit}")]
    TooLarge {
        /// Name of the section.
        section: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// Its content is not what was written.
    #[error("the artifact was altered: its content has hash {found}, not {expected}")]
    Altered {
        /// The hash it states.
        expected: Digest,
        /// The hash it has.
        found: Digest,
    },
    /// Its evidence is not what was written.
    #[error("the artifact's evidence was altered")]
    EvidenceAltered,
    /// Its manifest cannot be read.
    #[error("the artifact's manifest cannot be read: {0}")]
    Manifest(String),
    /// Its evidence cannot be read.
    #[error("the artifact's evidence cannot be read: {0}")]
    Evidence(String),
    /// Evidence about another artifact.
    #[error("evidence about content {found} does not belong to content {expected}")]
    EvidenceForeign {
        /// The artifact's content.
        expected: Digest,
        /// What the evidence is about.
        found: Digest,
    },
    /// Evidence about a program that is not there.
    #[error("evidence about program `{0}`, which the artifact does not have")]
    EvidenceProgram(String),
    /// Its ELF object cannot be read.
    #[error("the artifact's object cannot be read: {0}")]
    Elf(#[from] ElfError),
    /// Its object cannot be written.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Its parts contradict each other.
    #[error("the artifact contradicts itself: {0}")]
    Contradiction(String),
}
