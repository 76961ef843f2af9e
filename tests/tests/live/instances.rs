//! Two instances of policyc at one place, each with pins and a journal of its own:
//! both judge, and a deny of either is final.

use policyc_bpf::Artifact;
use policyc_runtime::{self as runtime, Dirs, Drift, Host, Options, apply};
use policyc_sys::RealKernel;

use crate::build::{allow_all, bind, deny_echo};
use crate::lab::{Lab, ping};

/// Pins and state beside those of a lab; gone with the value.
struct Second {
    dirs: Dirs,
}

impl Second {
    fn new(lab: &Lab) -> Self {
        let name = format!("{}-second", lab.dirs.name);
        Self { dirs: Dirs { name, state: lab.file("second"), ..lab.dirs.clone() } }
    }

    fn host(&self) -> Host<'_, RealKernel> {
        Host { kernel: &RealKernel, dirs: &self.dirs }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = runtime::remove(&self.host(), true);
    }
}

fn both_judge(test: &str, bindings: &str) {
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let second = Second::new(&lab);
    let to = bind(&lab, bindings);
    let (deny, allow) = (deny_echo(), allow_all());
    let apply_to = |host: &Host<'_, RealKernel>, artifact: &Artifact| {
        apply(host, artifact, &to, Options::default()).unwrap_or_else(|error| panic!("{error:?}"));
    };
    let passes = || ping(&lab.left, "10.77.0.2");

    for (first, other, expected) in
        [(&allow, &allow, true), (&deny, &allow, false), (&allow, &deny, false)]
    {
        apply_to(&lab.host(), first);
        apply_to(&second.host(), other);
        assert_eq!(passes(), expected, "{test}: a deny of either is final");
    }
    // Each counts what it judged, and one of them says that another comes first.
    let drifts = |host: &Host<'_, RealKernel>| -> Vec<Drift> {
        let live = runtime::status(host).expect("status").live.expect("live");
        live.gates.iter().filter_map(|gate| gate.drift).collect()
    };
    let behind = [drifts(&lab.host()), drifts(&second.host())];
    assert!(behind.iter().flatten().all(|drift| matches!(drift, Drift::Behind(_))), "{behind:?}");

    // The second denies and the first allows: without the second all passes.
    runtime::remove(&second.host(), true).expect("removes");
    assert!(passes(), "{test}: one is removed and the other stays");
    assert_eq!(drifts(&lab.host()), [], "and is as it was put");
    apply_to(&lab.host(), &deny);
    assert!(!passes());
    runtime::remove(&lab.host(), true).expect("removes");
    assert!(passes());
}

#[test]
fn on_tcx() {
    let right = "- subject: demo/right
  attach: {tc: {interface: veth-right, netns: RIGHT}}
";
    both_judge("instances::on_tcx", right);
}

#[test]
fn on_clsact() {
    let right = "- subject: demo/right
  attach: {clsact: {interface: veth-right, netns: RIGHT}}
";
    both_judge("instances::on_clsact", right);
}
