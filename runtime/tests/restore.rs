//! What comes back after a boot, with a failure and a kill at every call.

mod common;
mod machine;

use std::time::Duration;

use machine::{
    FIRST, HISTORY, SECOND, at, binding, everything, judged, machine, port, run, state_dir_only,
};
use policyc_bpf::Artifact;
use policyc_runtime::{
    Attach, Bindings, Dirs, Error, OnFailure, Options, Restored, Side, attach, confirm,
    last_applied, remove, restore, rollback, status,
};
use policyc_sys::errno;
use policyc_sys::kernel::{FakeHost, FakeKernel};

const COPY: &str = "/var/lib/policyc/generations/1/artifact";

/// A machine that was booted again while the first generation was live.
fn booted() -> FakeHost {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    host.reboot();
    host
}

fn restore_as(host: &FakeHost, on_failure: OnFailure) -> Result<Restored, Error> {
    restore(&at(&FakeKernel::new(host), &Dirs::default()), on_failure)
}

/// A file that is written by nobody of policyc's.
fn overwrite(host: &FakeHost, path: &str, contents: &[u8]) {
    let kernel = FakeKernel::new(host);
    policyc_sys::Kernel::write_file(&kernel, path.as_ref(), contents).expect("a file");
}

/// Where packets are judged by a policy, and where everything is denied.
fn counts(host: &FakeHost) -> (usize, usize) {
    let lines = judged(host);
    assert!(lines.iter().all(|line| !line.contains("nobody")), "{lines:?}");
    let closed = lines.iter().filter(|line| line.contains("closed_")).count();
    let absent = lines.iter().filter(|line| line.contains("absent")).count();
    (lines.len() - closed - absent, closed)
}

#[test]
fn what_was_confirmed_is_live_again_and_only_once() {
    let host = booted();
    assert_eq!(counts(&host), (0, 0));
    let restored = restore_as(&host, OnFailure::Open).expect("restores");
    let Restored::Back { from: 1, outcome, missing } = restored else { panic!("{restored:?}") };
    assert_eq!((outcome.generation, outcome.points.len(), missing), (2, 5, vec![]));
    assert_eq!(counts(&host), (5, 0));
    let kernel = FakeKernel::new(&host);
    let dirs = Dirs::default();
    let now = status(&at(&kernel, &dirs)).expect("status");
    assert!(!now.untidy && now.lost.is_none());
    assert!(!now.live.expect("live").has_drift());
    let kept = last_applied(&at(&kernel, &dirs)).expect("readable").expect("kept");
    assert_eq!((&kept.0, &kept.1), (&FIRST.0, &FIRST.1));

    let before = host.attached().len();
    let again = restore_as(&host, OnFailure::Closed).expect("is live");
    assert_eq!(again, Restored::Live { generation: 2, points: vec![], missing: vec![] });
    assert_eq!(host.attached().len(), before);
    host.reboot();
    let restored = restore_as(&host, OnFailure::Open).expect("restores");
    assert!(matches!(restored, Restored::Back { from: 2, .. }), "{restored:?}");
    remove(&at(&kernel, &dirs), true).expect("removes");
    assert_eq!(state_dir_only(&host), [""; 0]);
}

#[test]
fn what_waited_for_its_confirmation_does_not_come_back() {
    let wait = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    run(&FakeKernel::new(&host), &SECOND, wait).expect("applies");
    host.reboot();
    let restored = restore_as(&host, OnFailure::Closed).expect("restores");
    assert!(matches!(restored, Restored::Back { from: 1, .. }), "{restored:?}");

    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, wait).expect("applies");
    host.reboot();
    let restored = restore_as(&host, OnFailure::Closed).expect("nothing was confirmed");
    assert_eq!(restored, Restored::Nothing { removed: None });
    assert_eq!(state_dir_only(&host), HISTORY);
}

