//! Packets that look like what passes without being asked about, and must not: each was
//! once a way past a policy.

use std::net::IpAddr;

use policyc::witness::wire::{Part, Segment, Wire, frame_of};
use policyc::witness::{Begins, Reading, read};
use policyc_policy::network::Direction;
use policyc_policy::network::connection::{Connections, Judgement, Packet, Piece, SECOND, Track};

const SYN: u8 = 2;
const SYN_ACK: u8 = 18;
const FIN: u8 = 17;
const RST: u8 = 4;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn reading(wire: &Wire, direction: Direction) -> Reading {
    read(&frame_of(wire, direction), Begins::Link, direction)
}

fn packet(wire: &Wire, direction: Direction) -> Packet {
    match reading(wire, direction) {
        Reading::Packet(packet) => packet,
        other => panic!("{other:?}"),
    }
}

/// An error that is sent goes to who sent the packet in it; one that is received may be
/// of a router on the way.
#[test]
fn an_error_about_one_peer_is_not_sent_to_another() {
    for (peer, elsewhere, kind) in
        [("203.0.113.9", "198.51.100.1", 3), ("2001:db8::9", "2001:db8:7::1", 1)]
    {
        let about = Wire::tcp(address(peer), 40_000, 80);
        for (direction, to, related) in [
            (Direction::Egress, peer, true),
            (Direction::Egress, elsewhere, false),
            (Direction::Ingress, peer, true),
            (Direction::Ingress, elsewhere, true),
        ] {
            let segment = Segment::Error { kind, about: Box::new(about.clone()) };
            let wire = Wire { peer: address(to), segment, ..about.clone() };
            let Piece::Whole(transport) = packet(&wire, direction).piece else { panic!() };
            let is_related = matches!(transport.track, Track::About { .. });
            assert_eq!(is_related, related, "{direction:?} {to}");
        }
    }
}

/// A hop limit of 255 says nothing about where a packet goes that is sent.
#[test]
fn neighbour_discovery_stays_on_the_link() {
    let message = |peer: &str, kind| Wire {
        segment: Segment::Icmp { kind },
        hops: 255,
        ..Wire::tcp(address(peer), 0, 0)
    };
    for (peer, kind, passes) in [
        ("fe80::1", 133, true),
        ("ff02::2", 133, true),
        ("ff02::1:ff00:1", 135, true),
        ("2001:db8::9", 135, true),
        ("2001:db8::9", 133, false),
        ("2001:db8::9", 134, false),
        ("ff05::2", 133, false),
    ] {
        let wire = message(peer, kind);
        let is_neighbour = reading(&wire, Direction::Egress) == Reading::Neighbour;
        assert_eq!(is_neighbour, passes, "{kind} to {peer}");
        assert_eq!(reading(&wire, Direction::Ingress), Reading::Neighbour, "{kind} of {peer}");
    }
    // With room for more than an advertisement, it is one of anything.
    let mut long = frame_of(&message("2001:db8::9", 136), Direction::Egress);
    long.extend([0; 64]);
    let payload = u16::try_from(long.len() - 54).unwrap();
    long[18..20].copy_from_slice(&payload.to_be_bytes());
    let long = read(&long, Begins::Link, Direction::Egress);
    assert!(matches!(long, Reading::Packet(_)), "{long:?}");
}

/// What lies between a fragment header and a transport header could be followed by a
/// fragment that overwrites the latter.
#[test]
fn a_transport_header_comes_at_once_in_a_first_fragment() {
    let first = Wire { part: Part::First(7), ..Wire::tcp(address("2001:db8::9"), 40_000, 80) };
    let plain = frame_of(&first, Direction::Ingress);
    assert!(matches!(read(&plain, Begins::Link, Direction::Ingress), Reading::Packet(_)));
    // Destination options behind the fragment header.
    let mut behind = plain.clone();
    let (header, next) = (54, plain[54]);
    behind[header] = 60;
    behind.splice(header + 8..header + 8, [next, 0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(read(&behind, Begins::Link, Direction::Ingress), Reading::Malformed);
}

/// Whoever is not the opener cannot keep a connection that has ended.
#[test]
fn resets_keep_nothing_alive() {
    let peer = address("203.0.113.9");
    let opener = |flags| Wire { segment: Segment::tcp(flags), ..Wire::tcp(peer, 40_000, 80) };
    let mut connections = Connections::new(8);
    let mut judge = |wire: Wire, direction, second: u64, allowed| {
        connections.judge(1, &packet(&wire, direction), second * SECOND, |_| allowed)
    };
    let (out, back) = (Direction::Egress, Direction::Ingress);
    let reply = |flags| opener(flags).reply();
    assert_eq!(judge(opener(SYN), out, 1, true), (true, Judgement::Policy));
    assert_eq!(judge(reply(SYN_ACK), back, 1, false), (true, Judgement::Established));
    assert_eq!(judge(opener(FIN), out, 2, true), (true, Judgement::Policy));
    assert_eq!(judge(reply(FIN), back, 2, false), (true, Judgement::Established));
    assert_eq!(judge(reply(RST), back, 9, false), (true, Judgement::Established));
    assert_eq!(judge(reply(RST), back, 13, false), (false, Judgement::Policy));
}
