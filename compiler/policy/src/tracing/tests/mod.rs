mod corpus;
mod filters;
mod findings;
mod host;
mod meaning;

use policyc_base::{Diagnostic, OriginTable, Sink, SourceMap};
use policyc_target::Profile;

use super::{TracingPolicy, load_document};
use crate::documents;

/// A small host: a syscall's entry, two records of other tracepoints, a raw one.
const HOST: &str = r#"
apiVersion: policyc.io/v1alpha1
kind: Profile
kernel: test
architecture: x86_64
tracepoints:
  syscalls/sys_enter_openat:
  - "field:unsigned short common_type; offset:0; size:2; signed:0;"
  - "field:unsigned char common_flags; offset:2; size:1; signed:0;"
  - "field:unsigned char common_preempt_count; offset:3; size:1; signed:0;"
  - "field:int common_pid; offset:4; size:4; signed:1;"
  - "field:int __syscall_nr; offset:8; size:4; signed:1;"
  - "field:int dfd; offset:16; size:8; signed:0;"
  - "field:const char * filename; offset:24; size:8; signed:0;"
  - "field:int flags; offset:32; size:8; signed:0;"
  - "field:umode_t mode; offset:40; size:8; signed:0;"
  raw_syscalls/sys_enter:
  - "field:int common_pid; offset:4; size:4; signed:1;"
  - "field:long id; offset:8; size:8; signed:1;"
  - "field:unsigned long args[6]; offset:16; size:48; signed:0;"
  - "field:void * data; offset:64; size:8; signed:0;"
  - "field:s8 small; offset:72; size:1; signed:1;"
  sched/sched_process_exec:
  - "field:int common_pid; offset:4; size:4; signed:1;"
  - "field:__data_loc char[] filename; offset:8; size:4; signed:0;"
  - "field:pid_t pid; offset:12; size:4; signed:1;"
  - "field:char comm[16]; offset:16; size:16; signed:0;"
rawTracepoints:
  sched_process_exec:
  - "field:struct task_struct * p; offset:0; size:8; signed:0;"
  - "field:pid_t old_pid; offset:8; size:4; signed:1;"
  - "field:struct linux_binprm * bprm; offset:16; size:8; signed:0;"
"#;

fn small_host() -> Profile {
    Profile::parse(HOST).unwrap()
}

/// A policy with this `spec`.
fn with_spec(spec: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: test}}\nspec: {spec}\n"
    )
}

/// A policy with one tracepoint; `fields` are the rest of its fields.
fn with_hook(hook: &str, fields: &str) -> String {
    let (subsystem, event) = hook.split_once('/').unwrap();
    with_spec(&format!("{{tracepoints: [{{subsystem: {subsystem}, event: {event}, {fields}}}]}}"))
}

/// A policy that reads `arg` and filters it.
fn with_filter(hook: &str, arg: &str, filter: &str) -> String {
    with_hook(
        hook,
        &format!("args: [{arg}], selectors: [{{matchArgs: [{{args: [0], {filter}}}]}}]"),
    )
}

fn load(text: &str) -> (Option<TracingPolicy>, Vec<Diagnostic>) {
    load_for(&small_host(), text)
}

/// The policy of a text with one document, and every finding by place.
fn load_for(host: &Profile, text: &str) -> (Option<TracingPolicy>, Vec<Diagnostic>) {
    let mut sources = SourceMap::new();
    let file = sources.add("t.yaml", text);
    let (mut sink, mut origins) = (Sink::new(), OriginTable::new());
    let documents = documents::read(&sources, &[file], &mut sink);
    let [document] = &documents[..] else { panic!("one document: {sink:?}") };
    let policy = load_document(document, host, &mut origins, &mut sink);
    assert_eq!(policy.is_none(), sink.has_errors(), "{text}\n{sink:?}");
    (policy, sink.into_sorted())
}

fn accepted(text: &str) -> TracingPolicy {
    let (policy, findings) = load(text);
    policy.unwrap_or_else(|| panic!("{text}\n{findings:?}"))
}

/// Every finding as "code message (help)".
fn findings(text: &str) -> Vec<String> {
    let show = |d: Diagnostic| {
        let help = d.help.map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{} {}{help}", d.code, d.message)
    };
    load(text).1.into_iter().map(show).collect()
}
