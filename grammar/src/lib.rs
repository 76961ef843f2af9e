//! The grammars of every small language policyc reads, without their meaning.

pub mod asm;
pub mod bir;
