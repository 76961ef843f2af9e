//! Tracing policies on the kernel's own events: exactly those that were asked for,
//! with who did it, and each once, also over swaps.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use policyc::observe::{Record, decode};
use policyc_runtime::{Bindings, Events};
use policyc_sys::host::cgroup_id;
use serde_json::Value;
use tempfile::TempDir;

use crate::build::{artifact, example, save};
use crate::lab::Lab;

const NOBODY: u32 = 65534;

/// A shell in a cgroup and as a user that nobody else has here. It lives until its
/// script ends.
fn shell(cgroup: &Path, script: &str) -> Child {
    let join = format!("echo $$ > {}/cgroup.procs", cgroup.display());
    let drop =
        format!("exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups sh -c \"$0\"");
    Command::new("sh")
        .args(["-c", &format!("{join}; {drop}"), script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("a shell")
}

/// Runs a script to its end: the process id of its shell.
fn run_in(cgroup: &Path, script: &str) -> u64 {
    let mut child = shell(cgroup, script);
    assert!(child.wait().expect("ends").success(), "{script}");
    u64::from(child.id())
}

/// What `observe` has seen of the children of a process.
fn seen_of(lab: &Lab, parent: u64) -> Vec<Value> {
    let seen = lab.says(["observe", "-o", "json"]);
    let events = seen.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events.filter(|event| event["process"]["parent"] == parent).collect()
}

/// A program of its own under `/tmp`, which everybody may run.
fn program_in_tmp() -> (TempDir, PathBuf) {
    let folder = TempDir::new_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let program = folder.path().join("own");
    fs::copy("/bin/true", &program).expect("copies");
    (folder, program)
}

fn apply(lab: &Lab, policies: &str) {
    let file = lab.file("trace.policyc");
    save(&artifact("trace", policies, ""), &file);
    lab.says(["apply".as_ref(), file.as_os_str()]);
}

#[test]
fn hello_world_on_every_exec() {
    let Some(mut lab) = Lab::new("tracing::hello_world_on_every_exec") else { return };
    let cgroup = lab.cgroup();
    apply(&lab, &example("exec/hello.yaml"));
    let parent = run_in(&cgroup, "for i in 1 2 3 4 5; do /bin/true number $i; done; :");
    let seen = seen_of(&lab, parent);
    assert_eq!(seen.len(), 5, "{seen:#?}");
    let mut pids = Vec::new();
    for (number, event) in (1..).zip(&seen) {
        assert_eq!(event["policy"], "hello");
        assert_eq!(event["message"], "hello, world");
        assert_eq!(event["event"], "tracepoint sched/sched_process_exec");
        assert_eq!(event["fields"]["binary"], "/bin/true");
        let process = &event["process"];
        let arguments = ["/bin/true".to_owned(), "number".to_owned(), number.to_string()];
        assert_eq!(process["arguments"], serde_json::json!(arguments));
        assert_eq!(process["uid"], NOBODY);
        assert_eq!(process["gid"], NOBODY);
        assert_eq!(process["cgroup"], cgroup_id(&cgroup).expect("an id"));
        assert_eq!(process["comm"], "true");
        assert_eq!(process["tid"], process["pid"]);
        pids.push(process["pid"].as_u64().expect("a number"));
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 5, "each is a process of its own");

    lab.says(["remove"]);
    let ended = lab.refuses(["observe"]);
    assert!(ended.err.contains("nothing to observe"), "{}", ended.err);
}

#[test]
fn only_programs_under_tmp() {
    let Some(mut lab) = Lab::new("tracing::only_programs_under_tmp") else { return };
    let cgroup = lab.cgroup();
    apply(&lab, &example("exec/who-runs-tmp.yaml"));
    let (_folder, own) = program_in_tmp();
    let own = own.display();
    let script = format!(
        "/bin/true /tmp/x; {own} first; /bin/echo {own}; {own} second; /usr/bin/env true; {own}; :"
    );
    let parent = run_in(&cgroup, &script);
    let seen = seen_of(&lab, parent);
    let arguments: Vec<_> = seen.iter().map(|event| &event["process"]["arguments"]).collect();
    let own = own.to_string();
    let expected = [
        serde_json::json!([own, "first"]),
        serde_json::json!([own, "second"]),
        serde_json::json!([own]),
    ];
    assert_eq!(arguments, expected.iter().collect::<Vec<_>>(), "{seen:#?}");
    for event in &seen {
        assert_eq!(event["policy"], "who-runs-tmp");
        assert_eq!(event["fields"]["binary"], own);
        assert_eq!(event["tags"], serde_json::json!(["execution", "writable-folder"]));
        assert_eq!(event["process"]["cgroup"], cgroup_id(&cgroup).expect("an id"));
    }
}

/// The kernel's own arguments, without a record: the second one is the process id
/// before the program started.
#[test]
fn at_the_raw_tracepoint() {
    const POLICY: &str = "
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: raw}
spec:
  tracepoints:
  - subsystem: sched
    event: sched_process_exec
    raw: true
    args: [{index: 1, type: int, label: before}]
";
    let Some(mut lab) = Lab::new("tracing::at_the_raw_tracepoint") else { return };
    let cgroup = lab.cgroup();
    apply(&lab, POLICY);
    let parent = run_in(&cgroup, "/bin/true; /bin/echo 1; /bin/true 2; :");
    let seen = seen_of(&lab, parent);
    let programs: Vec<_> = seen.iter().map(|event| event["process"]["comm"].as_str()).collect();
    assert_eq!(programs, [Some("true"), Some("echo"), Some("true")], "{seen:#?}");
    for event in &seen {
        assert_eq!(event["fields"]["before"], event["process"]["pid"], "{event:#}");
        assert_eq!(event["process"]["uid"], NOBODY);
    }
}

/// Asked at the system call, where the program's name is still in the caller's memory.
#[test]
fn at_the_system_call() {
    const POLICY: &str = "
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: asked}
spec:
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_execve
    args: [{index: 5, type: string, label: binary}]
    selectors:
    - matchArgs: [{args: [0], operator: Postfix, values: [/own]}]
";
    let Some(mut lab) = Lab::new("tracing::at_the_system_call") else { return };
    let cgroup = lab.cgroup();
    apply(&lab, POLICY);
    let (_folder, own) = program_in_tmp();
    let own = own.display();
    // What does not exist is asked for all the same.
    let parent =
        run_in(&cgroup, &format!("/bin/true {own}; {own} 1; /nowhere/own 2>&1; {own} 2; :"));
    let seen = seen_of(&lab, parent);
    let binaries: Vec<_> = seen.iter().map(|event| event["fields"]["binary"].as_str()).collect();
    let own = own.to_string();
    assert_eq!(binaries, [Some(&own[..]), Some("/nowhere/own"), Some(&own[..])], "{seen:#?}");
    assert!(
        seen.iter().all(|event| event["event"] == "tracepoint syscalls/sys_enter_execve"),
        "{seen:#?}"
    );
    assert!(seen.iter().all(|event| event["process"]["uid"] == NOBODY), "{seen:#?}");
}

