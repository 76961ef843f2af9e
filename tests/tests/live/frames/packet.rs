//! Packets as bytes, built up from what is usual; whatever is not is said.
//!
//! Checksums are right unless bytes were changed, so that a network stack takes them.
//! Source: IEEE 802.3, IEEE 802.1Q, RFC 791, RFC 8200, RFC 4302, RFC 9293, RFC 768,
//! RFC 9260, RFC 792, RFC 4443, RFC 1071.

use std::net::IpAddr;

use policyc_policy::network::Direction;
use policyc_policy::network::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// Ethertypes.
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const TAG: u16 = 0x8100;
pub(crate) const SERVICE_TAG: u16 = 0x88a8;

/// Extension headers of IPv6.
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const AUTHENTICATION: u8 = 51;
pub(crate) const DESTINATION: u8 = 60;

/// TCP flags.
pub(crate) const SYN: u8 = 2;

/// From one end to the other: one of them is the subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Whether the subject sends or receives.
    pub(crate) direction: Direction,
    pub(crate) own: IpAddr,
    pub(crate) peer: IpAddr,
    /// Tells the packets of a case from those of others: the ports of who asks, the
    /// numbers of datagrams.
    pub(crate) number: u16,
}

impl Way {
    pub(crate) fn is_v4(&self) -> bool {
        self.own.is_ipv4()
    }

    pub(crate) fn source(&self) -> IpAddr {
        if self.direction == Direction::Egress { self.own } else { self.peer }
    }

    pub(crate) fn destination(&self) -> IpAddr {
        if self.direction == Direction::Egress { self.peer } else { self.own }
    }

    /// The other way.
    pub(crate) fn back(self) -> Self {
        let direction = match self.direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        Self { direction, ..self }
    }

    /// With a peer, by the address of its family.
    pub(crate) fn peer(self, v4: &str, v6: &str) -> Self {
        Self { peer: self.either(v4, v6), ..self }
    }

    /// With an address of the subject's.
    pub(crate) fn own(self, v4: &str, v6: &str) -> Self {
        Self { own: self.either(v4, v6), ..self }
    }

    fn either(&self, v4: &str, v6: &str) -> IpAddr {
        let text = if self.is_v4() { v4 } else { v6 };
        text.parse().expect("an address")
    }

    /// A packet of a protocol.
    pub(crate) fn ip(self, protocol: u8, payload: &[u8]) -> Packet {
        Packet {
            way: self,
            link: None,
            tags: Vec::new(),
            protocol,
            payload: payload.to_vec(),
            is_summed: false,
            hops: 64,
            options: 0,
            before: Vec::new(),
            part: None,
            behind: Vec::new(),
            changes: Vec::new(),
            linear: None,
        }
    }

    /// An attempt to connect.
    pub(crate) fn tcp(self, port: u16) -> Packet {
        self.segment(self.number, port, SYN)
    }

    /// A TCP segment, which acknowledges the sequence number that all of them have.
    pub(crate) fn segment(self, from: u16, to: u16, flags: u8) -> Packet {
        let rest = [0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
        self.ip(TCP, &[&ports(from, to)[..], &rest, &[7; 12]].concat())
    }

    pub(crate) fn udp(self, port: u16) -> Packet {
        self.datagram(self.number, port)
    }

    /// A UDP datagram.
    pub(crate) fn datagram(self, from: u16, to: u16) -> Packet {
        self.ip(UDP, &[&ports(from, to)[..], &[0, 40, 0, 0], &[7; 32]].concat())
    }

    pub(crate) fn sctp(self, port: u16) -> Packet {
        self.ip(SCTP, &[&ports(self.number, port)[..], &[0; 24]].concat())
    }

    /// A question to which an echo is the answer.
    pub(crate) fn echo(self) -> Packet {
        let kind = if self.is_v4() { 8 } else { 128 };
        let [high, low] = self.number.to_be_bytes();
        self.message(kind, 0, &[high, low, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8])
    }

    /// An ICMP message of the family, of this type and code.
    pub(crate) fn message(self, kind: u8, code: u8, rest: &[u8]) -> Packet {
        let protocol = if self.is_v4() { ICMP } else { ICMPV6 };
        self.ip(protocol, &[&[kind, code, 0, 0], rest].concat())
    }

    /// An ICMP error about a packet.
    pub(crate) fn error(self, kind: u8, code: u8, about: &Packet) -> Packet {
        let mut inner = about.network();
        // RFC 792: its header and eight bytes. RFC 4443: as much as there is room for.
        inner.truncate(if self.is_v4() { 28 } else { 1000 });
        self.message(kind, code, &[&[0, 0, 0, 0][..], &inner].concat())
    }

    /// A frame that is no IP packet.
    pub(crate) fn frame(self, ethertype: u16, bytes: &[u8]) -> Packet {
        Packet { link: Some(ethertype), ..self.ip(0, bytes) }
    }
}

fn ports(from: u16, to: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (from.to_be_bytes(), to.to_be_bytes());
    [a, b, c, d]
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Where it begins, in units of eight bytes.
    offset: u16,
    /// Whether there is more behind it.
    more: bool,
}

/// One packet.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) way: Way,
    /// The Ethertype, where it is not that of IP; the payload comes at once then.
    link: Option<u16>,
    /// Types and contents of VLAN tags, the outermost first.
    tags: Vec<(u16, u16)>,
    protocol: u8,
    payload: Vec<u8>,
    /// Whether the checksum is in the payload already.
    is_summed: bool,
    hops: u8,
    /// Words of options in an IPv4 header.
    options: u8,
    /// Extension headers before the fragment header, and each one's units of eight bytes.
    before: Vec<(u8, u8)>,
    part: Option<Part>,
    /// Extension headers behind the fragment header.
    behind: Vec<(u8, u8)>,
    changes: Vec<Change>,
    /// How many bytes of the frame are linear in the kernel when it is sent, if not all.
    pub(crate) linear: Option<u16>,
}

