//! What a packet says, read in the plainest way.
//!
//! The authority on packets that are no textbook flow, as the oracle is on flows:
//! written from `docs/coverage.md` and the standards, apart from the routines that
//! programs are made of, so that the two can be held against each other.
//! Source: IEEE 802.1Q, RFC 791, RFC 8200, RFC 4302, RFC 792, RFC 4443.

use std::net::IpAddr;

use policyc_decision::network::builtin;
use policyc_policy::network::{Direction, protocol};

/// Extension headers that are skipped; one more is too many.
const EXTENSIONS: usize = 4;
/// The protocol that fragments without ports are judged by: no policy can name it.
const LATER_FRAGMENT: u8 = 255;

/// Where a packet begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begins {
    /// With an Ethernet header.
    Link,
    /// With the network header.
    Network,
}

/// What a packet says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reading {
    /// It is judged by this.
    Flow {
        /// The other end.
        peer: IpAddr,
        /// IP protocol number.
        protocol: u8,
        /// Destination port or ICMP type, host byte order.
        port: u16,
    },
    /// A header is not all there.
    Truncated,
    /// Headers contradict themselves, or are too many.
    Malformed,
    /// ARP.
    Arp,
    /// Neither IP nor ARP.
    UnknownL3,
}

impl Reading {
    /// The built-in decision about a packet that is no flow.
    pub const fn builtin(self) -> Option<usize> {
        match self {
            Self::Flow { .. } => None,
            Self::Truncated => Some(builtin::TRUNCATED),
            Self::Malformed => Some(builtin::MALFORMED),
            Self::Arp => Some(builtin::ARP),
            Self::UnknownL3 => Some(builtin::UNKNOWN_L3),
        }
    }
}

/// Reads a packet that a subject sends or receives.
pub fn read(packet: &[u8], begins: Begins, direction: Direction) -> Reading {
    let result = match begins {
        Begins::Link => link(packet, direction),
        Begins::Network => network(packet, direction),
    };
    result.unwrap_or_else(|why| why)
}

/// A reading, or why there cannot be another one.
type Result = std::result::Result<Reading, Reading>;

/// `N` bytes at an offset.
fn bytes<const N: usize>(packet: &[u8], at: usize) -> std::result::Result<[u8; N], Reading> {
    let found = packet.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(Reading::Truncated)
}

fn u16_at(packet: &[u8], at: usize) -> std::result::Result<u16, Reading> {
    bytes(packet, at).map(u16::from_be_bytes)
}

/// Behind an Ethernet header with up to two tags.
fn link(packet: &[u8], direction: Direction) -> Result {
    bytes::<14>(packet, 0)?;
    let mut at = 12;
    for _ in 0..2 {
        if !matches!(u16_at(packet, at)?, 0x8100 | 0x88a8) {
            break;
        }
        at += 4;
    }
    match u16_at(packet, at)? {
        0x0800 => ipv4(&packet[at + 2..], direction),
        0x86dd => ipv6(&packet[at + 2..], direction),
        0x0806 => Ok(Reading::Arp),
        _ => Ok(Reading::UnknownL3),
    }
}

fn network(packet: &[u8], direction: Direction) -> Result {
    match bytes::<1>(packet, 0)?[0] >> 4 {
        4 => ipv4(packet, direction),
        6 => ipv6(packet, direction),
        _ => Ok(Reading::UnknownL3),
    }
}

fn ipv4(packet: &[u8], direction: Direction) -> Result {
    let header: [u8; 20] = bytes(packet, 0)?;
    let words = usize::from(header[0] & 15);
    if header[0] >> 4 != 4 || words < 5 {
        return Err(Reading::Malformed);
    }
    let peer: [u8; 4] = match direction {
        Direction::Egress => bytes(packet, 16)?,
        Direction::Ingress => bytes(packet, 12)?,
    };
    if u16_at(packet, 6)? & 0x1fff != 0 {
        return Ok(Reading::Flow { peer: peer.into(), protocol: LATER_FRAGMENT, port: 0 });
    }
    let protocol = header[9];
    if protocol == protocol::ICMPV6 {
        return Err(Reading::Malformed);
    }
    Ok(Reading::Flow { peer: peer.into(), protocol, port: port(packet, words * 4, protocol)? })
}

fn ipv6(packet: &[u8], direction: Direction) -> Result {
    let header: [u8; 40] = bytes(packet, 0)?;
    if header[0] >> 4 != 6 {
        return Err(Reading::Malformed);
    }
    let peer: [u8; 16] = match direction {
        Direction::Egress => bytes(packet, 24)?,
        Direction::Ingress => bytes(packet, 8)?,
    };
    let (mut next, mut at, mut extensions) = (header[6], 40, 0);
    while let Some(extension) = extension(packet, at, next)? {
        let Extension::Followed { by, length } = extension else {
            next = LATER_FRAGMENT;
            break;
        };
        extensions += 1;
        if extensions > EXTENSIONS {
            return Err(Reading::Malformed);
        }
        (next, at) = (by, at + length);
    }
    if next == protocol::ICMP {
        return Err(Reading::Malformed);
    }
    Ok(Reading::Flow { peer: peer.into(), protocol: next, port: port(packet, at, next)? })
}

/// An extension header of IPv6.
enum Extension {
    /// Something follows it.
    Followed { by: u8, length: usize },
    /// A fragment that is not the first: what follows is no header.
    LaterFragment,
}

fn extension(
    packet: &[u8],
    at: usize,
    kind: u8,
) -> std::result::Result<Option<Extension>, Reading> {
    let followed = |by, length| Ok(Some(Extension::Followed { by, length }));
    match kind {
        // Hop-by-hop, routing, destination: units of eight bytes but the first.
        0 | 43 | 60 => {
            let [by, units] = bytes(packet, at)?;
            followed(by, (usize::from(units) + 1) * 8)
        }
        // Authentication: units of four bytes but the first two.
        51 => {
            let [by, units] = bytes(packet, at)?;
            followed(by, (usize::from(units) + 2) * 4)
        }
        44 => {
            let header: [u8; 8] = bytes(packet, at)?;
            if u16_at(packet, at + 2)? >> 3 != 0 {
                return Ok(Some(Extension::LaterFragment));
            }
            followed(header[0], 8)
        }
        _ => Ok(None),
    }
}

/// What policies call the port of a transport header.
fn port(packet: &[u8], at: usize, protocol: u8) -> std::result::Result<u16, Reading> {
    match protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            bytes::<4>(packet, at)?;
            u16_at(packet, at + 2)
        }
        protocol::ICMP | protocol::ICMPV6 => Ok(bytes::<1>(packet, at)?[0].into()),
        _ => Ok(0),
    }
}
