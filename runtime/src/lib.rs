//! Artifact and bindings to a live generation, and back.
//!
//! Guarantees: a generation goes live at every attach point by one store, or
//! not at all; what fails or is killed before the store leaves the host as it
//! was, and the next command tidies what it left; what is live needs no
//! process.
//! Does not know: policies, or how an artifact was made.
//!
//! The pieces on a host:
//!
//! - a **gate** per attach point: a small permanent program with two slots;
//! - the **state word**, shared by every gate: which slot, the *parity*, is
//!   active;
//! - a **generation**: an artifact's programs and maps, loaded for this host,
//!   in the slots of one parity;
//! - the **journal** in the state directory: which generation has which parity,
//!   which gates exist, what was being done.

pub mod apply;
mod attach;
mod audit;
mod bindings;
mod bring_back;
mod closed;
mod confirm;
mod connection;
mod discard;
mod error;
mod follow;
mod gate;
mod generation;
mod history;
mod host;
mod journal;
mod members;
pub mod observe;
mod patch;
mod point;
mod privileges;
mod recover;
mod remove;
mod restore;
mod state;
pub mod status;

pub use apply::{Options, Outcome, apply, unit_cgroup};
pub use attach::{Attached, attach};
pub use audit::{Audited, audit, audits, enforce};
pub use bindings::{Attach, Binding, Bindings, Port, Side};
pub use bring_back::{OnFailure, Restored, restore};
pub use confirm::{confirm, rollback, rollback_to};
pub use connection::{Adopted, Connection, Ends, Fill, Stage, connections, fill, forget};
pub use error::Error;
pub use history::{By, Ended, Past, history};
pub use host::{Dirs, Host};
pub use members::Group;
pub use observe::{Events, lost_events};
pub use patch::{Change, Members, Patch, Patched, Stored};
pub use point::{Mechanism, Point};
pub use remove::remove;
pub use restore::{artifact_of, last_applied};
pub use status::{Counter, Drift, Followed, GateStatus, Live, Status, status};

#[cfg(test)]
mod tests;
