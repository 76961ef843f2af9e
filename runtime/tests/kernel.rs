//! Commands on the running kernel. Need root; without it each test says that it
//! was skipped, and fails if `POLICYC_REQUIRE_KERNEL=1`.

#![allow(clippy::print_stdout, reason = "how many swaps a test made")]

mod common;
mod lab;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{artifact, network};
use lab::{Lab, must, run};
use policyc_bpf::{Artifact, Judges, ProgramKind, Verdict};
use policyc_runtime::{
    Attach, Binding, Bindings, Dirs, Drift, Error, Events, Host, Mechanism, Options, Port, Side,
    apply, confirm,
};
use policyc_sys::bpf::{self, ObjectKind};
use policyc_sys::host::cgroup2_mount;
use policyc_sys::net::{in_netns, interface_by_name};

fn all(verdict: Verdict) -> Artifact {
    let name = if verdict == Verdict::Allow { "allow-all" } else { "deny-all" };
    artifact(name, verdict, &network(), &["shop/db", "shop/web"])
}

fn tracing(kind: ProgramKind) -> Artifact {
    artifact("exec", Verdict::Allow, &[(kind, Judges::Events)], &["shop/web"])
}

/// Row 1 of the subjects, counted under 2.
const WEB: usize = 2;

fn judges_pings(lab: &Lab, attach: &Attach, mechanism: Option<Mechanism>) {
    assert!(lab.pings(), "before");
    lab.apply(&all(Verdict::Deny), attach.clone()).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(!lab.pings(), "deny-all is live");
    assert!(lab.counted(WEB) >= 2, "{:?}", lab.status());
    lab.apply(&all(Verdict::Allow), attach.clone()).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(lab.pings(), "allow-all is live");
    assert!(lab.counted(WEB) >= 2, "{:?}", lab.status());
    assert_eq!(lab.counted(0), 0, "nobody unknown");

    let live = lab.status().live.expect("live");
    assert!(!live.has_drift(), "{live:?}");
    assert!(live.gates.iter().all(|gate| gate.mechanism == mechanism), "{live:?}");
    removes_everything(lab);
    assert!(lab.pings(), "after");
}

#[test]
fn tcx_judges() {
    let Some(lab) = Lab::new("tcx_judges") else { return };
    judges_pings(&lab, &Attach::Tc(lab.port()), Some(Mechanism::Tcx));
}

#[test]
fn clsact_judges_and_takes_its_qdisc_away() {
    let Some(lab) = Lab::new("clsact_judges_and_takes_its_qdisc_away") else { return };
    judges_pings(&lab, &Attach::Clsact(lab.port()), Some(Mechanism::Clsact));
    let qdiscs = must(&format!("tc -n {} qdisc show dev vb", lab.b));
    assert!(!qdiscs.contains("clsact"), "{qdiscs}");
}

#[test]
fn a_foreign_qdisc_stays() {
    let Some(lab) = Lab::new("a_foreign_qdisc_stays") else { return };
    must(&format!("tc -n {} qdisc add dev vb clsact", lab.b));
    judges_pings(&lab, &Attach::Clsact(lab.port()), Some(Mechanism::Clsact));
    let qdiscs = must(&format!("tc -n {} qdisc show dev vb", lab.b));
    assert!(qdiscs.contains("clsact"), "{qdiscs}");
}

#[test]
fn allow_passes_on_to_the_next_program() {
    let Some(lab) = Lab::new("allow_passes_on_to_the_next_program") else { return };
    // r0 = TCX_DROP; exit
    const DROP: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let load = bpf::ProgLoad::new(bpf::ProgType::SCHED_CLS, "MIT", &DROP);
    let foreign = bpf::prog_load(&load).expect("loads").fd;
    let _link = in_netns(Some(&lab.netns_b()), || {
        let ifindex = interface_by_name("vb")?.index;
        let direction = bpf::Direction::Ingress;
        bpf::link_create(foreign.as_fd(), bpf::LinkTarget::Tcx { ifindex, direction })
    })
    .expect("attaches");
    lab.apply(&all(Verdict::Allow), Attach::Tc(lab.port())).expect("applies");
    assert!(!lab.pings(), "the next in the chain drops");
    assert!(lab.counted(WEB) >= 2);
}

