//! Tables of connections, as bytes that a program could have written, on a host in
//! memory.

mod common;
mod machine;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine::{FIRST, binding, everything, judged, machine, port, run};
use policyc_bpf::{Artifact, Direction};
use policyc_runtime::{
    Attach, Bindings, Dirs, Ends, Error, Host, Options, Side, Stage, connections, forget,
};
use policyc_sys::Kernel as _;
use policyc_sys::host::Capability;
use policyc_sys::kernel::{FakeHost, FakeKernel};
use policyc_sys::net::{TcpSocket, TcpState};

const SECOND: u64 = 1_000_000_000;
/// `ct_half` and `ct`.
const TABLES: [&str; 2] = ["ct_half", "ct"];

fn key(subject: u64, own: u64, peer: u64, ports: u64) -> Vec<u8> {
    let mapped = |address: u64| 0xffff_0000_0000 | address;
    let tail = ports | 6 << 32 | 4 << 40;
    let words = [subject, 0, mapped(own), 0, mapped(peer), tail];
    words.into_iter().flat_map(u64::to_ne_bytes).collect()
}

fn value(expires: u64, facts: [u8; 5]) -> Vec<u8> {
    let mut value: Vec<u8> =
        [expires, SECOND, 0, 0].into_iter().flat_map(u64::to_ne_bytes).collect();
    value[16..21].copy_from_slice(&facts);
    value
}

/// A host with something live, and these entries in both tables.
fn host(half: &[(Vec<u8>, Vec<u8>)], full: &[(Vec<u8>, Vec<u8>)]) -> FakeHost {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    let kernel = FakeKernel::new(&host);
    for (name, entries) in TABLES.into_iter().zip([half, full]) {
        let map = kernel.open_map(&shared(name)).expect("opens").expect("is pinned");
        for (key, value) in entries {
            kernel.map_update(&map, key, value).expect("stores");
        }
    }
    host.advance(10 * SECOND);
    host
}

fn shared(name: &str) -> PathBuf {
    Path::new("/sys/fs/bpf/policyc/shared").join(name)
}

#[test]
fn entries_are_read_as_they_are_written() {
    let ends = key(7, 0x0a00_0001, 0xcb00_7109, 443 | 40_000 << 16);
    let other = |n: u64| key(7, n, n, 0);
    let host = host(
        &[
            (ends.clone(), value(20 * SECOND, [0, 1, 0, 0, 0])),
            (other(1), value(20 * SECOND, [1, 0, 0, 0, 0])),
            (other(2), value(10 * SECOND, [1, 0, 0, 0, 0])),
        ],
        &[
            // It moved while the tables were read.
            (ends.clone(), value(70 * SECOND, [0, 1, 0, 0, 0])),
            (other(3), value(20 * SECOND, [0, 1, 1, 1, 0])),
            (other(4), value(20 * SECOND, [0, 1, 1, 0, 1])),
        ],
    );
    let kernel = FakeKernel::new(&host);
    let at = Host { kernel: &kernel, dirs: &Dirs::default() };
    let found = connections(&at).expect("connections");
    let stages: Vec<_> = found.iter().map(|c| c.stage).collect();
    // By their ends; the one that is gone is not among them.
    assert_eq!(stages, [Stage::HalfOpen, Stage::Closing, Stage::Cut, Stage::Established]);
    let moved = found[3];
    let expected = Ends {
        subject: 7,
        protocol: 6,
        own: [10, 0, 0, 1].into(),
        own_port: 443,
        peer: [203, 0, 113, 9].into(),
        peer_port: 40_000,
        own_asks: false,
    };
    assert_eq!((moved.ends, moved.opened, moved.replied), (expected, Direction::Ingress, true));
    assert_eq!(moved.expires, Duration::from_secs(60));
    assert_eq!(moved.age, Duration::from_secs(9));
    assert_eq!(found[0].opened, Direction::Egress);

    let kept = forget(&at, |c| c.stage == Stage::Closing || c.ends == expected).expect("forgets");
    assert_eq!(kept, 2, "one that moved is one");
    assert_eq!(connections(&at).expect("connections").len(), 2);
}

#[test]
fn what_is_missing_is_said() {
    let bare = machine();
    let dirs = Dirs::default();
    let nothing = connections(&Host { kernel: &FakeKernel::new(&bare), dirs: &dirs });
    assert_eq!(nothing, Err(Error::NoConnections("nothing is live")));
    run(&FakeKernel::new(&bare), &FIRST, Options::default()).expect("applies");
    FakeKernel::new(&bare).remove(&shared("ct")).expect("removes");
    let none = connections(&Host { kernel: &FakeKernel::new(&bare), dirs: &dirs });
    assert_eq!(none, Err(Error::NoConnections("what is live keeps none")));
    let kernel = FakeKernel::new(&bare).without(&[Capability::Bpf]);
    let may_not = forget(&Host { kernel: &kernel, dirs: &dirs }, |_| true);
    assert_eq!(may_not, Err(Error::Privileges(vec![Capability::Bpf])));
}

