//! The grammars of every small language policyc reads, without their meaning.

pub mod bir;
pub mod asm;
