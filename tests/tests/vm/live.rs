//! The runtime on other kernels.
//!
//! A machine is booted twice: first to say what it can do, which is the profile
//! that tracing programs are built for, and then to run them.

use std::fmt::Write as _;

use policyc::observe::{self, Field, FieldValue, Record};
use policyc_bpf::Artifact;
use policyc_target::{Feature, Profile};
use policyc_verify::Release;
use policyc_verify::vm::GuestFile;

use crate::artifacts::build;
use crate::machines::{GUEST, Kernel, Machines};
use crate::said::{Filtered, Said, Step, Swapped};

/// What the runtime attaches by. KERNEL: >= 6.6 for tcx.
const EVERYWHERE: [Feature; 5] = [
    Feature::AttachClsact,
    Feature::AttachXdpGeneric,
    Feature::AttachCgroupSkb,
    Feature::AttachRawTracepoint,
    Feature::AttachTracepoint,
];
const TCX: Release = Release::new(6, 6);

/// What the guest is asked to do on the second boot.
const STEPS: [Step; 9] = [
    Step::Tc,
    Step::Clsact,
    Step::Xdp,
    Step::XdpGeneric,
    Step::Cgroup,
    Step::Followed,
    Step::Host,
    Step::Exec,
    Step::ExecRaw,
];

#[test]
fn the_runtime_works_on_every_kernel() {
    let test = "the_runtime_works_on_every_kernel";
    let Some(machines) = Machines::new(test, GUEST) else { return };
    let mut wrong = Wrong::default();
    for kernel in &machines.kernels {
        wrong.kernel.clone_from(&kernel.release);
        let profile = profile(&machines, kernel, &mut wrong);
        let built = Built::new(&profile);
        let said = machines.take(kernel, &STEPS, built.files());
        wrong.unless(said.len() == STEPS.len(), || format!("{} answers", said.len()));
        for (step, said) in STEPS.into_iter().zip(said) {
            wrong.step = format!("{step:?}");
            judge(step, said, kernel, &built, &mut wrong);
        }
    }
    assert!(wrong.text.is_empty(), "{}", wrong.text);
}

/// What is not as it should be, all of it.
#[derive(Default)]
struct Wrong {
    kernel: String,
    step: String,
    text: String,
}

impl Wrong {
    fn unless(&mut self, right: bool, say: impl FnOnce() -> String) {
        if !right {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "{}: {}: {}", self.kernel, self.step, say());
        }
    }
}

/// What the kernel can do, which is known.
fn profile(machines: &Machines, kernel: &Kernel, wrong: &mut Wrong) -> Profile {
    wrong.step = "Profile".to_owned();
    let said = machines.take(kernel, &[Step::Profile], Vec::new());
    let [Said::Profile { profile, missing }] = &said[..] else { panic!("{said:#?}") };
    let profile = Profile::parse(profile).expect("a profile");
    wrong.unless(profile.kernel == kernel.release, || profile.kernel.clone());
    wrong.unless(profile.has(Feature::KernelBtf), || "no types".to_owned());
    for feature in EVERYWHERE {
        wrong.unless(profile.has(feature), || format!("{missing:?}"));
    }
    let has_tcx = kernel.version() >= TCX;
    wrong.unless(profile.has(Feature::AttachTcx) == has_tcx, || format!("{missing:?}"));
    profile
}

