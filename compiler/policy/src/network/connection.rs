//! The oracle of connections: what a packet gets, given the packets before it.
//!
//! Never optimised; every engine that keeps connections is held against it, by
//! sequences of packets. Says: which entry serves a packet, when an entry is made,
//! refreshed, cut and gone, and when policy is asked.
//! Does not know: what policy says (it is asked), how a packet is read, that half-open
//! entries may be forgotten early where there are too many, and which of several free
//! places a table finds.
//!
//! Source: RFC 9293 (TCP), RFC 4787 (what refreshes a UDP mapping), RFC 5508 (ICMP),
//! RFC 791 and RFC 8200 (fragments); the timeouts are Cilium's
//! (`bpf/lib/conntrack.h`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::types::Direction;

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;
/// How long a TCP connection lives without a packet of its opener.
pub const ESTABLISHED_STREAM: u64 = 8000 * SECOND;
/// The same for every other protocol.
pub const ESTABLISHED_OTHER: u64 = 180 * SECOND;
/// The same before the opener has answered an answer.
pub const HALF_OPEN: u64 = 60 * SECOND;
/// The same after both ends have closed, or the subject has reset.
pub const CLOSING: u64 = 10 * SECOND;
/// The same after a reset that was received while established, which anybody could have
/// sent: until the opener says something more.
pub const RESET: u64 = 180 * SECOND;
/// How far beyond the answer to its SYN an opener may acknowledge to be believed that it
/// saw that: more than an initial window (RFC 6928), and little enough not to be guessed.
pub const ACKNOWLEDGED: u32 = 1 << 16;
/// How long later fragments are known by their first one (Linux's `ipfrag_time`).
pub const FRAGMENT: u64 = 30 * SECOND;

/// How many parts subjects are in, each with a share of the room.
pub const SHARES: u32 = 64;

/// How many established connections the subjects of a part have room for where that of
/// all is used up: all parts together a quarter of it.
pub const fn share(room: u32) -> u32 {
    if room < 4 * SHARES { 1 } else { room / (4 * SHARES) }
}

/// What a transport header means for a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Signals {
    /// It may open a connection: SYN alone of TCP; a request of ICMP; anything of a
    /// protocol without connections of its own.
    pub opens: bool,
    /// It is an attempt, whatever was before: SYN without ACK.
    pub attempt: bool,
    /// The sender has nothing more to say: FIN.
    pub finishes: bool,
    /// The sender wants no connection: RST.
    pub resets: bool,
    /// From the opener it is more than a first packet: ACK without SYN; anything of
    /// other protocols.
    pub confirms: bool,
    /// It answers an attempt: SYN with ACK.
    pub accepts: bool,
    /// Of TCP: what the sender of a SYN with ACK wants acknowledged, or what the sender
    /// of an ACK without SYN acknowledges.
    pub number: u32,
}

/// How a packet relates to connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Track {
    /// Not at all: policy alone judges it.
    Stateless,
    /// It is part of one.
    Part {
        /// Port at the subject; for the asker of an ICMP question its identifier, for
        /// who is asked the type of the question.
        own_port: u16,
        /// The same at the peer.
        peer_port: u16,
        /// Whether it is an ICMP question of the subject's own, or an answer to one: an
        /// identifier may be the number of the other end's question.
        own_asks: bool,
        /// Whether it is of TCP, which says when it ends.
        stream: bool,
        /// What it means.
        signals: Signals,
    },
    /// It is an ICMP error about a packet of one, whose end at the subject is the
    /// error's own.
    About {
        /// The other end of that packet.
        peer: IpAddr,
        /// IP protocol number of that packet.
        protocol: u8,
        /// As in [`Self::Part`].
        own_port: u16,
        /// As in [`Self::Part`].
        peer_port: u16,
        /// As in [`Self::Part`].
        own_asks: bool,
    },
}

/// What policy asks about, and how it relates to connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transport {
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port or ICMP type; 0 for other protocols.
    pub port: u16,
    /// The connection.
    pub track: Track,
}

/// How much of a datagram a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Piece {
    /// All of it.
    Whole(Transport),
    /// Its beginning, with the transport header; others follow.
    First(FragmentId, Transport),
    /// A later part, without the transport header.
    Later(FragmentId),
}

/// What fragments of one datagram have in common beside their ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FragmentId {
    /// The sender's number for the datagram.
    pub id: u32,
    /// IP protocol number for IPv4; for IPv6, where it is no part, 44.
    pub protocol: u8,
}

/// A packet at one end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// Whether the subject sends or receives it.
    pub direction: Direction,
    /// The subject's address.
    pub own: IpAddr,
    /// The other one.
    pub peer: IpAddr,
    /// How much of a datagram it is.
    pub piece: Piece,
}

/// What policy is asked: protocol and port, and that of a later fragment of which
/// nothing else is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Question {
    /// A packet with these.
    Transport {
        /// IP protocol number.
        protocol: u8,
        /// Destination port or ICMP type.
        port: u16,
    },
    /// Part of a datagram that could have any.
    Unknown,
}

