//! Tests of the backend: expected assembly, random functions, the kernel.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod common;
mod files;
mod generate;
mod kernel;
mod random;
