//! The standard library of packet and event routines, as BIR text.
//!
//! Text and a name table, no logic: the routines share checker, optimiser and
//! register allocator with generated code, and are tested alone under the BIR
//! interpreter.

/// One file of the library.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// File name, for messages.
    pub name: &'static str,
    /// BIR text.
    pub text: &'static str,
}

/// Stand-ins for the maps that a program brings itself, to read the library alone.
pub const MAPS: Unit = Unit { name: "stdlib/maps.bir", text: include_str!("../bir/maps.bir") };

/// What every program is made of.
pub const COMMON: &[Unit] =
    &[Unit { name: "stdlib/count.bir", text: include_str!("../bir/count.bir") }];

/// What packet programs are made of, beside the common routines.
pub const PACKET: &[Unit] = &[
    Unit { name: "stdlib/subject.bir", text: include_str!("../bir/subject.bir") },
    Unit { name: "stdlib/link.bir", text: include_str!("../bir/link.bir") },
    Unit { name: "stdlib/ip.bir", text: include_str!("../bir/ip.bir") },
    Unit { name: "stdlib/connection.bir", text: include_str!("../bir/connection.bir") },
    Unit { name: "stdlib/fragment.bir", text: include_str!("../bir/fragment.bir") },
    Unit { name: "stdlib/report.bir", text: include_str!("../bir/report.bir") },
];

/// What packet programs are made of that answer what they deny.
pub const ANSWER: &[Unit] =
    &[Unit { name: "stdlib/answer.bir", text: include_str!("../bir/answer.bir") }];
