//! Interfaces, network namespaces and traffic-control filters.
//!
//! Everything here speaks of the calling thread's network namespace;
//! [`in_netns`] runs a closure in another one.

mod interface;
mod netlink;
mod netns;
pub mod tc;

pub use interface::{Hardware, Interface, interface_by_name, interfaces};
pub use netns::{Netns, NetnsId, in_netns, in_netns_of, in_new_netns, netns_id, visible_netns};
