//! Connections that the host's own lists know: which, of whom, and who opened them.
//!
//! Guarantees: who opened a TCP connection is said by the kernel's connection tracking;
//! where nothing tracks, by a socket that listens at its own end; else it was the own end.
//! What tracking and a listening socket contradict each other about is left out. Of a
//! connection over other protocols no socket says who opened it, so only tracking does;
//! the opener's next packet opens it anyway.
//! Does not know: the tables; nor, where nothing tracks, whether sockets tell the truth.
//! Who connects from a port and listens there too is taken for the one who was asked, and
//! a server that has closed the socket it listened at for the one who asked: what the
//! wrong end sends passes until such a connection ends.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use policyc_bpf::Direction;
use policyc_sys::net::{TcpSocket, TcpState, Tracked};

use super::Ends;

/// IP protocol number of TCP.
pub(super) const TCP: u8 = 6;

/// A connection that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Existing {
    /// Which direction its first packet had, seen from the subject.
    pub(super) opened: Direction,
    /// Whether the opener has finished, and the other end.
    pub(super) finished: [bool; 2],
    /// Whether it is established.
    pub(super) is_established: bool,
}

/// By their ends.
pub(super) type Found = BTreeMap<Ends, Existing>;

/// Where connections are tracked, seen from the subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tracker {
    /// In its own network namespace, by which its packets are translated before they
    /// are judged on their way out, and after on their way in.
    Own,
    /// In the host's, at the host's end of its pair: the other way around.
    Host,
}

/// Adds what is tracked of a subject with these addresses. Of TCP only what is open in
/// both directions.
pub(super) fn from_tracked(
    found: &mut Found,
    (subject, addresses): (u64, &[IpAddr]),
    tracked: &[Tracked],
    tracker: Tracker,
) {
    for connection in tracked {
        let Tracked { protocol, original, reply, is_established } = *connection;
        let is_own = |end: SocketAddr| addresses.contains(&end.ip());
        let ends = if is_own(original.source) {
            let (own, peer) = match tracker {
                Tracker::Own => (reply.destination, reply.source),
                Tracker::Host => (original.source, original.destination),
            };
            (own, peer, Direction::Egress)
        } else if is_own(reply.source) {
            let (own, peer) = match tracker {
                Tracker::Own => (original.destination, original.source),
                Tracker::Host => (reply.source, reply.destination),
            };
            (own, peer, Direction::Ingress)
        } else {
            continue;
        };
        let (own, peer, opened) = ends;
        if is_local(own, peer) || protocol == TCP && !is_established {
            continue;
        }
        let existing = Existing { opened, finished: [false; 2], is_established };
        found.insert(between(subject, protocol, own, peer), existing);
    }
}

/// Adds the connections of sockets of one network namespace; of all that are listed
/// only `wanted` ones are the subject's. Whether some were left out because it is not
/// clear who opened them: what is tracked as opened by the subject, from a port at which
/// it listens.
#[must_use]
pub(super) fn from_sockets(
    found: &mut Found,
    subject: u64,
    sockets: &[TcpSocket],
    wanted: impl Fn(&TcpSocket) -> bool,
) -> bool {
    let mut is_disputed = false;
    let listening: Vec<_> = sockets.iter().filter(|s| s.state == TcpState::LISTEN).collect();
    let connected = sockets.iter().filter(|s| s.state != TcpState::LISTEN);
    for socket in connected.filter(|socket| wanted(socket)) {
        if is_local(socket.local, socket.peer) {
            continue;
        }
        let ends = between(subject, TCP, socket.local, socket.peer);
        let listens = listening.iter().any(|l| hears(l, socket.local));
        let opened = match found.get(&ends).map(|tracked| tracked.opened) {
            Some(Direction::Egress) if listens => {
                found.remove(&ends);
                is_disputed = true;
                continue;
            }
            None if listens => Direction::Ingress,
            Some(tracked) => tracked,
            None => Direction::Egress,
        };
        let [own, peer] = finished(socket.state);
        let finished = if opened == Direction::Egress { [own, peer] } else { [peer, own] };
        found.insert(ends, Existing { opened, finished, is_established: true });
    }
    is_disputed
}

/// Whether connections to an end are taken by a socket that listens.
fn hears(listening: &TcpSocket, end: SocketAddr) -> bool {
    let at = listening.local;
    let is_family = match at.ip() {
        IpAddr::V4(_) => end.is_ipv4(),
        IpAddr::V6(_) => end.is_ipv6() || !listening.is_v6_only,
    };
    let every = at.ip().is_unspecified() && is_family;
    at.port() == end.port() && (every || at.ip() == end.ip())
}

/// Whether this end has finished, and the other one.
fn finished(state: TcpState) -> [bool; 2] {
    match state {
        TcpState::FIN_WAIT1 | TcpState::FIN_WAIT2 => [true, false],
        TcpState::CLOSE_WAIT => [false, true],
        TcpState::LAST_ACK | TcpState::CLOSING => [true, true],
        _ => [false, false],
    }
}

/// Whether it never leaves by an interface that is judged.
fn is_local(own: SocketAddr, peer: SocketAddr) -> bool {
    own.ip().is_loopback() || peer.ip().is_loopback()
}

fn between(subject: u64, protocol: u8, own: SocketAddr, peer: SocketAddr) -> Ends {
    Ends {
        subject,
        protocol,
        own: own.ip(),
        own_port: own.port(),
        peer: peer.ip(),
        peer_port: peer.port(),
        own_asks: false,
    }
}

#[cfg(test)]
mod tests;
