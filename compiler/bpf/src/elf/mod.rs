//! Relocatable ELF objects.
//!
//! [`write_elf`] makes what libbpf (so bpftool) and aya load:
//!
//! | part of the object | place in the file |
//! | --- | --- |
//! | programs of one kind | one section, named for the hook; a function symbol each |
//! | maps that programs pass to helpers | definitions in `.maps` |
//! | flat tables | `.rodata.NAME`, with their contents |
//! | other flat maps whose value is addressed | `.data.NAME`, zero |
//! | licence | `license`, the strictest of all programs |
//! | types, functions, lines | `.BTF`, `.BTF.ext` |
//!
//! Guarantees: the same object gives the same bytes; [`read_elf`] is total on any
//! bytes, and reads back what was written except what the format has no place
//! for: what a program judges, licences that differ within one object, roles of
//! maps, flags of flat maps, contents of arrays with several entries, and lines.
//! The artifact carries those beside it. Contents of a flat table that are shorter
//! than its value come back filled up with zeros.
//! Does not know: map file descriptors, or objects that other compilers wrote.
//! Source: `Documentation/bpf/libbpf/`, and `relocation.rs` of aya-obj 0.3.

mod error;
pub(crate) mod layout;
mod read;
mod write;

pub use error::{ElfError, ObjectError};
pub use read::read_elf;
pub use write::write_elf;

/// `R_BPF_64_64`: the immediate of a `lddw`.
const R_BPF_64_64: u32 = 1;
