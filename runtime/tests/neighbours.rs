//! Living with others who attach, trace and look. On the running kernel, like
//! `kernel.rs`.

mod common;
mod lab;

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Duration;

use common::{artifact, network};
use lab::{Lab, must, run};
use policyc_bpf::{Artifact, Judges, ProgramKind, Verdict};
use policyc_runtime::{Attach, Bindings, Drift, Error, Events, Options, Port, apply, artifact_of};
use policyc_sys::bpf;
use policyc_sys::host::tracepoint_id;
use policyc_sys::net::{in_netns, interface_by_name};

fn all(verdict: Verdict) -> Artifact {
    artifact("all", verdict, &network(), &["shop/web"])
}

#[test]
fn a_link_that_others_hold_ends_with_its_gate() {
    let Some(lab) = Lab::new("a_link_that_others_hold_ends_with_its_gate") else { return };
    for attach in [Attach::Tc(lab.port()), Attach::Xdp(lab.port())] {
        lab.apply(&all(Verdict::Allow), attach).expect("applies");
        let gates = std::fs::read_dir(lab.dirs.pins().join("gates")).expect("gates");
        let links: Vec<_> = gates
            .map(|gate| bpf::obj_get(&gate.expect("gate").path().join("link")).expect("a link"))
            .collect();
        assert!(!links.is_empty());
        lab.remove();
        assert!(lab.pings(), "its slots are gone, so it must be");
    }
}

#[test]
fn who_comes_first_is_drift() {
    let Some(lab) = Lab::new("who_comes_first_is_drift") else { return };
    // r0 = TCX_PASS; exit
    const PASS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let load = bpf::ProgLoad::new(bpf::ProgType::SCHED_CLS, "MIT", &PASS);
    for attach in [Attach::Tc(lab.port()), Attach::Clsact(lab.port())] {
        lab.apply(&all(Verdict::Deny), attach).expect("applies");
        assert!(!lab.status().live.expect("live").has_drift());
        let foreign = bpf::prog_load(&load).expect("loads").fd;
        let id = bpf::prog_info(foreign.as_fd()).expect("info").id;
        let link = in_netns(Some(&lab.netns_b()), || {
            let ifindex = interface_by_name("vb")?.index;
            let direction = bpf::Direction::Ingress;
            bpf::link_create(foreign.as_fd(), bpf::LinkTarget::Tcx { ifindex, direction })
        })
        .expect("attaches");
        let gates = lab.status().live.expect("live").gates;
        let drift: Vec<_> = gates.iter().filter_map(|gate| gate.drift).collect();
        assert_eq!(drift, [Drift::Behind(id)]);
        drop(link);
    }
}

#[test]
fn tracing_keeps_no_event_from_others() {
    let Some(lab) = Lab::new("tracing_keeps_no_event_from_others") else { return };
    let (category, event) = ("sched".to_owned(), "sched_process_exec".to_owned());
    let id = tracepoint_id(&category, &event).expect("a tracepoint");
    let kinds = [(ProgramKind::Tracepoint { category, event }, Judges::Events)];
    let tracing = artifact("exec", Verdict::Allow, &kinds, &[]);
    apply(&lab.host(), &tracing, &Bindings::default(), Options::default()).expect("applies");
    // Counts on CPU 0.
    let mut counter = File::from(bpf::perf_event_open(id).expect("opens"));
    assert!(run("taskset -c 0 true").status.success());
    let mut count = [0; 8];
    counter.read_exact(&mut count).expect("reads");
    assert!(u64::from_ne_bytes(count) > 0);
}

#[test]
fn an_interface_without_ethernet_headers_is_refused() {
    let test = "an_interface_without_ethernet_headers_is_refused";
    let Some(lab) = Lab::new(test) else { return };
    must(&format!("ip -n {} tuntap add mode tun name tun0", lab.b));
    let port = Port { interface: "tun0".to_owned(), ..lab.port() };
    for attach in [Attach::Tc(port.clone()), Attach::Clsact(port.clone()), Attach::Xdp(port)] {
        let error = lab.apply(&all(Verdict::Deny), attach).expect_err("refused");
        assert!(matches!(error, Error::NotEthernet { .. }), "{error}");
    }
}

#[test]
fn an_observer_is_alone_and_follows_the_ring() {
    let Some(lab) = Lab::new("an_observer_is_alone_and_follows_the_ring") else { return };
    let kinds = [(ProgramKind::RawTracepoint("sched_process_exec".to_owned()), Judges::Events)];
    let tracing = artifact("exec", Verdict::Allow, &kinds, &[]);
    let go = || {
        let outcome = apply(&lab.host(), &tracing, &Bindings::default(), Options::default());
        outcome.expect("applies").generation
    };
    let first = go();
    let mut events = Events::open(&lab.dirs).expect("a ring");
    assert_eq!(Events::open(&lab.dirs).err(), Some(Error::Observed));
    let second = go();
    for generation in [first, second] {
        let artifact = artifact_of(&lab.host(), generation as u32).expect("readable");
        assert_eq!(artifact.as_ref(), Some(&tracing), "{generation}");
    }
    lab.remove();
    while events.next().is_some() {}
    assert_eq!(events.next_within(Duration::ZERO), Ok(None), "no ring to follow");
    go();
    assert_eq!(events.next_within(Duration::ZERO), Ok(None), "follows");
    assert!(run("true").status.success());
    assert!(events.next_within(Duration::from_secs(2)).expect("poll").is_some());
    assert_eq!(Events::open(&lab.dirs).err(), Some(Error::Observed));
}

/// A veth runs XDP in its driver, the loopback cannot.
#[test]
fn status_tells_generic_xdp() {
    let Some(lab) = Lab::new("status_tells_generic_xdp") else { return };
    for (interface, generic) in [("lo", true), ("vb", false)] {
        let port = Port { interface: interface.to_owned(), ..lab.port() };
        lab.apply(&all(Verdict::Allow), Attach::Xdp(port)).expect("applies");
        let gates = lab.status().live.expect("live").gates;
        assert!(gates.iter().all(|gate| gate.generic_xdp == generic), "{gates:?}");
    }
}
