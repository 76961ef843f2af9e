//! Tables of connections, as bytes that a program could have written, on a host in
//! memory.

mod common;
mod machine;

use std::path::{Path, PathBuf};
use std::time::Duration;

use machine::{FIRST, machine, run};
use policyc_bpf::Direction;
use policyc_runtime::{Dirs, Ends, Error, Host, Options, Stage, connections, forget};
use policyc_sys::Kernel as _;
use policyc_sys::host::Capability;
use policyc_sys::kernel::{FakeHost, FakeKernel};

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

#[test]
fn what_is_gone_is_not_listed_and_goes_with_what_is_forgotten() {
    let other = |n: u64| key(7, n, n, 0);
    // One of another subject is not asked for.
    let gone = value(10 * SECOND, [0, 1, 0, 0, 0]);
    let foreign = key(8, 9, 9, 0);
    let host = host(
        &[(other(1), gone.clone())],
        &[
            (other(2), gone.clone()),
            (other(3), value(20 * SECOND, [0, 1, 0, 0, 0])),
            (foreign.clone(), gone.clone()),
        ],
    );
    let kernel = FakeKernel::new(&host);
    let at = Host { kernel: &kernel, dirs: &Dirs::default() };
    assert_eq!(connections(&at).expect("connections").len(), 1);
    assert_eq!(forget(&at, |c| c.ends.subject == 7), Ok(1), "one was there");
    let left = TABLES.map(|name| {
        let map = kernel.open_map(&shared(name)).expect("opens").expect("is pinned");
        let entries = kernel.map_entries(&map).expect("entries");
        entries.iter().map(|(key, _)| key.to_vec()).collect::<Vec<_>>()
    });
    assert_eq!(left, [vec![], vec![foreign]]);
}
