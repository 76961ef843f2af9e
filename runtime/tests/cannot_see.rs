//! Pins, places and generations that a command cannot see, or that are gone: on
//! a host in memory.

mod common;
mod machine;

use std::path::Path;
use std::time::Duration;

use machine::{FIRST, SECOND, at, binding, judged, machine, port, run, stage, state_dir_only};
use policyc_runtime::{
    Attach, Bindings, Dirs, Drift, Error, Options, Port, Side, apply, confirm, last_applied,
    remove, rollback, status,
};
use policyc_sys::errno;
use policyc_sys::kernel::{FakeHost, FakeKernel};
use policyc_sys::net::Hardware;

/// A command that cannot see the pins must not take the host for freshly booted.
#[test]
fn a_journal_is_kept_from_who_cannot_see_its_pins() {
    let (here, elsewhere) = (Dirs::default(), Dirs { name: "other".into(), ..Dirs::default() });
    let host = stage(true);
    let (judging, left) = (judged(&host), state_dir_only(&host));
    let blind = FakeKernel::new(&host).without_bpffs();
    let seeing = FakeKernel::new(&host);
    for host in [at(&blind, &here), at(&seeing, &elsewhere)] {
        let refused = [
            confirm(&host).map(drop),
            rollback(&host).map(drop),
            remove(&host, false).map(drop),
            remove(&host, true).map(drop),
            status(&host).map(drop),
            last_applied(&host).map(drop),
        ];
        for result in refused {
            assert!(matches!(result, Err(Error::OtherPins { .. })), "{result:?}");
        }
        let result = apply(&host, &SECOND.0, &SECOND.1, Options::default());
        assert!(
            matches!(result, Err(Error::OtherPins { .. } | Error::NoBpffs { .. })),
            "{result:?}"
        );
    }
    assert_eq!((judged(&host), state_dir_only(&host)), (judging, left));

    // And another state directory does not know these pins.
    let state = Dirs { state: "/elsewhere".into(), ..Dirs::default() };
    let result = status(&at(&seeing, &state));
    assert!(matches!(result, Err(Error::ForeignPins { .. })), "{result:?}");
}

