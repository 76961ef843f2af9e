//! What a packet says, read in the plainest way.
//!
//! The authority on packets that are no textbook flow, as the oracle is on flows:
//! written from `docs/coverage.md` and the standards, apart from the routines that
//! programs are made of, so that the two can be held against each other.
//! Source: IEEE 802.1Q, RFC 791, RFC 8200, RFC 4302, RFC 792, RFC 4443, RFC 9293,
//! RFC 1858 (fragments that overwrite headers), RFC 4861, RFC 2710, RFC 3810.

use std::net::IpAddr;

use policyc_decision::network::builtin;
use policyc_policy::network::connection::{FragmentId, Packet, Piece, Signals, Track, Transport};
use policyc_policy::network::{Direction, protocol};

/// Extension headers that are skipped; one more is too many.
const EXTENSIONS: usize = 4;
/// Those of the packet that an ICMP error is about.
const INNER_EXTENSIONS: usize = 2;
/// The protocol that fragments of IPv6 have in common: that of their own header.
const IPV6_FRAGMENT: u8 = 44;

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
    Packet(Packet),
    /// Neighbour discovery, or what it needs of multicast.
    Neighbour,
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
            Self::Packet(_) => None,
            Self::Truncated => Some(builtin::TRUNCATED),
            Self::Malformed => Some(builtin::MALFORMED),
            Self::Arp => Some(builtin::ARP),
            Self::UnknownL3 => Some(builtin::UNKNOWN_L3),
            Self::Neighbour => Some(builtin::NEIGHBOUR),
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

/// The ends of a packet from its source and destination.
fn ends(direction: Direction, source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
    match direction {
        Direction::Egress => (source, destination),
        Direction::Ingress => (destination, source),
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Egress => Direction::Ingress,
        Direction::Ingress => Direction::Egress,
    }
}

fn addresses4(packet: &[u8]) -> std::result::Result<(IpAddr, IpAddr), Reading> {
    let (source, destination) = (bytes::<4>(packet, 12)?, bytes::<4>(packet, 16)?);
    Ok((source.into(), destination.into()))
}

fn addresses6(packet: &[u8]) -> std::result::Result<(IpAddr, IpAddr), Reading> {
    let (source, destination) = (bytes::<16>(packet, 8)?, bytes::<16>(packet, 24)?);
    Ok((source.into(), destination.into()))
}

fn ipv4(packet: &[u8], direction: Direction) -> Result {
    let header: [u8; 20] = bytes(packet, 0)?;
    let words = usize::from(header[0] & 15);
    let protocol = header[9];
    if header[0] >> 4 != 4 || words < 5 || protocol == protocol::ICMPV6 {
        return Err(Reading::Malformed);
    }
    let (source, destination) = addresses4(packet)?;
    let (own, peer) = ends(direction, source, destination);
    let id = FragmentId { id: u16_at(packet, 4)?.into(), protocol };
    let fragment = u16_at(packet, 6)?;
    let piece = match (fragment & 0x1fff, fragment & 0x2000 != 0) {
        (1, _) => return Err(Reading::Malformed),
        (0, more) => {
            let transport = transport(packet, words * 4, protocol, (own, peer), direction)?;
            if more { Piece::First(id, transport) } else { Piece::Whole(transport) }
        }
        _ => Piece::Later(id),
    };
    Ok(Reading::Packet(Packet { direction, own, peer, piece }))
}

fn ipv6(packet: &[u8], direction: Direction) -> Result {
    let header: [u8; 40] = bytes(packet, 0)?;
    if header[0] >> 4 != 6 {
        return Err(Reading::Malformed);
    }
    let (source, destination) = addresses6(packet)?;
    let (own, peer) = ends(direction, source, destination);
    let chain = extensions(packet, EXTENSIONS)?;
    let Chain { next, at, fragment } = match chain {
        Extensions::Transport(chain) => chain,
        Extensions::LaterFragment(id) => {
            return Ok(Reading::Packet(Packet { direction, own, peer, piece: Piece::Later(id) }));
        }
        Extensions::TooMany => return Err(Reading::Malformed),
    };
    if next == protocol::ICMP {
        return Err(Reading::Malformed);
    }
    let transport = transport(packet, at, next, (own, peer), direction)?;
    let unfragmented = next == protocol::ICMPV6 && fragment.is_none();
    let stays = direction == Direction::Ingress || stays_on_link(packet, at, destination);
    if unfragmented && is_neighbour(packet, at, source, stays) {
        return Ok(Reading::Neighbour);
    }
    let piece = match fragment {
        Some(id) => Piece::First(id, transport),
        None => Piece::Whole(transport),
    };
    Ok(Reading::Packet(Packet { direction, own, peer, piece }))
}

