//! Policies for the machine that runs the tests.

use std::fs;

use policyc_target::{HostFacts, Profile};

use super::load_for;

/// The machine's profile, or `None` after saying that the test is skipped.
fn this_host() -> Option<Profile> {
    let read = |path: &str| {
        let read = fs::read(path);
        read.inspect_err(|error| eprintln!("SKIPPED: {path}: {error}")).ok()
    };
    let btf = read("/sys/kernel/btf/vmlinux")?;
    let formats = [("syscalls", "sys_enter_execve"), ("sched", "sched_process_exec")];
    let texts = formats.into_iter().map(|(category, event)| {
        let text = read(&format!("/sys/kernel/tracing/events/{category}/{event}/format"))?;
        Some((category, String::from_utf8_lossy(&text).into_owned()))
    });
    let texts: Vec<_> = texts.collect::<Option<_>>()?;
    let tracepoints = texts.iter().map(|(category, text)| (*category, text.as_str())).collect();
    let facts = HostFacts { btf: Some(&btf), tracepoints, ..HostFacts::default() };
    let (profile, problems) = Profile::from_host(&facts);
    assert_eq!(problems, []);
    Some(profile)
}

#[test]
fn who_runs_something_under_this_path() {
    let Some(host) = this_host() else { return };
    let text = r#"
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: from-tmp
spec:
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_execve
    message: something is run
    args:
    - {index: 5, type: string, label: path}
    selectors:
    - matchArgs:
      - {index: 5, operator: Prefix, values: [/tmp/, /dev/shm/]}
  - subsystem: sched
    event: sched_process_exec
    args:
    - {index: 4, type: data_loc}
    - {index: 5, type: int32}
    selectors:
    - matchArgs:
      - {index: 4, operator: Prefix, values: [/tmp/]}
  - subsystem: sched
    event: sched_process_exec
    raw: true
    args:
    - {index: 1, type: int}
"#;
    let (policy, findings) = load_for(&host, text);
    let policy = policy.unwrap_or_else(|| panic!("{findings:?}"));
    let fields = policy.hooks.iter().map(|hook| hook.args[0].field.name.as_str());
    assert_eq!(fields.collect::<Vec<_>>(), ["filename", "filename", "old_pid"]);
    let schema = host.schema(&policy.hooks[0].hook).unwrap();
    assert_eq!(schema.process.len(), policyc_target::ProcessField::ALL.len());
}
