//! What a place is: interfaces and cgroups by identity, whatever they are
//! called. On the running kernel, like `kernel.rs`.

mod common;
mod lab;

use std::process::{Child, Command};

use common::{artifact, network};
use lab::{Lab, must, run};
use policyc_bpf::{Artifact, Verdict};
use policyc_runtime::{
    Attach, Binding, Bindings, Drift, Error, Options, Port, Side, apply, remove, rollback,
};
use policyc_sys::host::cgroup2_mount;

fn all(verdict: Verdict) -> Artifact {
    artifact("all", verdict, &network(), &["shop/db", "shop/web"])
}

/// A process that keeps a namespace when its name is gone.
struct Keeper(Child);

impl Keeper {
    fn of(netns: &str) -> Self {
        let sleep = ["netns", "exec", netns, "sleep", "60"];
        let child = Command::new("ip").args(sleep).spawn().expect("sleeps");
        let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
        let its = format!("/proc/{}/ns/net", child.id());
        while std::fs::read_link(&its).is_ok_and(|netns| netns == own) {
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_renamed_interface_keeps_its_gate() {
    let Some(lab) = Lab::new("a_renamed_interface_keeps_its_gate") else { return };
    lab.apply(&all(Verdict::Deny), Attach::Clsact(lab.port())).expect("applies");
    for command in ["set vb down", "set vb name vc", "set vc up"] {
        must(&format!("ip -n {} link {command}", lab.b));
    }
    let gates = lab.status().live.expect("live").gates;
    assert!(gates.iter().all(|gate| gate.drift == Some(Drift::Renamed)), "{gates:?}");
    let port = Port { interface: "vc".to_owned(), ..lab.port() };
    let outcome = lab.apply(&all(Verdict::Deny), Attach::Clsact(port)).expect("applies");
    assert_eq!((outcome.new_gates, outcome.old_gates), (0, 0));
    assert!(!lab.pings(), "deny-all is live");
    let live = lab.status().live.expect("live");
    assert!(!live.has_drift(), "{live:?}");
    assert!(live.gates[0].point.as_ref().is_some_and(|p| p.to_string().contains("vc in")));
    assert!(lab.remove());
    assert!(lab.pings());
}

#[test]
fn a_namespace_has_one_gate_by_all_its_paths() {
    let Some(lab) = Lab::new("a_namespace_has_one_gate_by_all_its_paths") else { return };
    let alias =
        || Port { netns: Some(format!("/run/../run/netns/{}", lab.b).into()), ..lab.port() };
    lab.apply(&all(Verdict::Deny), Attach::Clsact(lab.port())).expect("applies");
    let outcome = lab.apply(&all(Verdict::Deny), Attach::Clsact(alias())).expect("applies");
    assert_eq!((outcome.new_gates, outcome.old_gates), (0, 0));
    assert!(!lab.pings(), "deny-all is live");

    let bindings = [("shop/web", lab.port()), ("shop/db", alias())]
        .map(|(subject, port)| Binding { subject: subject.to_owned(), attach: Attach::Tc(port) });
    same_point(&lab, bindings);
}

#[test]
fn a_cgroup_has_one_gate_by_all_its_paths() {
    let Some(lab) = Lab::new("a_cgroup_has_one_gate_by_all_its_paths") else { return };
    let Ok(mount) = cgroup2_mount() else { return };
    let name = format!("policyc-places-{}", std::process::id());
    let path = mount.join(&name);
    std::fs::create_dir(&path).expect("cgroup");
    let bindings = [("shop/web", path.clone()), ("shop/db", path.join("..").join(&name))].map(
        |(subject, path)| Binding {
            subject: subject.to_owned(),
            attach: Attach::Cgroup { path, at: None },
        },
    );
    same_point(&lab, bindings);
    std::fs::remove_dir(&path).expect("empty");
}

fn same_point(lab: &Lab, bindings: [Binding; 2]) {
    let bindings = Bindings::from(Vec::from(bindings));
    let error = apply(&lab.host(), &all(Verdict::Allow), &bindings, Options::default());
    assert!(matches!(error, Err(Error::SamePoint { .. })), "{error:?}");
}

#[test]
fn a_new_namespace_of_the_same_name_is_another_place() {
    let test = "a_new_namespace_of_the_same_name_is_another_place";
    let Some(lab) = Lab::new(test) else { return };
    lab.apply(&all(Verdict::Deny), Attach::Tc(lab.port())).expect("applies");
    let _keeper = Keeper::of(&lab.b);
    let (a, b) = (&lab.a, &lab.b);
    for command in [
        format!("ip netns del {b}"),
        format!("ip netns add {b}"),
        format!("ip link add vc netns {a} type veth peer name vb netns {b}"),
        format!("ip -n {a} addr add 198.51.100.1/24 dev vc"),
        format!("ip -n {b} addr add 198.51.100.2/24 dev vb"),
        format!("ip -n {a} link set vc up"),
        format!("ip -n {b} link set vb up"),
    ] {
        must(&command);
    }
    let pings = || {
        run(&format!("ip netns exec {a} ping -q -c 2 -i 0.2 -W 1 198.51.100.2")).status.success()
    };
    assert!(pings(), "nothing judges there yet");
    let gates = lab.status().live.expect("live").gates;
    assert!(gates.iter().all(|gate| gate.drift == Some(Drift::Renamed)), "{gates:?}");
    let outcome = lab.apply(&all(Verdict::Deny), Attach::Tc(lab.port())).expect("applies");
    assert_eq!((outcome.new_gates, outcome.old_gates), (2, 2));
    assert!(!pings(), "deny-all is live");
    assert!(lab.pings(), "the other namespace is judged no more");
}

/// The filter goes with its gate, or else the gate would stand there with empty
/// slots, and deny.
#[test]
fn a_filter_goes_although_its_namespace_has_no_name() {
    let Some(lab) = Lab::new("a_filter_goes_although_its_namespace_has_no_name") else { return };
    lab.apply(&all(Verdict::Allow), Attach::Clsact(lab.port())).expect("applies");
    let _keeper = Keeper::of(&lab.b);
    must(&format!("ip netns del {}", lab.b));
    assert_eq!(rollback(&lab.host()), Err(Error::NothingPending));
    assert!(lab.pings(), "it still judges");
    assert!(lab.counted(2) > 0);
    let netns = Some(std::path::Path::new("/run/netns").join(&lab.a));
    let other = Port { interface: "va".to_owned(), netns, side: Side::Own };
    lab.apply(&all(Verdict::Allow), Attach::Clsact(other)).expect("applies");
    assert!(lab.pings());
}

/// A namespace that only a descriptor keeps cannot be found: the gate in it
/// passes everything and is kept until it can be, or is gone.
#[test]
fn a_gate_that_cannot_be_found_passes_and_is_kept() {
    let Some(lab) = Lab::new("a_gate_that_cannot_be_found_passes_and_is_kept") else { return };
    lab.apply(&all(Verdict::Deny), Attach::Clsact(lab.port())).expect("applies");
    let held = std::fs::File::open(lab.netns_b()).expect("opens");
    must(&format!("ip netns del {}", lab.b));
    let error = remove(&lab.host(), false).expect_err("cannot be found");
    assert!(matches!(error, Error::Unseen { .. }), "{error}");
    assert!(lab.pings(), "it passes everything");
    assert!(lab.status().untidy);
    drop(held);
    std::thread::sleep(std::time::Duration::from_millis(500));
    remove(&lab.host(), true).expect("it is gone with its namespace");
    assert!(!lab.dirs.pins().exists());
}