#[test]
fn only_ethernet_and_the_loopback_are_bound() {
    let host = machine();
    host.add_hardware(None, "tun0", Hardware(65534));
    host.add_hardware(None, "lo", Hardware::LOOPBACK);
    for attach in [Attach::Tc, Attach::Clsact, Attach::Xdp] {
        for (interface, ok) in [("tun0", false), ("lo", true)] {
            let bindings = vec![binding("shop/web", attach(port(interface, Side::Own)))];
            let what = (FIRST.0.clone(), Bindings::from(bindings));
            let options = Options { dry_run: true, ..Options::default() };
            let result = run(&FakeKernel::new(&host), &what, options);
            match result {
                Ok(_) => assert!(ok, "{interface}"),
                Err(Error::NotEthernet { hardware: 65534, .. }) => assert!(!ok, "{interface}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn filters_go_although_the_journal_is_lost() {
    let (host, dirs) = (machine().without_tcx(), Dirs::default());
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    let kernel = FakeKernel::new(&host);
    let journal = dirs.state.join("journal.json");
    policyc_sys::Kernel::write_file(&kernel, &journal, b"{").expect("damages it");
    assert!(matches!(remove(&at(&kernel, &dirs), false), Err(Error::Journal { .. })));
    assert_eq!(remove(&at(&kernel, &dirs), true), Ok(true));
    let left: Vec<_> = judged(&host);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_gate_that_cannot_be_found_passes_until_it_is_gone() {
    let netns = Path::new("/run/netns/blue");
    let (host, dirs) = (machine(), Dirs::default());
    host.add_netns(Some(netns));
    host.add_interface(Some(netns), "eth0");
    let blue = Port { netns: Some(netns.to_owned()), ..port("eth0", Side::Own) };
    let bindings = vec![binding("shop/web", Attach::Clsact(blue))];
    let what = (FIRST.0.clone(), Bindings::from(bindings));
    run(&FakeKernel::new(&host), &what, Options::default()).expect("applies");
    host.hide_netns(netns);
    let kernel = FakeKernel::new(&host);
    let live = status(&at(&kernel, &dirs)).expect("status").live.expect("live");
    let unseen = live.gates.iter().filter(|gate| gate.drift == Some(Drift::Unseen)).count();
    assert_eq!(unseen, 2);
    // It is out of use from now on, and its filter is still there.
    run(&kernel, &SECOND, Options::default()).expect("applies");
    let passing = judged(&host).iter().filter(|line| line.contains("absent")).count();
    assert_eq!(passing, 2, "{:?}", judged(&host));
    assert!(status(&at(&kernel, &dirs)).expect("status").untidy);
    assert!(matches!(remove(&at(&kernel, &dirs), true), Err(Error::Unseen { .. })));
}

#[test]
fn what_was_never_confirmed_is_not_what_was_live() {
    let dirs = Dirs::default();
    let options = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    let pending = || {
        let host = stage(true);
        run(&FakeKernel::new(&host), &SECOND, options).expect("applies");
        host
    };
    let lost = |host: &FakeHost| {
        let kernel = FakeKernel::new(host);
        let at = at(&kernel, &dirs);
        let name = last_applied(&at).expect("readable").map(|(a, _)| a.manifest().name.clone());
        let lost = status(&at).expect("status").lost.map(|(_, name)| name);
        assert_eq!(name, lost);
        lost
    };
    let first = Some("first".to_owned());

    let booted = pending();
    booted.reboot();
    assert_eq!(lost(&booted), first, "after boot");
    let missed = pending();
    missed.advance(60_000_000_000);
    remove(&at(&FakeKernel::new(&missed), &dirs), false).expect("removes");
    assert_eq!(lost(&missed), first, "after a missed confirmation");
    let removed = pending();
    remove(&at(&FakeKernel::new(&removed), &dirs), false).expect("removes");
    assert_eq!(lost(&removed), Some("second".to_owned()), "in time");
}

/// Only a word that says so was too late.
#[test]
fn a_confirmation_after_a_crash_is_not_too_late() {
    let dirs = Dirs::default();
    let options = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    let mut confirmed = 0;
    for at_call in 0..1000 {
        let host = stage(true);
        let kernel = FakeKernel::new(&host).killed_at(at_call);
        let result = run(&kernel, &SECOND, options);
        drop(kernel);
        let kernel = FakeKernel::new(&host);
        match confirm(&at(&kernel, &dirs)) {
            Ok(2) => confirmed += 1,
            Err(Error::NothingPending) => {}
            other => panic!("call {at_call}: {other:?}"),
        }
        if result.is_ok() {
            break;
        }
    }
    assert!(confirmed > 1, "{confirmed}");
}

/// Going back is one store, before anything that can fail.
#[test]
fn a_rollback_goes_back_whatever_fails_after_its_store() {
    let dirs = Dirs::default();
    let options = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    for at_call in 0..1000 {
        let host = stage(true);
        let before = judged(&host);
        run(&FakeKernel::new(&host), &SECOND, options).expect("applies");
        let kernel = FakeKernel::new(&host).failing_at(at_call, errno::EIO);
        let result = rollback(&at(&kernel, &dirs));
        let calls = kernel.calls();
        drop(kernel);
        let store = calls.iter().position(|call| *call == "map_update");
        if store.is_some_and(|store| store < at_call) {
            let judging: Vec<_> =
                judged(&host).into_iter().filter(|l| !l.contains("absent")).collect();
            assert_eq!(judging, before, "call {at_call}, {:?}", calls.get(at_call));
        }
        if calls.len() <= at_call {
            assert_eq!(result, Ok(Some(1)));
            assert!(store.is_some_and(|store| store < 12), "{calls:?}");
            return;
        }
    }
}
