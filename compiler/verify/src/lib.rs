//! Independent checking of finished bytecode, here, in this kernel and in others.

mod release;
pub mod structural;

pub use release::Release;
