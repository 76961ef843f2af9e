//! BIR: the typed SSA representation of programs, with text, checker,
//! interpreter and builder.
//!
//! The text form reads back (`parse(print(m)) == m`), so every dump is a
//! possible test. What the checker accepts, the kernel verifier should accept.
//! Does not know that policies exist, nor what registers are.

mod builder;
pub mod helpers;
mod text;
pub mod types;
mod visit;

pub use builder::FunctionBuilder;
pub use types::*;