/// Whether an ICMPv6 message is one that IPv6 cannot do without on a link.
fn is_neighbour(packet: &[u8], at: usize, source: IpAddr, stays: bool) -> bool {
    let link_local = match source {
        IpAddr::V6(source) => source.is_unicast_link_local() || source.is_unspecified(),
        IpAddr::V4(_) => false,
    };
    match (packet.get(7), packet.get(at), packet.get(at + 1)) {
        (Some(255), Some(133..=136), Some(0)) => stays,
        (Some(1), Some(130..=132 | 143), Some(0)) => link_local,
        _ => false,
    }
}

/// Whether a message of neighbour discovery that is sent is of use on the link alone: by
/// where it goes, or because it has room for nothing else.
fn stays_on_link(packet: &[u8], at: usize, destination: IpAddr) -> bool {
    let IpAddr::V6(destination) = destination else { return false };
    let link_local = destination.is_unicast_link_local() || destination.segments()[0] == 0xff02;
    let is_small = u16_at(packet, 4).is_ok_and(|payload| payload <= 32);
    link_local || (is_small && matches!(packet.get(at), Some(135 | 136)))
}

/// What extension headers lead to.
enum Extensions {
    /// A transport header, perhaps of a first fragment.
    Transport(Chain),
    /// No header.
    LaterFragment(FragmentId),
    /// Another extension header.
    TooMany,
}

/// Where a transport header is.
struct Chain {
    next: u8,
    at: usize,
    fragment: Option<FragmentId>,
}

/// Follows the extension headers of an IPv6 packet, up to a number of them.
fn extensions(packet: &[u8], limit: usize) -> std::result::Result<Extensions, Reading> {
    let (mut next, mut at, mut count) = (bytes::<40>(packet, 0)?[6], 40, 0);
    let mut fragment = None;
    while let Some(extension) = extension(packet, at, next)? {
        let (by, length) = match extension {
            // A later fragment could overwrite a header that does not come at once.
            Extension::Followed { .. } if fragment.is_some() => return Err(Reading::Malformed),
            Extension::Followed { by, length } => (by, length),
            Extension::Fragment { .. } if fragment.is_some() => return Err(Reading::Malformed),
            Extension::Fragment { offset: 1, .. } => return Err(Reading::Malformed),
            Extension::Fragment { by, offset: 0, more, id } => {
                fragment = more.then_some(id);
                (by, 8)
            }
            Extension::Fragment { id, .. } => return Ok(Extensions::LaterFragment(id)),
        };
        count += 1;
        if count > limit {
            return Ok(Extensions::TooMany);
        }
        (next, at) = (by, at + length);
    }
    Ok(Extensions::Transport(Chain { next, at, fragment }))
}

/// An extension header of IPv6.
enum Extension {
    /// Something follows it.
    Followed { by: u8, length: usize },
    /// It says that this is part of a datagram, from an offset in eight bytes on.
    Fragment { by: u8, offset: u16, more: bool, id: FragmentId },
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
        IPV6_FRAGMENT => {
            let header: [u8; 8] = bytes(packet, at)?;
            let place = u16_at(packet, at + 2)?;
            let id = u32::from_be_bytes(bytes(packet, at + 4)?);
            let id = FragmentId { id, protocol: IPV6_FRAGMENT };
            let (offset, more) = (place >> 3, place & 1 != 0);
            Ok(Some(Extension::Fragment { by: header[0], offset, more, id }))
        }
        _ => Ok(None),
    }
}

/// A transport header of a packet between the subject's end and the peer's.
fn transport(
    packet: &[u8],
    at: usize,
    protocol: u8,
    ends: (IpAddr, IpAddr),
    direction: Direction,
) -> std::result::Result<Transport, Reading> {
    let datagram = Signals { opens: true, confirms: true, ..Signals::default() };
    let (port, from, to, signals) = match protocol {
        protocol::TCP => {
            let header: [u8; 14] = bytes(packet, at)?;
            let port = u16_at(packet, at + 2)?;
            (port, u16_at(packet, at)?, port, tcp(&header))
        }
        protocol::UDP | protocol::SCTP => {
            let port = u16_at(packet, at + 2)?;
            (port, u16_at(packet, at)?, port, datagram)
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let track = icmp(packet, at, protocol, ends, direction)?;
            return Ok(Transport { protocol, port: packet[at].into(), track });
        }
        _ => (0, 0, 0, datagram),
    };
    let (own_port, peer_port) = match direction {
        Direction::Egress => (from, to),
        Direction::Ingress => (to, from),
    };
    let stream = protocol == protocol::TCP;
    let track = Track::Part { own_port, peer_port, own_asks: false, stream, signals };
    Ok(Transport { protocol, port, track })
}

