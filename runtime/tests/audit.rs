//! Rules that are audited while a generation is live: what programs are told, across
//! swaps, and with a failure and a kill at every call.

mod common;
mod machine;

use std::time::Duration;

use machine::{FIRST, SECOND, at, machine, run, state_dir_only};
use policyc_runtime::{
    Audited, Dirs, Error, Options, audit, audits, confirm, enforce, remove, rollback, status,
};
use policyc_sys::kernel::{FakeHost, FakeKernel};
use policyc_sys::{Kernel, errno};

const HOUR: Duration = Duration::from_secs(3600);

fn live() -> FakeHost {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    host
}

fn policy() -> Audited {
    Audited { policy: "shop/deny".to_owned(), rule: None }
}

fn rule(path: &str) -> Audited {
    Audited { rule: Some(path.to_owned()), ..policy() }
}

/// For the decisions that deny, by default and by a rule, whether they are audited.
fn told(host: &FakeHost, generation: u64) -> [bool; 2] {
    let kernel = FakeKernel::new(host);
    let path = Dirs::default().pins().join(format!("generations/{generation}/maps/audits"));
    let map = kernel.open_map(&path).expect("opens").expect("is pinned");
    let value = kernel.map_lookup(&map, &[0; 4]).expect("reads").expect("an array of one");
    let (words, _) = value.as_chunks::<8>();
    let is_audited = |index: usize| u64::from_ne_bytes(words[index]) > kernel.now();
    [is_audited(1), is_audited(2)]
}

#[test]
fn a_policy_and_its_rules_are_audited_and_enforced_again() {
    let host = live();
    let (kernel, dirs) = (FakeKernel::new(&host), Dirs::default());
    let host_now = at(&kernel, &dirs);
    assert_eq!(told(&host, 1), [false, false]);
    let (generation, rules) = audit(&host_now, &rule("spec.ingressDeny[0]"), HOUR).expect("audits");
    assert_eq!((generation, rules.len()), (1, 1));
    // The default denies behind it.
    assert_eq!(told(&host, 1), [false, false]);
    let (_, rules) = audit(&host_now, &policy(), HOUR).expect("audits");
    assert_eq!(rules.into_iter().collect::<Vec<_>>(), ["spec", "spec.ingressDeny[0]"]);
    assert_eq!(told(&host, 1), [true, true]);
    let listed = audits(&host_now).expect("lists");
    assert_eq!(listed.len(), 2);
    assert_eq!(listed, status(&host_now).expect("status").live.expect("live").audits);
    assert_eq!(enforce(&host_now, &policy()).expect("ends"), 1);
    assert_eq!(told(&host, 1), [false, false]);
    assert_eq!(audits(&host_now).expect("lists"), []);
    assert!(matches!(enforce(&host_now, &policy()), Err(Error::NotAudited { .. })));
    let nobody = Audited { policy: "shop/other".to_owned(), rule: None };
    assert!(matches!(audit(&host_now, &nobody, HOUR), Err(Error::DeniesNothing { .. })));
}

#[test]
fn an_audit_outlives_a_swap_and_no_boot() {
    let host = live();
    let (kernel, dirs) = (FakeKernel::new(&host), Dirs::default());
    audit(&at(&kernel, &dirs), &policy(), HOUR).expect("audits");
    let tentative = Options { confirm: Some(HOUR), ..Options::default() };
    run(&kernel, &SECOND, tentative).expect("applies");
    assert_eq!(told(&host, 2), [true, true]);
    // Both generations are told while both may judge.
    enforce(&at(&kernel, &dirs), &policy()).expect("ends");
    assert_eq!((told(&host, 1), told(&host, 2)), ([false; 2], [false; 2]));
    audit(&at(&kernel, &dirs), &policy(), HOUR).expect("audits");
    rollback(&at(&kernel, &dirs)).expect("goes back");
    assert_eq!(told(&host, 1), [true, true]);
    assert!(confirm(&at(&kernel, &dirs)).is_err());
    host.advance(HOUR.as_nanos() as u64);
    assert_eq!(told(&host, 1), [false, false]);
    assert_eq!(audits(&at(&kernel, &dirs)).expect("lists"), []);
    audit(&at(&kernel, &dirs), &policy(), HOUR).expect("audits");
    remove(&at(&kernel, &dirs), false).expect("removes");
    assert_eq!(audits(&at(&kernel, &dirs)).expect("lists"), []);
    run(&kernel, &FIRST, Options::default()).expect("applies");
    assert_eq!(audits(&at(&kernel, &dirs)).expect("lists"), []);
    audit(&at(&kernel, &dirs), &policy(), HOUR).expect("audits");
    host.reboot();
    assert_eq!(audits(&at(&kernel, &dirs)).expect("lists"), []);
}

