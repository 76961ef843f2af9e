//! What a host can do, and what can be observed there.
//!
//! A [`Profile`] is a document: probed features, tracepoint formats, raw
//! tracepoint prototypes and the layouts of kernel structures. It is an exact
//! input of a build: the same profile and policy give the same bytes on any
//! machine. A [`Schema`] is what a [`Hook`] offers to rules: fields, their types
//! and where a program reads them.
//!
//! Guarantees: no I/O and no system call (the driver reads files and probes, and
//! hands bytes in); no panic on any bytes; ordered output.
//! Does not know: policies, BPF instructions, how features are probed.

pub mod btf;
pub mod hooks;
pub mod tracepoint;

mod feature;
mod host;
mod layout;
mod profile;
mod suggest;

pub use feature::{Feature, Isa};
pub use hooks::{
    Access, Field, Hook, IntType, Kind, PacketField, ProcessField, Schema, UnknownHook,
};
pub use host::{HostFacts, HostProblem};
pub use layout::{FieldLayout, Layouts, StructLayout};
pub use profile::{Profile, ProfileError};
pub use suggest::did_you_mean;
