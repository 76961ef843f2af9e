//! The table "Packets" of `docs/coverage.md`, row by row: frames, and what each gets.

use policyc_bpf::Reason;
use policyc_policy::network::Direction;

use super::packet::{
    AUTHENTICATION, DESTINATION, FRAGMENT, HOP_BY_HOP, IPV4, IPV6, Packet, ROUTING, SERVICE_TAG,
    TAG, Way,
};

/// A row of the table.
pub(crate) struct Row {
    /// Its first cell.
    pub(crate) packet: &'static str,
    pub(crate) cases: &'static [Case],
}

/// Frames one after another, of which each gets something.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) policy: Policy,
    pub(crate) hooks: Hooks,
    /// Which ways are tried.
    pub(crate) ways: &'static [Direction],
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    pub(crate) frames: fn(Way) -> Vec<Step>,
}

/// What the subject's policy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    /// Some ports of a peer, echoes, and everything of another peer.
    Closed,
    /// Nothing is denied but TCP on port 80.
    Open,
    /// Nobody is bound there.
    Nobody,
}

/// Where a case is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hooks {
    /// Everywhere.
    All,
    /// Where there is an Ethernet header: on tc and XDP.
    Link,
    Tc,
    Cgroup,
}

/// A frame, and what it gets.
pub(crate) struct Step {
    pub(crate) packet: Packet,
    pub(crate) passes: bool,
    pub(crate) reason: Reason,
}

const fn case(name: &'static str, frames: fn(Way) -> Vec<Step>) -> Case {
    let (policy, hooks, ways) = (Policy::Closed, Hooks::All, &Direction::BOTH);
    Case { name, policy, hooks, ways, v4: true, v6: true, frames }
}

impl Case {
    const fn v4(self) -> Self {
        Self { v6: false, ..self }
    }

    const fn v6(self) -> Self {
        Self { v4: false, ..self }
    }

    const fn sent(self) -> Self {
        Self { ways: &[Direction::Egress], ..self }
    }

    const fn on(self, hooks: Hooks) -> Self {
        Self { hooks, ..self }
    }

    const fn under(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }
}

fn passes(reason: Reason, packet: Packet) -> Step {
    Step { packet, passes: true, reason }
}

fn drops(reason: Reason, packet: Packet) -> Step {
    Step { packet, passes: false, reason }
}

fn allowed(packet: Packet) -> Step {
    passes(Reason::Rule, packet)
}

fn denied(packet: Packet) -> Step {
    drops(Reason::DefaultDeny, packet)
}

fn truncated(packet: Packet) -> Step {
    drops(Reason::Truncated, packet)
}

fn malformed(packet: Packet) -> Step {
    drops(Reason::Malformed, packet)
}

/// A packet to a port of a rule, and the same to another one.
fn by_port(at: Way, change: impl Fn(Packet) -> Packet) -> Vec<Step> {
    vec![allowed(change(at.tcp(443))), denied(change(at.tcp(444)))]
}

/// The peer of whom everything is allowed.
fn anyone(at: Way) -> Way {
    let end = at.number % 250 + 1;
    at.peer(&format!("198.51.100.{end}"), &format!("2001:db8:5::{end}"))
}

/// Somebody on the way.
fn router(at: Way) -> Way {
    at.peer("192.0.2.1", "2001:db8:7::1")
}

const CHAIN: [u8; 4] = [HOP_BY_HOP, ROUTING, DESTINATION, AUTHENTICATION];

