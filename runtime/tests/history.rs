//! What was live is remembered, and can be gone back to.

mod common;
mod machine;

use std::time::Duration;

use machine::{FIRST, HISTORY, SECOND, at, everything, judged, machine, run, state_dir_only};
use policyc_runtime::{
    Dirs, Ended, Error, OnFailure, Options, Past, confirm, history, last_applied, remove, restore,
    rollback, rollback_to, status,
};
use policyc_sys::errno;
use policyc_sys::kernel::{FakeHost, FakeKernel};

const WAIT: Options = Options {
    confirm: Some(Duration::from_secs(30)),
    dry_run: false,
    report_forwarded: false,
    adopt: false,
};

fn past(host: &FakeHost) -> Vec<Past> {
    history(&at(&FakeKernel::new(host), &Dirs::default())).expect("a history")
}

/// Numbers, and how they ended.
fn ends(host: &FakeHost) -> Vec<(u64, Option<Ended>)> {
    past(host).iter().map(|past| (past.generation, past.ended.map(|(how, _)| how))).collect()
}

fn live(host: &FakeHost) -> Option<u64> {
    let kernel = FakeKernel::new(host);
    let now = status(&at(&kernel, &Dirs::default())).expect("status");
    assert!(!now.untidy);
    now.live.map(|live| live.generation)
}

#[test]
fn every_end_is_told() {
    let host = machine();
    let kernel = FakeKernel::new(&host);
    let dirs = Dirs::default();
    let here = at(&kernel, &dirs);
    assert_eq!(past(&host), []);
    run(&kernel, &FIRST, WAIT).expect("applies");
    assert_eq!(ends(&host), [(1, None)]);
    rollback(&here).expect("goes back");
    // It is told although nothing else is left.
    let mut expected = vec![(1, Some(Ended::RolledBack))];
    assert_eq!(ends(&host), expected);
    assert_eq!(state_dir_only(&host), HISTORY);

    run(&kernel, &FIRST, Options::default()).expect("applies");
    run(&kernel, &SECOND, WAIT).expect("applies");
    confirm(&here).expect("in time");
    run(&kernel, &FIRST, WAIT).expect("applies");
    host.advance(60_000_000_000);
    assert!(matches!(confirm(&here), Err(Error::TooLate { generation: 4 })));
    host.reboot();
    restore(&here, OnFailure::Open).expect("restores");
    remove(&here, false).expect("removes");
    expected.extend([
        (2, Some(Ended::Superseded)),
        (3, Some(Ended::Lost)),
        (4, Some(Ended::NotConfirmed)),
        (5, Some(Ended::Removed)),
    ]);
    assert_eq!(ends(&host), expected);
    let last = past(&host).pop().expect("five");
    assert_eq!((last.name.as_str(), last.hash), ("second", SECOND.0.hash()));
    assert_eq!((last.by.uid, last.by.command.as_str()), (0, "test"));
    remove(&here, true).expect("removes");
    assert_eq!(state_dir_only(&host), [""; 0]);
}

#[test]
fn it_is_bounded_and_so_are_the_copies() {
    let host = machine();
    let kernel = FakeKernel::new(&host);
    for _ in 0..105 {
        run(&kernel, &FIRST, Options::default()).expect("applies");
    }
    let past = past(&host);
    assert_eq!((past.len(), past[0].generation), (100, 6));
    let kept = past.iter().filter(|past| past.is_kept).map(|past| past.generation);
    assert_eq!(kept.collect::<Vec<_>>(), (98..=105).collect::<Vec<_>>());
    let copies = state_dir_only(&host);
    let copies = copies.iter().filter(|line| line.ends_with("/artifact")).count();
    assert_eq!(copies, 8);
}