/// Swapped under a stream of programs: none is missed, none is reported twice.
#[test]
fn swaps_lose_no_event() {
    const SWAPS: usize = 20;
    let Some(mut lab) = Lab::new("tracing::swaps_lose_no_event") else { return };
    let cgroup = lab.cgroup();
    let hello = example("exec/hello.yaml");
    let artifacts = ["one", "two"]
        .map(|name| artifact(name, &hello.replace("name: hello", &format!("name: {name}")), ""));
    let swap = |artifact| lab.apply(artifact, &Bindings::default()).expect("applies").generation;
    swap(&artifacts[0]);
    let mut events = Events::open(&lab.dirs).expect("a ring");
    let stop = lab.file("stop");
    let started = lab.file("started");
    // Runs until it is told to stop, and says how many it started.
    let script = format!(
        "i=0; while [ ! -e {} ]; do i=$((i + 1)); /bin/true $i; done; echo $i > {}; :",
        stop.display(),
        started.display()
    );
    fs::write(&started, "").expect("a file");
    fs::set_permissions(&started, fs::Permissions::from_mode(0o666)).expect("ours");
    let folder = started.parent().expect("a folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("ours");
    let mut child = shell(&cgroup, &script);
    let mut records: Vec<Vec<u8>> = Vec::new();
    for artifact in artifacts.iter().cycle().skip(1).take(SWAPS) {
        swap(artifact);
        records.extend(&mut events);
    }
    fs::write(&stop, "").expect("a file");
    assert!(child.wait().expect("ends").success());
    records.extend(&mut events);

    assert_eq!(events.lost().expect("a counter"), Some(0), "the ring had room");
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    let mut generations = Vec::new();
    for record in &records {
        let Record::Event(event) = decode(record) else { panic!("{:?}", decode(record)) };
        if event.process.parent == child.id() {
            let number = event.process.arguments[1].parse().expect("a number");
            *times.entry(number).or_default() += 1;
            generations.push(event.generation);
        }
    }
    let count: u64 =
        fs::read_to_string(&started).expect("a file").trim().parse().expect("a number");
    assert_eq!(times, (1..=count).map(|number| (number, 1)).collect(), "each once");
    assert!(generations.is_sorted(), "no event is judged by what was live before");
    generations.dedup();
    println!("{count} programs over {SWAPS} swaps, judged by generations {generations:?}");
    assert!(generations.len() > 1, "{generations:?}");
}
