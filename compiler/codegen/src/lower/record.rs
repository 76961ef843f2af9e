//! Where everything lies in an event record.
//!
//! A program builds the record in per-CPU memory (it is larger than the stack),
//! texts where the record has them, and hands it to the ring as it is. One layout
//! for code generation and for `observe`.
//!
//! All numbers are in the machine's order. The version of the layout is
//! [`VERSION`]; the artifact carries it.

use policyc_decision::tracing::HookDecision;
use policyc_policy::tracing::ArgKind;

/// Version of the layouts of records.
pub const VERSION: u32 = 1;

/// A verdict event's first word.
pub const KIND_VERDICT: u32 = 1;
/// A tracing event's first word.
pub const KIND_EVENT: u32 = 2;

/// Offsets of the head of a tracing event.
pub mod head {
    /// `u32`: [`KIND_EVENT`](super::KIND_EVENT).
    pub const KIND: i32 = 0;
    /// `u32`: the generation that made it.
    pub const GENERATION: i32 = 4;
    /// `u64`: CLOCK_MONOTONIC, nanoseconds.
    pub const TIME: i32 = 8;
    /// `u32`: index of the decision.
    pub const DECISION: i32 = 16;
    /// `u32`: index of the hook in the artifact's list.
    pub const HOOK: i32 = 20;
    /// `u64`: process in the high half, thread in the low half.
    pub const PID_TGID: i32 = 24;
    /// `u64`: group in the high half, user in the low half.
    pub const UID_GID: i32 = 32;
    /// `u64`: id of the version 2 cgroup.
    pub const CGROUP: i32 = 40;
    /// `u32`: process of the parent; 0 when the profile does not say how to read it.
    pub const PARENT: i32 = 48;
    /// `u32`: bytes of [`ARGUMENTS_TEXT`] that were read.
    pub const ARGUMENTS: i32 = 52;
    /// 16 bytes: the thread's name, NUL-terminated.
    pub const COMM: i32 = 56;
    /// 256 bytes: the process's arguments, each NUL-terminated.
    pub const ARGUMENTS_TEXT: i32 = 72;
    /// Where the hook's fields begin.
    pub const FIELDS: i32 = ARGUMENTS_TEXT + 256;
}

/// Bytes of an integer field: the value, sign- or zero-extended to `u64`.
pub const INT: u32 = 8;
/// Bytes that a program reads of a text, with its NUL.
pub const TEXT_READ: u32 = 256;
/// Bytes of a text field: `u64` result of the read (its length with the NUL,
/// negative when it could not be read), then its bytes. A search for an ending
/// loads behind the text, so there is room for two.
pub const TEXT: u32 = 8 + 2 * TEXT_READ + 8;

/// The layout of one hook's records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordLayout {
    /// Offset of each read, in the hook's order.
    pub fields: Vec<i32>,
    /// Bytes of the whole record.
    pub size: u32,
}

impl RecordLayout {
    /// The layout for a hook.
    pub fn of(hook: &HookDecision) -> Self {
        let mut at = head::FIELDS as u32;
        let mut fields = Vec::new();
        for read in &hook.reads {
            fields.push(at as i32);
            at += match read.kind {
                ArgKind::Int(_) => INT,
                ArgKind::Text => TEXT,
            };
        }
        Self { fields, size: at }
    }
}
