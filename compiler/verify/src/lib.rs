//! Independent checking of finished bytecode, here, in this kernel and in others.
//!
//! Guarantees: everything is plain data, and nothing that was loaded stays. What
//! could not be asked (a privilege, an emulator, time) is told apart from what
//! was asked and refused.
//! Does not know: policies, BIR or the code generator. It sees a
//! [`policyc_bpf::Object`] and nothing of how it came to be; only so its verdict
//! is evidence.
//!
//! | level | asked by | who judges |
//! | --- | --- | --- |
//! | `structural` | [`verify_structural`] | this crate, in process |
//! | beside it | [`second_opinion`] | the `prevail` crate; never fatal |
//! | `kernel`, this one | [`verify_kernel`] | the running kernel |
//! | `kernel`, others | [`verify_vm`] | a kernel booted in a virtual machine |

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
