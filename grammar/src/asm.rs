//! BPF assembly as the kernel prints it, `asm.pest`. Meaning: `policyc-bpf`.

#![allow(missing_docs, reason = "the derive writes undocumented items")]

use pest_derive::Parser;

/// The parser of the grammar; its start rule is [`Rule::file`].
#[derive(Parser)]
#[grammar = "asm.pest"]
pub struct AsmParser;