#[test]
fn what_was_removed_stays_removed() {
    let host = machine();
    assert_eq!(restore_as(&host, OnFailure::Closed), Ok(Restored::Nothing { removed: None }));
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    remove(&at(&FakeKernel::new(&host), &Dirs::default()), false).expect("removes");
    let removed = Ok(Restored::Nothing { removed: Some(1) });
    assert_eq!(restore_as(&host, OnFailure::Closed), removed);
    host.reboot();
    assert_eq!(restore_as(&host, OnFailure::Closed), removed);
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    host.reboot();
    let restored = restore_as(&host, OnFailure::Open).expect("restores");
    assert!(matches!(restored, Restored::Back { from: 2, .. }), "{restored:?}");
}

/// What waits for its confirmation takes nothing away from what was confirmed.
#[test]
fn what_was_confirmed_is_not_forgotten_for_what_never_is() {
    let wait = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    let dirs = Dirs::default();
    let ends: [fn(&FakeHost); 3] = [
        FakeHost::reboot,
        |host| {
            let kernel = FakeKernel::new(host);
            rollback(&at(&kernel, &Dirs::default())).expect("goes back to nothing");
        },
        |host| {
            host.advance(60_000_000_000);
            let kernel = FakeKernel::new(host);
            confirm(&at(&kernel, &Dirs::default())).expect_err("too late");
        },
    ];
    for end in ends {
        let host = booted();
        run(&FakeKernel::new(&host), &SECOND, wait).expect("applies");
        end(&host);
        let restored = restore_as(&host, OnFailure::Open).expect("restores");
        assert!(matches!(restored, Restored::Back { from: 1, .. }), "{restored:?}");
        assert_eq!(counts(&host), (5, 0));
    }
    // Confirmed it is what comes back.
    let host = booted();
    run(&FakeKernel::new(&host), &SECOND, wait).expect("applies");
    confirm(&at(&FakeKernel::new(&host), &dirs)).expect("in time");
    assert_eq!(status(&at(&FakeKernel::new(&host), &dirs)).expect("status").lost, None);
    host.reboot();
    let restored = restore_as(&host, OnFailure::Open).expect("restores");
    assert!(matches!(restored, Restored::Back { from: 2, .. }), "{restored:?}");
}

#[test]
fn what_a_killed_remove_began_to_remove_stays_away() {
    let dirs = Dirs::default();
    for call in 0..1000 {
        let host = machine();
        run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
        let kernel = FakeKernel::new(&host).killed_at(call);
        let result = remove(&at(&kernel, &dirs), false);
        drop(kernel);
        let has_begun = counts(&host) != (5, 0);
        host.reboot();
        let restored = restore_as(&host, OnFailure::Closed).expect("restores or does not");
        let came_back = matches!(restored, Restored::Back { .. });
        assert!(!(has_begun && came_back), "call {call}: {restored:?}");
        if result.is_ok() {
            assert!(call > 10 && !came_back);
            break;
        }
    }
}

/// Another command is the first after the boot, and fails.
#[test]
fn where_it_judged_is_known_whoever_is_first_after_the_boot() {
    let host = booted();
    let nowhere = Bindings::from(vec![binding("shop/web", Attach::Tc(port("no", Side::Own)))]);
    run(&FakeKernel::new(&host), &(everything("x"), nowhere), Options::default())
        .expect_err("nothing is there");
    for name in ["artifact", "bindings.json"] {
        overwrite(&host, &format!("/var/lib/policyc/generations/1/{name}"), b"altered");
    }
    for _ in 0..2 {
        let restored = restore_as(&host, OnFailure::Closed).expect("closes");
        assert!(matches!(restored, Restored::Closed { from: 1, .. }), "{restored:?}");
        assert_eq!(counts(&host), (0, 4));
        host.reboot();
    }
}

#[test]
fn what_is_not_there_yet_is_named_and_bound_later() {
    let host = booted();
    host.remove_interface(None, "web");
    let restored = restore_as(&host, OnFailure::Closed).expect("restores the rest");
    let Restored::Back { outcome, missing, .. } = restored else { panic!("{restored:?}") };
    assert_eq!(outcome.points.len(), 3);
    let [missing] = &missing[..] else { panic!("{missing:?}") };
    assert!(missing.to_string().starts_with("no interface `web` for `shop/web`"), "{missing}");
    assert_eq!(counts(&host), (3, 0));

    let again = restore_as(&host, OnFailure::Closed).expect("is live");
    assert!(
        matches!(&again, Restored::Live { points, missing, .. }
            if points.is_empty() && missing.len() == 1),
        "{again:?}"
    );
    host.add_interface(None, "web");
    let again = restore_as(&host, OnFailure::Closed).expect("binds the rest");
    let Restored::Live { generation: 2, points, missing } = again else { panic!("{again:?}") };
    assert_eq!((points.len(), missing), (2, vec![]));
    assert_eq!(counts(&host), (5, 0));
}

