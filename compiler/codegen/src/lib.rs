//! From decision graphs and the standard library to BIR, registers and
//! bytecode.
//!
//! [`lower`] makes BIR, [`opt`] improves it, [`backend`] gives it registers and
//! makes instructions. Every step is pure: the same input gives the same bytes.
//!
//! Does not know: YAML, files, or any running kernel.

pub mod backend;
pub mod lower;
pub mod opt;

/// Why no code could be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodegenError {
    /// A bug of policyc.
    #[error("internal error in code generation: {0}")]
    Internal(String),
    /// The policy is larger than a table or program can be.
    #[error("{what} needs {needed}, but {limit} is the most a target can hold")]
    Limit {
        /// What is too large.
        what: String,
        /// How much it needs.
        needed: u64,
        /// How much there is.
        limit: u64,
    },
}

impl CodegenError {
    /// A bug of policyc, in words.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }
}
