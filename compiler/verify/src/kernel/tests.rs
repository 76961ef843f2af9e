//! The log's reader on logs as kernels wrote them, and the running kernel.

mod log;
mod running;