/// What a packet gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Judgement {
    /// Forwarded: the reply to a connection that policy allowed earlier.
    Established,
    /// Forwarded: an error about a connection that policy allowed earlier.
    Related,
    /// Dropped: policy allows it, but there is no room to remember it.
    Full,
    /// Dropped: a later fragment of which the first was not seen, where policy does
    /// not allow every port.
    Fragment,
    /// What policy says.
    Policy,
}

/// The same packets in both directions. A subject is told by its identity, so that
/// what two subjects on a host see is kept apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Key {
    subject: u64,
    own: IpAddr,
    peer: IpAddr,
    own_port: u16,
    peer_port: u16,
    own_asks: bool,
    protocol: u8,
}

/// One connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Entry {
    /// Gone from this time on.
    expires: u64,
    /// Which direction its first packet had.
    opened: Direction,
    /// Whether the other direction answered.
    replied: bool,
    /// Whether the opener has finished, and the other end.
    finished: [bool; 2],
    /// Whether policy has denied a packet of the opener since.
    cut: bool,
    /// Whose room it takes, where nothing is forgotten early; none while half-open.
    established: Option<Place>,
    /// What the other end wants acknowledged, if it accepted.
    expected: Option<u32>,
}

/// Whose room an established connection takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// That of all.
    Common,
    /// That of a part of the subjects.
    Share(u64),
}

/// What is known of a datagram that comes in fragments.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Datagram {
    expires: u64,
    transport: Transport,
}

/// All connections and datagrams in fragments of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connections {
    entries: BTreeMap<Key, Entry>,
    datagrams: BTreeMap<(u64, Direction, IpAddr, IpAddr, FragmentId), Datagram>,
    /// How many established ones there can be, beside the shares.
    room: u32,
}

impl Connections {
    /// None yet; at most so many established ones at a time, beside the [`share`] of each
    /// part of the subjects.
    pub fn new(room: u32) -> Self {
        Self { entries: BTreeMap::new(), datagrams: BTreeMap::new(), room }
    }

    /// What a packet of a subject gets at a time, in nanoseconds since any start.
    /// `policy` says whether a packet with a protocol and a port is allowed between
    /// these ends in this direction.
    pub fn judge(
        &mut self,
        subject: u64,
        packet: &Packet,
        now: u64,
        policy: impl FnOnce(Question) -> bool,
    ) -> (bool, Judgement) {
        let Packet { direction, own, peer, piece } = *packet;
        let fragment = |id| (subject, direction, own, peer, id);
        let transport = match piece {
            Piece::Whole(transport) | Piece::First(_, transport) => transport,
            Piece::Later(id) => {
                let datagram = self.datagrams.get(&fragment(id)).filter(|d| d.expires > now);
                let Some(datagram) = datagram else {
                    return match policy(Question::Unknown) {
                        true => (true, Judgement::Policy),
                        false => (false, Judgement::Fragment),
                    };
                };
                datagram.transport.of_later_fragment()
            }
        };
        let (allowed, judgement) = self.transport(subject, packet, transport, now, policy);
        // What is about another packet is never long enough to come in fragments.
        let related = matches!(transport.track, Track::About { .. });
        if let (Piece::First(id, _), true, false) = (piece, allowed, related) {
            let expires = now + FRAGMENT;
            self.datagrams.insert(fragment(id), Datagram { expires, transport });
        }
        (allowed, judgement)
    }

    fn transport(
        &mut self,
        subject: u64,
        packet: &Packet,
        transport: Transport,
        now: u64,
        policy: impl FnOnce(Question) -> bool,
    ) -> (bool, Judgement) {
        let Packet { direction, own, peer, .. } = *packet;
        let Transport { protocol, port, track } = transport;
        let question = Question::Transport { protocol, port };
        self.entries.retain(|_, entry| entry.expires > now);
        match track {
            Track::Stateless => (policy(question), Judgement::Policy),
            Track::About { peer, protocol, own_port, peer_port, own_asks } => {
                let key = Key { subject, own, peer, own_port, peer_port, own_asks, protocol };
                match self.entries.get(&key) {
                    Some(entry) if !entry.cut => (true, Judgement::Related),
                    _ => (policy(question), Judgement::Policy),
                }
            }
            // Both directions would be one: nobody's answer.
            Track::Part { own_port, peer_port, .. } if (own, own_port) == (peer, peer_port) => {
                (policy(question), Judgement::Policy)
            }
            Track::Part { own_port, peer_port, own_asks, stream, signals } => {
                let key = Key { subject, own, peer, own_port, peer_port, own_asks, protocol };
                let part = Part { key, direction, stream, signals, now };
                self.part(&part, || policy(question))
            }
        }
    }

