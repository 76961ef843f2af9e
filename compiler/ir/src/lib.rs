//! BIR: the typed SSA representation of programs, with text, checker,
//! interpreter and builder.
//!
//! The text form reads back (`parse(print(m)) == m`), so every dump is a
//! possible test. What the checker accepts, the kernel verifier should accept.
//! Does not know that policies exist, nor what registers are.

mod builder;
pub mod cfg;
pub mod check;
mod compact;
pub mod eval;
pub mod helpers;
pub mod interp;
mod names;
pub mod parse;
mod place;
mod print;
pub mod types;
mod visit;

pub use builder::FunctionBuilder;
pub use cfg::Cfg;
pub use check::{Finding, check};
pub use interp::Machine;
pub use parse::{parse, parse_into};
pub use place::Place;
pub use print::print_function;
pub use types::*;