#[test]
fn nothing_is_audited_where_nothing_is_live() {
    let host = machine();
    let (kernel, dirs) = (FakeKernel::new(&host), Dirs::default());
    let host = at(&kernel, &dirs);
    assert!(matches!(audit(&host, &policy(), HOUR), Err(Error::NothingLive)));
    assert!(matches!(enforce(&host, &policy()), Err(Error::NothingLive)));
    assert_eq!(audits(&host).expect("lists"), []);
}

/// Runs a command with a failure and with a kill at each of its calls, on a host that
/// `prepare` made ready, and has `check` look at it after each.
fn at_every_call(
    prepare: impl Fn() -> FakeHost,
    command: impl Fn(&FakeKernel) -> Result<(), Error>,
    check: impl Fn(&FakeHost, &str),
) {
    let calls = {
        let host = prepare();
        let kernel = FakeKernel::new(&host);
        command(&kernel).expect("works");
        kernel.calls().len()
    };
    for at_call in 0..calls {
        for is_killed in [false, true] {
            let host = prepare();
            let kernel = FakeKernel::new(&host);
            let kernel = if is_killed {
                kernel.killed_at(at_call)
            } else {
                kernel.failing_at(at_call, errno::EIO)
            };
            let _ = command(&kernel);
            let what = format!("{at_call} {}, killed: {is_killed}", kernel.calls()[at_call]);
            drop(kernel);
            check(&host, &what);
            let (kernel, dirs) = (FakeKernel::new(&host), Dirs::default());
            let now = status(&at(&kernel, &dirs)).expect("status");
            assert!(!now.untidy, "after {what}");
            remove(&at(&kernel, &dirs), true).expect("removes");
            assert_eq!(state_dir_only(&host), [""; 0], "after {what}");
        }
    }
}

#[test]
fn after_a_failure_or_a_kill_at_any_call_the_same_command_audits() {
    let dirs = Dirs::default();
    let begin = |kernel: &FakeKernel| audit(&at(kernel, &dirs), &policy(), HOUR).map(drop);
    at_every_call(live, begin, |host, what| {
        let kernel = FakeKernel::new(host);
        // Nothing is audited that is not listed.
        let is_listed = !audits(&at(&kernel, &dirs)).expect("lists").is_empty();
        assert!(is_listed || told(host, 1) == [false, false], "after {what}");
        begin(&kernel).unwrap_or_else(|error| panic!("after {what}: {error}"));
        assert_eq!(told(host, 1), [true, true], "after {what}");
    });
}

#[test]
fn after_a_failure_or_a_kill_at_any_call_the_same_command_enforces() {
    let dirs = Dirs::default();
    let audited = || {
        let host = live();
        audit(&at(&FakeKernel::new(&host), &dirs), &policy(), HOUR).expect("audits");
        host
    };
    let end = |kernel: &FakeKernel| enforce(&at(kernel, &dirs), &policy()).map(drop);
    at_every_call(audited, end, |host, what| {
        let kernel = FakeKernel::new(host);
        let is_listed = !audits(&at(&kernel, &dirs)).expect("lists").is_empty();
        assert!(is_listed || told(host, 1) == [false, false], "after {what}");
        if is_listed {
            end(&kernel).unwrap_or_else(|error| panic!("after {what}: {error}"));
        }
        assert_eq!(told(host, 1), [false, false], "after {what}");
    });
}
