//! What is known about a packet at every network hook.

use super::{Access, Field, IntType, Kind};

/// A fact about a packet, seen from the subject: the peer is the source of what it
/// receives and the destination of what it sends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PacketField {
    /// 4 or 6.
    Family,
    /// The subject's IPv4 address.
    LocalV4,
    /// The subject's IPv6 address.
    LocalV6,
    /// The peer's IPv4 address.
    PeerV4,
    /// The peer's IPv6 address.
    PeerV6,
    /// The IP protocol number, behind IPv6 extension headers.
    Protocol,
    /// The source port, host byte order.
    SourcePort,
    /// The destination port, host byte order.
    DestinationPort,
    /// The type of an ICMP or ICMPv6 message.
    IcmpType,
}

impl PacketField {
    /// Every one, in the order in which schemas list them.
    pub const ALL: [Self; 9] = [
        Self::Family,
        Self::LocalV4,
        Self::LocalV6,
        Self::PeerV4,
        Self::PeerV6,
        Self::Protocol,
        Self::SourcePort,
        Self::DestinationPort,
        Self::IcmpType,
    ];

    /// Its name in schemas.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Family => "packet.family",
            Self::LocalV4 => "packet.local_v4",
            Self::LocalV6 => "packet.local_v6",
            Self::PeerV4 => "packet.peer_v4",
            Self::PeerV6 => "packet.peer_v6",
            Self::Protocol => "packet.protocol",
            Self::SourcePort => "packet.source_port",
            Self::DestinationPort => "packet.destination_port",
            Self::IcmpType => "packet.icmp_type",
        }
    }

    /// What it holds.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Family | Self::Protocol | Self::IcmpType => Kind::Int(IntType::unsigned(1)),
            Self::LocalV4 | Self::PeerV4 => Kind::Address { bytes: 4 },
            Self::LocalV6 | Self::PeerV6 => Kind::Address { bytes: 16 },
            Self::SourcePort | Self::DestinationPort => Kind::Int(IntType::unsigned(2)),
        }
    }
}

pub(super) fn packet_fields() -> Vec<Field> {
    let fields = PacketField::ALL.into_iter().map(|field| Field {
        name: field.name().to_owned(),
        type_name: String::new(),
        kind: field.kind(),
        access: Access::Packet(field),
    });
    fields.collect()
}
