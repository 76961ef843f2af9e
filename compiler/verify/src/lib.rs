//! Independent checking of finished bytecode, here, in this kernel and in others.

#[cfg(test)]
mod fixtures;
pub mod kernel;
#[cfg(feature = "second-opinion")]
mod opinion;
mod release;
mod report;
pub mod structural;
pub mod vm;

pub use kernel::verify_kernel;
#[cfg(feature = "second-opinion")]
pub use opinion::{ENGINE, Opinion, View, second_opinion};
pub use release::Release;
pub use report::{Cost, Outcome, ProgramReport, Rejection};
pub use structural::{Failure, Obligation, Shape, verify_structural, verify_structural_for};
pub use vm::{InitImage, VmError, VmOptions, verify_vm};