#[test]
fn interfaces_of_the_host_come_one_by_one() {
    let host = machine();
    let names = ["web".to_owned(), "db".to_owned()];
    let attach = Attach::Host { interfaces: names.into() };
    let what = (everything("host"), Bindings::from(vec![binding("shop/web", attach)]));
    run(&FakeKernel::new(&host), &what, Options::default()).expect("applies");
    host.reboot();
    host.remove_interface(None, "db");
    let restored = restore_as(&host, OnFailure::Open).expect("restores");
    assert!(matches!(&restored, Restored::Back { missing, .. } if missing.len() == 1));
    assert_eq!(counts(&host), (3, 0), "two of `web`, one of tracing");

    // Where all are meant those that were judged are missed, too.
    let host = machine();
    let all = Attach::Host { interfaces: Vec::new() };
    let what = (everything("host"), Bindings::from(vec![binding("shop/web", all)]));
    run(&FakeKernel::new(&host), &what, Options::default()).expect("applies");
    host.reboot();
    host.remove_interface(None, "db");
    let restored = restore_as(&host, OnFailure::Open).expect("restores");
    let Restored::Back { missing, .. } = restored else { panic!("{restored:?}") };
    let [missing] = &missing[..] else { panic!("{missing:?}") };
    assert!(missing.to_string().starts_with("no interface `db` for `shop/web`"), "{missing}");
}

#[test]
fn a_copy_that_is_broken_or_gone_leaves_all_or_denies_all() {
    let altered: fn(&FakeHost) = |host| overwrite(host, COPY, b"not an artifact");
    let other: fn(&FakeHost) =
        |host| overwrite(host, COPY, &everything("another").to_bytes().expect("bytes"));
    let gone: fn(&FakeHost) = |host| {
        let kernel = FakeKernel::new(host);
        for name in ["artifact", "bindings.json"] {
            let path = format!("/var/lib/policyc/generations/1/{name}");
            policyc_sys::Kernel::remove(&kernel, path.as_ref()).expect("a file");
        }
    };
    for spoil in [altered, other, gone] {
        let host = booted();
        spoil(&host);
        let error = restore_as(&host, OnFailure::Open).expect_err("cannot");
        assert!(matches!(error, Error::Artifact(_) | Error::NoCopy { generation: 1 }), "{error}");
        assert_eq!(counts(&host), (0, 0));

        // The first look at a journal of before the boot says where.
        let host = booted();
        spoil(&host);
        let restored = restore_as(&host, OnFailure::Closed).expect("closes");
        let Restored::Closed { from: 1, outcome, missing, .. } = restored else {
            panic!("{restored:?}")
        };
        assert_eq!((outcome.points.len(), missing), (4, vec![]));
        assert_eq!(counts(&host), (0, 4));
        let kernel = FakeKernel::new(&host);
        let dirs = Dirs::default();
        let live = status(&at(&kernel, &dirs)).expect("status").live.expect("live");
        assert_eq!((live.stands_for, live.has_drift()), (Some(1), false), "{live:?}");

        // It is not what was applied: after another boot it is still the first that is
        // missed, and an `apply` takes the places over.
        host.reboot();
        let again = restore_as(&host, OnFailure::Closed);
        let kept = matches!(again, Ok(Restored::Closed { from: 1, .. }));
        assert!(kept || matches!(again, Err(Error::NotClosed { .. })), "{again:?}");
        run(&kernel, &SECOND, Options::default()).expect("applies");
        assert_eq!(counts(&host), (6, 0));
        remove(&at(&kernel, &dirs), true).expect("removes");
        assert_eq!(state_dir_only(&host), [""; 0]);
    }
}

