//! What stops a run.

use crate::place::Place;

/// A run that could not go on: what the kernel's verifier would have prevented.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`@{func}`, {place:?}: {kind}")]
pub struct Fault {
    /// The function.
    pub func: String,
    /// Where in the function.
    pub place: Place,
    /// What happened.
    pub kind: FaultKind,
}

/// Why a run could not go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FaultKind {
    /// The function to run is not there.
    #[error("there is no such function")]
    NoFunction,
    /// The inputs are not what the function takes.
    #[error("the arguments are not what the function takes")]
    Arguments,
    /// A step limit, or too many calls in calls.
    #[error("the run takes too long")]
    Limit,
    /// An access outside of what a pointer points into.
    #[error("bytes {start} to {end} are accessed, there are {size}")]
    Bounds {
        /// First byte.
        start: i64,
        /// One past the last byte.
        end: i64,
        /// Bytes there are.
        size: usize,
    },
    /// A packet pointer from before the packet moved.
    #[error("the packet moved since the pointer was made")]
    Moved,
    /// A stack byte that was never written.
    #[error("a stack byte is read that was not written")]
    Unwritten,
    /// A null pointer.
    #[error("a null pointer is used")]
    Null,
    /// A shift by the width or more.
    #[error("a shift by {0} bits")]
    Shift(u64),
    /// Something the checker rejects.
    #[error("the function is ill-formed: {0}")]
    IllFormed(&'static str),
}