/// What is done to the finished bytes, from the network header on.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, Vec<u8>),
    Cut(usize),
}

impl Packet {
    /// Behind tags of these types.
    pub(crate) fn tagged(mut self, types: &[u16]) -> Self {
        self.tags = types.iter().map(|kind| (*kind, 42)).collect();
        self
    }

    /// Behind a tag that says how urgent it is and names no VLAN.
    pub(crate) fn urgent(mut self) -> Self {
        self.tags = vec![(TAG, 5 << 13)];
        self
    }

    /// With another Ethertype in front of the same bytes.
    pub(crate) fn behind_ethertype(mut self, ethertype: u16) -> Self {
        self.payload = self.network();
        self.link = Some(ethertype);
        self
    }

    pub(crate) fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    pub(crate) fn options(mut self, words: u8) -> Self {
        self.options = words;
        self
    }

    /// With these extension headers, sixteen bytes each.
    pub(crate) fn extended(self, kinds: &[u8]) -> Self {
        self.extended_by(kinds, 1)
    }

    /// With these extension headers of so many units of eight bytes, and eight more.
    pub(crate) fn extended_by(mut self, kinds: &[u8], units: u8) -> Self {
        self.before = kinds.iter().map(|kind| (*kind, units)).collect();
        self
    }

    /// With these extension headers behind the fragment header.
    pub(crate) fn extended_behind(mut self, kinds: &[u8]) -> Self {
        self.behind = kinds.iter().map(|kind| (*kind, 1)).collect();
        self
    }

    /// The beginning of its datagram.
    pub(crate) fn first(mut self) -> Self {
        self.part = Some(Part { offset: 0, more: true });
        self
    }

    /// A part of its datagram that begins at so many units of eight bytes: other bytes
    /// in place of the transport header.
    pub(crate) fn later(mut self, offset: u16) -> Self {
        self.part = Some(Part { offset, more: offset < 100 });
        self.payload = vec![9; 24];
        self
    }

    /// Two fragments of it.
    pub(crate) fn split(&self) -> [Self; 2] {
        let whole = self.network();
        let payload = &whole[whole.len() - self.payload.len()..];
        // In units of eight bytes.
        let (first, later) = payload.split_at(24);
        let part = |offset, more, payload: &[u8]| {
            let part = Some(Part { offset, more });
            Self { part, payload: payload.to_vec(), is_summed: true, ..self.clone() }
        };
        [part(0, true, first), part(3, false, later)]
    }

    /// With so many bytes behind the network header.
    pub(crate) fn sized(mut self, bytes: usize) -> Self {
        self.payload.resize(bytes, 3);
        self
    }

    /// Other bytes at an offset from the network header.
    pub(crate) fn set(mut self, at: usize, bytes: &[u8]) -> Self {
        self.changes.push(Change::Set(at, bytes.to_vec()));
        self
    }

    /// Other bytes at an offset from the transport header.
    pub(crate) fn set_transport(self, at: usize, bytes: &[u8]) -> Self {
        let header = self.network().len() - self.payload.len();
        self.set(header + at, bytes)
    }

    /// Cut off at so many bytes behind the network header's beginning.
    pub(crate) fn cut(mut self, bytes: usize) -> Self {
        self.changes.push(Change::Cut(bytes));
        self
    }

    /// Cut off so many bytes behind the transport header's beginning.
    pub(crate) fn cut_transport(self, bytes: usize) -> Self {
        let header = self.network().len() - self.payload.len();
        self.cut(header + bytes)
    }

    /// Sent with only so many bytes in one piece.
    pub(crate) fn in_pieces(mut self, linear: u16) -> Self {
        self.linear = Some(linear);
        self
    }

    pub(crate) fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Extension headers, in order.
    pub(crate) fn extensions(&self) -> impl Iterator<Item = u8> {
        self.before.iter().chain(&self.behind).map(|(kind, _)| *kind)
    }

    /// Whether it is an IP packet, without a word about its link.
    pub(crate) fn is_bare(&self) -> bool {
        self.link.is_none() && self.tags.is_empty()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.part.is_none()
    }

