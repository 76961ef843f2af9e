//! What can be observed at a hook: its schema.
//!
//! One mechanism serves both halves of the compiler: a packet's addresses and
//! ports are fields of a schema just as a tracepoint's arguments are. A field has a
//! kind (what rules may say about it) and an access (where a program reads it).
//!
//! Guarantees: a field that a program cannot read honestly is [`Kind::Opaque`] with
//! the reason; a schema lists fields in the order in which policies index them.
//! Does not know: rules, operators, instructions.
//! Source: Linux `kernel/trace/bpf_trace.c` (`tp_prog_is_valid_access`,
//! `raw_tp_prog_is_valid_access`).

mod classify;
mod packet;
mod process;
mod schema;
mod types;

pub use packet::PacketField;
pub use process::ProcessField;
pub use schema::{Schema, UnknownHook};
pub use types::{Access, Field, Hook, IntType, Kind};

#[cfg(test)]
mod tests;