/// What a TCP header means for a connection.
fn tcp(header: &[u8; 14]) -> Signals {
    let flags = header[13];
    let (fin, syn, rst, ack) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0, flags & 16 != 0);
    let number = |at: usize| {
        let [a, b, c, d] = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        u32::from_be_bytes([a, b, c, d])
    };
    Signals {
        opens: syn && !ack && !fin && !rst,
        attempt: syn && !ack,
        finishes: fin,
        resets: rst,
        confirms: ack && !syn,
        accepts: syn && ack,
        number: match (syn, ack) {
            (true, true) => number(4).wrapping_add(1),
            (false, true) => number(8),
            _ => 0,
        },
    }
}

/// What an ICMP message is about.
fn icmp(
    packet: &[u8],
    at: usize,
    protocol: u8,
    ends: (IpAddr, IpAddr),
    direction: Direction,
) -> std::result::Result<Track, Reading> {
    let header: [u8; 8] = bytes(packet, at)?;
    let id = u16_at(packet, at + 4)?;
    let (question, asks) = match (protocol, header[0]) {
        (protocol::ICMP, 8 | 13) | (protocol::ICMPV6, 128) => (header[0], true),
        (protocol::ICMP, 0) => (8, false),
        (protocol::ICMP, 14) => (13, false),
        (protocol::ICMPV6, 129) => (128, false),
        (protocol::ICMP, 3 | 11 | 12) | (protocol::ICMPV6, 1..=4) => {
            let inner = packet.get(at + 8..).unwrap_or_default();
            return Ok(about(inner, ends, direction).unwrap_or(Track::Stateless));
        }
        _ => return Ok(Track::Stateless),
    };
    // Whoever asks has the identifier.
    let own_asks = asks == (direction == Direction::Egress);
    let (own_port, peer_port) =
        if own_asks { (id, question.into()) } else { (question.into(), id) };
    let signals = Signals { opens: asks, confirms: true, ..Signals::default() };
    Ok(Track::Part { own_port, peer_port, own_asks, stream: false, signals })
}

/// The connection of the packet that an ICMP error between these ends holds, if it is one
/// of the subject.
fn about(inner: &[u8], (own, to): (IpAddr, IpAddr), direction: Direction) -> Option<Track> {
    // What is sent goes back to where that packet came from. What is received may be of
    // any router on the way.
    let is_sent = direction == Direction::Egress;
    // What is received is about what was sent.
    let direction = opposite(direction);
    let (addresses, protocol, at) = match inner.first()? >> 4 {
        4 if own.is_ipv4() => {
            let header: [u8; 20] = bytes(inner, 0).ok()?;
            let words = usize::from(header[0] & 15);
            let later = u16_at(inner, 6).ok()? & 0x1fff != 0;
            if words < 5 || later || header[9] == protocol::ICMPV6 {
                return None;
            }
            (addresses4(inner).ok()?, header[9], words * 4)
        }
        6 if own.is_ipv6() => {
            let Extensions::Transport(Chain { next, at, .. }) =
                extensions(inner, INNER_EXTENSIONS).ok()?
            else {
                return None;
            };
            if next == protocol::ICMP {
                return None;
            }
            (addresses6(inner).ok()?, next, at)
        }
        _ => return None,
    };
    let (mine, peer) = ends(direction, addresses.0, addresses.1);
    if mine != own || (is_sent && peer != to) {
        return None;
    }
    let (own_port, peer_port, own_asks) = match protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            let (from, to) = (u16_at(inner, at).ok()?, u16_at(inner, at + 2).ok()?);
            match direction {
                Direction::Egress => (from, to, false),
                Direction::Ingress => (to, from, false),
            }
        }
        protocol::ICMP | protocol::ICMPV6 => {
            // An error is never about an error.
            let is_error = matches!((protocol, inner.get(at)?), (protocol::ICMP, 3 | 11 | 12))
                || (protocol == protocol::ICMPV6 && (1..=4).contains(inner.get(at)?));
            if is_error {
                return None;
            }
            match icmp(inner, at, protocol, (own, peer), direction).ok()? {
                Track::Part { own_port, peer_port, own_asks, .. } => {
                    (own_port, peer_port, own_asks)
                }
                _ => return None,
            }
        }
        _ => (0, 0, false),
    };
    Some(Track::About { peer, protocol, own_port, peer_port, own_asks })
}