#[test]
fn xdp_judges() {
    let Some(lab) = Lab::new("xdp_judges") else { return };
    judges_pings(&lab, &Attach::Xdp(lab.port()), None);
}

#[test]
fn cgroups_are_judged() {
    let Some(lab) = Lab::new("cgroups_are_judged") else { return };
    let Ok(mount) = cgroup2_mount() else {
        let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
        assert!(!required, "no cgroup version 2 hierarchy");
        return;
    };
    let path = mount.join(format!("policyc-test-{}", std::process::id()));
    std::fs::create_dir(&path).expect("cgroup");
    let ping = format!(
        "echo $$ > {}/cgroup.procs && exec ip netns exec {} ping -q -c 2 -i 0.2 -W 1 192.0.2.2",
        path.display(),
        lab.a
    );
    let pings = || run(&ping).status.success();
    assert!(pings(), "before");
    let attach = Attach::Cgroup { path: path.clone(), at: None };
    lab.apply(&all(Verdict::Deny), attach.clone()).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(!pings(), "deny-all is live");
    assert!(lab.counted(WEB) >= 1);
    lab.apply(&all(Verdict::Allow), attach).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(pings(), "allow-all is live");
    assert!(lab.counted(WEB) >= 2);
    removes_everything(&lab);
    std::fs::remove_dir(&path).expect("empty");
}

#[test]
fn raw_tracepoints_report() {
    let Some(lab) = Lab::new("raw_tracepoints_report") else { return };
    reports(&lab, ProgramKind::RawTracepoint("sched_process_exec".to_owned()));
}

#[test]
fn tracepoints_report() {
    let Some(lab) = Lab::new("tracepoints_report") else { return };
    let (category, event) = ("sched".to_owned(), "sched_process_exec".to_owned());
    reports(&lab, ProgramKind::Tracepoint { category, event });
}

fn reports(lab: &Lab, kind: ProgramKind) {
    let bindings = Bindings::default();
    let options = Options::default();
    apply(&lab.host(), &tracing(kind.clone()), &bindings, options)
        .unwrap_or_else(|e| panic!("{e:?}"));
    let mut events = Events::open(&lab.dirs).expect("a ring");
    assert!(run("true").status.success());
    let record = events.next_within(Duration::from_secs(2)).expect("poll");
    assert_eq!(record.as_deref(), Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));
    // The ring is shared: a swap does not end the reading.
    apply(&lab.host(), &tracing(kind), &bindings, options).expect("applies");
    while events.next().is_some() {}
    assert!(run("true").status.success());
    assert!(events.next_within(Duration::from_secs(2)).expect("poll").is_some());
    drop(events);
    removes_everything(lab);
}

