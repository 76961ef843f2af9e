//! Packets of conversations that meet again: few ends, ports and numbers.

use std::net::IpAddr;

use policyc::witness::wire::{Part, SEQUENCE, Segment, Wire};
use policyc_policy::network::connection::ACKNOWLEDGED;
use proptest::prelude::*;

/// Any packet.
pub(crate) fn wire() -> impl Strategy<Value = Wire> {
    let about = plain(Just(Part::Whole).boxed());
    let errors = (about, any::<bool>(), 0..4usize).prop_map(|(about, router, kind)| {
        let v4 = about.peer.is_ipv4();
        let kind = if v4 { [3, 11, 12, 5][kind] } else { [1, 2, 3, 4][kind] };
        let peer = match (router, v4) {
            (false, _) => about.peer,
            (true, true) => IpAddr::from([198, 51, 100, 1]),
            (true, false) => "2001:db8:7::1".parse().unwrap(),
        };
        let segment = Segment::Error { kind, about: Box::new(about.clone()) };
        Wire { peer, segment, part: Part::Whole, ..about }
    });
    let id = 1..3u16;
    let part = prop_oneof![
        8 => Just(Part::Whole),
        1 => id.clone().prop_map(Part::First),
        1 => id.prop_map(Part::Later),
    ];
    prop_oneof![6 => plain(part.boxed()), 1 => errors]
}

fn plain(part: BoxedStrategy<Part>) -> impl Strategy<Value = Wire> {
    let peers: [IpAddr; 2] = ["203.0.113.9".parse().unwrap(), "2001:db8::9".parse().unwrap()];
    // The subject itself.
    let own: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    let usual = prop::sample::select(vec![2u8, 18, 16, 16]);
    let others = prop::sample::select(vec![17u8, 17, 4, 20, 3, 6, 0, 0xff]);
    let flags = prop_oneof![6 => usual, 1 => others];
    // Whoever saw a SYN acknowledges it, and perhaps some more.
    let seen = SEQUENCE.wrapping_add(1);
    let guesses = [SEQUENCE, 0, seen ^ 1 << 31, seen.wrapping_add(ACKNOWLEDGED)];
    let others = guesses.into_iter().chain([1, ACKNOWLEDGED - 1].map(|n| seen.wrapping_add(n)));
    let others = prop::sample::select(others.collect::<Vec<_>>());
    let acknowledged = prop_oneof![6 => Just(seen), 1 => others];
    let icmp = prop::sample::select(vec![13u8, 14, 5, 9, 130, 133, 135, 136, 137, 143]);
    // The numbers of questions are identifiers too.
    let ids = prop::sample::select(vec![1u16, 2, 2, 8, 128]);
    let segment = prop_oneof![
        10 => (flags, acknowledged)
            .prop_map(|(flags, acknowledged)| Segment::Tcp { flags, acknowledged }),
        4 => Just(Segment::Udp),
        1 => Just(Segment::Sctp),
        4 => (prop::bool::weighted(0.1), ids).prop_map(|(answer, id)| Segment::Echo { answer, id }),
        2 => icmp.prop_map(|kind| Segment::Icmp { kind }),
        1 => Just(Segment::Gre),
    ];
    // Few, so that packets meet, and enough for more connections than there is room.
    let few = (Just(40000u16), Just(80u16));
    let many = (40000..40012u16, Just(80u16));
    let dns = (Just(40000u16), Just(53u16));
    let same = (Just(53u16), Just(53u16));
    let ports = prop_oneof![12 => few, 8 => many, 4 => dns, 1 => same];
    let hops = prop_oneof![8 => Just(64u8), 1 => Just(255), 1 => Just(1)];
    let own = prop::sample::select(own.to_vec());
    let peers = prop_oneof![16 => Just(peers[0]), 8 => Just(peers[1]), 1 => own];
    (peers, ports, segment, part, hops, any::<bool>()).prop_map(
        |(peer, (from, to), segment, part, hops, options)| Wire {
            segment,
            part,
            hops,
            options,
            ..Wire::tcp(peer, from, to)
        },
    )
}

/// The packets that establish a conversation: a question, its answer, and another word
/// of who asked.
pub(crate) fn exchange() -> impl Strategy<Value = [Wire; 3]> {
    plain(Just(Part::Whole).boxed()).prop_map(|wire| {
        let tcp = |wire: Wire, flags| match wire.segment {
            Segment::Tcp { .. } => Wire { segment: Segment::tcp(flags), ..wire },
            _ => wire,
        };
        [tcp(wire.clone(), 2), tcp(wire.clone().reply(), 18), tcp(wire, 16)]
    })
}
