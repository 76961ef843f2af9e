//! What programs report, read and put into words.
//!
//! A record carries the number of the generation that made it; names come from
//! that generation's artifact. A record that cannot be read is shown as such and
//! never dropped.

mod compact;
pub mod filter;
mod hubble;
mod json;
mod packet;
mod record;
mod time;

pub use compact::compact;
pub use hubble::{dict, jsonpb};
pub use json::json;
pub use packet::{Endpoints, head};
pub use record::{Event, Field, FieldValue, Process, Record, Verdict, decode};
pub use time::{Clock, utc};

#[cfg(test)]
mod tests;