/// Artifacts by the names that the guest knows.
struct Built(Vec<(&'static str, Artifact)>);

impl Built {
    fn new(profile: &Profile) -> Self {
        let build = |name, policies: &[&str], inventory: &[&str]| {
            (name, build(name, policies, inventory, Some(profile)))
        };
        let ping: &[&str] = &["examples/ping/inventory.yaml"];
        let death = "examples/packet-of-death";
        let (drop, server) = (format!("{death}/drop.yaml"), format!("{death}/inventory.yaml"));
        Self(vec![
            build("deny-echo", &["examples/ping/deny-echo.yaml"], ping),
            build("allow-all", &["examples/ping/allow-all.yaml"], ping),
            build("packet-of-death", &[&drop], &[&server]),
            build("exec", &["examples/exec/hello.yaml"], &[]),
            build("exec-raw", &["tests/tests/vm/raw-exec.yaml"], &[]),
        ])
    }

    fn files(&self) -> Vec<GuestFile> {
        let file = |(name, artifact): &(&str, Artifact)| GuestFile {
            name: format!("{name}.policyc"),
            contents: artifact.to_bytes().expect("bytes"),
        };
        self.0.iter().map(file).collect()
    }

    fn get(&self, name: &str) -> &Artifact {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found.map(|(_, artifact)| artifact).expect("it was built")
    }
}

fn judge(step: Step, said: Said, kernel: &Kernel, built: &Built, wrong: &mut Wrong) {
    if let Said::Swapped(swapped) = &said {
        let Swapped { generations, sent, apply_ms, .. } = swapped;
        let release = &kernel.release;
        eprintln!(
            "{release}: {step:?}: {generations} generations, {apply_ms} ms each, {sent} datagrams"
        );
    }
    match (step, said) {
        (Step::Tc, Said::Swapped(swapped)) => {
            let mechanism = if kernel.version() >= TCX { "tcx" } else { "clsact" };
            judge_swaps(&swapped, mechanism, wrong);
        }
        (Step::Clsact, Said::Swapped(swapped)) => judge_swaps(&swapped, "clsact", wrong),
        (Step::Xdp, Said::Filtered(filtered)) => judge_filter(&filtered, "driver", wrong),
        (Step::XdpGeneric, Said::Filtered(filtered)) => judge_filter(&filtered, "generic", wrong),
        (Step::Cgroup | Step::Followed | Step::Host, Said::Filtered(filtered)) => {
            judge_filter(&filtered, "", wrong);
        }
        (Step::Exec, Said::Reported { ran, pid, records, left }) => {
            let field = FieldValue::Text(ran[0].clone(), false);
            let field = Field { name: "binary".to_owned(), value: field };
            judge_records(&records, built.get("exec"), (&ran, pid, field), wrong);
            wrong.unless(left.is_empty(), || format!("left: {left:?}"));
        }
        (Step::ExecRaw, Said::Reported { ran, pid, records, left }) => {
            // The thread id before the program replaced its threads.
            let field = FieldValue::Signed(i64::from(pid));
            let field = Field { name: "before".to_owned(), value: field };
            judge_records(&records, built.get("exec-raw"), (&ran, pid, field), wrong);
            wrong.unless(left.is_empty(), || format!("left: {left:?}"));
        }
        (_, said) => wrong.unless(false, || format!("{said:?}")),
    }
}

fn judge_swaps(swapped: &Swapped, mechanism: &str, wrong: &mut Wrong) {
    let Swapped { mechanisms, generations, sent, lost, drift, outside, left, .. } = swapped;
    wrong.unless(mechanisms[..] == [mechanism], || format!("{mechanisms:?}"));
    wrong.unless(swapped.wrong.is_empty(), || format!("pings: {:?}", swapped.wrong));
    // KERNEL: whoever adds or removes the qdisc `clsact` stops the interface for a
    // moment (`qdisc_graft`), and what is being sent then is dropped. That is the
    // first attachment and the last; every swap between them loses nothing.
    let bare = |moment: &u32| mechanism == "clsact" && [1, *generations + 1].contains(moment);
    wrong.unless(lost.iter().all(bare), || format!("of {sent} datagrams, lost at {lost:?}"));
    // So many that some were under way at every store.
    let enough = u64::from(*generations) * 10;
    wrong.unless(*sent > enough, || format!("only {sent} datagrams in {generations} generations"));
    wrong.unless(!drift, || "drift".to_owned());
    wrong.unless(*outside == (true, true), || format!("without policy: {outside:?}"));
    wrong.unless(left.is_empty(), || format!("left: {left:?}"));
}

fn judge_filter(filtered: &Filtered, mode: &str, wrong: &mut Wrong) {
    let Filtered { before, live, after, drift, left, .. } = filtered;
    wrong.unless(filtered.mode == mode, || format!("attached: {}", filtered.mode));
    let expected = ((true, true), (false, true), (true, true));
    wrong.unless((*before, *live, *after) == expected, || format!("{before:?} {live:?} {after:?}"));
    wrong.unless(!drift, || "drift".to_owned());
    wrong.unless(left.is_empty(), || format!("left: {left:?}"));
}

/// One record, and it says which program was run by whom, and the policy's field.
fn judge_records(
    records: &[String],
    artifact: &Artifact,
    expected: (&[String], u32, Field),
    wrong: &mut Wrong,
) {
    let (ran, pid, field) = expected;
    let [record] = records else { return wrong.unless(false, || format!("{records:?}")) };
    let Record::Event(event) = observe::decode(&bytes(record)) else {
        return wrong.unless(false, || record.clone());
    };
    let process = &event.process;
    wrong.unless(process.arguments == ran, || format!("{process:?}"));
    // Init has no parent's name but its number, and the child has replaced itself.
    wrong.unless((process.pid, process.parent) == (pid, 1), || format!("{process:?}"));
    wrong.unless((process.uid, process.comm.as_str()) == (0, "init"), || format!("{process:?}"));
    let fields = event.fields(artifact.manifest());
    wrong.unless(fields == [field], || format!("{fields:?}"));
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let (digits, _) = hexadecimal.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(text, 16).expect("digits")
    };
    digits.iter().map(byte).collect()
}
