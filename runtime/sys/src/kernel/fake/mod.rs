//! A host in memory.
//!
//! A [`FakeHost`] is the machine; a [`FakeKernel`] is one process on it. Every
//! call is counted and written down; a process can be made to fail at its n-th
//! call, or to be killed there: then nothing of it happens from that call on,
//! and dropping it closes its handles, as the end of a process does.

mod host;
mod objects;
mod process;

pub use host::{Attached, FakeHost};
pub use objects::{FakeLink, FakeMap, FakeProg};
pub use process::FakeKernel;
