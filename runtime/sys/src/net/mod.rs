//! Interfaces, network namespaces and traffic-control filters.
//!
//! Everything here speaks of the calling thread's network namespace;
//! [`in_netns`] runs a closure in another one.

mod interface;
mod netlink;
mod netns;
pub mod tc;

pub use interface::{Interface, interface_by_name, interfaces};
pub use netns::{in_netns, in_new_netns};
