//! Packets of every shape that programs tell apart, around one flow.

use std::net::IpAddr;

use policyc_policy::network::{Flow, protocol};

use crate::engine::frame;

/// A packet with a name for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// What is special about it.
    pub name: String,
    /// Its link header.
    pub link: Vec<u8>,
    /// What comes behind it.
    pub network: Vec<u8>,
}

impl Shape {
    pub(super) fn new(name: impl Into<String>, link: Vec<u8>, network: Vec<u8>) -> Self {
        Self { name: name.into(), link, network }
    }

    /// The packet as tc and XDP programs get it.
    pub fn frame(&self) -> Vec<u8> {
        [self.link.as_slice(), &self.network].concat()
    }
}

/// An Ethernet header with VLAN tags of these types in front of `ethertype`.
pub fn link(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let mut header = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for tag in tags {
        header.extend(tag.to_be_bytes());
        header.extend([0, 42]);
    }
    header.extend(ethertype.to_be_bytes());
    header
}

/// Every shape around a flow of TCP, UDP or SCTP.
pub fn shapes(flow: &Flow) -> Vec<Shape> {
    let ethertype = frame::ethertype(flow.destination);
    let plain = frame::packet(flow);
    let mut shapes = tagged(ethertype, &plain);
    shapes.extend(match flow.destination {
        IpAddr::V4(_) => ipv4(flow, &plain),
        IpAddr::V6(_) => ipv6(flow, &plain),
    });
    shapes.extend(cut(ethertype, &plain));
    shapes.extend(super::messages::messages(flow));
    shapes
}

/// Tags, and what is not IP.
fn tagged(ethertype: u16, plain: &[u8]) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (name, tags) in [
        ("no tag", &[][..]),
        ("802.1Q tag", &[0x8100]),
        ("802.1ad tag", &[0x88a8]),
        ("two tags", &[0x88a8, 0x8100]),
        ("three tags", &[0x88a8, 0x8100, 0x8100]),
    ] {
        shapes.push(Shape::new(name, link(tags, ethertype), plain.to_vec()));
        for (other, ethertype) in [("ARP", 0x0806), ("LLDP", 0x88cc), ("802.3", 5)] {
            let name = format!("{other} behind {name}");
            shapes.push(Shape::new(name, link(tags, ethertype), vec![0; 46]));
        }
    }
    let other = if ethertype == 0x0800 { 0x86dd } else { 0x0800 };
    shapes.push(Shape::new("the other Ethertype", link(&[], other), plain.to_vec()));
    // ARP passes whatever the policy; events hold more of longer packets.
    for length in [0, 14, 28, 82] {
        let name = format!("ARP with {length} bytes");
        shapes.push(Shape::new(name, link(&[], 0x0806), vec![0; length]));
    }
    // The event of a packet holds its first 96 bytes, and 256 are pulled.
    for more in [96, 300] {
        let long = [plain, &vec![0; more]].concat();
        shapes.push(Shape::new(format!("{more} bytes longer"), link(&[], ethertype), long));
    }
    shapes
}

/// The packet cut off at every length, behind every number of tags.
fn cut(ethertype: u16, plain: &[u8]) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100]] {
        let header = link(tags, ethertype);
        let links = (0..header.len()).map(|n| (header[..n].to_vec(), Vec::new()));
        let networks = (0..plain.len()).map(|n| (header.clone(), plain[..n].to_vec()));
        for (link, network) in links.chain(networks) {
            let length = link.len() + network.len();
            let name = format!("{} tags, cut at {length}", tags.len());
            shapes.push(Shape::new(name, link, network));
        }
    }
    shapes
}

fn ipv4(flow: &Flow, plain: &[u8]) -> Vec<Shape> {
    let link = link(&[], 0x0800);
    let with = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = plain.to_vec();
        change(&mut packet);
        Shape::new(name, link.clone(), packet)
    };
    let mut shapes = vec![
        with("version 5", &|p| p[0] = 0x55),
        with("header of 16 bytes", &|p| p[0] = 0x44),
        with("header of no bytes", &|p| p[0] = 0x40),
        with("first fragment", &|p| p[6..8].copy_from_slice(&[0x20, 0])),
        with("second fragment", &|p| p[6..8].copy_from_slice(&[0x20, 1])),
        with("last fragment", &|p| p[6..8].copy_from_slice(&[0x1f, 0xff])),
        with("fragment of a bad header", &|p| (p[0], p[7]) = (0x44, 1)),
        with("reserved flag", &|p| p[6] = 0x80),
        with("total length of 0", &|p| p[2..4].copy_from_slice(&[0, 0])),
        with("total length of 65535", &|p| p[2..4].copy_from_slice(&[0xff, 0xff])),
        with("options beyond the end", &|p| {
            p[0] = 0x4f;
            p.truncate(40);
        }),
    ];
    for words in 1..=10u8 {
        let options = |p: &mut Vec<u8>| {
            p[0] = 0x45 + words;
            p.splice(20..20, vec![1; usize::from(words) * 4]);
        };
        shapes.push(with(&format!("{words} words of options"), &options));
    }
    shapes.extend(transports(flow, protocol::ICMP, &link));
    shapes
}

