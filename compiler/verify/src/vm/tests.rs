//! The parts by themselves, and machines that are booted.

mod machines;
mod parts;
