//! Members of run-time sets on a host in memory: what a new generation begins with, what
//! is refused, and what a killed command leaves.

mod common;
mod machine;

use std::path::PathBuf;

use machine::{FIRST, at, machine, run};
use policyc_bpf::manifest::{RuntimeSet, SetKind};
use policyc_bpf::sets::{FACT, KEY, MEMBERS, Member, Prefix, SETS, VALUE, View, fact, read_fact};
use policyc_bpf::{Artifact, MapKind, MapRole, MapSpec};
use policyc_runtime::{Bindings, Dirs, Error, Members, Options, Patched, patch};
use policyc_sys::Kernel as _;
use policyc_sys::kernel::{FakeHost, FakeKernel};

fn prefixes(text: &str) -> Vec<Prefix> {
    text.split_whitespace().map(|prefix| prefix.parse().expect("a prefix")).collect()
}

fn map(name: &str, kind: MapKind, sizes: (usize, usize)) -> MapSpec {
    MapSpec {
        name: name.to_owned(),
        kind,
        key_size: sizes.0 as u32,
        value_size: sizes.1 as u32,
        max_entries: 1024,
        flags: 1,
        role: MapRole::Binding,
        contents: Vec::new(),
    }
}

/// The first artifact with sets that have these members, by their ids from 1 on.
fn with_sets(kind: SetKind, members: &[&str]) -> (Artifact, Bindings) {
    let mut object = FIRST.0.object().clone();
    object.maps.push(map(SETS, MapKind::LpmTrie, (KEY, VALUE)));
    object.maps.push(map(MEMBERS, MapKind::Hash, (FACT, 8)));
    let mut manifest = FIRST.0.manifest().clone();
    let sets = (1..).zip(members).map(|(id, members)| RuntimeSet {
        id,
        kind,
        name: format!("g{id}"),
        except: Vec::new(),
        members: prefixes(members),
        barred: vec!["192.0.2.7".parse().expect("an address")],
    });
    manifest.sets = sets.collect();
    (Artifact::build(manifest, &object).expect("a sound object"), FIRST.1.clone())
}

fn apply(host: &FakeHost, members: &[&str]) -> Result<(), Error> {
    let what = with_sets(SetKind::Group, members);
    run(&FakeKernel::new(host), &what, Options::default()).map(drop)
}

fn change(kernel: &FakeKernel, id: u64, members: &str) -> Result<Patched, Error> {
    patch(&at(kernel, &Dirs::default()), &[Members { id, prefixes: prefixes(members) }])
}

fn pin(generation: u64, name: &str) -> PathBuf {
    format!("/sys/fs/bpf/policyc/generations/{generation}/maps/{name}").into()
}

/// The members of each set, as the facts of a generation say; panics if its view is
/// another.
fn members(host: &FakeHost, generation: u64, sets: u64) -> Vec<String> {
    let kernel = FakeKernel::new(host);
    let open = |name| kernel.open_map(&pin(generation, name)).expect("opens").expect("is pinned");
    let entries = |name| kernel.map_entries(&open(name)).expect("reads");
    let mut facts: Vec<Vec<Member>> = vec![Vec::new(); sets as usize];
    for (key, _) in entries(MEMBERS).iter() {
        let (id, prefix) = read_fact(key).expect("a fact");
        facts[id as usize - 1].extend(prefix.map(Member::forever));
    }
    facts.iter_mut().for_each(|members| members.sort());
    let view = View::read(entries(SETS).iter()).expect("a view");
    assert_eq!(View::new(&facts), Ok(view), "the view is that of the facts");
    let text = |members: &Vec<Member>| {
        members.iter().map(|member| member.prefix.to_string()).collect::<Vec<_>>().join(" ")
    };
    facts.iter().map(text).collect()
}

#[test]
fn live_members_go_on_until_an_artifact_says_something_else() {
    let host = machine();
    apply(&host, &["10.0.0.0/8", ""]).expect("applies");
    assert_eq!(members(&host, 1, 2), ["10.0.0.0/8", ""]);
    let kernel = FakeKernel::new(&host);
    let patched = change(&kernel, 2, "10.1.0.0/16 2001:db8::/32").expect("patches");
    assert_eq!((patched.generation, &patched.members[..]), (1, &[(0, 2)][..]));
    change(&kernel, 1, "10.0.0.0/9").expect("patches");
    let changed = ["10.0.0.0/9", "10.1.0.0/16 2001:db8::/32"];
    assert_eq!(members(&host, 1, 2), changed);

    apply(&host, &["10.0.0.0/8", ""]).expect("swaps");
    assert_eq!(members(&host, 2, 2), changed, "what was built is the same");
    apply(&host, &["10.0.0.0/8", "", "::/0"]).expect("swaps");
    assert_eq!(members(&host, 3, 3), [changed[0], changed[1], "::/0"]);
    apply(&host, &["203.0.113.0/24", "", "::/0"]).expect("swaps");
    assert_eq!(members(&host, 4, 3), ["203.0.113.0/24", changed[1], "::/0"]);
}