pub(crate) const ROWS: &[Row] = &[
    Row { packet: "IPv4, IPv6", cases: &[case("by its port", |at| by_port(at, |p| p))] },
    Row {
        packet: "behind one or two VLAN tags (802.1Q, 802.1ad), in the packet or taken off by \
                 the interface",
        cases: &[
            case("802.1Q", |at| by_port(at, |p| p.tagged(&[TAG]))),
            case("802.1ad", |at| by_port(at, |p| p.tagged(&[SERVICE_TAG]))),
            case("802.1Q in 802.1ad", |at| by_port(at, |p| p.tagged(&[SERVICE_TAG, TAG]))),
            case("802.1Q in 802.1Q", |at| by_port(at, |p| p.tagged(&[TAG, TAG]))),
            case("a priority and no VLAN", |at| by_port(at, Packet::urgent)),
        ],
    },
    Row {
        packet: "IPv4 with options",
        cases: &[
            case("one word", |at| by_port(at, |p| p.options(1))).v4(),
            case("ten words", |at| by_port(at, |p| p.options(10))).v4(),
        ],
    },
    Row {
        packet: "IPv6 with up to four extension headers (hop-by-hop, routing, destination, \
                 authentication, fragment)",
        cases: &[
            case("one of each kind", |at| {
                CHAIN.iter().flat_map(|kind| by_port(at, |p| p.extended(&[*kind]))).collect()
            })
            .v6(),
            case("two to four", |at| {
                (2..=4).flat_map(|n| by_port(at, |p| p.extended(&CHAIN[..n]))).collect()
            })
            .v6(),
            case("four, and a fragment header of a datagram that is whole", |at| {
                let whole = |p: Packet, n| p.extended(&[&CHAIN[..n], &[FRAGMENT]].concat());
                let mut steps = by_port(at, |p| whole(p, 3));
                steps.push(malformed(whole(at.tcp(443), 4)));
                steps
            })
            .v6(),
            case("five", |at| {
                CHAIN
                    .iter()
                    .flat_map(|last| {
                        let kinds = [&CHAIN[..], &[*last]].concat();
                        [at, anyone(at)].map(|at| malformed(at.tcp(443).extended(&kinds)))
                    })
                    .collect()
            })
            .v6(),
            case("two fragment headers", |at| {
                vec![malformed(at.tcp(443).extended(&[FRAGMENT]).first().extended(&[FRAGMENT]))]
            })
            .v6(),
        ],
    },
    Row {
        packet: "first fragment",
        cases: &[
            case("by its port", |at| by_port(at, Packet::first)),
            case("behind other extension headers", |at| {
                by_port(at, |p| p.extended(&CHAIN[..3]).first())
            })
            .v6(),
            case("without all of its transport header", |at| {
                let first = |p: Packet, bytes| p.first().cut_transport(bytes);
                vec![
                    truncated(first(at.tcp(443), 8)),
                    truncated(first(at.tcp(443), 13)),
                    allowed(first(at.tcp(443), 14)),
                    truncated(first(at.echo(), 7)),
                    allowed(first(at.echo(), 8)),
                    truncated(first(at.udp(53), 3)),
                    allowed(first(at.udp(53), 4)),
                    truncated(first(anyone(at).tcp(9), 8)),
                ]
            }),
        ],
    },
    Row {
        packet: "later fragment",
        cases: &[
            case("after its first", |at| {
                let asks = [at.tcp(443), at.udp(53), at.sctp(9), at.echo()];
                let each = (0u16..).zip(asks).flat_map(|(n, packet)| {
                    // Another datagram each.
                    let own = |mut packet: Packet| {
                        packet.way.number += n;
                        packet
                    };
                    let first = own(packet.clone()).first();
                    let later = |offset| own(packet.clone()).later(offset);
                    [allowed(first), allowed(later(3)), allowed(later(180))]
                });
                each.collect()
            }),
            case("of a protocol without ports", |at| {
                let gre = anyone(at).ip(47, &[0; 24]);
                vec![allowed(gre.clone().first()), allowed(gre.later(3))]
            }),
            case("of a reply", |at| {
                let reply = at.datagram(53, at.number);
                vec![
                    allowed(at.back().udp(53)),
                    passes(Reason::Established, reply.clone().first()),
                    passes(Reason::Established, reply.later(3)),
                ]
            }),
            case("of the other direction with the same number", |at| {
                vec![
                    allowed(at.back().udp(53).first()),
                    drops(Reason::Fragment, at.udp(53).later(3)),
                ]
            }),
        ],
    },
    Row {
        packet: "later fragment that comes before its first one, or whose first was dropped",
        cases: &[
            case("before its first", |at| {
                let packet = at.udp(53);
                vec![
                    drops(Reason::Fragment, packet.clone().later(3)),
                    allowed(packet.clone().first()),
                    allowed(packet.later(3)),
                ]
            }),
            case("after its first, which is denied", |at| {
                let packet = at.udp(54);
                vec![denied(packet.clone().first()), drops(Reason::Fragment, packet.later(3))]
            }),
            case("of one all of whose ports are allowed", |at| {
                vec![allowed(anyone(at).udp(54).later(3))]
            }),
            case("where nothing denies by default", |at| {
                vec![passes(Reason::NoPolicy, at.udp(54).later(3))]
            })
            .under(Policy::Open),
        ],
    },
    Row {
        packet: "fragment that begins eight bytes into its datagram, and could overwrite ports",
        cases: &[
            case("whoever it is of", |at| {
                let steps = [at, anyone(at)].map(|at| malformed(at.tcp(443).later(1)));
                steps.into()
            }),
            case("after its first", |at| {
                vec![allowed(at.tcp(443).first()), malformed(at.tcp(443).later(1))]
            }),
            case("where nothing denies", |at| vec![malformed(at.tcp(443).later(1))])
                .under(Policy::Open),
        ],
    },
    Row {
        packet: "first fragment of IPv6 with an extension header behind the fragment header, \
                 whose transport header a later one could overwrite",
        cases: &[
            case("of each kind", |at| {
                let behind = |kind: &u8| malformed(at.tcp(443).first().extended_behind(&[*kind]));
                CHAIN.iter().map(behind).collect()
            })
            .v6(),
            case("of a datagram that is whole", |at| {
                by_port(at, |p| p.extended(&[FRAGMENT, DESTINATION]))
            })
            .v6(),
        ],
    },
    Row {
        packet: "TCP, UDP, SCTP",
        cases: &[
            case("by destination port", |at| {
                vec![
                    allowed(at.tcp(443)),
                    denied(at.tcp(444)),
                    denied(at.tcp(53)),
                    allowed(at.udp(53)),
                    denied(at.udp(443)),
                    allowed(at.sctp(9)),
                    denied(at.sctp(443)),
                    denied(at.segment(443, at.number, super::packet::SYN)),
                ]
            }),
            case("a segment of no known connection", |at| {
                vec![allowed(at.segment(at.number, 443, 16)), denied(at.segment(1, 444, 16))]
            }),
        ],
    },
    Row {
        packet: "ICMP, ICMPv6",
        cases: &[case("by type", |at| {
            // A timestamp, and a question about who a node is.
            let other = if at.is_v4() { 13 } else { 139 };
            vec![allowed(at.echo()), denied(at.message(other, 0, &[0; 16]))]
        })],
    },
    Row {
        packet: "ICMP and ICMPv6 errors (unreachable, too big, time exceeded, parameter \
                 problem) about a packet of a live connection of the subject",
        cases: &[
            case("by the other end", |at| errors(at, at)),
            case("by a router on the way", |at| errors(at, router(at))).received_only(),
            case("about what is sent as an answer", |at| {
                let back = at.back();
                let mut steps = vec![allowed(at.tcp(443))];
                let about = back.segment(443, at.number, 18);
                steps.extend(
                    kinds(at)
                        .map(|kind| passes(Reason::Related, router(at).error(kind, 0, &about))),
                );
                steps
            })
            .received_only(),
            case("about a packet of no connection", |at| {
                let about = at.back().tcp(443);
                kinds(at).map(|kind| denied(router(at).error(kind, 0, &about))).collect()
            }),
            case("about a packet of somebody else", |at| {
                let mut steps = vec![allowed(at.tcp(443))];
                let other = at.back().own("10.77.0.9", "fd77::9");
                let about = other.segment(443, at.number, 18);
                steps.extend(kinds(at).map(|kind| denied(router(at).error(kind, 0, &about))));
                steps
            }),
            case("redirects", |at| {
                let (kind, about) = (if at.is_v4() { 5 } else { 137 }, at.segment(443, 1, 18));
                vec![allowed(at.tcp(443)), denied(router(at).error(kind, 0, &about))]
            }),
        ],
    },
    Row {
        packet: "neighbour discovery: solicitations and advertisements of routers and \
                 neighbours with a hop limit of 255; messages of multicast listeners with a \
                 hop limit of 1 and a link-local source, or none",
        cases: &[
            case("on the link", |at| {
                let at = at.peer("", "fe80::1");
                let near = [133, 134, 135, 136].map(|kind| at.message(kind, 0, &[0; 28]));
                near.map(|packet| passes(Reason::Neighbour, packet.hops(255))).into()
            })
            .v6(),
            case("of a neighbour with an address that is not of the link", |at| {
                let near = [135, 136].map(|kind| at.message(kind, 0, &[0; 28]).hops(255));
                near.map(|packet| passes(Reason::Neighbour, packet)).into()
            })
            .v6(),
            case("multicast listeners", |at| {
                let at = at.own("", "fe80::2").peer("", "fe80::1");
                let listeners = [130, 131, 132, 143].map(|kind| at.message(kind, 0, &[0; 20]));
                listeners.map(|packet| passes(Reason::Neighbour, packet.hops(1))).into()
            })
            .v6(),
            case("multicast listeners before there is an address", |at| {
                let at = at.own("", "::").peer("", "::");
                vec![passes(Reason::Neighbour, at.message(143, 0, &[0; 20]).hops(1))]
            })
            .v6(),
            case("with another hop limit", |at| {
                // Listeners here are of no link, too.
                let far = [(133..=136, [64, 254, 1]), (130..=132, [64, 255, 1])];
                let each = far.into_iter().flat_map(|(kinds, hops)| {
                    kinds.flat_map(move |kind| hops.map(|hops| (kind, hops)))
                });
                each.map(|(kind, hops)| denied(at.message(kind, 0, &[0; 20]).hops(hops))).collect()
            })
            .v6(),
            case("with a code, or in fragments", |at| {
                let at = at.peer("", "fe80::1");
                let packet = at.message(135, 0, &[0; 28]).hops(255);
                vec![
                    denied(at.message(135, 1, &[0; 28]).hops(255)),
                    denied(packet.clone().first()),
                    drops(Reason::Fragment, packet.later(3)),
                ]
            })
            .v6(),
            case("redirects", |at| {
                let at = at.peer("", "fe80::1");
                vec![denied(at.message(137, 0, &[0; 40]).hops(255))]
            })
            .v6(),
            case("sent off the link", |at| {
                let routers = [133, 134].map(|kind| at.message(kind, 0, &[0; 28]));
                let long = [135, 136].map(|kind| at.message(kind, 0, &[0; 36]));
                routers.into_iter().chain(long).map(|packet| denied(packet.hops(255))).collect()
            })
            .v6()
            .sent(),
        ],
    },
    Row {
        packet: "other IP protocols",
        cases: &[
            case("no rule without ports", |at| {
                [47, 50, 89, 253, 59].map(|protocol| denied(at.ip(protocol, &[0; 24]))).into()
            }),
            case("a rule without ports", |at| {
                let at = anyone(at);
                [47, 50, 89, 253, 59].map(|protocol| allowed(at.ip(protocol, &[0; 24]))).into()
            }),
            case("nothing denies", |at| vec![passes(Reason::NoPolicy, at.ip(253, &[]))])
                .under(Policy::Open),
        ],
    },
    Row {
        packet: "headers that end early, or contradict themselves",
        cases: &[
            case("an Ethernet header alone", |at| vec![truncated(at.tcp(443).cut(0))]),
            case("a tag alone", |at| {
                vec![
                    truncated(at.frame(TAG, &[])),
                    truncated(at.frame(TAG, &[0, 42])),
                    truncated(at.tcp(443).tagged(&[TAG]).cut(0)),
                ]
            })
            .sent(),
            case("a network header that ends early", |at| {
                let header = if at.is_v4() { 20 } else { 40 };
                [1, header - 1].map(|bytes| truncated(anyone(at).tcp(443).cut(bytes))).into()
            }),
            case("a transport header that ends early", |at| {
                vec![
                    truncated(at.tcp(443).cut_transport(0)),
                    truncated(at.tcp(443).cut_transport(13)),
                    allowed(at.tcp(443).cut_transport(14)),
                    truncated(at.udp(53).cut_transport(3)),
                    truncated(at.sctp(9).cut_transport(3)),
                    truncated(at.echo().cut_transport(7)),
                    truncated(anyone(at).echo().cut_transport(7)),
                ]
            }),
            case("options that end early", |at| vec![truncated(at.tcp(443).options(10).cut(40))])
                .v4(),
            case("an extension header that ends early", |at| {
                let long = |kind: &u8| at.tcp(443).extended_by(&[*kind], 2);
                CHAIN.iter().map(|kind| truncated(long(kind).cut(41))).collect()
            })
            .v6(),
            case("an extension header that says that it is longer than the packet", |at| {
                let lies = |kind: &u8| at.tcp(443).extended(&[*kind]).set(41, &[250]);
                CHAIN.iter().map(|kind| truncated(lies(kind))).collect()
            })
            .v6(),
            case("a header of sixteen bytes, or of none", |at| {
                [0x44, 0x40].map(|first| malformed(anyone(at).tcp(443).set(0, &[first]))).into()
            })
            .v4(),
            case("a version that is none", |at| {
                [0x55, 0x75].map(|first| malformed(anyone(at).tcp(443).set(0, &[first]))).into()
            })
            .on(Hooks::Link),
            case("a version that is none, without an Ethernet header", |at| {
                [0x55, 0x75].map(|first| unknown_l3(anyone(at).tcp(443).set(0, &[first]))).into()
            })
            .on(Hooks::Cgroup),
            case("the other version's Ethertype", |at| {
                let other = if at.is_v4() { IPV6 } else { IPV4 };
                vec![malformed(at.tcp(443).behind_ethertype(other))]
            }),
            case("where nothing denies", |at| vec![truncated(at.tcp(443).cut_transport(13))])
                .under(Policy::Open),
        ],
    },
    Row {
        packet: "lengths that are not a header's own (of a packet or datagram, TCP's data \
                 offset), and checksums",
        cases: &[
            case("the total length, and the header's checksum", |at| {
                [[0, 0], [0, 19], [0, 28], [0xff, 0xff]]
                    .into_iter()
                    .flat_map(|length| by_port(at, |p| p.set(2, &length).set(10, &[1, 2])))
                    .collect()
            })
            .v4(),
            case("the payload length", |at| {
                [[0, 0], [0, 3], [0xff, 0xff]]
                    .into_iter()
                    .flat_map(|length| by_port(at, |p| p.set(4, &length)))
                    .collect()
            })
            .v6(),
            case("the data offset", |at| {
                [0x00, 0x40, 0xf0]
                    .into_iter()
                    .flat_map(|offset| by_port(at, |p| p.set_transport(12, &[offset])))
                    .collect()
            }),
            case("the length of a datagram", |at| {
                let lies = |length: [u8; 2]| at.udp(53).set_transport(4, &length);
                [[0, 0], [0, 7], [0xff, 0xff]].map(|length| allowed(lies(length))).into()
            }),
        ],
    },
    Row {
        packet: "a header behind the first 256 bytes of a packet that the driver left in pieces",
        cases: &[
            case("no header is in the first piece", |at| {
                let pieces = |p: Packet| p.sized(5000).in_pieces(14);
                let mut steps = by_port(at, pieces);
                steps.push(allowed(pieces(at.echo())));
                steps.extend(by_port(at, |p| pieces(p.tagged(&[SERVICE_TAG, TAG]))));
                steps
            })
            .on(Hooks::Tc),
            case("a header lies across pieces", |at| {
                let first = if at.is_v4() { 30 } else { 50 };
                [15, first, first + 10]
                    .into_iter()
                    .flat_map(|linear| by_port(at, |p| p.sized(5000).in_pieces(linear)))
                    .collect()
            })
            .on(Hooks::Tc),
            case("as far as 256 bytes", |at| {
                // 14 bytes of Ethernet, 40 of IPv6, 176 more, and 14 of TCP end at 244.
                let pieces = |p: Packet| p.extended_by(&[DESTINATION], 21).sized(5000);
                by_port(at, |p| pieces(p).in_pieces(14))
            })
            .v6()
            .on(Hooks::Tc),
            case("behind them", |at| {
                let far = |p: Packet| p.extended_by(&[DESTINATION], 32);
                let pieces = far(at.tcp(443)).sized(5000).in_pieces(14);
                // In one piece it is read.
                let mut steps = by_port(at, far);
                steps.push(truncated(pieces));
                steps
            })
            .v6()
            .on(Hooks::Tc),
            // Of TCP and UDP the kernel reads the header before any socket is asked.
            case("behind the network header, at a socket", |at| {
                let pieces = |p: Packet| p.sized(5000).in_pieces(14);
                let mut steps: Vec<_> =
                    [at.echo(), anyone(at).sctp(9)].map(|p| truncated(pieces(p))).into();
                steps.extend(by_port(at, pieces));
                steps.push(allowed(pieces(at.udp(53))));
                steps
            })
            .on(Hooks::Cgroup),
        ],
    },
    Row {
        packet: "ARP, also behind tags",
        cases: &[case("whatever it says", |at| {
            let arp = |tags: &[u16]| at.frame(0x0806, &[1; 46]).tagged(tags);
            [arp(&[]), arp(&[TAG]), arp(&[SERVICE_TAG, TAG])]
                .map(|packet| passes(Reason::Arp, packet))
                .into()
        })
        .v4()],
    },
    Row {
        packet: "neither IP nor ARP: three tags or more, PPPoE, MPLS, LLDP and others",
        cases: &[
            case("three tags", |at| {
                let tags: [&[u16]; 2] = [&[SERVICE_TAG, TAG, TAG], &[TAG, TAG, TAG, TAG]];
                tags.map(|tags| unknown_l3(anyone(at).tcp(443).tagged(tags))).into()
            }),
            case("other Ethertypes", others).v4(),
            case("where nothing denies", others).v4().under(Policy::Open),
        ],
    },
    Row {
        packet: "ICMPv6 in IPv4, ICMP in IPv6",
        cases: &[case("whoever it is of", |at| {
            let (protocol, kind) = if at.is_v4() { (58, 128) } else { (1, 8) };
            let echo = [kind, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0];
            [at, anyone(at)].map(|at| malformed(at.ip(protocol, &echo))).into()
        })],
    },
    Row {
        packet: "of an address that is not the subject's own",
        cases: &[case("judged by its peer", |at| by_port(at.own("10.77.0.77", "fd77::77"), |p| p))],
    },
    Row {
        packet: "of a subject that is not bound, or unknown to the artifact",
        cases: &[case("whatever it is", |at| {
            let packets = [
                at.tcp(443),
                anyone(at).udp(53).later(3),
                at.frame(0x0806, &[1; 46]),
                at.frame(0x88cc, &[1; 46]),
                at.tcp(443).cut(1),
                at.message(135, 0, &[0; 28]).hops(255),
            ];
            packets.map(|packet| drops(Reason::UnknownSubject, packet)).into()
        })
        .under(Policy::Nobody)],
    },
];

