//! Every system call of policyc, and every line of `unsafe`.
//!
//! Guarantees: each function is safe to call with any arguments; buffers have
//! the sizes the kernel will read or write; an error names the call, the errno
//! and, where the kernel gave one, its log.
//! Does not know: policies, artifacts, gates or generations.
//! Source: `include/uapi/linux/bpf.h`, `kernel/bpf/syscall.c`.

pub mod bpf;
pub mod errno;
mod error;
pub mod host;
pub mod kernel;
pub mod net;
pub mod probe;
pub mod ringbuf;

pub use error::SysError;
pub use kernel::{Kernel, RealKernel};
