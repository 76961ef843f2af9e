//! The head of a packet, for people: who, to whom, what.
//!
//! The verdict was given by the program; this only names what it was about, and
//! says nothing where the head is too short.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a packet's head says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoints {
    /// Who sends.
    pub source: IpAddr,
    /// Who receives.
    pub destination: IpAddr,
    /// IP protocol number, behind IPv6 extension headers.
    pub protocol: u8,
    /// Source and destination port of TCP, UDP and SCTP.
    pub ports: Option<(u16, u16)>,
    /// Type of ICMP and ICMPv6.
    pub icmp_type: Option<u8>,
    /// TCP flags.
    pub tcp_flags: Option<u8>,
}

/// Reads a head that begins with an Ethernet header, or with the network header.
/// `None` for what is not IP, or too short to tell.
pub fn head(bytes: &[u8], from_network_header: bool) -> Option<Endpoints> {
    let network = if from_network_header { bytes } else { behind_ethernet(bytes)? };
    match network.first()? >> 4 {
        4 => ipv4(network),
        6 => ipv6(network),
        _ => None,
    }
}

fn behind_ethernet(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    loop {
        let ethertype = u16_at(bytes, at)?;
        match ethertype {
            0x8100 | 0x88a8 => at += 4,
            0x0800 | 0x86dd => return bytes.get(at + 2..),
            _ => return None,
        }
    }
}

fn ipv4(bytes: &[u8]) -> Option<Endpoints> {
    let address = |at: usize| {
        let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(octets)))
    };
    let header = usize::from(bytes.first()? & 15) * 4;
    let protocol = *bytes.get(9)?;
    let is_first = u16_at(bytes, 6)? & 0x1fff == 0;
    let transport = if is_first { bytes.get(header..).unwrap_or_default() } else { &[] };
    Some(endpoints(address(12)?, address(16)?, protocol, transport))
}

fn ipv6(bytes: &[u8]) -> Option<Endpoints> {
    let address = |at: usize| {
        let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    let (mut next, mut at) = (*bytes.get(6)?, 40);
    while let Some((following, length)) = extension(bytes, next, at) {
        (next, at) = (following, at + length);
    }
    let transport = bytes.get(at..).unwrap_or_default();
    Some(endpoints(address(8)?, address(24)?, next, transport))
}

/// What follows an extension header, and its length in bytes.
fn extension(bytes: &[u8], next: u8, at: usize) -> Option<(u8, usize)> {
    let (following, units) = (*bytes.get(at)?, usize::from(*bytes.get(at + 1)?));
    match next {
        0 | 43 | 60 => Some((following, (units + 1) * 8)),
        51 => Some((following, (units + 2) * 4)),
        44 => Some((following, 8)),
        _ => None,
    }
}

fn endpoints(source: IpAddr, destination: IpAddr, protocol: u8, transport: &[u8]) -> Endpoints {
    let ports = u16_at(transport, 0).zip(u16_at(transport, 2));
    Endpoints {
        source,
        destination,
        protocol,
        ports: ports.filter(|_| matches!(protocol, 6 | 17 | 132)),
        icmp_type: transport.first().copied().filter(|_| matches!(protocol, 1 | 58)),
        tcp_flags: transport.get(13).copied().filter(|_| protocol == 6),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

impl Endpoints {
    /// The protocol as people write it.
    pub fn protocol_name(&self) -> String {
        match self.protocol {
            1 => "ICMPv4".to_owned(),
            6 => "TCP".to_owned(),
            17 => "UDP".to_owned(),
            58 => "ICMPv6".to_owned(),
            132 => "SCTP".to_owned(),
            other => format!("protocol {other}"),
        }
    }

    /// TCP flags as people write them: `SYN,ACK`.
    pub fn flag_names(&self) -> Option<String> {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let flags = self.tcp_flags?;
        let set = NAMES.iter().enumerate().filter(|(bit, _)| flags & (1 << bit) != 0);
        Some(set.map(|(_, name)| *name).collect::<Vec<_>>().join(","))
    }
}
