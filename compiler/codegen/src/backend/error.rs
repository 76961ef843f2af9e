//! Why a function could not be compiled.

use thiserror::Error;

/// The three ways in which compiling a function fails.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BackendError {
    /// The function needs something that programs of its kind cannot have, or
    /// that an earlier pass should have removed.
    #[error("function `{func}`: {what}")]
    Unsupported {
        /// The function.
        func: String,
        /// What it needs.
        what: String,
    },
    /// The program is beyond a limit of the target.
    #[error("function `{func}`: {limit}")]
    Limit {
        /// The function.
        func: String,
        /// Which limit, and by how much.
        limit: LimitError,
    },
    /// A pass broke its own promise: a bug of policyc.
    #[error("internal error in `{pass}` of function `{func}`: {message}")]
    Internal {
        /// The function.
        func: String,
        /// The pass.
        pass: &'static str,
        /// What was found, with the code around it.
        message: String,
    },
}

/// A limit of the target, with figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum LimitError {
    /// More stack than a program has.
    #[error("{needed} bytes of stack are needed and {available} are there")]
    Stack {
        /// Bytes.
        needed: u32,
        /// Bytes.
        available: u32,
    },
    /// A jump that its 16-bit distance cannot express.
    #[error("a jump spans {distance} instructions and at most {limit} are possible")]
    JumpDistance {
        /// Slots.
        distance: u32,
        /// Slots.
        limit: u32,
    },
    /// More instructions than the kernel loads.
    #[error("the program has {insns} instructions and the kernel loads at most {limit}")]
    ProgramSize {
        /// Slots.
        insns: u32,
        /// Slots.
        limit: u32,
    },
}
