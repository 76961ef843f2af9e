//! Packets of conversations, as bytes.
//!
//! Checksums are left 0: programs do not look at them.

use std::net::IpAddr;

use policyc_policy::network::{Direction, protocol};

/// What comes behind the network header.
#[derive(Clone, Debug)]
pub enum Segment {
    /// TCP with these flags.
    Tcp {
        /// The byte with FIN, SYN, RST, ACK and others.
        flags: u8,
        /// What it acknowledges.
        acknowledged: u32,
    },
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP or ICMPv6 of the question's or answer's type, by the asker's identifier.
    Echo {
        /// Whether it answers.
        answer: bool,
        /// The asker's identifier.
        id: u16,
    },
    /// An ICMP error about a packet that went the other way.
    Error {
        /// Its type.
        kind: u8,
        /// That packet.
        about: Box<Wire>,
    },
    /// Another ICMP message.
    Icmp {
        /// Its type.
        kind: u8,
    },
    /// GRE.
    Gre,
}

/// The sequence number of every TCP segment.
pub const SEQUENCE: u32 = 0xffff_fff0;

impl Segment {
    /// TCP with these flags, which acknowledges a SYN.
    pub const fn tcp(flags: u8) -> Self {
        Self::Tcp { flags, acknowledged: SEQUENCE.wrapping_add(1) }
    }
}

/// Which part of its datagram a packet is.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// All of it.
    Whole,
    /// The beginning, of the datagram with this number.
    First(u16),
    /// What follows it.
    Later(u16),
}

/// A packet between the subject and a peer, seen from whoever sends.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The other end.
    pub peer: IpAddr,
    /// The subject's address, of the same family.
    pub own: IpAddr,
    /// Of the sender.
    pub from: u16,
    /// Of the receiver.
    pub to: u16,
    /// What comes behind the network header.
    pub segment: Segment,
    /// Which part of its datagram it is.
    pub part: Part,
    /// Time to live or hop limit.
    pub hops: u8,
    /// Destination options before the transport header of IPv6.
    pub options: bool,
}

impl Wire {
    /// A TCP segment of a peer.
    pub fn tcp(peer: IpAddr, from: u16, to: u16) -> Self {
        let own = match peer {
            IpAddr::V4(_) => IpAddr::from([10, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
        };
        let (segment, part) = (Segment::tcp(2), Part::Whole);
        Self { peer, own, from, to, segment, part, hops: 64, options: false }
    }

    /// What goes the other way.
    pub fn reply(mut self) -> Self {
        (self.from, self.to) = (self.to, self.from);
        match &mut self.segment {
            Segment::Echo { answer, .. } => *answer = !*answer,
            Segment::Error { about, .. } => **about = about.as_ref().clone().reply(),
            _ => {}
        }
        self
    }

    const fn protocol(&self) -> u8 {
        match (&self.segment, self.peer.is_ipv4()) {
            (Segment::Tcp { .. }, _) => protocol::TCP,
            (Segment::Udp, _) => protocol::UDP,
            (Segment::Sctp, _) => protocol::SCTP,
            (Segment::Gre, _) => 47,
            (_, true) => protocol::ICMP,
            (_, false) => protocol::ICMPV6,
        }
    }
}

/// The packet with an Ethernet header, as the subject sends or receives it.
pub fn frame_of(wire: &Wire, direction: Direction) -> Vec<u8> {
    let ethertype: u16 = if wire.peer.is_ipv4() { 0x0800 } else { 0x86dd };
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet(wire, direction));
    frame
}

fn packet(wire: &Wire, direction: Direction) -> Vec<u8> {
    let (source, destination) = match direction {
        Direction::Egress => (wire.own, wire.peer),
        Direction::Ingress => (wire.peer, wire.own),
    };
    let mut behind = match wire.part {
        Part::Later(_) => vec![0; 24],
        Part::Whole | Part::First(_) => transport(wire, direction),
    };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (id, place): (u16, u16) = match wire.part {
                Part::Whole => (1, 0x4000),
                Part::First(id) => (id, 0x2000),
                Part::Later(id) => (id, 185),
            };
            let mut packet = vec![0x45, 0];
            packet.extend(((20 + behind.len()) as u16).to_be_bytes());
            packet.extend(id.to_be_bytes());
            packet.extend(place.to_be_bytes());
            packet.extend([wire.hops, wire.protocol(), 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            packet.append(&mut behind);
            packet
        }
        (source, destination) => {
            let mut next = wire.protocol();
            if wire.options {
                behind.splice(0..0, [next, 0, 1, 4, 0, 0, 0, 0]);
                next = 60;
            }
            let fragment = match wire.part {
                Part::Whole => None,
                Part::First(id) => Some((id, 1u16)),
                Part::Later(id) => Some((id, 185 << 3)),
            };
            if let Some((id, place)) = fragment {
                let [place_hi, place_lo] = place.to_be_bytes();
                let [id_hi, id_lo] = id.to_be_bytes();
                behind.splice(0..0, [next, 0, place_hi, place_lo, 0, 0, id_hi, id_lo]);
                next = 44;
            }
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((behind.len() as u16).to_be_bytes());
            packet.extend([next, wire.hops]);
            packet.extend(v6(source));
            packet.extend(v6(destination));
            packet.append(&mut behind);
            packet
        }
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

fn transport(wire: &Wire, direction: Direction) -> Vec<u8> {
    let v4 = wire.peer.is_ipv4();
    let ports = || [wire.from.to_be_bytes(), wire.to.to_be_bytes()].concat();
    match &wire.segment {
        Segment::Tcp { flags, acknowledged } => {
            let numbers = [SEQUENCE.to_be_bytes(), acknowledged.to_be_bytes()].concat();
            [ports(), numbers, vec![0x50, *flags, 0xff, 0xff, 0, 0, 0, 0]].concat()
        }
        Segment::Udp => [ports(), vec![0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
        Segment::Sctp => [ports(), vec![0; 16]].concat(),
        Segment::Echo { answer, id } => {
            let kind = match (v4, answer) {
                (true, false) => 8,
                (true, true) => 0,
                (false, false) => 128,
                (false, true) => 129,
            };
            [vec![kind, 0, 0, 0], id.to_be_bytes().to_vec(), vec![0; 10]].concat()
        }
        Segment::Error { kind, about } => {
            let other = match direction {
                Direction::Egress => Direction::Ingress,
                Direction::Ingress => Direction::Egress,
            };
            let mut inner = packet(about, other);
            // At least the network header and eight bytes.
            inner.truncate(if v4 { 28 } else { 88 });
            [vec![*kind, 0, 0, 0, 0, 0, 0, 0], inner].concat()
        }
        Segment::Icmp { kind } => vec![*kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        Segment::Gre => vec![0; 12],
    }
}