#[test]
fn no_ping_is_lost_over_swaps() {
    let Some(lab) = Lab::new("no_ping_is_lost_over_swaps") else { return };
    let other = artifact("other", Verdict::Allow, &network(), &["shop/web"]);
    let artifacts = [all(Verdict::Allow), other];
    for attach in [Attach::Tc(lab.port()), Attach::Clsact(lab.port()), Attach::Xdp(lab.port())] {
        lab.apply(&artifacts[0], attach.clone()).expect("applies");
        let mut ping = Command::new("ip")
            .args(["netns", "exec", &lab.a])
            .args(["ping", "-q", "-i", "0.002", "-c", "500", "192.0.2.2"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ping");
        let mut swaps = 0;
        while ping.try_wait().expect("wait").is_none() {
            swaps += 1;
            lab.apply(&artifacts[swaps % 2], attach.clone()).expect("applies");
        }
        let output = ping.wait_with_output().expect("ping");
        let text = String::from_utf8_lossy(&output.stdout);
        let all_answered = text.contains("500 packets transmitted, 500 received");
        assert!(all_answered, "{attach:?}, {swaps} swaps: {text}");
        assert!(swaps >= 5, "{attach:?}: {swaps} swaps");
        println!("{attach:?}: {swaps} swaps");
    }
}

/// Tells a child of this test binary what to do, and where.
const ROLE: &str = "POLICYC_TEST_ROLE";
const ROOT: &str = "POLICYC_TEST_ROOT";
const NETNS: &str = "POLICYC_TEST_NETNS";

/// Not a test of its own: what the two tests below run in another process.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let path = |name| PathBuf::from(std::env::var_os(name).expect("the parent's"));
    let (root, netns) = (path(ROOT), Some(path(NETNS)));
    let name = "policyc".to_owned();
    let dirs = Dirs { bpffs: root.join("bpf"), name, state: root.join("state") };
    let host = Host { kernel: &policyc_sys::RealKernel, dirs: &dirs };
    let port = Port { interface: "vb".to_owned(), netns, side: Side::Own };
    let subject = "shop/web".to_owned();
    let go = |verdict, attach| {
        let bindings = vec![Binding { subject: subject.clone(), attach }];
        apply(&host, &all(verdict), &Bindings::from(bindings), Options::default())
            .expect("applies");
    };
    if role == "deny" {
        return go(Verdict::Deny, Attach::Clsact(port));
    }
    // Gates come and go with every round.
    loop {
        go(Verdict::Allow, Attach::Tc(port.clone()));
        go(Verdict::Allow, Attach::Clsact(port.clone()));
    }
}

fn spawn_child(lab: &Lab, role: &str) -> std::process::Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child"])
        .env(ROLE, role)
        .env(ROOT, lab.dirs.state.parent().expect("below the root"))
        .env(NETNS, lab.netns_b())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs")
}

#[test]
fn what_is_live_needs_no_process() {
    let Some(lab) = Lab::new("what_is_live_needs_no_process") else { return };
    let child = spawn_child(&lab, "deny").wait_with_output().expect("ends");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(!lab.pings(), "the child is gone, its policy is not");
    assert!(lab.remove());
    assert!(lab.pings());
}

#[test]
fn a_killed_command_loses_no_packet_and_is_tidied() {
    let Some(lab) = Lab::new("a_killed_command_loses_no_packet_and_is_tidied") else { return };
    // While a clsact qdisc comes or goes the kernel drops what an interface
    // sends (`dev_deactivate`): somebody else's stays.
    must(&format!("tc -n {} qdisc add dev vb clsact", lab.b));
    lab.apply(&all(Verdict::Allow), Attach::Tc(lab.port())).expect("applies");
    let ping = Command::new("ip")
        .args(["netns", "exec", &lab.a, "ping", "-q", "-i", "0.01", "-c", "300", "192.0.2.2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ping");
    for milliseconds in [20, 45, 70, 95, 120, 145, 170, 195, 220, 245] {
        let mut child = spawn_child(&lab, "allow");
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().expect("kills");
        child.wait().expect("ends");
    }
    let output = ping.wait_with_output().expect("ping");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("300 packets transmitted, 300 received"), "{text}");
    lab.apply(&all(Verdict::Allow), Attach::Tc(lab.port())).expect("tidies and applies");
    let status = lab.status();
    assert!(!status.untidy);
    assert!(!status.live.expect("live").has_drift());
    removes_everything(&lab);
}

