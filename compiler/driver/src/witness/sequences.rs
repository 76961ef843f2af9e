//! Conversations as witnesses: packets one after another, each held against the oracle
//! of connections.
//!
//! For each direction, family and protocol with something that the policy allows: a
//! connection from its first packet to its last, one that is reset, one whose rule is
//! taken away and comes back, errors about it, fragments of it, and more of them than
//! there is room for, if that is little.

use std::net::IpAddr;

use policyc_decision::network::{Packet, builtin};
use policyc_policy::network::connection::{Connections, SECOND, share};
use policyc_policy::network::{Direction, protocol};

use super::wire::{Part, Segment, Wire, frame_of};
use super::{Begins, Check, Viewer, decision_among, peers, read};
use crate::engine::{PacketEngine as _, PacketRun, ProgramSet, attach_id};

/// Tables with more room are not filled: places are looked for by fours, so a free one
/// may be missed.
const LITTLE: u32 = 4;
/// TCP flags.
const SYN: u8 = 2;
const SYN_ACK: u8 = 18;
const ACK: u8 = 16;
const FIN: u8 = 17;
const RST: u8 = 4;

/// One conversation in progress.
struct Talk<'c, 'a, 'w> {
    check: &'c mut Check<'a, 'w>,
    connections: Connections,
    /// Who opens it, seen from the subject.
    opens: Direction,
    allowing: usize,
    denying: Option<usize>,
    subject: u64,
    now: u64,
}

impl Check<'_, '_> {
    /// A conversation of each kind for each direction.
    pub(super) fn sequences(&mut self) {
        let mut subject = 1;
        let asked = [Segment::tcp(SYN), Segment::Udp, Segment::Echo { answer: false, id: 7 }];
        for opens in Direction::BOTH {
            for v4 in [true, false] {
                for segment in &asked {
                    let Some((wire, allowing, denying)) = self.allowed(opens, v4, segment) else {
                        continue;
                    };
                    let room = self.built.policy.room.established;
                    let connections = Connections::new(room);
                    // Nothing of another conversation lives on.
                    let now = subject * 1_000_000 * SECOND;
                    let check = &mut *self;
                    let mut talk =
                        Talk { check, connections, opens, allowing, denying, subject, now };
                    talk.all(&wire);
                    subject += 1;
                }
            }
        }
    }

    /// A first packet that some behaviour allows, with a behaviour that does not.
    fn allowed(
        &self,
        opens: Direction,
        v4: bool,
        segment: &Segment,
    ) -> Option<(Wire, usize, Option<usize>)> {
        self.engine.programs().program(opens)?;
        let number = match (segment, v4) {
            (Segment::Tcp { .. }, _) => protocol::TCP,
            (Segment::Udp, _) => protocol::UDP,
            (_, true) => protocol::ICMP,
            (_, false) => protocol::ICMPV6,
        };
        let ports: Vec<u16> = match (segment, v4) {
            (Segment::Echo { .. }, true) => vec![8],
            (Segment::Echo { .. }, false) => vec![128],
            _ => {
                let ports = super::ports(self.decision).into_iter();
                ports.filter(|(protocol, _)| *protocol == number).map(|(_, port)| port).collect()
            }
        };
        let decision = self.decision;
        let allows = |behaviour, peer, port| {
            let direction = opens;
            let packet = Packet { behaviour, direction, peer, protocol: number, port };
            decision.decisions.get(decision.judge(&packet)).is_some_and(|d| d.allowed)
        };
        let peers = peers(decision);
        let mut peers = peers.iter().filter(|peer| peer.is_ipv4() == v4);
        peers.find_map(|peer| {
            ports.iter().find_map(|port| {
                let behaviours = 0..decision.behaviours.len();
                let allowing = behaviours.clone().find(|b| allows(*b, *peer, *port))?;
                let denying = behaviours.clone().find(|b| !allows(*b, *peer, *port));
                let wire = Wire { segment: segment.clone(), ..Wire::tcp(*peer, 40_000, *port) };
                Some((wire, allowing, denying))
            })
        })
    }
}

