//! Members of run-time sets on a host in memory: what a new generation begins with, what
//! is refused, and what a killed command leaves.

mod common;
mod machine;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use machine::{FIRST, at, machine, run};
use policyc_bpf::manifest::{RuntimeSet, SetKind};
use policyc_bpf::sets::{FACT, KEY, MEMBERS, Member, Prefix, SETS, VALUE, View, fact};
use policyc_bpf::{Artifact, MapKind, MapRole, MapSpec};
use policyc_runtime::{
    Bindings, Dirs, Error, Members, Options, Outcome, Patch, Patched, confirm, status,
};
use policyc_sys::Kernel as _;
use policyc_sys::bpf::Entries;
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

/// Sets of groups that have these members, by their ids from 1 on.
fn sets(kind: SetKind, members: &[&str]) -> Vec<RuntimeSet> {
    let set = |(id, members): (u64, &&str)| RuntimeSet {
        id,
        kind,
        name: format!("g{id}"),
        except: Vec::new(),
        members: prefixes(members),
        barred: vec!["192.0.2.7".parse().expect("an address")],
    };
    (1..).zip(members).map(set).collect()
}

/// The first artifact with these sets.
fn with_sets(sets: Vec<RuntimeSet>) -> (Artifact, Bindings) {
    let mut object = FIRST.0.object().clone();
    object.maps.push(map(SETS, MapKind::LpmTrie, (KEY, VALUE)));
    object.maps.push(map(MEMBERS, MapKind::Hash, (FACT, 8)));
    let mut manifest = FIRST.0.manifest().clone();
    manifest.sets = sets;
    (Artifact::build(manifest, &object).expect("a sound object"), FIRST.1.clone())
}

fn apply_sets(host: &FakeHost, sets: Vec<RuntimeSet>) -> Result<Outcome, Error> {
    run(&FakeKernel::new(host), &with_sets(sets), Options::default())
}

fn apply(host: &FakeHost, members: &[&str]) -> Result<Outcome, Error> {
    apply_sets(host, sets(SetKind::Group, members))
}

fn change(kernel: &FakeKernel, id: u64, members: &str) -> Result<(u64, Vec<Patched>), Error> {
    let dirs = Dirs::default();
    let host = at(kernel, &dirs);
    let patch = Patch::open(&host)?;
    let generation = patch.generation;
    let change = patch.plan(&[Members { id, prefixes: prefixes(members) }])?;
    patch.make(&change)?;
    Ok((generation, change.patched))
}

fn pin(generation: u64, name: &str) -> PathBuf {
    format!("/sys/fs/bpf/policyc/generations/{generation}/maps/{name}").into()
}

/// What a generation knows of each group, by id; panics if its programs see something
/// else.
fn members(host: &FakeHost, generation: u64) -> Vec<String> {
    let kernel = FakeKernel::new(host);
    let copy = Dirs::default().state.join(format!("generations/{generation}"));
    let read = |name| kernel.read_file(&copy.join(name)).expect("reads").expect("is there");
    let known: serde_json::Value = serde_json::from_slice(&read("members.json")).expect("JSON");
    let groups = known["groups"].as_object().expect("groups");
    let known: BTreeMap<u64, Vec<Prefix>> = groups
        .iter()
        .map(|(id, group)| {
            let members = serde_json::from_value(group["members"].clone()).expect("prefixes");
            (id.parse().expect("an id"), members)
        })
        .collect();
    let artifact = Artifact::from_bytes(&read("artifact")).expect("an artifact");
    let of = |set: &RuntimeSet| -> Vec<Member> {
        let parts = known[&set.id].iter().flat_map(|prefix| prefix.without(&set.except));
        parts.map(Member::forever).collect()
    };
    let expected: Vec<_> = artifact.manifest().sets.iter().map(of).collect();
    if !expected.is_empty() {
        assert_eq!(View::new(&expected), Ok(view(host, generation)), "what programs see");
    }
    known.values().map(|members| text(members)).collect()
}

