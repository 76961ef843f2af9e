//! TCP sockets of a network namespace, as `ss` lists them.
//!
//! Source: `sock_diag(7)`, `include/uapi/linux/inet_diag.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::dump::{attribute, dump};
use crate::SysError;

/// `NETLINK_SOCK_DIAG`, `SOCK_DIAG_BY_FAMILY`.
const SOCK_DIAG: isize = 4;
const BY_FAMILY: u16 = 20;
/// Bytes of `struct inet_diag_req_v2` and of `struct inet_diag_msg`.
const REQUEST: usize = 56;
const ANSWER: usize = 72;
/// `INET_DIAG_SKV6ONLY`, of IPv6 sockets that listen.
const V6_ONLY: u16 = 11;
/// `INET_DIAG_CGROUP_ID`. KERNEL: >= 5.9.
const CGROUP_ID: u16 = 21;

/// A TCP socket that listens, or one end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpSocket {
    /// How far it is.
    pub state: TcpState,
    /// Its own end; an unspecified address of one that listens is every address of its
    /// family, and that of IPv6 of both unless `is_v6_only`.
    pub local: SocketAddr,
    /// The other end; unspecified while it listens.
    pub peer: SocketAddr,
    /// Whether it listens for IPv6 alone (`IPV6_V6ONLY`).
    pub is_v6_only: bool,
    /// The id of its cgroup, if the kernel says.
    pub cgroup: Option<u64>,
}

/// `TCP_*` of `include/net/tcp_states.h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TcpState(pub u8);

impl TcpState {
    /// Both directions are open.
    pub const ESTABLISHED: Self = Self(1);
    /// This end has finished.
    pub const FIN_WAIT1: Self = Self(4);
    /// This end has finished, and the other end knows.
    pub const FIN_WAIT2: Self = Self(5);
    /// The other end has finished.
    pub const CLOSE_WAIT: Self = Self(8);
    /// Both have finished, the other end first.
    pub const LAST_ACK: Self = Self(9);
    /// It waits for connections.
    pub const LISTEN: Self = Self(10);
    /// Both have finished at once.
    pub const CLOSING: Self = Self(11);
}

/// What is asked for: connections whose handshake is over, and who waits for some.
const STATES: [TcpState; 7] = [
    TcpState::ESTABLISHED,
    TcpState::FIN_WAIT1,
    TcpState::FIN_WAIT2,
    TcpState::CLOSE_WAIT,
    TcpState::LAST_ACK,
    TcpState::LISTEN,
    TcpState::CLOSING,
];

/// TCP sockets of this thread's network namespace: those that listen, and ends of
/// connections whose handshake is over.
///
/// # Errors
/// `ENOENT` when the kernel has no sock_diag for TCP; what netlink said.
pub fn tcp_sockets() -> Result<Vec<TcpSocket>, SysError> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut request = [0; REQUEST];
        request[0] = family as u8;
        request[1] = libc::IPPROTO_TCP as u8;
        let states = STATES.iter().fold(0_u32, |states, state| states | 1 << state.0);
        request[4..8].copy_from_slice(&states.to_ne_bytes());
        dump("SOCK_DIAG_BY_FAMILY", SOCK_DIAG, BY_FAMILY, &request, |answer| {
            found.extend(socket(answer));
        })?;
    }
    Ok(found)
}

fn socket(answer: &[u8]) -> Option<TcpSocket> {
    let is_v6 = i32::from(*answer.first()?) == libc::AF_INET6;
    let end = |port: usize, address: usize| {
        let port = u16::from_be_bytes(*answer.get(port..)?.first_chunk()?);
        let octets: [u8; 16] = *answer.get(address..)?.first_chunk()?;
        let [a, b, c, d, ..] = octets;
        let address = match is_v6 {
            // Of a socket of IPv6 that is connected by IPv4.
            true => IpAddr::from(Ipv6Addr::from(octets)).to_canonical(),
            false => Ipv4Addr::new(a, b, c, d).into(),
        };
        Some(SocketAddr::new(address, port))
    };
    let told = |wanted| answer.get(ANSWER..).and_then(|rest| attribute(rest, wanted));
    let cgroup = told(CGROUP_ID);
    Some(TcpSocket {
        state: TcpState(*answer.get(1)?),
        local: end(4, 8)?,
        peer: end(6, 24)?,
        is_v6_only: told(V6_ONLY).and_then(<[u8]>::first).is_some_and(|is| *is != 0),
        cgroup: cgroup.and_then(|id| Some(u64::from_ne_bytes(*id.first_chunk()?))),
    })
}
