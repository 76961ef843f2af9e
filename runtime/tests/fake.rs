//! Commands on a host in memory, with a failure or a kill at every call.

mod common;
mod machine;

use std::path::Path;
use std::time::Duration;

use common::{artifact, artifact_of, network, subject};
use machine::{
    FIRST, HISTORY, SECOND, binding, everything, judged, machine, port, run, stage, state_dir_only,
};
use policyc_bpf::{Direction, Judges, ProgramKind, Subject, Verdict};
use policyc_runtime::{
    Attach, Binding, Bindings, Dirs, Drift, Error, Host, Mechanism, Options, Port, Side, confirm,
    last_applied, remove, rollback, status,
};
use policyc_sys::errno;
use policyc_sys::host::Capability;
use policyc_sys::kernel::{FakeHost, FakeKernel};

#[test]
fn apply_status_and_remove() {
    let host = machine();
    let outcome = run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    assert_eq!((outcome.generation, outcome.new_gates, outcome.old_gates), (1, 5, 0));
    assert!(outcome.live);

    let kernel = FakeKernel::new(&host);
    let at = Host { kernel: &kernel, dirs: &Dirs::default() };
    let live = status(&at).expect("status").live.expect("live");
    assert_eq!((live.generation, live.name.as_str(), live.gates.len()), (1, "first", 5));
    assert!(!live.has_drift(), "{live:?}");
    assert_eq!(live.counters.len(), common::COUNTERS as usize);
    // On the host's side the hook's ingress is the subject's egress.
    let tc = live
        .gates
        .iter()
        .find(|g| g.point.as_ref().is_some_and(|p| p.to_string() == "tc ingress of web"));
    assert_eq!(tc.map(|g| (g.program.as_str(), g.mechanism)), Some(("p1", Some(Mechanism::Tcx))));

    assert!(remove(&at, true).expect("removes"));
    assert_eq!(state_dir_only(&host), [""; 0]);
}

#[test]
fn swap_keeps_adds_and_removes_gates() {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    let before = host.attached();
    let outcome = run(&FakeKernel::new(&host), &SECOND, Options::default()).expect("applies");
    assert_eq!((outcome.generation, outcome.new_gates, outcome.old_gates), (2, 3, 2));
    let left: Vec<_> = outcome.left.iter().map(ToString::to_string).collect();
    let cgroup = "of cgroup /sys/fs/cgroup/web";
    assert_eq!(left, [format!("ingress {cgroup}"), format!("egress {cgroup}")]);
    let after = host.attached();
    let same = |a: &&policyc_sys::kernel::fake::Attached| {
        before.iter().any(|b| b.prog.id() == a.prog.id())
    };
    assert_eq!(after.iter().filter(same).count(), 3, "kept gates keep their program");
    assert!(judged(&host).iter().all(|line| !line.contains("absent") && !line.contains("nobody")));
}

#[test]
fn kernels_without_tcx_get_clsact_and_lose_the_qdisc_again() {
    let host = machine().without_tcx();
    let outcome = run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    assert!(outcome.live);
    let kernel = FakeKernel::new(&host);
    let at = Host { kernel: &kernel, dirs: &Dirs::default() };
    let live = status(&at).expect("status").live.expect("live");
    let clsact = live.gates.iter().filter(|g| g.mechanism == Some(Mechanism::Clsact));
    assert_eq!(clsact.count(), 2);
    assert!(!live.has_drift(), "{live:?}");
    remove(&at, true).expect("removes");
    assert_eq!(state_dir_only(&host), [""; 0]);
}

/// How many calls it takes to apply the second generation there.
fn calls(start_with_one: bool) -> usize {
    let host = stage(start_with_one);
    let kernel = FakeKernel::new(&host);
    run(&kernel, &SECOND, Options::default()).expect("applies");
    kernel.calls().len()
}

#[test]
fn a_failure_at_any_call_leaves_what_was_live() {
    for start_with_one in [false, true] {
        for at in 0..calls(start_with_one) {
            let host = stage(start_with_one);
            let (before, objects) = (judged(&host), state_dir_only(&host));
            let kernel = FakeKernel::new(&host).failing_at(at, errno::EIO);
            let result = run(&kernel, &SECOND, Options::default());
            let call = format!("call {at}, {}", kernel.calls()[at]);
            drop(kernel);
            let Err(error) = result else {
                // Recovery could not look at a gate, which another look found well.
                assert_one_generation(&judged(&host), &[], &call);
                continue;
            };
            if let Error::AfterFlip { generation, .. } = error {
                assert_eq!(generation, 1 + u64::from(start_with_one), "{call}");
                assert_one_generation(&judged(&host), &[], &call);
            } else {
                assert_eq!(judged(&host), before, "{call}");
                assert_eq!(comparable(&state_dir_only(&host)), comparable(&objects), "{call}");
            }
            assert_tidied(&host, &call);
        }
    }
}

