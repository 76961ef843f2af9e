//! The types of a schema.

use std::fmt;

use super::{PacketField, ProcessField};

/// Where a tracing program can be attached.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hook {
    /// A tracepoint; its record is laid out by its format.
    Tracepoint {
        /// The subsystem: `sched`.
        category: String,
        /// The event: `sched_process_exec`.
        event: String,
    },
    /// A tracepoint without its record; the arguments are those of the kernel's call.
    RawTracepoint {
        /// The event: `sched_process_exec`.
        name: String,
    },
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracepoint { category, event } => write!(f, "tracepoint {category}/{event}"),
            Self::RawTracepoint { name } => write!(f, "raw tracepoint {name}"),
        }
    }
}

/// An integer's width and signedness; host byte order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IntType {
    /// 1, 2, 4 or 8.
    pub bytes: u8,
    /// Whether it is signed, two's complement.
    pub signed: bool,
}

impl IntType {
    /// An unsigned integer.
    pub const fn unsigned(bytes: u8) -> Self {
        Self { bytes, signed: false }
    }

    /// A signed integer.
    pub const fn signed(bytes: u8) -> Self {
        Self { bytes, signed: true }
    }

    /// Width in bits.
    pub const fn bits(self) -> u32 {
        self.bytes as u32 * 8
    }

    /// The least value.
    pub const fn min(self) -> i128 {
        if self.signed { -(1i128 << (self.bits() - 1)) } else { 0 }
    }

    /// The greatest value.
    pub const fn max(self) -> i128 {
        let bits = if self.signed { self.bits() - 1 } else { self.bits() };
        (1i128 << bits) - 1
    }

    /// What is left of `value` in this type: its low bits, read with this sign.
    pub const fn wrap(self, value: i128) -> i128 {
        let low = value & ((1i128 << self.bits()) - 1);
        if low > self.max() { low - (1i128 << self.bits()) } else { low }
    }
}

impl fmt::Display for IntType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}int{}", if self.signed { "" } else { "u" }, self.bits())
    }
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// An integer.
    Int(IntType),
    /// Integers, one behind the other.
    IntArray {
        /// Their type.
        element: IntType,
        /// How many.
        count: u32,
    },
    /// Bytes up to a NUL.
    Text,
    /// A pointer to something that is not known to be text.
    Pointer,
    /// An address of 4 or 16 bytes, network byte order.
    Address {
        /// 4 or 16.
        bytes: u8,
    },
    /// Something that no rule can ask for; the reason completes "the field ...".
    Opaque(&'static str),
}

/// Where a program reads a field. Offsets are bytes in the hook's context.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Access {
    /// A load from the context.
    Record {
        /// Where.
        offset: u32,
    },
    /// Text in the context itself, padded with NULs.
    RecordText {
        /// Where.
        offset: u32,
        /// Its room in bytes.
        capacity: u32,
    },
    /// Text in the context at a place found at run time: the 32 bits at `offset`
    /// hold its length with the NUL (high half) and its offset (low half).
    DataLoc {
        /// Where.
        offset: u32,
    },
    /// Text in user memory; the context holds its address.
    UserText {
        /// Where the address is.
        offset: u32,
    },
    /// Text in kernel memory; the context holds its address.
    KernelText {
        /// Where the address is.
        offset: u32,
    },
    /// A fact about the current task.
    Process(ProcessField),
    /// A fact about the packet.
    Packet(PacketField),
}

/// One field of a schema.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Field {
    /// Its name; of a process or packet field with its prefix: `process.pid`.
    pub name: String,
    /// Its type in C's words, to be shown; empty if there is none.
    pub type_name: String,
    /// What it holds.
    pub kind: Kind,
    /// Where it is read.
    pub access: Access,
}
