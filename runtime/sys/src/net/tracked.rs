//! Connections that the kernel's own connection tracking knows in a network namespace.
//!
//! By ctnetlink, else by `/proc/net/nf_conntrack`. Source:
//! `include/uapi/linux/netfilter/nfnetlink_conntrack.h`,
//! `net/netfilter/nf_conntrack_standalone.c`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::dump::{attribute, dump};
use crate::SysError;

/// `NETLINK_NETFILTER`; `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET`.
const NETFILTER: isize = 12;
const GET: u16 = 1 << 8 | 1;
/// Bytes of `struct nfgenmsg`; all zero asks for every family.
const GENERIC: usize = 4;
/// Is there while the module is; it is not to be loaded for this.
const LOADED: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const TEXT: &str = "/proc/thread-self/net/nf_conntrack";
/// `IPS_SEEN_REPLY`, `IPS_ASSURED`.
const SEEN_REPLY: u32 = 2;
const ASSURED: u32 = 4;
/// `TCP_CONNTRACK_ESTABLISHED`.
const TCP_ESTABLISHED: u8 = 3;

/// Packets of one direction: whose, to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuple {
    /// Who sends.
    pub source: SocketAddr,
    /// Who receives.
    pub destination: SocketAddr,
}

/// A connection that was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tracked {
    /// IP protocol number: one with ports.
    pub protocol: u8,
    /// The opener's packets before addresses are translated.
    pub original: Tuple,
    /// The answers before addresses are translated back.
    pub reply: Tuple,
    /// Whether it is established: of TCP its handshake is over and nobody has
    /// finished, of others packets went both ways more than once.
    pub is_established: bool,
}

/// Answered connections of TCP, UDP and SCTP that are tracked in this thread's network
/// namespace; `None` if nothing tracks any.
///
/// # Errors
/// What the kernel said.
pub fn tracked() -> Result<Option<Vec<Tracked>>, SysError> {
    if !Path::new(LOADED).exists() {
        return Ok(None);
    }
    let mut found = Vec::new();
    let listed = dump("IPCTNL_MSG_CT_GET", NETFILTER, GET, &[0; GENERIC], |answer| {
        found.extend(answer.get(GENERIC..).and_then(entry));
    });
    match listed {
        Ok(()) => Ok(Some(found)),
        // There is tracking, and no netlink for it.
        Err(error)
            if [libc::EINVAL, libc::ENOENT, libc::EOPNOTSUPP, libc::EPROTONOSUPPORT]
                .contains(&error.errno) =>
        {
            from_text(error)
        }
        Err(error) => Err(error),
    }
}

fn from_text(error: SysError) -> Result<Option<Vec<Tracked>>, SysError> {
    match fs::read_to_string(TEXT) {
        Ok(text) => Ok(Some(text.lines().filter_map(line).collect())),
        Err(_) => Err(error),
    }
}

const fn has_ports(protocol: u8) -> bool {
    matches!(protocol as i32, libc::IPPROTO_TCP | libc::IPPROTO_UDP | libc::IPPROTO_SCTP)
}

const fn is_established(protocol: u8, tcp: Option<u8>, assured: bool) -> bool {
    match (protocol as i32, tcp) {
        (libc::IPPROTO_TCP, Some(state)) => state == TCP_ESTABLISHED,
        _ => assured,
    }
}

/// An entry of ctnetlink.
fn entry(attributes: &[u8]) -> Option<Tracked> {
    const ORIGINAL: u16 = 1;
    const REPLY: u16 = 2;
    const STATUS: u16 = 3;
    const INFO: u16 = 4;
    let status = u32::from_be_bytes(*attribute(attributes, STATUS)?.first_chunk()?);
    let (protocol, original) = tuple(attribute(attributes, ORIGINAL)?)?;
    let (_, reply) = tuple(attribute(attributes, REPLY)?)?;
    // CTA_PROTOINFO_TCP, in it CTA_PROTOINFO_TCP_STATE.
    let tcp = attribute(attributes, INFO).and_then(|info| attribute(info, 1));
    let tcp = tcp.and_then(|tcp| attribute(tcp, 1)?.first().copied());
    let is_established = is_established(protocol, tcp, status & ASSURED != 0);
    let tracked = Tracked { protocol, original, reply, is_established };
    (status & SEEN_REPLY != 0 && has_ports(protocol)).then_some(tracked)
}

/// `CTA_TUPLE_*`: the protocol, and who sends to whom.
fn tuple(attributes: &[u8]) -> Option<(u8, Tuple)> {
    const IP: u16 = 1;
    const PROTO: u16 = 2;
    let ip = attribute(attributes, IP)?;
    let address = |v4: u16, v6: u16| -> Option<IpAddr> {
        if let Some(octets) = attribute(ip, v4) {
            return Some(Ipv4Addr::from(*octets.first_chunk::<4>()?).into());
        }
        Some(Ipv6Addr::from(*attribute(ip, v6)?.first_chunk::<16>()?).into())
    };
    let proto = attribute(attributes, PROTO)?;
    let protocol = *attribute(proto, 1)?.first()?;
    let port = |kind| Some(u16::from_be_bytes(*attribute(proto, kind)?.first_chunk()?));
    let source = SocketAddr::new(address(1, 3)?, port(2)?);
    Some((protocol, Tuple { source, destination: SocketAddr::new(address(2, 4)?, port(3)?) }))
}

/// A line of the text: `ipv4 2 tcp 6 299 ESTABLISHED src=… dst=… sport=… dport=…`, the
/// last four again for the answers, then `[ASSURED]`.
fn line(line: &str) -> Option<Tracked> {
    let protocol: u8 = line.split_whitespace().nth(3)?.parse().ok()?;
    if !has_ports(protocol) || line.contains("[UNREPLIED]") {
        return None;
    }
    let values = |name: &'static str| {
        line.split_whitespace().filter_map(move |word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let tuple = |which: usize| -> Option<Tuple> {
        let end = |address, port| -> Option<SocketAddr> {
            let address: IpAddr = values(address).nth(which)?.parse().ok()?;
            Some(SocketAddr::new(address, values(port).nth(which)?.parse().ok()?))
        };
        Some(Tuple { source: end("src", "sport")?, destination: end("dst", "dport")? })
    };
    let state = line.split_whitespace().nth(5);
    let tcp = state.map(|state| if state == "ESTABLISHED" { TCP_ESTABLISHED } else { 0 });
    let is_established = is_established(protocol, tcp, line.contains("[ASSURED]"));
    Some(Tracked { protocol, original: tuple(0)?, reply: tuple(1)?, is_established })
}

#[cfg(test)]
mod tests;