    fn part(&mut self, part: &Part, policy: impl FnOnce() -> bool) -> (bool, Judgement) {
        let Part { key, direction, signals, now, .. } = *part;
        let known = self.entries.get(&key).copied();
        if let Some(mut entry) = known
            && entry.opened != direction
            && !entry.cut
            && !signals.attempt
        {
            // Only the opener, whom policy judges, keeps a connection alive.
            let (was_closing, before) = (entry.is_closing(), entry.expires);
            entry.replied = true;
            entry.hear(1, signals, direction);
            if signals.accepts && entry.established.is_none() {
                entry.expected = Some(signals.number);
            }
            if entry.is_closing() && !was_closing {
                entry.refresh(part);
            } else if signals.resets && !entry.is_closing() {
                entry.refresh(part);
                entry.expires = entry.expires.min(before);
            }
            self.entries.insert(key, entry);
            return (true, Judgement::Established);
        }
        let own = known.filter(|entry| entry.opened == direction);
        if !policy() {
            if let Some(entry) = own {
                self.entries.insert(key, Entry { cut: true, ..entry });
            }
            return (false, Judgement::Policy);
        }
        match (known, own) {
            // Opened by the other end, and cut or attempted anew: it takes over when
            // that entry is gone.
            (Some(_), None) => (true, Judgement::Policy),
            (_, Some(entry)) if !(signals.attempt && entry.is_closing()) => {
                self.forward(part, entry)
            }
            _ => {
                if signals.opens {
                    self.entries.insert(key, Entry::new(direction, now));
                }
                (true, Judgement::Policy)
            }
        }
    }

    /// A place for a connection of a subject, if there is one.
    fn place_of(&self, subject: u64) -> Option<Place> {
        let own = Place::Share(subject % u64::from(SHARES));
        let used = |place| self.entries.values().filter(|e| e.established == Some(place)).count();
        let rooms = [(Place::Common, self.room), (own, share(self.room))];
        let free = rooms.into_iter().find(|(place, room)| used(*place) < *room as usize);
        free.map(|(place, _)| place)
    }

    /// Another packet of the opener.
    fn forward(&mut self, part: &Part, mut entry: Entry) -> (bool, Judgement) {
        let Part { key, direction, signals, .. } = *part;
        entry.cut = false;
        entry.hear(0, signals, direction);
        if entry.established.is_none() && entry.is_confirmed_by(part) {
            let Some(place) = self.place_of(key.subject) else {
                return (false, Judgement::Full);
            };
            entry.established = Some(place);
        }
        entry.refresh(part);
        self.entries.insert(key, entry);
        (true, Judgement::Policy)
    }
}

impl Transport {
    /// What is known of a fragment without a header: not what the header signalled.
    const fn of_later_fragment(self) -> Self {
        let Track::Part { own_port, peer_port, own_asks, stream, .. } = self.track else {
            return self;
        };
        const NOTHING: Signals = Signals {
            opens: false,
            attempt: false,
            finishes: false,
            resets: false,
            confirms: false,
            accepts: false,
            number: 0,
        };
        let track = Track::Part { own_port, peer_port, own_asks, stream, signals: NOTHING };
        Self { track, ..self }
    }
}

/// A packet of a connection.
#[derive(Clone, Copy)]
struct Part {
    key: Key,
    direction: Direction,
    stream: bool,
    signals: Signals,
    now: u64,
}

impl Entry {
    const fn new(opened: Direction, now: u64) -> Self {
        Self {
            expires: now + HALF_OPEN,
            opened,
            replied: false,
            finished: [false; 2],
            cut: false,
            established: None,
            expected: None,
        }
    }

    /// What the opener (0) or the other end (1) says about going on. A reset that is
    /// received ends nothing that is established: who sent it may not be an end.
    fn hear(&mut self, who: usize, signals: Signals, direction: Direction) {
        if signals.finishes {
            self.finished[who] = true;
        }
        if signals.resets && (direction == Direction::Egress || self.established.is_none()) {
            self.finished = [true; 2];
        }
    }

    /// Whether a packet of the opener says that it saw the answer. Of TCP only who saw
    /// it knows what to acknowledge. Where nobody saw the answer to its SYN pass (SYN
    /// cookies have no socket, so cgroups do not), another answer that ends nothing does:
    /// it is not given to who could not have seen that one.
    fn is_confirmed_by(&self, part: &Part) -> bool {
        let Signals { confirms, number, .. } = part.signals;
        let saw = match self.expected {
            Some(expected) => number.wrapping_sub(expected) < ACKNOWLEDGED,
            None => !self.is_closing(),
        };
        self.replied && confirms && (!part.stream || saw)
    }

    const fn is_closing(&self) -> bool {
        self.finished[0] && self.finished[1]
    }

    /// Lives on from now; a difference of less than a second is not worth a write.
    const fn refresh(&mut self, part: &Part) {
        let expires = part.now
            + match (self.is_closing(), self.established.is_some(), part.stream) {
                (true, ..) => CLOSING,
                (false, false, _) => HALF_OPEN,
                (false, true, true) if part.signals.resets => RESET,
                (false, true, true) => ESTABLISHED_STREAM,
                (false, true, false) => ESTABLISHED_OTHER,
            };
        if expires.abs_diff(self.expires) >= SECOND {
            self.expires = expires;
        }
    }
}