#[test]
fn a_missed_confirmation_goes_back_in_the_kernel() {
    let Some(lab) = Lab::new("a_missed_confirmation_goes_back_in_the_kernel") else { return };
    let attach = Attach::Tc(lab.port());
    let within =
        |seconds| Options { confirm: Some(Duration::from_secs(seconds)), ..Options::default() };
    // The first generation is confirmed, the second is not.
    lab.apply_with(&all(Verdict::Allow), attach.clone(), within(30)).expect("applies");
    assert_eq!(confirm(&lab.host()), Ok(1));
    let start = Instant::now();
    lab.apply_with(&all(Verdict::Deny), attach.clone(), within(3)).expect("applies");
    assert!(!lab.pings(), "live until its deadline");
    std::thread::sleep(Duration::from_millis(3100).saturating_sub(start.elapsed()));
    assert!(lab.pings(), "the gates went back by themselves");
    assert_eq!(confirm(&lab.host()), Err(Error::TooLate { generation: 2 }));
    assert!(lab.pings());
    assert_eq!(lab.status().live.map(|live| live.generation), Some(1));
}

#[test]
fn a_vanished_interface_is_an_error_and_what_is_live_stays() {
    let test = "a_vanished_interface_is_an_error_and_what_is_live_stays";
    let Some(lab) = Lab::new(test) else { return };
    let attach = Attach::Tc(lab.port());
    lab.apply(&all(Verdict::Allow), attach.clone()).expect("applies");
    let mut gone = lab.port();
    gone.interface = "nope".to_owned();
    let error = lab.apply(&all(Verdict::Deny), Attach::Tc(gone)).expect_err("no such interface");
    assert!(matches!(error, Error::NoInterface { .. }), "{error}");
    assert!(lab.pings());

    must(&format!("ip -n {} link del vb", lab.b));
    let live = lab.status().live.expect("live");
    assert!(live.gates.iter().all(|gate| gate.drift == Some(Drift::Detached)), "{live:?}");
    let error = lab.apply(&all(Verdict::Deny), attach).expect_err("it is gone");
    assert!(matches!(error, Error::NoInterface { .. }), "{error}");
    removes_everything(&lab);
}

/// Every object that is reachable from a pin is gone after `remove`.
fn removes_everything(lab: &Lab) {
    let mut ids = Vec::new();
    pinned_ids(&lab.dirs.pins(), &mut ids);
    assert!(ids.len() >= 6, "{ids:?}");
    assert!(lab.remove());
    assert!(!lab.dirs.pins().exists());
    assert!(!lab.dirs.state.exists());
    // The kernel frees programs after a grace period. Ids are listed, not opened:
    // opening a program array that is being freed keeps it for ever (a reference
    // is taken for a clearing that is under way already; seen on 6.18).
    let deadline = Instant::now() + Duration::from_secs(5);
    while !ids.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        let listed = |kind| bpf::ids(kind).expect("ids");
        let (progs, maps) = (listed(ObjectKind::Prog), listed(ObjectKind::Map));
        let links = listed(ObjectKind::Link);
        ids.retain(|(kind, id)| match kind {
            ObjectKind::Prog => progs.contains(id),
            ObjectKind::Map => maps.contains(id),
            ObjectKind::Link => links.contains(id),
        });
    }
    assert!(ids.is_empty(), "left: {ids:?}");
}

fn pinned_ids(dir: &Path, ids: &mut Vec<(ObjectKind, u32)>) {
    for entry in std::fs::read_dir(dir).expect("pins") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            pinned_ids(&path, ids);
            continue;
        }
        let fd = bpf::obj_get(&path).expect("a pin");
        let parent = path.parent().and_then(Path::file_name).expect("below the root");
        ids.push(match path.file_name().and_then(|name| name.to_str()) {
            Some("link") => (ObjectKind::Link, bpf::link_info(fd.as_fd()).expect("link").id),
            Some("program") => (ObjectKind::Prog, bpf::prog_info(fd.as_fd()).expect("prog").id),
            _ if parent == "programs" => {
                (ObjectKind::Prog, bpf::prog_info(fd.as_fd()).expect("prog").id)
            }
            _ => (ObjectKind::Map, bpf::map_info(fd.as_fd()).expect("map").id),
        });
    }
}