    /// Whether every header is as it should be.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn tag_count(&self) -> usize {
        self.tags.len()
    }

    /// The Ethertype behind all tags.
    pub(crate) fn ethertype(&self) -> u16 {
        self.link.unwrap_or(if self.way.is_v4() { IPV4 } else { IPV6 })
    }

    /// The whole frame; the subject's address ends in 2.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let ends = match self.way.direction {
            Direction::Ingress => [2, 1],
            Direction::Egress => [1, 2],
        };
        let mut frame: Vec<u8> = ends.into_iter().flat_map(|end| [2, 0, 0, 0, 0, end]).collect();
        for (kind, content) in &self.tags {
            frame.extend(kind.to_be_bytes());
            frame.extend(content.to_be_bytes());
        }
        frame.extend(self.ethertype().to_be_bytes());
        frame.extend(self.network());
        frame
    }

    /// From the network header on.
    pub(crate) fn network(&self) -> Vec<u8> {
        let mut bytes = match (self.link, self.way.source(), self.way.destination()) {
            (Some(_), ..) => self.payload.clone(),
            (None, IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4(source.octets(), destination.octets())
            }
            (None, IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6(source.octets(), destination.octets())
            }
            (None, source, destination) => panic!("{source} to {destination}"),
        };
        for change in &self.changes {
            match change {
                Change::Set(at, new) => bytes[*at..at + new.len()].copy_from_slice(new),
                Change::Cut(length) => bytes.truncate(*length),
            }
        }
        bytes
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let header = 20 + usize::from(self.options) * 4;
        let total = (header + self.payload.len()) as u16;
        let place = match self.part {
            // Not to be taken apart.
            None => 0x4000,
            Some(Part { offset, more }) => offset | if more { 0x2000 } else { 0 },
        };
        let mut bytes = vec![0x45 + self.options, 0];
        bytes.extend(total.to_be_bytes());
        bytes.extend(self.way.number.to_be_bytes());
        bytes.extend(place.to_be_bytes());
        bytes.extend([self.hops, self.protocol, 0, 0]);
        bytes.extend(source);
        bytes.extend(destination);
        // No operation, each of them.
        bytes.resize(header, 1);
        let sum = checksum(words(&bytes));
        bytes[10..12].copy_from_slice(&sum);
        bytes.extend(self.transport(&source, &destination));
        bytes
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let place = self.part.map(|Part { offset, more }| offset << 3 | u16::from(more));
        let fragment = place.map(|_| (FRAGMENT, 0));
        let headers: Vec<_> =
            self.before.iter().chain(&fragment).chain(&self.behind).copied().collect();
        let nexts = headers.iter().skip(1).map(|(kind, _)| *kind).chain([self.protocol]);
        let mut extensions = Vec::new();
        for ((kind, units), next) in headers.iter().zip(nexts) {
            extensions.extend(extension(*kind, *units, next, place.unwrap_or(0), self.way.number));
        }
        let payload = self.transport(&source, &destination);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((extensions.len() + payload.len()) as u16).to_be_bytes());
        bytes.extend([headers.first().map_or(self.protocol, |(kind, _)| *kind), self.hops]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(extensions);
        bytes.extend(payload);
        bytes
    }

    /// What comes behind all network headers, with its checksum.
    fn transport(&self, source: &[u8], destination: &[u8]) -> Vec<u8> {
        let mut bytes = self.payload.clone();
        let is_later = self.part.is_some_and(|part| part.offset > 0);
        let (at, pseudo) = match self.protocol {
            TCP => (16, true),
            UDP => (6, true),
            ICMP => (2, false),
            ICMPV6 => (2, true),
            _ => return bytes,
        };
        if self.is_summed || is_later || bytes.len() < at + 2 {
            return bytes;
        }
        let pseudo = if pseudo {
            words(source)
                + words(destination)
                + u32::from(self.protocol)
                + u32::try_from(bytes.len()).expect("short")
        } else {
            0
        };
        bytes[at..at + 2].fill(0);
        let sum = checksum(words(&bytes) + pseudo);
        bytes[at..at + 2].copy_from_slice(&sum);
        bytes
    }
}

/// An extension header that says what follows.
fn extension(kind: u8, units: u8, next: u8, place: u16, number: u16) -> Vec<u8> {
    match kind {
        FRAGMENT => {
            let ([a, b], [c, d]) = (place.to_be_bytes(), number.to_be_bytes());
            vec![next, 0, a, b, 0, 0, c, d]
        }
        // Units of four bytes, less two.
        AUTHENTICATION => {
            let length = (usize::from(units) + 1) * 8;
            let mut bytes = vec![next, units * 2];
            bytes.resize(length, 0);
            bytes
        }
        // A routing header with no way left to go.
        ROUTING => {
            let mut bytes = vec![next, units, 253, 0];
            bytes.resize((usize::from(units) + 1) * 8, 0);
            bytes
        }
        // One option that who does not know it skips (RFC 4727), and what there is no room
        // for in it.
        _ => {
            let length = (usize::from(units) + 1) * 8;
            let option = u8::try_from(length - 4).unwrap_or(u8::MAX);
            let mut bytes = vec![next, units, 0x1e, option];
            bytes.resize(length, 0);
            bytes
        }
    }
}

pub(super) fn words(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b));
    bytes.chunks(2).map(word).sum()
}

pub(super) fn checksum(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