#[test]
fn a_kill_at_any_call_leaves_one_generation_and_the_next_command_tidies() {
    for start_with_one in [false, true] {
        for at in 0..calls(start_with_one) {
            let host = stage(start_with_one);
            let before = judged(&host);
            let kernel = FakeKernel::new(&host).killed_at(at);
            run(&kernel, &SECOND, Options::default()).expect_err("it was killed");
            let call = format!("call {at}, {}", kernel.calls()[at]);
            drop(kernel);
            assert_one_generation(&judged(&host), &before, &call);
            assert_tidied(&host, &call);
        }
    }
}

/// Either the old one judges as before, or the second at all its six gates;
/// gates of neither pass everything, and none is empty.
fn assert_one_generation(judged: &[String], before: &[String], call: &str) {
    assert!(judged.iter().all(|line| !line.contains("nobody")), "{call}: {judged:?}");
    let judging: Vec<_> = judged.iter().filter(|line| !line.contains("absent")).collect();
    let is_old = judging.iter().copied().eq(before);
    let is_new = judging.len() == 6 && before.iter().all(|line| !judging.contains(&line));
    assert!(is_old || is_new, "{call}: {judged:?}");
}

/// The next command succeeds and leaves nothing that is not its own.
fn assert_tidied(host: &FakeHost, call: &str) {
    run(&FakeKernel::new(host), &SECOND, Options::default())
        .unwrap_or_else(|error| panic!("after {call}: {error}"));
    let fresh = machine();
    run(&FakeKernel::new(&fresh), &SECOND, Options::default()).expect("applies");
    let (left, expected) = (state_dir_only(host), state_dir_only(&fresh));
    assert_eq!(comparable(&left), comparable(&expected), "after {call}");
}

/// Leftovers without ids and numbers of gates and generations.
fn comparable(lines: &[String]) -> Vec<String> {
    let without_numbers = |line: &String| {
        let mut out = String::new();
        for c in line.chars() {
            match c {
                '0'..='9' if out.ends_with('#') => {}
                '0'..='9' => out.push('#'),
                other => out.push(other),
            }
        }
        out
    };
    let mut lines: Vec<String> = lines.iter().map(without_numbers).collect();
    lines.sort();
    // The copy of the generation before is kept too.
    lines.dedup_by(|a, b| a == b && a.contains("/var/lib/policyc/generations/"));
    lines
}

#[test]
fn a_missed_confirmation_goes_back_without_a_process() {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    let before = judged(&host);
    let options = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    let outcome = run(&FakeKernel::new(&host), &SECOND, options).expect("applies");
    assert_eq!(outcome.confirm_within, Some(Duration::from_secs(30)));

    let kernel = FakeKernel::new(&host);
    let at = Host { kernel: &kernel, dirs: &Dirs::default() };
    let again = run(&kernel, &FIRST, Options::default());
    assert!(matches!(again, Err(Error::Pending { generation: 2, seconds: 30 })), "{again:?}");
    let live = status(&at).expect("status").live.expect("live");
    assert_eq!((live.generation, live.confirm_within), (2, Some(Duration::from_secs(30))));

    host.advance(30_000_000_000);
    let judging: Vec<_> = judged(&host).into_iter().filter(|l| !l.contains("absent")).collect();
    assert_eq!(judging, before);
    let now = status(&at).expect("status");
    assert_eq!((now.live.map(|live| live.generation), now.untidy), (Some(1), true));
    assert_eq!(confirm(&at), Err(Error::TooLate { generation: 2 }));
    assert_eq!(judged(&host), before);
    assert_eq!(confirm(&at), Err(Error::NothingPending));
}

#[test]
fn a_first_generation_can_be_rolled_back_to_nothing() {
    let host = machine();
    let options = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    run(&FakeKernel::new(&host), &FIRST, options).expect("applies");
    let kernel = FakeKernel::new(&host);
    assert_eq!(rollback(&Host { kernel: &kernel, dirs: &Dirs::default() }), Ok(None));
    assert_eq!(state_dir_only(&host), HISTORY);
}