fn text(members: &[Prefix]) -> String {
    members.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn entries(host: &FakeHost, generation: u64, name: &str) -> Entries {
    let kernel = FakeKernel::new(host);
    let map = kernel.open_map(&pin(generation, name)).expect("opens").expect("is pinned");
    kernel.map_entries(&map).expect("reads")
}

fn view(host: &FakeHost, generation: u64) -> View {
    View::read(entries(host, generation, SETS).iter()).expect("a view")
}

/// What a program finds for an address: the value of the longest prefix around it.
fn seen(host: &FakeHost, address: &str) -> Vec<u8> {
    let address = address.parse().expect("an address");
    let entries = entries(host, 1, SETS);
    let prefix = |key| Prefix::from_key(key).expect("a key");
    let around = entries.iter().filter(|(key, _)| prefix(key).has(address));
    let longest = around.max_by_key(|(key, _)| prefix(key).length());
    longest.map_or(vec![0; VALUE], |(_, value)| value.to_vec())
}

#[test]
fn live_members_go_on_until_an_artifact_says_something_else() {
    let host = machine();
    apply(&host, &["10.0.0.0/8", ""]).expect("applies");
    assert_eq!(members(&host, 1), ["10.0.0.0/8", ""]);
    let kernel = FakeKernel::new(&host);
    let (generation, patched) = change(&kernel, 2, "10.1.0.0/16 2001:db8::/32").expect("patches");
    assert_eq!((generation, patched[0].difference().0.len()), (1, 2));
    change(&kernel, 1, "10.0.0.0/9").expect("patches");
    let changed = ["10.0.0.0/9", "10.1.0.0/16 2001:db8::/32"];
    assert_eq!(members(&host, 1), changed);

    apply(&host, &["10.0.0.0/8", ""]).expect("swaps");
    assert_eq!(members(&host, 2), changed, "what was built is the same");
    let swapped = apply(&host, &["10.0.0.0/8", "", "::/0"]).expect("swaps");
    assert_eq!(members(&host, 3), [changed[0], changed[1], "::/0"]);
    assert!(swapped.replaced.is_empty());
    let swapped = apply(&host, &["203.0.113.0/24", "", "::/1"]).expect("swaps");
    assert_eq!(members(&host, 4), ["203.0.113.0/24", changed[1], "::/1"]);
    assert_eq!(swapped.replaced, ["g1"], "what was patched and is not any more");
}

#[test]
fn a_reference_with_other_exceptions_is_the_same_group() {
    let host = machine();
    let but = |except: &[&str]| {
        let of = |except: &&str| RuntimeSet {
            except: prefixes(except),
            ..sets(SetKind::Group, &["10.0.0.0/8"]).remove(0)
        };
        except.iter().map(of).collect()
    };
    apply_sets(&host, but(&["10.0.0.0/16"])).expect("applies");
    change(&FakeKernel::new(&host), 1, "10.0.0.0/15 2001:db8::/32").expect("patches");
    assert_eq!(members(&host, 1), ["10.0.0.0/15 2001:db8::/32"]);
    assert_eq!(view(&host, 1).len(), 2, "10.1.0.0/16 and the other");
    // It changes, one is added, and all go.
    for (generation, except) in [(2, &["10.1.0.0/16"][..]), (3, &["10.1.0.0/16", ""]), (4, &[""])] {
        apply_sets(&host, but(except)).expect("swaps");
        assert_eq!(members(&host, generation), ["10.0.0.0/15 2001:db8::/32"]);
    }
}

#[test]
fn a_group_that_no_rule_names_for_a_while_is_not_forgotten() {
    let host = machine();
    apply(&host, &["10.0.0.0/8", "10.0.0.0/8"]).expect("applies");
    change(&FakeKernel::new(&host), 2, "10.2.0.0/16").expect("patches");
    apply(&host, &["10.0.0.0/8"]).expect("swaps");
    assert_eq!(members(&host, 2), ["10.0.0.0/8", "10.2.0.0/16"]);
    assert_eq!(view(&host, 2).len(), 1);
    let (_, patched) = change(&FakeKernel::new(&host), 2, "10.3.0.0/16").expect("patches");
    assert!(!patched[0].is_named);
    // Nor where no set is named at all.
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("swaps");
    assert_eq!(members(&host, 3), ["10.3.0.0/16"], "nobody patched the other");
    change(&FakeKernel::new(&host), 2, "10.4.0.0/16").expect("patches");
    apply(&host, &["", "10.0.0.0/8"]).expect("swaps");
    assert_eq!(members(&host, 4), ["", "10.4.0.0/16"]);
    let swapped = apply(&host, &["", "10.5.0.0/16"]).expect("swaps");
    assert_eq!(swapped.replaced, ["g2"]);
}

#[test]
fn groups_go_on_after_a_boot_and_workloads_do_not() {
    for (kind, after) in
        [(SetKind::Group, "10.1.0.0/16"), (SetKind::Workload { labels: 7 }, "10.0.0.1/32")]
    {
        let host = machine();
        apply_sets(&host, sets(kind, &["10.0.0.1/32"])).expect("applies");
        change(&FakeKernel::new(&host), 1, "10.1.0.0/16").expect("patches");
        host.reboot();
        host.add_cgroup(&machine::cgroup());
        apply_sets(&host, sets(kind, &["10.0.0.1/32"])).expect("applies");
        assert_eq!(members(&host, 2), [after]);
    }
}

#[test]
fn addresses_of_other_labels_are_not_the_workloads() {
    let host = machine();
    let of = |labels| sets(SetKind::Workload { labels }, &["10.0.0.1/32"]);
    apply_sets(&host, of(7)).expect("applies");
    change(&FakeKernel::new(&host), 1, "10.0.0.2/32").expect("patches");
    let swapped = apply_sets(&host, of(8)).expect("swaps");
    assert_eq!(members(&host, 2), ["10.0.0.1/32"]);
    assert_eq!(swapped.replaced, ["g1"]);
}

#[test]
fn a_rollback_finds_what_its_generation_knew() {
    let host = machine();
    apply(&host, &["10.0.0.0/8"]).expect("applies");
    change(&FakeKernel::new(&host), 1, "10.1.0.0/16").expect("patches");
    let confirm = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    let what = with_sets(sets(SetKind::Group, &["10.9.0.0/16"]));
    run(&FakeKernel::new(&host), &what, confirm).expect("swaps");
    let pending = change(&FakeKernel::new(&host), 1, "").expect_err("refused");
    assert!(matches!(pending, Error::Pending { generation: 2, .. }), "{pending}");
    host.advance(60_000_000_000);
    change(&FakeKernel::new(&host), 1, "10.2.0.0/16").expect("patches");
    assert_eq!(members(&host, 1), ["10.2.0.0/16"]);
}

#[test]
fn what_is_refused_changes_nothing() {
    let host = machine();
    let nothing = change(&FakeKernel::new(&host), 1, "10.0.0.0/8");
    assert_eq!(nothing, Err(Error::NothingLive));
    let nested = ["10.0.0.0/8"; 8];
    apply(&host, &[&nested[..], &[""]].concat()).expect("applies");
    let before = members(&host, 1);
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
    assert_eq!(members(&host, 1), before);

    let many = ["10.0.0.0/8"; 9];
    let error = apply(&host, &many).expect_err("refused");
    assert_eq!(error.to_string(), "`10.0.0.0/8` is in 9 run-time sets, and 8 is the most");
    assert_eq!(members(&host, 1), before, "what was live still is");

    // Of whom the next artifact sends to a service, it cannot know better.
    change(&FakeKernel::new(&host), 9, "198.51.100.0/24").expect("patches");
    let mut sets = sets(SetKind::Group, &[&nested[..], &[""]].concat());
    sets[8].barred.push("198.51.100.9".parse().expect("an address"));
    let error = apply_sets(&host, sets).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "`198.51.100.9` cannot be of `g9`: it is the backend of a service"
    );
}

