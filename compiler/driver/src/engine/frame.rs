//! A flow as the packet that would carry it.
//!
//! Source: RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443, RFC 9260.
//! Checksums are right, so that the frames can be sent as well as test-run.

use std::net::IpAddr;

use policyc_policy::network::{Flow, protocol};

/// Source port of every frame: ephemeral (RFC 6335, section 6).
pub const SOURCE_PORT: u16 = 49152;

/// The Ethertype of packets to an address, host byte order.
pub const fn ethertype(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => 0x0800,
        IpAddr::V6(_) => 0x86dd,
    }
}

/// An Ethernet frame with the flow's packet: 14 bytes, then the network header.
pub fn ethernet(flow: &Flow) -> Vec<u8> {
    // Locally administered addresses (IEEE 802, bit 1 of the first byte).
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ethertype(flow.destination).to_be_bytes());
    frame.extend(packet(flow));
    frame
}

/// The flow's packet, from the network header on.
pub fn packet(flow: &Flow) -> Vec<u8> {
    let mut payload = transport(flow);
    checksum_transport(flow, &mut payload);
    let mut packet = match (flow.source, flow.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = (20 + payload.len()) as u16;
            let mut header = vec![0x45, 0];
            header.extend(length.to_be_bytes());
            header.extend([0, 1, 0x40, 0, 64, flow.protocol, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(&header, 0);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (source, destination) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((payload.len() as u16).to_be_bytes());
            header.extend([flow.protocol, 64]);
            header.extend(v6(source));
            header.extend(v6(destination));
            header
        }
    };
    packet.append(&mut payload);
    packet
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

/// The transport header with checksum 0, and eight bytes of payload.
fn transport(flow: &Flow) -> Vec<u8> {
    let mut bytes = Vec::new();
    match flow.protocol {
        protocol::TCP => {
            bytes.extend(SOURCE_PORT.to_be_bytes());
            bytes.extend(flow.port.to_be_bytes());
            // Sequence and acknowledgement number, length 5 words, SYN, window.
            bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
        }
        protocol::UDP => {
            bytes.extend(SOURCE_PORT.to_be_bytes());
            bytes.extend(flow.port.to_be_bytes());
            bytes.extend([0, 16, 0, 0]);
        }
        protocol::SCTP => {
            bytes.extend(SOURCE_PORT.to_be_bytes());
            bytes.extend(flow.port.to_be_bytes());
            bytes.extend([0; 8]);
        }
        // Type, code, checksum, identifier, sequence.
        protocol::ICMP | protocol::ICMPV6 => bytes.extend([flow.port as u8, 0, 0, 0, 0, 1, 0, 1]),
        _ => {}
    }
    bytes.extend([0; 8]);
    bytes
}

/// Fills in the checksum where the protocol has the Internet checksum.
fn checksum_transport(flow: &Flow, bytes: &mut [u8]) {
    let offset = match flow.protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        protocol::ICMP | protocol::ICMPV6 => 2,
        _ => return,
    };
    let pseudo = if flow.protocol == protocol::ICMP { 0 } else { pseudo_header(flow, bytes.len()) };
    let sum = checksum(bytes, pseudo);
    bytes[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The unfolded sum of the pseudo header (RFC 9293, section 3.1; RFC 8200, 8.1).
fn pseudo_header(flow: &Flow, length: usize) -> u32 {
    let mut bytes = Vec::new();
    for address in [flow.source, flow.destination] {
        match address {
            IpAddr::V4(a) => bytes.extend(a.octets()),
            IpAddr::V6(a) => bytes.extend(a.octets()),
        }
    }
    words(&bytes) + u32::from(flow.protocol) + length as u32
}

/// RFC 1071 over bytes and an unfolded sum.
fn checksum(bytes: &[u8], initial: u32) -> u16 {
    let mut sum = words(bytes) + initial;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn words(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b));
    bytes.chunks(2).map(word).sum()
}