/// The flow's ends with each kind of transport.
fn transports(flow: &Flow, icmp: u8, link: &[u8]) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for protocol in [protocol::TCP, protocol::UDP, protocol::SCTP, icmp, 4, 47, 59, 255] {
        let port = if protocol == icmp { 8 } else { flow.port };
        let packet = frame::packet(&Flow { protocol, port, ..*flow });
        let header = packet.len() - transport_length(protocol);
        let name = format!("protocol {protocol}");
        shapes.push(Shape::new(format!("{name}, nothing behind"), link.to_vec(), {
            packet[..header].to_vec()
        }));
        shapes.push(Shape::new(name, link.to_vec(), packet));
    }
    shapes
}

/// Bytes that [`frame::packet`] puts behind the network header.
const fn transport_length(protocol: u8) -> usize {
    match protocol {
        protocol::TCP => 28,
        protocol::UDP | protocol::ICMP | protocol::ICMPV6 => 16,
        protocol::SCTP => 20,
        _ => 8,
    }
}

/// One extension header of a kind that says `next` follows.
fn extension(kind: u8, next: u8) -> Vec<u8> {
    match kind {
        // Sixteen bytes.
        0 | 43 | 60 => [&[next, 1][..], &[0; 14]].concat(),
        // Sixteen bytes in units of four, minus two.
        51 => [&[next, 2][..], &[0; 14]].concat(),
        // Offset 0, more fragments.
        _ => vec![next, 0, 0, 1, 0, 0, 0, 7],
    }
}

/// A packet with these extension headers.
pub fn extended(plain: &[u8], kinds: &[u8]) -> Vec<u8> {
    let (header, transport) = plain.split_at(40);
    let mut packet = header.to_vec();
    let protocol = header[6];
    let nexts = kinds.iter().skip(1).copied().chain([protocol]);
    packet[6] = kinds.first().copied().unwrap_or(protocol);
    for (kind, next) in kinds.iter().zip(nexts) {
        packet.extend(extension(*kind, next));
    }
    packet.extend(transport);
    let length = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet
}

fn ipv6(flow: &Flow, plain: &[u8]) -> Vec<Shape> {
    let link = link(&[], 0x86dd);
    let mut shapes = Vec::new();
    let mut push = |name: String, packet| shapes.push(Shape::new(name, link.clone(), packet));
    let mut version = plain.to_vec();
    version[0] = 0x40;
    push("version 4".to_owned(), version);
    for kind in [0, 43, 44, 51, 60] {
        let one = extended(plain, &[kind]);
        for length in [40, 41, 42, 47, 48, 55, 56, 59, 60] {
            push(
                format!("extension {kind}, cut at {length}"),
                one[..length.min(one.len())].to_vec(),
            );
        }
        let mut long = one.clone();
        long[41] = 255;
        push(format!("extension {kind} beyond the end"), long);
        // One kind first, then up to five hop-by-hop headers.
        for others in 0..6 {
            let kinds: Vec<u8> = std::iter::once(kind).chain(vec![0; others]).collect();
            push(format!("extension {kind} and {others} more"), extended(plain, &kinds));
        }
        // Each kind at each place.
        for place in 0..5 {
            let mut kinds = [60; 5];
            kinds[place] = kind;
            push(format!("extension {kind} at {place}"), extended(plain, &kinds[..=place]));
        }
    }
    for place in 0..5 {
        let mut kinds = [60; 5];
        kinds[place] = 44;
        let mut later = extended(plain, &kinds[..=place]);
        let offset = 40 + 16 * place + 2;
        later[offset..offset + 2].copy_from_slice(&[0, 8]);
        push(format!("second fragment behind {place} extensions"), later.clone());
        later[offset..offset + 2].copy_from_slice(&[0x12, 0x30]);
        push(format!("last fragment behind {place} extensions"), later);
    }
    shapes.extend(behind_extensions(flow, &link));
    shapes.extend(transports(flow, protocol::ICMPV6, &link));
    shapes
}

/// Transport headers and extension headers behind none to five others, whole and cut
/// off inside of them.
fn behind_extensions(flow: &Flow, link: &[u8]) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut cut = |name: &str, packet: &[u8], at: usize, lengths: &[usize]| {
        for length in lengths.iter().map(|length| (at + length).min(packet.len())) {
            let name = format!("{name}, cut at {length}");
            shapes.push(Shape::new(name, link.to_vec(), packet[..length].to_vec()));
        }
    };
    for count in 0..=5 {
        let before = vec![60; count];
        for protocol in [protocol::TCP, protocol::ICMPV6, protocol::ICMP, 4, 59] {
            let packet = extended(&frame::packet(&Flow { protocol, ..*flow }), &before);
            let name = format!("protocol {protocol} behind {count} extensions");
            cut(&name, &packet, 40 + 16 * count, &[0, 1, 3, usize::MAX / 2]);
        }
        for kind in [43, 44, 51] {
            let kinds: Vec<u8> = before.iter().copied().chain([kind]).collect();
            let packet = extended(&frame::packet(flow), &kinds);
            let name = format!("extension {kind} behind {count}");
            cut(&name, &packet, 40 + 16 * count, &[0, 1, 2, 7, 8]);
        }
    }
    shapes
}
