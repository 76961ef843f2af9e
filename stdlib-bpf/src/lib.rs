//! The standard library of packet and event routines, as BIR text.
