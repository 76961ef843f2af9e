//! Places that are bound to a generation that is live, with a failure and a kill at
//! every call.

mod common;
mod machine;

use machine::{FIRST, at, binding, judged, machine, port, run, state_dir_only};
use policyc_runtime::{
    Attach, Attached, Binding, Dirs, Error, Options, Side, attach, last_applied, remove, status,
};
use policyc_sys::errno;
use policyc_sys::kernel::{FakeHost, FakeKernel};

/// A machine on which `web` is judged, and `db` is not.
fn live() -> FakeHost {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    host
}

fn more() -> Vec<Binding> {
    vec![
        binding("shop/db", Attach::Tc(port("db", Side::Own))),
        binding("shop/db", Attach::Xdp(port("db", Side::Own))),
    ]
}

fn attach_more(kernel: &FakeKernel) -> Result<Attached, Error> {
    attach(&at(kernel, &Dirs::default()), &more(), false)
}

/// How many gates of the interface judge.
fn of_db(host: &FakeHost) -> usize {
    let lines = judged(host);
    assert!(lines.iter().all(|line| !line.contains("absent") && !line.contains("nobody")));
    lines.len() - 5
}

#[test]
fn a_new_interface_is_judged_by_the_same_generation() {
    let host = live();
    let before = judged(&host);
    let kernel = FakeKernel::new(&host);
    let attached = attach_more(&kernel).expect("attaches");
    assert_eq!((attached.generation, attached.points.len()), (1, 3));
    assert_eq!(of_db(&host), 3);
    let after = judged(&host);
    assert!(before.iter().all(|line| after.contains(line)), "the others stay as they are");
    let dirs = Dirs::default();
    let status_of = |kernel| status(&at(kernel, &dirs)).expect("status");
    let now = status_of(&kernel);
    assert!(!now.untidy);
    let now = now.live.expect("live");
    assert!(!now.has_drift(), "{now:?}");
    let db = now.gates.iter().filter(|gate| gate.subject.as_deref() == Some("shop/db"));
    assert_eq!(db.count(), 3);

    // Once more changes nothing, and somebody else is refused.
    assert_eq!(attach_more(&kernel).expect("is there").points, []);
    let other = [binding("shop/web", Attach::Tc(port("db", Side::Own)))];
    let error = attach(&at(&kernel, &dirs), &other, false).expect_err("taken");
    assert!(matches!(error, Error::SamePoint { .. }), "{error}");
    // It is part of what was applied.
    let (_, bindings) = last_applied(&at(&kernel, &dirs)).expect("a copy").expect("live");
    assert!(more().iter().all(|binding| bindings.bindings.contains(binding)));
    // The next generation takes the gates over.
    let next = run(&kernel, &(FIRST.0.clone(), bindings), Options::default()).expect("applies");
    assert_eq!((next.new_gates, next.old_gates), (0, 0));
    assert_eq!(of_db(&host), 3);
    remove(&at(&kernel, &dirs), true).expect("removes");
    assert_eq!(state_dir_only(&host), [""; 0]);
}

#[test]
fn an_interface_that_came_back_is_attached_again() {
    let host = live();
    let (kernel, dirs) = (FakeKernel::new(&host), Dirs::default());
    host.remove_interface(None, "web");
    host.add_interface(None, "web");
    let status_of = || status(&at(&kernel, &dirs)).expect("status").live.expect("live");
    let now = status_of();
    assert!(now.has_drift());
    let unjudged: Vec<_> = now.unjudged.iter().map(|(point, _)| point.to_string()).collect();
    assert_eq!(unjudged, ["tc ingress of web", "tc egress of web"]);
    let again = [binding("shop/web", Attach::Tc(port("web", Side::Host)))];
    let attached = attach(&at(&kernel, &dirs), &again, false).expect("attaches");
    assert_eq!(attached.points.len(), 2);
    let now = status_of();
    assert!(!now.has_drift(), "{now:?}");
}

#[test]
fn nothing_is_attached_to_nothing() {
    let host = machine();
    let kernel = FakeKernel::new(&host);
    assert!(matches!(attach_more(&kernel), Err(Error::NothingLive)));
    let pending =
        Options { confirm: Some(std::time::Duration::from_secs(30)), ..Options::default() };
    run(&kernel, &FIRST, pending).expect("applies");
    assert!(matches!(attach_more(&kernel), Err(Error::Pending { .. })));
}

#[test]
fn a_failure_or_a_kill_at_any_call_attaches_all_or_nothing() {
    let calls = {
        let kernel = FakeKernel::new(&live());
        attach_more(&kernel).expect("attaches");
        kernel.calls().len()
    };
    for at_call in 0..calls {
        for is_killed in [false, true] {
            let host = live();
            let kernel = FakeKernel::new(&host);
            let kernel = if is_killed {
                kernel.killed_at(at_call)
            } else {
                kernel.failing_at(at_call, errno::EIO)
            };
            let result = attach_more(&kernel);
            let what = format!("{at_call} {}, killed: {is_killed}", kernel.calls()[at_call]);
            drop(kernel);
            let attached = of_db(&host);
            if !is_killed {
                let expected = if result.is_ok() { 3 } else { 0 };
                assert_eq!(attached, expected, "{what}: {result:?}");
            }
            // Whatever was left, the next command takes it away or finishes it.
            let kernel = FakeKernel::new(&host);
            attach_more(&kernel).unwrap_or_else(|error| panic!("after {what}: {error}"));
            assert_eq!(of_db(&host), 3, "after {what}");
            let dirs = Dirs::default();
            let now = status(&at(&kernel, &dirs)).expect("status");
            assert!(!now.untidy, "after {what}");
            assert!(!now.live.expect("live").has_drift(), "after {what}");
            remove(&at(&kernel, &dirs), true).expect("removes");
            assert_eq!(state_dir_only(&host), [""; 0], "after {what}");
        }
    }
}