const FROM: &str = "10.0.0.0/9 10.1.0.0/16";
const TO: &str = "10.0.0.0/8 10.2.0.0/16 203.0.113.0/24";
const OTHER: &str = "10.0.0.0/8";
const ADDRESSES: [&str; 6] =
    ["9.0.0.0", "10.0.0.0", "10.1.0.0", "10.2.0.0", "10.128.0.0", "203.0.113.9"];

/// A command that changes something, or would.
type Command = fn(&FakeHost);

fn before() -> FakeHost {
    let host = machine();
    apply(&host, &[FROM, OTHER]).expect("applies");
    host
}

fn saw(host: &FakeHost) -> [Vec<u8>; 6] {
    ADDRESSES.map(|address| seen(host, address))
}

/// How many calls a patch makes.
fn calls() -> usize {
    let host = before();
    let kernel = FakeKernel::new(&host);
    change(&kernel, 1, TO).expect("patches");
    assert_eq!(members(&host, 1), [TO, OTHER]);
    kernel.calls().len()
}

#[test]
fn of_a_killed_patch_everybody_is_old_or_new_and_the_next_command_finishes() {
    let (old, host) = (saw(&before()), before());
    change(&FakeKernel::new(&host), 1, TO).expect("patches");
    let (new, calls) = (saw(&host), calls());
    assert!(calls > 10);
    let next: [(&str, Command); 4] = [
        ("apply", |host| drop(apply(host, &[FROM, OTHER]).expect("swaps"))),
        ("patch", |host| drop(change(&FakeKernel::new(host), 2, OTHER).expect("patches"))),
        ("confirm", |host| {
            let nothing = confirm(&at(&FakeKernel::new(host), &Dirs::default()));
            assert_eq!(nothing, Err(Error::NothingPending));
        }),
        ("the same", |host| drop(change(&FakeKernel::new(host), 1, TO).expect("patches"))),
    ];
    let (mut untidy, mut finished) = (0, 0);
    for call in 0..calls {
        for (name, command) in next {
            let host = before();
            change(&FakeKernel::new(&host).killed_at(call), 1, TO).expect_err("is killed");
            for ((seen, old), new) in saw(&host).iter().zip(&old).zip(&new) {
                assert!(seen == old || seen == new, "killed at call {call}");
            }
            let status = status(&at(&FakeKernel::new(&host), &Dirs::default())).expect("a status");
            command(&host);
            let generation = if name == "apply" { 2 } else { 1 };
            let known = members(&host, generation);
            let is_new = known == [TO, OTHER];
            assert!(is_new || known == [FROM, OTHER], "{name} after call {call}: {known:?}");
            assert!(is_new || name != "the same", "it does not finish");
            assert!(is_new || !status.untidy, "what is begun is finished");
            untidy += usize::from(status.untidy);
            finished += usize::from(is_new);
        }
    }
    assert!(untidy > 0 && finished > untidy && finished < 4 * calls, "{untidy} {finished} {calls}");
}