impl Case {
    const fn received_only(self) -> Self {
        Self { ways: &[Direction::Ingress], ..self }
    }
}

/// Types of errors of the family.
fn kinds(at: Way) -> impl Iterator<Item = u8> {
    let kinds: &[u8] = if at.is_v4() { &[3, 11, 12] } else { &[1, 2, 3, 4] };
    kinds.iter().copied()
}

/// Errors of every type about a connection of each kind that goes the other way.
fn errors(at: Way, by: Way) -> Vec<Step> {
    let back = at.back();
    let opens = [back.tcp(443), back.udp(53), back.sctp(9), back.echo()];
    let each = opens.into_iter().flat_map(|open| {
        let errors: Vec<_> =
            kinds(at).map(|kind| passes(Reason::Related, by.error(kind, 0, &open))).collect();
        [allowed(open)].into_iter().chain(errors)
    });
    each.collect()
}

fn unknown_l3(packet: Packet) -> Step {
    drops(Reason::UnknownL3, packet)
}

/// LLDP, PPPoE discovery and sessions, MPLS, a length as in IEEE 802.3, EAPOL.
fn others(at: Way) -> Vec<Step> {
    let types = [0x88cc, 0x8863, 0x8864, 0x8847, 0x8848, 46, 0x888e];
    types.map(|kind| unknown_l3(at.frame(kind, &[1; 46]))).into()
}
