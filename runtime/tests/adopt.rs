//! Connections from before, on a host in memory: adopted as far as there is room, and
//! taken back where what they were adopted for does not stay, with a failure and a kill
//! at every call.

mod common;
mod machine;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use machine::{at, binding, everything, judged, machine, port, run};
use policyc_bpf::{Artifact, Direction};
use policyc_runtime::{
    Attach, Attached, Bindings, Connection, Dirs, Error, Host, Options, Side, Stage, attach,
    confirm, connections, rollback,
};
use policyc_sys::errno;
use policyc_sys::kernel::{FakeHost, FakeKernel};
use policyc_sys::net::{TcpSocket, TcpState};

const SECOND: u64 = 1_000_000_000;
const ADOPT: Options =
    Options { adopt: true, dry_run: false, confirm: None, report_forwarded: false };

fn socket(local: &str, peer: &str) -> TcpSocket {
    let end = |text: &str| text.parse::<SocketAddr>().expect("an end");
    let state = if peer.is_empty() { TcpState::LISTEN } else { TcpState::ESTABLISHED };
    let peer = if peer.is_empty() { "0.0.0.0:0" } else { peer };
    TcpSocket { state, local: end(local), peer: end(peer), is_v6_only: false, cgroup: None }
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

/// What is live knows one connection by an adoption of its own; another one came then.
fn with_one_known() -> (FakeHost, (Artifact, Bindings)) {
    let (host, what) = with_sockets(1);
    run(&FakeKernel::new(&host), &what, ADOPT).expect("applies");
    host.add_socket(None, socket("10.0.0.1:50000", "10.0.0.2:80"));
    (host, what)
}

fn known(host: &FakeHost) -> Vec<Connection> {
    connections(&at(&FakeKernel::new(host), &Dirs::default())).expect("connections")
}

#[test]
fn what_an_apply_wrote_that_fails_is_taken_back() {
    let calls = {
        let (host, what) = with_one_known();
        let kernel = FakeKernel::new(&host);
        let outcome = run(&kernel, &what, ADOPT).expect("applies");
        assert_eq!(outcome.adopted.expect("asked for").connections, 1);
        kernel.calls()
    };
    for (at_call, call) in calls.iter().enumerate() {
        for is_killed in [false, true] {
            let (host, what) = with_one_known();
            let (before, knew) = (judged(&host), known(&host));
            let kernel = FakeKernel::new(&host);
            let kernel = match is_killed {
                true => kernel.killed_at(at_call),
                false => kernel.failing_at(at_call, errno::EIO),
            };
            let result = run(&kernel, &what, ADOPT);
            drop(kernel);
            let what = format!("{at_call} {call}, killed: {is_killed}: {result:?}");
            if is_killed {
                // The next command, whatever it is about, takes it back.
                let kernel = FakeKernel::new(&host);
                assert_eq!(rollback(&at(&kernel, &Dirs::default())), Err(Error::NothingPending));
            }
            let is_live = judged(&host) != before;
            let knows = if is_live { 2 } else { 1 };
            let now = known(&host);
            assert_eq!(now.len(), knows, "{what}");
            assert!(now.contains(&knew[0]), "{what}");
        }
    }
}

#[test]
fn what_an_unconfirmed_one_wrote_is_taken_back_with_it() {
    let pending = Options { confirm: Some(Duration::from_secs(30)), ..ADOPT };
    let dirs = Dirs::default();
    let stage = || {
        let (host, what) = with_one_known();
        let knew = known(&host);
        let outcome = run(&FakeKernel::new(&host), &what, pending).expect("applies");
        assert_eq!(outcome.adopted.expect("asked for").connections, 1);
        assert_eq!(known(&host).len(), 2);
        (host, what, knew)
    };
    let (host, _, knew) = stage();
    rollback(&at(&FakeKernel::new(&host), &dirs)).expect("goes back");
    assert_eq!(known(&host), knew);

    let (host, _, knew) = stage();
    host.advance(31 * SECOND);
    assert_eq!(known(&host).len(), 2, "no process was there");
    let late = confirm(&at(&FakeKernel::new(&host), &dirs));
    assert!(matches!(late, Err(Error::TooLate { .. })), "{late:?}");
    let ends = |known: &[Connection]| known.iter().map(|c| c.ends).collect::<Vec<_>>();
    assert_eq!(ends(&known(&host)), ends(&knew));

    let (host, what, _) = stage();
    confirm(&at(&FakeKernel::new(&host), &dirs)).expect("confirms");
    assert_eq!(known(&host).len(), 2);
    // Nor does the next one that goes back.
    run(&FakeKernel::new(&host), &what, pending).expect("applies");
    rollback(&at(&FakeKernel::new(&host), &dirs)).expect("goes back");
    assert_eq!(known(&host).len(), 2);
}

/// Binds the place once more, or another one beside it, and adopts.
fn attach_there(kernel: &FakeKernel, is_new: bool) -> Result<Attached, Error> {
    let mut more = vec![binding("shop/db", Attach::Tc(port("db", Side::Own)))];
    if is_new {
        more.push(binding("shop/db", Attach::Xdp(port("db", Side::Own))));
    }
    attach(&at(kernel, &Dirs::default()), &more, true)
}

#[test]
fn where_it_is_judged_already_is_adopted_too() {
    let (host, _) = with_one_known();
    let before = judged(&host);
    let attached = attach_there(&FakeKernel::new(&host), false).expect("adopts");
    assert_eq!(attached.points, []);
    assert_eq!(attached.adopted.expect("asked for").connections, 1);
    assert_eq!((known(&host).len(), judged(&host)), (2, before));
    let again = attach_there(&FakeKernel::new(&host), false).expect("adopts");
    assert_eq!(again.adopted.expect("asked for").connections, 0);
}

#[test]
fn what_an_attach_wrote_that_fails_is_taken_back() {
    for is_new in [false, true] {
        let calls = {
            let (host, _) = with_one_known();
            let kernel = FakeKernel::new(&host);
            let attached = attach_there(&kernel, is_new).expect("attaches");
            assert_eq!(attached.points.len(), usize::from(is_new));
            kernel.calls()
        };
        for (at_call, call) in calls.iter().enumerate() {
            for is_killed in [false, true] {
                let (host, _) = with_one_known();
                let (before, knew) = (judged(&host), known(&host));
                let kernel = FakeKernel::new(&host);
                let kernel = match is_killed {
                    true => kernel.killed_at(at_call),
                    false => kernel.failing_at(at_call, errno::EIO),
                };
                let result = attach_there(&kernel, is_new);
                drop(kernel);
                if is_killed {
                    let kernel = FakeKernel::new(&host);
                    let _ = rollback(&at(&kernel, &Dirs::default()));
                }
                let what = format!("{at_call} {call}, killed: {is_killed}: {result:?}");
                let now = known(&host);
                assert!(now.contains(&knew[0]), "{what}");
                if result.is_err() && !is_killed || now.len() == 1 {
                    assert_eq!((now, judged(&host)), (knew, before), "{what}");
                } else {
                    assert_eq!(judged(&host).len(), before.len() + usize::from(is_new), "{what}");
                }
            }
        }
    }
}