#[test]
fn an_earlier_generation_is_gone_back_to() {
    let host = machine();
    let kernel = FakeKernel::new(&host);
    let dirs = Dirs::default();
    let here = at(&kernel, &dirs);
    run(&kernel, &FIRST, Options::default()).expect("applies");
    run(&kernel, &SECOND, Options::default()).expect("applies");
    run(&kernel, &(everything("third"), FIRST.1.clone()), Options::default()).expect("applies");
    let outcome = rollback_to(&here, 1).expect("goes back");
    assert_eq!((outcome.generation, outcome.hash), (4, FIRST.0.hash()));
    let (artifact, bindings) = last_applied(&here).expect("readable").expect("live");
    assert_eq!((&artifact, &bindings), (&FIRST.0, &FIRST.1));
    assert_eq!(live(&host), Some(4));

    let live_already = rollback_to(&here, 4).expect_err("is live");
    assert_eq!(live_already.to_string(), "generation 4 is live");
    let unknown = rollback_to(&here, 9).expect_err("was never");
    let Error::NotKept { kept, .. } = &unknown else { panic!("{unknown:?}") };
    assert_eq!(kept, &[3, 2, 1]);
    run(&kernel, &SECOND, WAIT).expect("applies");
    assert!(matches!(rollback_to(&here, 1), Err(Error::Pending { .. })));
    rollback(&here).expect("goes back");
    let failed = rollback_to(&here, 5).expect_err("nobody had confirmed it");
    assert!(matches!(failed, Error::NotKept { .. }), "{failed}");

    // What was altered is no way back, and what is live stays.
    let copy = "/var/lib/policyc/generations/2/artifact";
    let other = everything("other").to_bytes().expect("bytes");
    policyc_sys::Kernel::write_file(&kernel, copy.as_ref(), &other).expect("a file");
    assert!(matches!(rollback_to(&here, 2), Err(Error::Artifact(_))));
    assert_eq!(live(&host), Some(4));
    // Nor is it one to where it cannot be bound any more.
    host.remove_interface(None, "db");
    assert!(rollback_to(&here, 2).is_err());
    assert_eq!(live(&host), Some(4));
}

#[test]
fn a_failure_or_a_kill_at_any_call_leaves_one_of_both() {
    let prepare = || {
        let host = machine();
        run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
        run(&FakeKernel::new(&host), &SECOND, Options::default()).expect("applies");
        host
    };
    let dirs = Dirs::default();
    let calls = {
        let host = prepare();
        let kernel = FakeKernel::new(&host);
        rollback_to(&at(&kernel, &dirs), 1).expect("goes back");
        kernel.calls().len()
    };
    for call in 0..calls {
        for is_killed in [false, true] {
            let host = prepare();
            let kernel = FakeKernel::new(&host);
            let kernel = if is_killed {
                kernel.killed_at(call)
            } else {
                kernel.failing_at(call, errno::EIO)
            };
            let result = rollback_to(&at(&kernel, &dirs), 1);
            let what = format!("call {call}, {}, killed: {is_killed}", kernel.calls()[call]);
            drop(kernel);
            let judging = judged(&host).iter().filter(|line| !line.contains("absent")).count();
            let expected: &[usize] = match &result {
                Ok(_) | Err(Error::AfterFlip { .. }) => &[5],
                Err(_) if is_killed => &[5, 6],
                // Recovery may have found a gate that another look found well.
                Err(_) => &[6],
            };
            assert!(expected.contains(&judging), "{what}: {judging}, {result:?}");
            // Whatever happened, it is told once, and only what happened.
            let kernel = FakeKernel::new(&host);
            run(&kernel, &SECOND, Options::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
            let told = ends(&host);
            let (last, before) = told.split_last().expect("some");
            assert_eq!(last.1, None, "{what}: {told:?}");
            assert!(
                before.iter().all(|past| past.1 == Some(Ended::Superseded)),
                "{what}: {told:?}"
            );
            assert_eq!(told.len(), if judging == 5 { 4 } else { 3 }, "{what}: {told:?}");
            assert_eq!(live(&host), Some(last.0), "{what}");
        }
    }
}