#[test]
fn a_confirmed_generation_stays() {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    let options = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
    run(&FakeKernel::new(&host), &SECOND, options).expect("applies");
    let kernel = FakeKernel::new(&host);
    let at = Host { kernel: &kernel, dirs: &Dirs::default() };
    assert_eq!(confirm(&at), Ok(2));
    host.advance(60_000_000_000);
    assert_eq!(status(&at).expect("status").live.map(|live| live.generation), Some(2));
    assert_tidied(&host, "all went well");
}

/// A command that ends a generation.
type Command = fn(&Host<'_, FakeKernel>) -> Result<(), Error>;

#[test]
fn a_kill_at_any_call_of_the_other_commands_is_tidied() {
    let commands: [(&str, Command); 4] = [
        ("confirm", |host| confirm(host).map(drop)),
        ("rollback", |host| rollback(host).map(drop)),
        ("remove", |host| remove(host, false).map(drop)),
        ("remove --all", |host| remove(host, true).map(drop)),
    ];
    let dirs = Dirs::default();
    for (name, command) in commands {
        for at in 0..1000 {
            let host = stage(true);
            let options = Options { confirm: Some(Duration::from_secs(30)), ..Options::default() };
            run(&FakeKernel::new(&host), &SECOND, options).expect("applies");
            let kernel = FakeKernel::new(&host).killed_at(at);
            let result = command(&Host { kernel: &kernel, dirs: &dirs });
            drop(kernel);
            let judged = judged(&host);
            assert!(judged.iter().all(|l| !l.contains("nobody")), "{name}, call {at}: {judged:?}");
            host.advance(60_000_000_000);
            assert_tidied(&host, &format!("{name}, call {at}"));
            if result.is_ok() {
                assert!(at > 10, "{name} takes more calls than {at}");
                break;
            }
        }
    }
}

#[test]
fn a_vanished_interface_is_drift_and_gets_a_new_gate() {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    host.remove_interface(None, "web");
    let kernel = FakeKernel::new(&host);
    let at = Host { kernel: &kernel, dirs: &Dirs::default() };
    let live = status(&at).expect("status").live.expect("live");
    let drift: Vec<_> = live.gates.iter().filter_map(|gate| gate.drift).collect();
    assert_eq!(drift, [Drift::Detached, Drift::Detached]);

    let gone = run(&kernel, &FIRST, Options::default());
    assert!(matches!(gone, Err(Error::NoInterface { .. })), "{gone:?}");
    host.add_interface(None, "web");
    let outcome = run(&kernel, &FIRST, Options::default()).expect("applies");
    assert_eq!(outcome.new_gates, 2);
    assert!(!status(&at).expect("status").live.expect("live").has_drift());
}

#[test]
fn after_boot_nothing_is_live_and_apply_starts_afresh() {
    let host = machine();
    run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    host.reboot();
    let kernel = FakeKernel::new(&host);
    let at = Host { kernel: &kernel, dirs: &Dirs::default() };
    let now = status(&at).expect("status");
    assert_eq!((now.live, now.lost), (None, Some((1, "first".to_owned()))));
    let (artifact, bindings) = last_applied(&at).expect("readable").expect("kept");
    assert_eq!((&artifact, &bindings), (&FIRST.0, &FIRST.1));
    run(&kernel, &SECOND, Options::default()).expect("applies");
    assert_tidied(&host, "all went well");
}

/// What was never confirmed was never what was live.
#[test]
fn after_boot_a_first_generation_that_nobody_confirmed_is_forgotten() {
    let host = machine();
    let confirm = Some(Duration::from_secs(30));
    let options = Options { confirm, ..Options::default() };
    run(&FakeKernel::new(&host), &FIRST, options).expect("applies");
    host.reboot();
    let kernel = FakeKernel::new(&host);
    let dirs = Dirs::default();
    let at = Host { kernel: &kernel, dirs: &dirs };
    let now = status(&at).expect("status");
    assert_eq!((now.live, now.lost), (None, None), "there is nothing to be missed");
    assert!(now.untidy, "but a copy and a journal");
    assert_eq!(last_applied(&at).expect("readable"), None);
    assert!(matches!(confirm_now(&at), Err(Error::NothingPending)));
    assert_eq!(state_dir_only(&host), HISTORY, "which that command took away");
    let outcome = run(&kernel, &SECOND, Options::default()).expect("applies");
    assert!(outcome.live);
    assert_tidied(&host, "all went well");
}

fn confirm_now(host: &Host<'_, FakeKernel>) -> Result<u64, Error> {
    confirm(host)
}

/// XDP sees what an interface receives. Where the policy denies something that is
/// sent, a binding by XDP alone would let it pass unjudged.
#[test]
fn what_a_policy_restricts_is_judged_or_refused() {
    let by = |attach: fn(Port) -> Attach| binding("shop/web", attach(port("web", Side::Own)));
    let apply = |restricts: &[Direction], bindings: Vec<Binding>| {
        let subject = Subject { restricts: restricts.to_vec(), ..subject(0, "shop/web") };
        let artifact = artifact_of("a", Verdict::Deny, &network(), vec![subject]);
        let input = (artifact, Bindings::from(bindings));
        run(&FakeKernel::new(&machine()), &input, Options::default())
    };
    let (ingress, egress) = (Direction::Ingress, Direction::Egress);
    assert!(apply(&[ingress], vec![by(Attach::Xdp)]).is_ok());
    assert!(apply(&[ingress, egress], vec![by(Attach::Tc)]).is_ok());
    assert!(apply(&[ingress, egress], vec![by(Attach::Xdp), by(Attach::Tc)]).is_ok());
    let error = apply(&[ingress, egress], vec![by(Attach::Xdp)]).expect_err("egress is open");
    let said = "xdp of web judges no egress of `shop/web`, which its policy restricts";
    assert_eq!(error.to_string(), said);
    assert!(matches!(error, Error::Unjudged { .. }) && error.help().contains("`tc`"));
}

/// Where a policy denies by default what is received, answers to what is sent pass only
/// where that is seen.
#[test]
fn what_is_answered_is_seen_or_refused() {
    let by = |attach: fn(Port) -> Attach| binding("shop/web", attach(port("web", Side::Own)));
    let apply = |default: &[Direction], bindings: Vec<Binding>| {
        let denies_by_default = default.to_vec();
        let restricts = vec![Direction::Ingress];
        let subject = Subject { restricts, denies_by_default, ..subject(0, "shop/web") };
        let artifact = artifact_of("a", Verdict::Deny, &network(), vec![subject]);
        let input = (artifact, Bindings::from(bindings));
        run(&FakeKernel::new(&machine()), &input, Options::default())
    };
    let ingress = Direction::Ingress;
    assert!(apply(&[], vec![by(Attach::Xdp)]).is_ok(), "what it denies, it denies by rules");
    assert!(apply(&[ingress], vec![by(Attach::Tc)]).is_ok());
    assert!(apply(&[ingress], vec![by(Attach::Xdp), by(Attach::Tc)]).is_ok());
    let error = apply(&[ingress], vec![by(Attach::Xdp)]).expect_err("answers are strangers");
    let said = "xdp of web sees no egress of `shop/web`, whose policy denies by default: answers \
                to it would be dropped";
    assert_eq!(error.to_string(), said);
    assert!(matches!(error, Error::Unanswered { .. }) && error.help().contains("`tc`"));
}

#[test]
fn refusals_say_what_is_wrong() {
    let tc =
        |subject: &str, interface: &str| binding(subject, Attach::Tc(port(interface, Side::Own)));
    let refused = |kinds: &[(ProgramKind, Judges)], bindings: Vec<Binding>| {
        let host = machine();
        let artifact = artifact("a", Verdict::Deny, kinds, &["shop/web", "shop/db"]);
        let error =
            run(&FakeKernel::new(&host), &(artifact, Bindings::from(bindings)), Options::default())
                .expect_err("refused");
        assert_eq!(state_dir_only(&host), [""; 0], "{error}");
        assert!(!error.help().is_empty());
        error.to_string()
    };
    let all = network();
    let cases = [
        (refused(&all, vec![tc("shop/x", "web")]), "the artifact has no subject `shop/x`"),
        (refused(&all, vec![tc("shop/web", "nope")]), "no interface `nope` for `shop/web`"),
        (
            refused(&all, vec![tc("shop/web", "web"), tc("shop/db", "web")]),
            "`shop/web` and `shop/db` are both bound to tc ingress of web",
        ),
        (
            refused(&all[..2], vec![binding("shop/web", Attach::Xdp(port("web", Side::Own)))]),
            "the artifact has no xdp program, which the binding of `shop/web` needs",
        ),
        (
            refused(
                &all,
                vec![binding("shop/web", Attach::Cgroup { path: "/nope".into(), at: None })],
            ),
            "no cgroup `/nope` for `shop/web`",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn privileges_locks_and_verdicts_are_checked_first() {
    let host = machine();
    let kernel = FakeKernel::new(&host).without(&[Capability::Bpf, Capability::Perfmon]);
    let error = run(&kernel, &FIRST, Options::default()).expect_err("refused");
    assert_eq!(error.to_string(), "missing privilege: CAP_BPF, CAP_PERFMON");
    let kernel = FakeKernel::new(&host).without(&[Capability::SysAdmin]);
    let netns = Some("/run/netns/blue".into());
    let blue = Port { netns, ..port("eth0", Side::Own) };
    let what = (FIRST.0.clone(), Bindings::from(vec![binding("shop/web", Attach::Tc(blue))]));
    let error = run(&kernel, &what, Options::default()).expect_err("refused");
    assert_eq!(error.to_string(), "missing privilege: CAP_SYS_ADMIN");

    let other = FakeKernel::new(&host);
    let lock = policyc_sys::Kernel::lock(&other, Path::new("/lock"), "x").expect("free");
    let error = run(&FakeKernel::new(&host), &FIRST, Options::default()).expect_err("refused");
    assert_eq!(error, Error::Locked { holder: "another process".to_owned() });
    drop(lock);

    let kernel = FakeKernel::new(&host);
    kernel.set_retval(9);
    let error = run(&kernel, &FIRST, Options::default()).expect_err("refused");
    assert_eq!(error.to_string(), "program `p0` returned 9 in its dry run, which is no verdict");
    drop(kernel);
    assert_eq!(state_dir_only(&host), [""; 0]);

    let dry = Options { dry_run: true, ..Options::default() };
    let outcome = run(&FakeKernel::new(&host), &FIRST, dry).expect("loads");
    assert!(!outcome.live);
    assert_eq!(state_dir_only(&host), [""; 0]);
}

#[test]
fn what_is_bound_has_to_fit() {
    let host = machine();
    let names: Vec<String> = (0..1000).map(|number| format!("veth{number}")).collect();
    for name in &names {
        host.add_interface(None, name);
    }
    let of = |count: usize| {
        let tc = |name: &String| binding("shop/web", Attach::Tc(port(name, Side::Own)));
        Bindings::from(names[..count].iter().map(tc).collect::<Vec<_>>())
    };
    // The hand-made artifacts have room for 64; policies' have 4,096.
    let error = run(&FakeKernel::new(&host), &(everything("a"), of(1000)), Options::default());
    let error = error.expect_err("too many");
    assert_eq!(error.to_string(), "2000 attach points do not fit: the artifact has room for 64");
    assert!(error.help().contains("bind fewer"), "{}", error.help());
    assert!(judged(&host).is_empty(), "nothing is attached");
    let outcome = run(&FakeKernel::new(&host), &(everything("a"), of(32)), Options::default());
    assert_eq!(outcome.expect("they fit").new_gates, 65, "and one of tracing");
}

/// A pin that somebody removes, wherever it is, is told by `status`, and mended by `apply`.
#[test]
fn a_pin_that_is_gone_is_drift() {
    let pins = ["gates/0/program", "gates/0/slots", "gates/0/link", "generations/1/programs/p0"];
    for pin in pins {
        let host = machine();
        run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
        let kernel = FakeKernel::new(&host);
        let path = Path::new("/sys/fs/bpf/policyc").join(pin);
        assert!(policyc_sys::Kernel::remove(&kernel, &path).expect("removes"), "{pin}");
        let at = Host { kernel: &kernel, dirs: &Dirs::default() };
        let live = status(&at).expect("status").live.expect("live");
        let drift: Vec<_> = live.gates.iter().filter_map(|gate| gate.drift).collect();
        // Without its pin a link is gone.
        let expected = if pin.ends_with("link") { Drift::Detached } else { Drift::Unpinned };
        assert_eq!(drift, [expected], "{pin}");
        run(&kernel, &FIRST, Options::default()).expect("applies");
        assert!(!status(&at).expect("status").live.expect("live").has_drift(), "{pin}");
    }
}