impl Talk<'_, '_, '_> {
    fn all(&mut self, wire: &Wire) {
        self.life(wire);
        self.ends(wire);
        self.doubts(wire);
        self.errors(wire);
        self.fragments(wire);
        self.crowd(wire);
    }

    /// A question, its answer, another word; then silence until it is gone.
    fn life(&mut self, wire: &Wire) {
        self.answer(wire, SYN_ACK, 0);
        self.establish(wire);
        self.ask(wire, ACK, 0);
        self.ask(wire, ACK, 2);
        self.answer(wire, ACK, 30);
        if let Some(denying) = self.denying {
            let allowing = std::mem::replace(&mut self.allowing, denying);
            self.ask(wire, ACK, 0);
            self.answer(wire, ACK, 0);
            self.ask(wire, ACK, 0);
            self.allowing = allowing;
        }
        self.ask(wire, ACK, 0);
        self.answer(wire, ACK, 9_000);
        self.establish(wire);
        self.answer(wire, SYN, 0);
        self.ask(wire, SYN, 9_000);
        if let Some(denying) = self.denying {
            let allowing = std::mem::replace(&mut self.allowing, denying);
            self.ask(wire, ACK, 0);
            self.ask(wire, SYN, 0);
            self.allowing = allowing;
        }
        self.ask(wire, SYN, 0);
        self.ask(wire, ACK, 2);
        self.now += 9_000 * SECOND;
    }

    /// Every way to an end, established or not, and a new beginning before it is over.
    fn ends(&mut self, wire: &Wire) {
        for establish in [true, false] {
            for (mine, other) in [(FIN, FIN), (RST, ACK), (ACK, RST), (FIN | SYN, ACK)] {
                if establish {
                    self.establish(wire);
                } else {
                    self.ask(wire, SYN, 0);
                }
                self.ask(wire, mine, 0);
                self.answer(wire, other, 0);
                self.answer(wire, other, 2);
                self.ask(wire, ACK, 2);
                self.ask(wire, SYN, 2);
                self.answer(wire, SYN_ACK, 9_000);
            }
        }
    }

    /// What an end may not have said: an acknowledgement of what nobody sent, a reset;
    /// and what goes from a port to itself.
    fn doubts(&mut self, wire: &Wire) {
        self.ask(wire, SYN, 0);
        self.answer(wire, SYN_ACK, 0);
        if let Segment::Tcp { .. } = wire.segment {
            let segment = Segment::Tcp { flags: ACK, acknowledged: 7 };
            self.run(&Wire { segment, ..wire.clone() }, self.opens, 0);
        }
        self.answer(wire, ACK, 30);
        self.ask(wire, ACK, 0);
        for later in [179, 2] {
            self.answer(wire, RST, 100);
            self.answer(wire, RST, 2);
            self.answer(wire, ACK, later);
            self.ask(wire, RST, 0);
            self.ask(wire, ACK, 0);
        }
        self.answer(wire, RST, 0);
        self.answer(wire, ACK, 181);
        let alone = Wire { peer: wire.own, from: wire.to, ..wire.clone() };
        self.run(&alone, self.opens, 0);
        self.run(&alone, opposite(self.opens), 0);
        self.now += 9_000 * SECOND;
    }

    /// Errors about it, from the other end and from a router.
    fn errors(&mut self, wire: &Wire) {
        let kinds: &[u8] = if wire.peer.is_ipv4() { &[3, 11, 5] } else { &[2, 3, 137] };
        for established in [false, true] {
            if established {
                self.establish(wire);
            } else {
                self.ask(wire, SYN, 0);
            }
            for kind in kinds {
                let about = Box::new(wire.clone());
                let error = Wire { segment: Segment::Error { kind: *kind, about }, ..wire.clone() };
                self.run(&error, opposite(self.opens), 0);
                let router = match wire.peer {
                    IpAddr::V4(_) => IpAddr::from([198, 51, 100, 7]),
                    IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 7, 0, 0, 0, 0, 1]),
                };
                self.run(&Wire { peer: router, ..error.clone() }, opposite(self.opens), 0);
                let about = Box::new(Wire { options: true, ..wire.clone().reply() });
                let error = Wire { segment: Segment::Error { kind: *kind, about }, ..wire.clone() };
                self.run(&error, self.opens, 0);
            }
            self.now += 9_000 * SECOND;
        }
    }

    /// Parts of it: in order, out of order, too late.
    fn fragments(&mut self, wire: &Wire) {
        let part = |part| Wire { part, ..wire.clone() };
        for (id, options) in [(1, false), (2, true)] {
            let part = |p| Wire { options, ..part(p) };
            self.run(&part(Part::Later(id)), self.opens, 0);
            self.run(&part(Part::First(id)), self.opens, 0);
            self.run(&part(Part::Later(id)), self.opens, 0);
            let answer = part(Part::First(id)).reply();
            self.run(&answer, opposite(self.opens), 0);
            self.run(&Wire { part: Part::Later(id), ..answer }, opposite(self.opens), 0);
            self.run(&part(Part::Later(id)), self.opens, 31);
        }
        self.now += 9_000 * SECOND;
    }

    /// More than there is room for, then again when some are gone.
    fn crowd(&mut self, wire: &Wire) {
        let room = self.check.built.policy.room.established;
        if room > LITTLE {
            return;
        }
        for _ in 0..2 {
            for number in 0..(room + share(room)) as u16 + 2 {
                let segment = match &wire.segment {
                    Segment::Echo { answer, .. } => Segment::Echo { answer: *answer, id: number },
                    other => other.clone(),
                };
                self.establish(&Wire { segment, from: wire.from + number, ..wire.clone() });
            }
            self.now += 9_000 * SECOND;
        }
    }

    fn establish(&mut self, wire: &Wire) {
        self.ask(wire, SYN, 0);
        self.answer(wire, SYN_ACK, 0);
        self.ask(wire, ACK, 0);
    }

    /// A packet of the opener, some seconds later.
    fn ask(&mut self, wire: &Wire, flags: u8, later: u64) {
        self.run(&with(wire.clone(), flags), self.opens, later);
    }

    fn answer(&mut self, wire: &Wire, flags: u8, later: u64) {
        self.run(&with(wire.clone().reply(), flags), opposite(self.opens), later);
    }

    fn run(&mut self, wire: &Wire, direction: Direction, later: u64) {
        self.now += later * SECOND;
        let programs = self.check.engine.programs();
        if programs.program(direction).is_none() {
            return;
        }
        let mut packet = frame_of(wire, direction);
        let begins = match programs {
            ProgramSet::Cgroup => Begins::Network,
            ProgramSet::Tc | ProgramSet::Xdp => Begins::Link,
        };
        if begins == Begins::Network {
            packet.drain(..14);
        }
        let reading = read(&packet, begins, direction);
        let (now, subject) = (self.now, u64::MAX / 2 + self.subject);
        let viewer = Viewer { behaviour: self.allowing, subject, now };
        let decision = self.check.decision;
        let expected = decision_among(&mut self.connections, decision, viewer, direction, reading);
        let run = PacketRun {
            direction,
            packet,
            ethertype: crate::engine::frame::ethertype(wire.peer),
            // Not linear, so that errors are read on both ways.
            linear: (matches!(wire.segment, Segment::Error { .. }) && programs == ProgramSet::Tc)
                .then_some(60),
            attach: attach_id(self.allowing),
            subject: Some(subject),
            now,
        };
        let name = if expected < builtin::COUNT { "conversation" } else { "conversation, judged" };
        self.check.run_once(&format!("{name}: {wire:?}"), &run, expected);
    }
}

fn with(wire: Wire, flags: u8) -> Wire {
    match wire.segment {
        Segment::Tcp { .. } => Wire { segment: Segment::tcp(flags), ..wire },
        _ => wire,
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Egress => Direction::Ingress,
        Direction::Ingress => Direction::Egress,
    }
}
