//! The kernel's type information: raw BTF, as `/sys/kernel/btf/vmlinux` holds it.
//!
//! Guarantees: any bytes give a [`Btf`] or an error, never a panic, and work that
//! is bounded by their length; lookups of a parsed [`Btf`] terminate on cyclic
//! types too. Types point at each other by [`TypeId`]; a foreign or dangling id is
//! `None`, never a wrong type.
//! Does not know: ELF, BTF of modules on top of a base, CO-RE relocations.
//! Source: Linux `include/uapi/linux/btf.h`, `Documentation/bpf/btf.rst`.

mod lookup;
mod read;
mod types;

pub use lookup::FieldAt;
pub use read::BtfError;
pub use types::{Btf, BtfKind, BtfType, Member, Parameter, TypeId};

#[cfg(test)]
mod tests;
