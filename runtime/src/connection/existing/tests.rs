use policyc_sys::net::Tuple;

use super::*;

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an end")
}

fn socket(state: TcpState, local: &str, peer: &str) -> TcpSocket {
    let local = end(local);
    TcpSocket { state, local, peer: end(peer), is_v6_only: false, cgroup: None }
}

fn listening(local: &str) -> TcpSocket {
    socket(TcpState::LISTEN, local, "0.0.0.0:0")
}

/// Who opened the connection of the first socket, and who has finished.
fn opened(sockets: &[TcpSocket]) -> Option<(Direction, [bool; 2])> {
    let mut found = Found::new();
    assert!(!from_sockets(&mut found, 7, sockets, |_| true));
    found.first_key_value().map(|(_, existing)| (existing.opened, existing.finished))
}

#[test]
fn who_listens_did_not_open() {
    use Direction::{Egress, Ingress};
    let ssh = |state| socket(state, "10.0.0.1:22", "10.0.0.2:40000");
    let open = ssh(TcpState::ESTABLISHED);
    for (listener, expected) in [
        ("0.0.0.0:22", Ingress),
        ("10.0.0.1:22", Ingress),
        ("[::]:22", Ingress),
        ("0.0.0.0:23", Egress),
        ("10.0.0.9:22", Egress),
        ("[::1]:22", Egress),
    ] {
        assert_eq!(
            opened(&[open, listening(listener)]),
            Some((expected, [false; 2])),
            "{listener}"
        );
    }
    let six = socket(TcpState::ESTABLISHED, "[fd00::1]:22", "[fd00::2]:40000");
    assert_eq!(opened(&[six, listening("0.0.0.0:22")]), Some((Egress, [false; 2])));
    assert_eq!(opened(&[six, listening("[::]:22")]), Some((Ingress, [false; 2])));
    let v6_only = TcpSocket { is_v6_only: true, ..listening("[::]:22") };
    assert_eq!(opened(&[open, v6_only]), Some((Egress, [false; 2])));
    assert_eq!(opened(&[six, v6_only]), Some((Ingress, [false; 2])));

    for (state, own, peer) in [
        (TcpState::FIN_WAIT1, true, false),
        (TcpState::FIN_WAIT2, true, false),
        (TcpState::CLOSE_WAIT, false, true),
        (TcpState::LAST_ACK, true, true),
        (TcpState::CLOSING, true, true),
    ] {
        assert_eq!(opened(&[ssh(state)]), Some((Egress, [own, peer])));
        assert_eq!(opened(&[ssh(state), listening("0.0.0.0:22")]), Some((Ingress, [peer, own])));
    }
    let local = socket(TcpState::ESTABLISHED, "127.0.0.1:22", "127.0.0.1:40000");
    assert_eq!(opened(&[local, listening("0.0.0.0:22")]), None);
}

#[test]
fn tracking_says_who_opened_and_what_is_on_the_wire() {
    let tuple = |source: &str, destination: &str| Tuple {
        source: end(source),
        destination: end(destination),
    };
    let addresses = [IpAddr::from([10, 0, 0, 1])];
    let of = |tracker, protocol, original, reply, is_established| {
        let mut found = Found::new();
        let tracked = [Tracked { protocol, original, reply, is_established }];
        from_tracked(&mut found, (7, &addresses), &tracked, tracker);
        found.into_iter().next().map(|(ends, existing)| {
            let (own, peer) = ((ends.own, ends.own_port), (ends.peer, ends.peer_port));
            (SocketAddr::from(own).to_string(), SocketAddr::from(peer).to_string(), existing.opened)
        })
    };
    let said = |own: &str, peer: &str, opened| Some((own.to_owned(), peer.to_owned(), opened));
    use Direction::{Egress, Ingress};
    // To a service, which is translated behind the pair, and before the wire.
    let original = tuple("10.0.0.1:40000", "10.96.0.9:80");
    let reply = tuple("10.0.0.7:8080", "10.0.0.1:40000");
    let at_host = said("10.0.0.1:40000", "10.96.0.9:80", Egress);
    assert_eq!(of(Tracker::Host, TCP, original, reply, true), at_host);
    let own = said("10.0.0.1:40000", "10.0.0.7:8080", Egress);
    assert_eq!(of(Tracker::Own, TCP, original, reply, true), own);
    assert_eq!(of(Tracker::Own, TCP, original, reply, false), None, "it is closing");
    // A port of the host that leads to the subject.
    let original = tuple("192.0.2.7:50000", "203.0.113.1:80");
    let reply = tuple("10.0.0.1:8080", "192.0.2.7:50000");
    let at_host = said("10.0.0.1:8080", "192.0.2.7:50000", Ingress);
    assert_eq!(of(Tracker::Host, 17, original, reply, false), at_host);
    // Of others.
    let other = tuple("10.0.0.2:1", "10.0.0.3:2");
    assert_eq!(of(Tracker::Host, TCP, other, tuple("10.0.0.3:2", "10.0.0.2:1"), true), None);
}

#[test]
fn a_socket_says_how_far_it_is_and_tracking_who_opened() {
    let tuple = |source: &str, destination: &str| Tuple {
        source: end(source),
        destination: end(destination),
    };
    let addresses = [IpAddr::from([10, 0, 0, 1])];
    let tracked = [Tracked {
        protocol: TCP,
        original: tuple("10.0.0.2:40000", "10.0.0.1:22"),
        reply: tuple("10.0.0.1:22", "10.0.0.2:40000"),
        is_established: true,
    }];
    let mut found = Found::new();
    from_tracked(&mut found, (7, &addresses), &tracked, Tracker::Own);
    let socket = socket(TcpState::CLOSE_WAIT, "10.0.0.1:22", "10.0.0.2:40000");
    assert!(!from_sockets(&mut found, 7, &[socket], |_| true));
    let existing = found.values().next().expect("one");
    assert_eq!(found.len(), 1);
    assert_eq!((existing.opened, existing.finished), (Direction::Ingress, [true, false]));
    assert!(!from_sockets(&mut found, 7, &[socket, listening("0.0.0.0:22")], |_| true));
    assert_eq!(found.len(), 1);
}

#[test]
fn what_is_not_clear_is_left_out() {
    // Who connected from the port at which it listens would not be asked about what it
    // sends if it were taken for the one who was asked.
    let addresses = [IpAddr::from([10, 0, 0, 1])];
    let (own, peer) = (end("10.0.0.1:40000"), end("203.0.113.9:443"));
    let tracked = [Tracked {
        protocol: TCP,
        original: Tuple { source: own, destination: peer },
        reply: Tuple { source: peer, destination: own },
        is_established: true,
    }];
    let mut found = Found::new();
    from_tracked(&mut found, (7, &addresses), &tracked, Tracker::Own);
    assert_eq!(found.len(), 1);
    let connected = socket(TcpState::ESTABLISHED, "10.0.0.1:40000", "203.0.113.9:443");
    let sockets = [connected, listening("0.0.0.0:40000")];
    assert!(from_sockets(&mut found, 7, &sockets, |_| true));
    assert!(found.is_empty());
}