fn socket(local: &str, peer: &str) -> TcpSocket {
    let end = |text: &str| text.parse::<SocketAddr>().expect("an end");
    let state = if peer.is_empty() { TcpState::LISTEN } else { TcpState::ESTABLISHED };
    let peer = if peer.is_empty() { "0.0.0.0:0" } else { peer };
    TcpSocket { state, local: end(local), peer: end(peer), is_v6: false, cgroup: None }
}

/// A machine whose `db` is bound as its own interface, with so many connections.
fn with_sockets(count: u16) -> (FakeHost, (Artifact, Bindings)) {
    let host = machine();
    host.add_socket(None, socket("0.0.0.0:22", ""));
    for number in 0..count {
        host.add_socket(None, socket("10.0.0.1:22", &format!("10.0.0.2:{}", 40_000 + number)));
    }
    let bound = vec![binding("shop/db", Attach::Tc(port("db", Side::Own)))];
    (host, (everything("db"), Bindings::from(bound)))
}

#[test]
fn what_exists_is_adopted_once_and_as_far_as_there_is_room() {
    let adopt = Options { adopt: true, ..Options::default() };
    let (host, what) = with_sockets(2);
    let adopted = |host: &FakeHost| {
        let outcome = run(&FakeKernel::new(host), &what, adopt).expect("applies");
        outcome.adopted.expect("asked for")
    };
    let first = adopted(&host);
    assert_eq!(first.connections, 2);
    let [what_is_missed] = &Vec::from_iter(&first.left_out)[..] else { panic!("{first:?}") };
    assert!(what_is_missed.starts_with("connections of UDP and SCTP"), "{what_is_missed}");
    assert_eq!(adopted(&host).connections, 0, "they are known");
    let known = {
        let kernel = FakeKernel::new(&host);
        connections(&Host { kernel: &kernel, dirs: &Dirs::default() }).expect("connections")
    };
    assert_eq!(known.len(), 2);
    for connection in &known {
        assert_eq!((connection.opened, connection.stage), (Direction::Ingress, Stage::Established));
        assert_eq!(connection.expires, Duration::from_secs(8000));
    }
    host.add_socket(None, socket("10.0.0.1:50000", "10.0.0.2:80"));
    assert_eq!(adopted(&host).connections, 1);
    host.add_socket(None, socket("10.0.0.1:50001", "10.0.0.2:80"));
    host.add_socket(None, socket("10.0.0.1:50002", "10.0.0.2:80"));
    let last = adopted(&host);
    assert_eq!(last.connections, 1, "places for four");
    assert!(last.left_out.iter().any(|what| what.contains("no room")), "{last:?}");
    // When they are gone, there is.
    host.advance(8001 * SECOND);
    assert_eq!(adopted(&host).connections, 4);
}

#[test]
fn without_being_asked_nothing_is_adopted() {
    let (host, what) = with_sockets(1);
    let outcome = run(&FakeKernel::new(&host), &what, Options::default()).expect("applies");
    assert_eq!(outcome.adopted, None);
    let dry = Options { adopt: true, dry_run: true, ..Options::default() };
    run(&FakeKernel::new(&host), &what, dry).expect("would apply");
    let kernel = FakeKernel::new(&host);
    assert_eq!(connections(&Host { kernel: &kernel, dirs: &Dirs::default() }), Ok(Vec::new()));
}

#[test]
fn a_failure_while_adopting_leaves_what_is_live() {
    let adopt = Options { adopt: true, ..Options::default() };
    let (host, what) = with_sockets(1);
    run(&FakeKernel::new(&host), &what, Options::default()).expect("applies");
    let whole = FakeKernel::new(&host);
    run(&whole, &what, adopt).expect("applies");
    let first = whole.calls().iter().position(|call| *call == "tcp_sockets").expect("it asks");
    let (host, what) = with_sockets(1);
    run(&FakeKernel::new(&host), &what, Options::default()).expect("applies");
    let before = judged(&host);
    let failed = run(&FakeKernel::new(&host).failing_at(first, 5), &what, adopt);
    assert!(matches!(failed, Err(Error::Sys { doing: "list sockets", .. })), "{failed:?}");
    assert_eq!(judged(&host), before);
}

#[test]
fn what_is_behind_a_pair_is_adopted_if_something_leads_there() {
    let adopt = Options { adopt: true, ..Options::default() };
    let bound = vec![binding("shop/db", Attach::Tc(port("db", Side::Host)))];
    let what = (everything("db"), Bindings::from(bound));
    for seen in [true, false] {
        let host = machine();
        let pod = Path::new("/run/netns/pod");
        host.add_netns(Some(pod));
        let ifindex = host.add_interface(None, "db");
        host.pair(ifindex, pod);
        host.add_socket(Some(pod), socket("10.0.0.1:50000", "10.0.0.2:80"));
        if !seen {
            host.hide_netns(pod);
        }
        let outcome = run(&FakeKernel::new(&host), &what, adopt).expect("applies");
        let adopted = outcome.adopted.expect("asked for");
        assert_eq!(adopted.connections, usize::from(seen));
        let said = adopted.left_out.iter().any(|what| {
            what.starts_with("connections of `shop/db`: nothing leads to its network namespace")
        });
        assert_eq!(said, !seen, "{adopted:?}");
    }
}
