//! A host in memory, two artifacts with bindings for it, and who judges on it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::PathBuf;
use std::sync::LazyLock;

use policyc_bpf::{Artifact, Judges, ProgramKind, Verdict};
use policyc_runtime::{
    Attach, Binding, Bindings, Dirs, Error, Host, Options, Outcome, Port, Side, apply,
};
use policyc_sys::kernel::{FakeHost, FakeKernel};

use crate::common::{artifact, network};

pub(crate) fn port(interface: &str, side: Side) -> Port {
    Port { interface: interface.to_owned(), netns: None, side }
}

pub(crate) fn binding(subject: &str, attach: Attach) -> Binding {
    Binding { subject: subject.to_owned(), attach }
}

pub(crate) fn cgroup() -> PathBuf {
    "/sys/fs/cgroup/web".into()
}

/// Interfaces `web` and `db` and a cgroup.
pub(crate) fn machine() -> FakeHost {
    let host = FakeHost::new();
    host.add_interface(None, "web");
    host.add_interface(None, "db");
    host.add_cgroup(&cgroup());
    host
}

/// Two places of `web`.
pub(crate) static FIRST: LazyLock<(Artifact, Bindings)> = LazyLock::new(|| {
    let bindings = vec![
        binding("shop/web", Attach::Tc(port("web", Side::Host))),
        binding("shop/web", Attach::Cgroup { path: cgroup(), at: None }),
    ];
    (everything("first"), Bindings::from(bindings))
});

/// One place less of `web`, and two of `db`.
pub(crate) static SECOND: LazyLock<(Artifact, Bindings)> = LazyLock::new(|| {
    let bindings = vec![
        binding("shop/web", Attach::Tc(port("web", Side::Host))),
        binding("shop/db", Attach::Clsact(port("db", Side::Own))),
        binding("shop/db", Attach::Xdp(port("db", Side::Own))),
    ];
    (everything("second"), Bindings::from(bindings))
});

pub(crate) fn everything(name: &str) -> Artifact {
    let mut kinds = network();
    let exec = ProgramKind::RawTracepoint("sched_process_exec".to_owned());
    kinds.push((exec, Judges::Events));
    artifact(name, Verdict::Allow, &kinds, &["shop/web", "shop/db"])
}

pub(crate) fn run(
    kernel: &FakeKernel,
    what: &(Artifact, Bindings),
    options: Options,
) -> Result<Outcome, Error> {
    apply(&Host { kernel, dirs: &Dirs::default() }, &what.0, &what.1, options)
}

/// Who judges at each attached gate, as the gate itself would decide it.
pub(crate) fn judged(host: &FakeHost) -> Vec<String> {
    let kernel = FakeKernel::new(host);
    let mut lines: Vec<String> = host
        .attached()
        .into_iter()
        .map(|attached| {
            let state = attached.prog.map("state").expect("gates read the state word");
            let word = state.value(&[0; 4]).expect("an array of one");
            let word = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
            let missed = word & 2 != 0 && policyc_sys::Kernel::now(&kernel) >= word >> 2;
            let slot = (word & 1) as u32 ^ u32::from(missed);
            let program = attached.prog.map("slots").and_then(|slots| slots.slot(slot));
            let by = program.map_or("nobody".to_owned(), |p| match p.map("config") {
                _ if p.name() == "absent" => "absent".to_owned(),
                _ if p.name() == "closed" => "nobody".to_owned(),
                _ => format!("{} {}", p.name(), p.id()),
            });
            format!("{}: {by}", attached.place)
        })
        .collect();
    lines.sort();
    lines
}

/// What is left where nothing is live and nothing ever was for good: it is remembered.
pub(crate) const HISTORY: [&str; 1] = ["file /var/lib/policyc/journal.json"];

pub(crate) fn state_dir_only(host: &FakeHost) -> Vec<String> {
    let own = ["dir /var", "dir /var/lib", "dir /var/lib/policyc"];
    let pin_roots = ["dir /sys", "dir /sys/fs", "dir /sys/fs/bpf"];
    let tolerated =
        |line: &String| own.contains(&line.as_str()) || pin_roots.contains(&line.as_str());
    host.leftovers().into_iter().filter(|line| !tolerated(line)).collect()
}

/// A machine, with the first generation live or without.
pub(crate) fn stage(start_with_one: bool) -> FakeHost {
    let host = machine();
    if start_with_one {
        run(&FakeKernel::new(&host), &FIRST, Options::default()).expect("applies");
    }
    host
}

pub(crate) fn at<'a>(kernel: &'a FakeKernel, dirs: &'a Dirs) -> Host<'a, FakeKernel> {
    Host { kernel, dirs }
}