#[test]
fn a_closed_host_is_restored_when_that_is_possible_again() {
    let host = booted();
    overwrite(&host, COPY, b"not an artifact");
    restore_as(&host, OnFailure::Closed).expect("closes");
    let db = [binding("shop/web", Attach::Tc(port("db", Side::Own)))];
    let kernel = FakeKernel::new(&host);
    let dirs = Dirs::default();
    attach(&at(&kernel, &dirs), &db, false).expect("closes more");
    assert_eq!(counts(&host), (0, 6));
    overwrite(&host, COPY, &FIRST.0.to_bytes().expect("bytes"));
    let restored = restore_as(&host, OnFailure::Closed).expect("restores");
    assert!(matches!(restored, Restored::Back { from: 1, .. }), "{restored:?}");
    assert_eq!(counts(&host), (5, 0), "and what was closed besides is open again");
    assert!(!status(&at(&kernel, &dirs)).expect("status").untidy);
    remove(&at(&kernel, &dirs), true).expect("removes");
    assert_eq!(state_dir_only(&host), [""; 0]);
}

/// Once more, and something cannot be looked at this time: nothing is opened.
#[test]
fn what_is_closed_stays_closed_when_that_is_tried_again() {
    let dirs = Dirs::default();
    let closed = || {
        let host = spoiled(true);
        restore_as(&host, OnFailure::Closed).expect("closes");
        host
    };
    let calls = {
        let host = closed();
        let kernel = FakeKernel::new(&host);
        restore(&at(&kernel, &dirs), OnFailure::Closed).expect("closes again");
        kernel.calls().len()
    };
    for call in 0..calls {
        let host = closed();
        let kernel = FakeKernel::new(&host).failing_at(call, errno::EIO);
        let result = restore(&at(&kernel, &dirs), OnFailure::Closed);
        let what = format!("call {call}, {}: {result:?}", kernel.calls()[call]);
        drop(kernel);
        assert_eq!(counts(&host), (0, 4), "{what}");
    }
}

/// Cgroups that cannot be followed are named, and the rest is closed.
#[test]
fn what_cannot_be_closed_keeps_nothing_else_open() {
    let at_root = Some("/sys/fs/cgroup".into());
    let unit = Attach::Cgroup { path: "/sys/fs/cgroup/unit".into(), at: at_root };
    let mut bindings = FIRST.1.clone();
    bindings.bindings.push(binding("shop/db", unit));
    let machine = || {
        let host = machine();
        host.add_cgroup("/sys/fs/cgroup".as_ref());
        run(&FakeKernel::new(&host), &(FIRST.0.clone(), bindings.clone()), Options::default())
            .expect("applies");
        host.reboot();
        overwrite(&host, COPY, b"not an artifact");
        host
    };
    let whole = restore_as(&machine(), OnFailure::Closed).expect("closes");
    assert!(matches!(&whole, Restored::Closed { outcome, .. } if outcome.points.len() == 6));
    let mut seen = false;
    for call in 0..400 {
        let host = machine();
        let kernel = FakeKernel::new(&host).failing_at(call, errno::ENOENT);
        let result = restore(&at(&kernel, &Dirs::default()), OnFailure::Closed);
        drop(kernel);
        let Ok(Restored::Closed { outcome, missing, .. }) = result else { continue };
        let unfollowed = missing.iter().any(|error| matches!(error, Error::CannotFollow { .. }));
        if unfollowed {
            assert_eq!((outcome.points.len(), counts(&host)), (4, (0, 4)), "call {call}");
            seen = true;
        }
    }
    assert!(seen, "it never failed to follow");
}

#[test]
fn what_is_live_is_never_closed() {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    let kernel = FakeKernel::new(&host);
    restore(&at(&kernel, &Dirs::default()), OnFailure::Closed).expect("is live");
    for call in 0..kernel.calls().len() {
        let kernel = FakeKernel::new(&host).failing_at(call, errno::EIO);
        let _ = restore(&at(&kernel, &Dirs::default()), OnFailure::Closed);
        let call = kernel.calls()[call];
        drop(kernel);
        assert_eq!(counts(&host), (5, 0), "{call}");
    }
    let held = FakeKernel::new(&host);
    let lock = policyc_sys::Kernel::lock(&held, "/lock".as_ref(), "x").expect("free");
    let locked = restore_as(&host, OnFailure::Closed);
    assert!(matches!(locked, Err(Error::Locked { .. })), "{locked:?}");
    drop(lock);
}

