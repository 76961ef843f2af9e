//! ICMP and ICMPv6 messages as shapes: every type that programs tell apart, and errors
//! with everything that they can hold.

use std::net::IpAddr;

use policyc_policy::network::{Direction, Flow};

use super::shapes::{Shape, link};
use super::wire::{Part, Segment, Wire, frame_of};

/// Messages between the ends of a flow, sent and received by its destination.
pub(super) fn messages(flow: &Flow) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for direction in Direction::BOTH {
        let (own, peer) = match direction {
            Direction::Ingress => (flow.destination, flow.source),
            Direction::Egress => (flow.source, flow.destination),
        };
        let wire = Wire { own, ..Wire::tcp(peer, 40_000, 443) };
        types(&wire, direction, &mut shapes);
        errors(&wire, direction, &mut shapes);
    }
    shapes
}

fn shape(name: String, wire: &Wire, direction: Direction) -> Shape {
    let ethertype = if wire.peer.is_ipv4() { 0x0800 } else { 0x86dd };
    let network = frame_of(wire, direction).split_off(14);
    Shape::new(format!("{name}, {direction:?}"), link(&[], ethertype), network)
}

fn types(wire: &Wire, direction: Direction, shapes: &mut Vec<Shape>) {
    let kinds: &[u8] = match wire.peer {
        IpAddr::V4(_) => &[0, 1, 3, 4, 5, 8, 9, 11, 12, 13, 14, 15],
        IpAddr::V6(_) => &[
            0, 1, 2, 3, 4, 5, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 142, 143, 144,
        ],
    };
    for kind in kinds {
        for hops in [64, 255, 1] {
            let message = Wire { segment: Segment::Icmp { kind: *kind }, hops, ..wire.clone() };
            let name = format!("message {kind} with {hops} hops");
            let whole = shape(name.clone(), &message, direction);
            let mut coded = whole.clone();
            coded.name = format!("{name}, code 1");
            let header = coded.network.len() - 12;
            coded.network[header + 1] = 1;
            let first = Wire { part: Part::First(1), ..message };
            shapes.extend([whole, coded, shape(format!("{name}, first"), &first, direction)]);
        }
    }
    // Multicast listeners, of the link and before there is an address.
    for own in ["fe80::1", "::"] {
        let Ok(own) = own.parse::<IpAddr>() else { continue };
        if wire.peer.is_ipv6() {
            let segment = Segment::Icmp { kind: 143 };
            let report = Wire { own, peer: own, hops: 1, segment, ..wire.clone() };
            shapes.push(shape(format!("report of {own}"), &report, direction));
        }
    }
}

/// Errors about every kind of packet, cut off everywhere, and about those of others.
fn errors(wire: &Wire, direction: Direction, shapes: &mut Vec<Shape>) {
    let v4 = wire.peer.is_ipv4();
    let kind = if v4 { 3 } else { 1 };
    let mut segments = vec![Segment::tcp(2), Segment::Udp, Segment::Sctp, Segment::Gre];
    let kinds: &[u8] =
        if v4 { &[0, 3, 5, 8, 11, 12, 13, 14, 15] } else { &[0, 1, 4, 128, 129, 135] };
    segments.extend(kinds.iter().map(|kind| Segment::Icmp { kind: *kind }));
    for segment in segments {
        for (part, options) in [
            (Part::Whole, false),
            (Part::Whole, true),
            (Part::First(7), false),
            (Part::Later(7), false),
        ] {
            let about = Wire { segment: segment.clone(), part, options, ..wire.clone() };
            let name = format!("error about {segment:?}, {part:?}, options {options}");
            let telling = matches!(segment, Segment::Udp | Segment::Icmp { kind: 8 | 128 });
            let segment = Segment::Error { kind, about: Box::new(about) };
            let whole = shape(name, &Wire { segment, ..wire.clone() }, direction);
            if telling {
                cut(&whole, shapes);
            }
            shapes.push(whole);
        }
    }
    let about = |about: Wire| {
        let segment = Segment::Error { kind, about: Box::new(about) };
        shape("error".to_owned(), &Wire { segment, ..wire.clone() }, direction)
    };
    let whole = about(wire.clone());
    let inner = if v4 { 28 } else { 48 };
    let change = |name: &str, at: usize, value: u8| {
        let mut shape = whole.clone();
        shape.name = format!("error about {name}, {direction:?}");
        shape.network[inner + at] = value;
        shape
    };
    // First byte, then the protocol, then each half of the address at both ends.
    let protocol = if v4 { 9 } else { 6 };
    shapes.extend([
        change("version 5", 0, 0x55),
        change("a header of 16 bytes", 0, 0x44),
        change("the other version's ICMP", protocol, if v4 { 58 } else { 1 }),
    ]);
    let halves: &[usize] = if v4 { &[12, 16] } else { &[8, 16, 24, 32] };
    shapes.extend(halves.iter().map(|at| change("somebody else", *at, 0xfe)));
    if v4 {
        return;
    }
    // Extension headers of the packet in it: each kind, up to one too many.
    for kind in [0, 43, 44, 51, 60] {
        for count in 1..=3 {
            let mut shape = whole.clone();
            shape.name = format!("error about {count} extensions {kind}, {direction:?}");
            let next = shape.network[inner + 6];
            shape.network[inner + 6] = kind;
            for place in (1..=count).rev() {
                let next = if place == count { next } else { kind };
                let length = u8::from(kind == 51);
                let header = [next, length, 0, 1, 0, 0, 0, 0];
                let more = if kind == 51 { vec![0; 4] } else { vec![] };
                let at = inner + 40;
                shape.network.splice(at..at, header.into_iter().chain(more));
            }
            cut(&shape, shapes);
            shapes.push(shape);
        }
    }
}

/// The last of it cut off, a few bytes at a time.
fn cut(shape: &Shape, shapes: &mut Vec<Shape>) {
    let length = shape.network.len();
    for less in (1..=24).step_by(3) {
        let mut short = shape.clone();
        short.name = format!("{}, {less} less", shape.name);
        short.network.truncate(length - less.min(length));
        shapes.push(short);
    }
}