#[test]
fn a_patch_that_fails_changes_nothing() {
    let mut failed = 0;
    for call in 0..calls() {
        let host = before();
        let changed = change(&FakeKernel::new(&host).failing_at(call, 12), 1, TO);
        failed += usize::from(changed.is_err());
        // What a look at a gate says is not needed, so it need not fail.
        let expected = if changed.is_ok() { TO } else { FROM };
        assert_eq!(members(&host, 1), [expected, OTHER], "failed at call {call}");
        let status = status(&at(&FakeKernel::new(&host), &Dirs::default())).expect("a status");
        assert!(!status.untidy, "failed at call {call}");
    }
    assert!(failed > 10);
}

#[test]
fn what_ended_is_not_carried() {
    let host = machine();
    apply(&host, &["10.0.0.0/8"]).expect("applies");
    let kernel = FakeKernel::new(&host);
    let beside = kernel.open_map(&pin(1, MEMBERS)).expect("opens").expect("is pinned");
    for (prefix, expires) in [("10.1.0.0/16", 1_u64 << 20), ("10.2.0.0/16", 1 << 40)] {
        let prefix = prefix.parse().expect("a prefix");
        kernel.map_update(&beside, &fact(1, prefix), &expires.to_ne_bytes()).expect("stores");
    }
    host.advance(1 << 30);
    apply(&host, &["10.0.0.0/8"]).expect("swaps");
    // With the number of what is shown.
    assert_eq!(entries(&host, 2, MEMBERS).iter().count(), 2);
    assert_eq!(view(&host, 2).len(), 2);
    change(&FakeKernel::new(&host), 1, "10.0.0.0/9").expect("patches");
    assert_eq!(view(&host, 2).len(), 2, "what was learnt is no patch's");
}

#[test]
fn a_file_of_members_that_is_broken_is_told_and_hinders_nothing_else() {
    let host = machine();
    apply(&host, &["10.0.0.0/8"]).expect("applies");
    let path = Dirs::default().state.join("generations/1/members.json");
    for text in ["", "{}", "{\"format\": 9, \"change\": 1, \"groups\": {}}"] {
        FakeKernel::new(&host).write_file(&path, text.as_bytes()).expect("writes");
        let error = change(&FakeKernel::new(&host), 1, "").expect_err("refused");
        assert!(matches!(error, Error::Members { .. }), "{error}");
        assert!(error.help().contains("remove the file"));
        let confirmed = confirm(&at(&FakeKernel::new(&host), &Dirs::default()));
        assert_eq!(confirmed, Err(Error::NothingPending));
        assert!(status(&at(&FakeKernel::new(&host), &Dirs::default())).is_ok());
        let error = apply(&host, &["10.0.0.0/8"]).expect_err("refused");
        assert!(matches!(error, Error::Members { .. }), "{error}");
    }
    let other = machine();
    apply(&other, &["10.0.0.0/8"]).expect("applies");
    FakeKernel::new(&other).write_file(&path, b"").expect("writes");
    run(&FakeKernel::new(&other), &FIRST, Options::default()).expect("needs none of it");
    FakeKernel::new(&host).remove(&path).expect("removes");
    change(&FakeKernel::new(&host), 1, "10.1.0.0/16").expect("patches");
    assert_eq!(members(&host, 1), ["10.1.0.0/16"]);
}

#[test]
fn an_address_is_one_workloads() {
    let host = machine();
    let sets = sets(SetKind::Workload { labels: 7 }, &["10.0.0.1/32", "10.0.0.2/32"]);
    apply_sets(&host, sets).expect("applies");
    let error = change(&FakeKernel::new(&host), 1, "10.0.0.2/32").expect_err("refused");
    assert_eq!(error.to_string(), "`10.0.0.2/32` would be the address of `g1` and of `g2`");
    assert!(!error.help().is_empty());
    assert_eq!(members(&host, 1), ["10.0.0.1/32", "10.0.0.2/32"]);
    change(&FakeKernel::new(&host), 2, "").expect("patches");
    change(&FakeKernel::new(&host), 1, "10.0.0.2/32").expect("patches");
    assert_eq!(members(&host, 1), ["10.0.0.2/32", ""]);
}
