//! Interfaces, network namespaces and traffic-control filters.
//!
//! Everything here speaks of the calling thread's network namespace;
//! [`in_netns`] runs a closure in another one.

mod dump;
mod interface;
mod netlink;
mod netns;
mod packet;
mod peer;
mod sockets;
pub mod tc;
mod tracked;

pub use interface::{Hardware, Interface, interface_by_name, interfaces};
pub use netns::{Netns, NetnsId, in_netns, in_netns_of, in_new_netns, netns_id, visible_netns};
pub use packet::{EVERY_PROTOCOL, PacketSocket};
pub use peer::peer_netns;
pub use sockets::{TcpSocket, TcpState, tcp_sockets};
pub use tracked::{Tracked, Tuple, tracked};