/// How many calls a whole one takes.
fn calls(on_failure: OnFailure, spoil: bool) -> usize {
    let host = spoiled(spoil);
    let kernel = FakeKernel::new(&host);
    restore(&at(&kernel, &Dirs::default()), on_failure).expect("restores or closes");
    kernel.calls().len()
}

fn spoiled(spoil: bool) -> FakeHost {
    let host = booted();
    if spoil {
        overwrite(&host, COPY, b"not an artifact");
    }
    host
}

#[test]
fn a_failure_at_any_call_restores_all_closes_all_or_leaves_all() {
    for (on_failure, spoil) in
        [(OnFailure::Open, false), (OnFailure::Closed, false), (OnFailure::Closed, true)]
    {
        for call in 0..calls(on_failure, spoil) {
            let host = spoiled(spoil);
            let kernel = FakeKernel::new(&host).failing_at(call, errno::EIO);
            let result = restore(&at(&kernel, &Dirs::default()), on_failure);
            let what = format!("call {call}, {}: {on_failure:?} {result:?}", kernel.calls()[call]);
            drop(kernel);
            let whole = if spoil { 4 } else { 5 };
            match (&result, counts(&host)) {
                (Ok(Restored::Back { .. }), (5, 0)) => {}
                (Ok(Restored::Closed { missing, .. }), (0, closed)) => {
                    // What could not be closed is told.
                    assert_eq!(closed == 4, missing.is_empty(), "{what}");
                }
                (Err(Error::AfterFlip { .. } | Error::NotClosed { .. }), (judged, closed)) => {
                    assert!([0, whole].contains(&(judged + closed)), "{what}");
                }
                (Err(Error::Sys { .. }), (0, 0)) => {}
                (Err(_), (0, 0)) if on_failure == OnFailure::Open => {}
                (_, found) => panic!("{what}: {found:?}"),
            }
            assert_tidied(&host, &what);
        }
    }
}

#[test]
fn a_kill_at_any_call_is_finished_by_the_next() {
    for (on_failure, spoil) in [(OnFailure::Open, false), (OnFailure::Closed, true)] {
        for call in 0..calls(on_failure, spoil) {
            let host = spoiled(spoil);
            let kernel = FakeKernel::new(&host).killed_at(call);
            let _ = restore(&at(&kernel, &Dirs::default()), on_failure);
            let what = format!("call {call}, {}: {on_failure:?}", kernel.calls()[call]);
            drop(kernel);
            let found = counts(&host);
            assert!([(0, 0), (5, 0), (0, 4)].contains(&found), "{what}: {found:?}");
            // A boot in the middle of it is no other case.
            if call % 2 == 0 {
                host.reboot();
            }
            let again = restore_as(&host, OnFailure::Closed);
            assert!(again.is_ok(), "{what}: {again:?}");
            assert_eq!(counts(&host), if spoil { (0, 4) } else { (5, 0) }, "{what}");
            assert_tidied(&host, &what);
        }
    }
}

/// The next command succeeds and leaves nothing that is not its own.
fn assert_tidied(host: &FakeHost, what: &str) {
    let kernel = FakeKernel::new(host);
    let done: Result<_, Error> = run(&kernel, &SECOND, Options::default());
    done.unwrap_or_else(|error| panic!("after {what}: {error}"));
    assert_eq!(counts(host), (6, 0), "after {what}");
    let dirs = Dirs::default();
    let now = status(&at(&kernel, &dirs)).expect("status");
    assert!(!now.untidy && now.lost.is_none(), "after {what}");
    let live = now.live.expect("live");
    assert!(!live.has_drift() && live.stands_for.is_none(), "after {what}");
    let artifact: Artifact = last_applied(&at(&kernel, &dirs)).expect("readable").expect("kept").0;
    assert_eq!(artifact.hash(), SECOND.0.hash(), "after {what}");
    remove(&at(&kernel, &dirs), true).expect("removes");
    assert_eq!(state_dir_only(host), [""; 0], "after {what}");
}