#[test]
fn what_is_refused_changes_nothing() {
    let host = machine();
    let nothing = change(&FakeKernel::new(&host), 1, "10.0.0.0/8");
    assert_eq!(nothing, Err(Error::NothingLive));
    let nested = ["10.0.0.0/8"; 8];
    apply(&host, &[&nested[..], &[""]].concat()).expect("applies");
    let before = members(&host, 1, 9);
    let refused = |id, members: &str| {
        let error = change(&FakeKernel::new(&host), id, members).expect_err("refused");
        assert!(!error.help().is_empty());
        error.to_string()
    };
    let too_many = "`10.0.0.0/30` is in 9 run-time sets, and 8 is the most";
    assert_eq!(refused(9, "10.0.0.0/30"), too_many);
    let barred = "`192.0.2.7` cannot be of `g9`: it is the backend of a service";
    assert_eq!(refused(9, "192.0.2.0/24"), barred);
    assert_eq!(refused(77, ""), "what is live has no run-time set of this id");
    assert_eq!(members(&host, 1, 9), before);

    let many = ["10.0.0.0/8"; 9];
    let error = apply(&host, &many).expect_err("refused");
    assert_eq!(error.to_string(), "`10.0.0.0/8` is in 9 run-time sets, and 8 is the most");
    assert_eq!(members(&host, 1, 9), before, "what was live still is");
}

#[test]
fn a_killed_patch_is_finished_by_the_same_again() {
    const TO: &str = "10.0.0.0/8 10.2.0.0/16 203.0.113.0/24";
    let stage = || {
        let host = machine();
        apply(&host, &["10.0.0.0/9 10.1.0.0/16", "10.0.0.0/8"]).expect("applies");
        host
    };
    let calls = {
        let host = stage();
        let kernel = FakeKernel::new(&host);
        change(&kernel, 1, TO).expect("patches");
        kernel.calls().len()
    };
    assert!(calls > 10);
    for at in 0..calls {
        let host = stage();
        // What a look at a gate says is not needed, so it need not fail.
        let _ = change(&FakeKernel::new(&host).killed_at(at), 1, TO);
        change(&FakeKernel::new(&host), 1, TO).expect("patches");
        assert_eq!(members(&host, 1, 2), [TO, "10.0.0.0/8"], "killed at call {at}");

        let host = stage();
        let _ = change(&FakeKernel::new(&host).failing_at(at, 5), 1, TO);
        change(&FakeKernel::new(&host), 1, TO).expect("patches");
        assert_eq!(members(&host, 1, 2), [TO, "10.0.0.0/8"], "failed at call {at}");
    }
}

#[test]
fn members_that_ended_are_not_carried() {
    let host = machine();
    apply(&host, &["10.0.0.0/8"]).expect("applies");
    let kernel = FakeKernel::new(&host);
    let facts = kernel.open_map(&pin(1, MEMBERS)).expect("opens").expect("is pinned");
    for (prefix, expires) in [("10.1.0.0/16", 1_u64 << 20), ("10.2.0.0/16", 1 << 40)] {
        let prefix = prefix.parse().expect("a prefix");
        kernel.map_update(&facts, &fact(1, prefix), &expires.to_ne_bytes()).expect("stores");
    }
    host.advance(1 << 30);
    apply(&host, &["10.0.0.0/8"]).expect("swaps");
    let kernel = FakeKernel::new(&host);
    let facts = kernel.open_map(&pin(2, MEMBERS)).expect("opens").expect("is pinned");
    // With the marker.
    assert_eq!(kernel.map_entries(&facts).expect("reads").iter().count(), 3);
}

#[test]
fn an_address_is_one_workloads() {
    let host = machine();
    let what = with_sets(SetKind::Workload { labels: 7 }, &["10.0.0.1/32", "10.0.0.2/32"]);
    run(&FakeKernel::new(&host), &what, Options::default()).expect("applies");
    let error = change(&FakeKernel::new(&host), 1, "10.0.0.2/32").expect_err("refused");
    assert_eq!(error.to_string(), "`10.0.0.2/32` would be the address of `g1` and of `g2`");
    assert!(!error.help().is_empty());
    assert_eq!(members(&host, 1, 2), ["10.0.0.1/32", "10.0.0.2/32"]);
    change(&FakeKernel::new(&host), 2, "").expect("patches");
    change(&FakeKernel::new(&host), 1, "10.0.0.2/32").expect("patches");
    assert_eq!(members(&host, 1, 2), ["10.0.0.2/32", ""]);
}
