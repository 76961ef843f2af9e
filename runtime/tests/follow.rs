//! Cgroups that are followed by their paths, with a kill at every call.

mod common;
mod machine;

use std::path::Path;

use machine::{FIRST, at, binding, everything, machine, run, state_dir_only};
use policyc_bpf::Artifact;
use policyc_runtime::{Attach, Bindings, Dirs, Drift, Options, remove, status};
use policyc_sys::kernel::{FakeHost, FakeKernel};

const SLICE: &str = "/sys/fs/cgroup/shop.slice";
const UNIT: &str = "/sys/fs/cgroup/shop.slice/web.service";

fn followed() -> (Artifact, Bindings) {
    let attach = Attach::Cgroup { path: UNIT.into(), at: Some(SLICE.into()) };
    (everything("followed"), Bindings::from(vec![binding("shop/web", attach)]))
}

fn with_slice() -> FakeHost {
    let host = machine();
    host.add_cgroup(Path::new(SLICE));
    host
}

/// The cgroup ids that the attached gates judge.
fn members(host: &FakeHost) -> Vec<u64> {
    let gates = host.attached().into_iter().filter_map(|attached| {
        let members = attached.prog.map("members").filter(|_| attached.prog.map("slots").is_some());
        let id: u32 = attached.prog.name().strip_prefix("gate_")?.parse().ok()?;
        let value = members?.value(&id.to_ne_bytes()).expect("an array");
        Some(u64::from_ne_bytes(value.try_into().expect("eight bytes")))
    });
    gates.collect()
}

fn id(host: &FakeHost) -> u64 {
    policyc_sys::Kernel::cgroup_id(&FakeKernel::new(host), Path::new(UNIT)).expect("a cgroup")
}

#[test]
fn a_cgroup_that_is_made_again_is_judged() {
    let host = with_slice();
    run(&FakeKernel::new(&host), &followed(), Options::default()).expect("applies");
    assert_eq!(members(&host), [0, 0], "it is not there yet");
    for _ in 0..3 {
        host.add_cgroup(Path::new(UNIT));
        assert_eq!(members(&host), [id(&host); 2]);
        host.remove_cgroup(Path::new(UNIT));
    }
    host.add_cgroup(Path::new(UNIT));
    // A later generation keeps its gates, and with them what they follow.
    run(&FakeKernel::new(&host), &followed(), Options::default()).expect("applies");
    assert_eq!(members(&host), [id(&host); 2]);
    let (kernel, dirs) = (FakeKernel::new(&host), Dirs::default());
    let live = status(&at(&kernel, &dirs)).expect("status").live.expect("live");
    assert!(!live.has_drift(), "{live:?}");
}

#[test]
fn what_does_not_follow_any_more_is_told() {
    let host = with_slice();
    run(&FakeKernel::new(&host), &followed(), Options::default()).expect("applies");
    let (kernel, dirs) = (FakeKernel::new(&host), Dirs::default());
    let link = dirs.pins().join("cgroups").join("link");
    policyc_sys::Kernel::remove(&kernel, &link).expect("unpins");
    let live = status(&at(&kernel, &dirs)).expect("status").live.expect("live");
    let drifts: Vec<_> = live.gates.iter().filter_map(|gate| gate.drift).collect();
    assert_eq!(drifts, [Drift::Unfollowed; 2]);
}

#[test]
fn a_gate_that_takes_the_id_of_another_follows_its_own_path_only() {
    let host = with_slice();
    run(&FakeKernel::new(&host), &followed(), Options::default()).expect("applies");
    let other = "/sys/fs/cgroup/shop.slice/db.service";
    let attach = Attach::Cgroup { path: other.into(), at: Some(SLICE.into()) };
    let db = (everything("db"), Bindings::from(vec![binding("shop/db", attach)]));
    // The second time its gates have the ids that the first ones had.
    for what in [&db, &followed(), &db] {
        run(&FakeKernel::new(&host), what, Options::default()).expect("applies");
    }
    host.add_cgroup(Path::new(UNIT));
    assert_eq!(members(&host), [0, 0], "the gates of another");
    host.add_cgroup(Path::new(other));
    assert!(members(&host).iter().all(|id| *id != 0));
}

#[test]
fn a_kill_at_any_call_leaves_nothing_that_the_next_command_does_not_tidy() {
    let calls = {
        let host = with_slice();
        let kernel = FakeKernel::new(&host);
        run(&kernel, &followed(), Options::default()).expect("applies");
        kernel.calls().len()
    };
    let expected = {
        let host = with_slice();
        run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
        names(&state_dir_only(&host))
    };
    for call in 0..calls {
        let host = with_slice();
        let kernel = FakeKernel::new(&host).killed_at(call);
        let result = run(&kernel, &followed(), Options::default());
        assert!(result.is_err(), "it was killed");
        let what = format!("call {call}, {}", kernel.calls()[call]);
        drop(kernel);
        run(&FakeKernel::new(&host), &FIRST, Options::default())
            .unwrap_or_else(|error| panic!("after {what}: {error}"));
        assert_eq!(names(&state_dir_only(&host)), expected, "after {what}");
        // And the same binding can be applied after all.
        run(&FakeKernel::new(&host), &followed(), Options::default())
            .unwrap_or_else(|error| panic!("after {what}: {error}"));
        host.add_cgroup(Path::new(UNIT));
        assert_eq!(members(&host), [id(&host); 2], "after {what}");
        let (kernel, dirs) = (FakeKernel::new(&host), Dirs::default());
        remove(&at(&kernel, &dirs), true).expect("removes");
        assert_eq!(state_dir_only(&host), [""; 0], "after {what}");
    }
}

/// Leftovers without numbers, and without the copies: those of a generation that was
/// live are kept for its events.
fn names(lines: &[String]) -> Vec<String> {
    let letters = |line: &String| line.chars().filter(|c| !c.is_ascii_digit()).collect();
    let is_copy = |line: &&String| line.contains("/var/lib/policyc/generations");
    let mut names: Vec<String> = lines.iter().filter(|line| !is_copy(line)).map(letters).collect();
    names.sort();
    names
}
