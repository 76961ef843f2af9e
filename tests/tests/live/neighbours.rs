//! Programs of others share the hooks: what policyc allows goes on to them, and
//! neither `apply` nor `remove` changes them.

use std::os::fd::AsFd;
use std::path::Path;

use policyc_bpf::{Artifact, assemble};
use policyc_sys::bpf::{
    Direction, LinkTarget, ObjectKind, ProgLoad, ProgType, XdpMode, ids, link_create, link_info,
    obj_get, obj_pin, prog_info, prog_load,
};
use policyc_sys::net::{in_netns, interface_by_name};

use crate::build::{self, allow_all, bindings_text, deny_echo, save};
use crate::count::Counter;
use crate::lab::{Lab, must, run, wait_for};

/// Applies an artifact to the lab's right end.
fn apply_to_right(lab: &Lab, attach: &str, artifact: &Artifact) -> String {
    let line = format!(
        "- subject: demo/right\n  attach: {{{attach}: {{interface: veth-right, netns: RIGHT}}}}\n"
    );
    build::apply(lab, artifact, &line)
}

/// One that allows everything.
fn apply(lab: &Lab, attach: &str) -> String {
    apply_to_right(lab, attach, &allow_all())
}

/// What `bpftool` and `tc` say about programs of others.
fn foreign(lab: &Lab, counters: &[&Counter]) -> Vec<String> {
    let mut said = Vec::new();
    for counter in counters {
        let prog = prog_info(counter.prog.as_fd()).expect("a program").id;
        let link = link_info(counter.link.as_fd()).expect("a link").id;
        let map = counter.map.info().id;
        for object in [format!("prog show id {prog}"), format!("map show id {map}")] {
            said.push(must(&format!("bpftool -j {object}")));
        }
        said.push(must(&format!("ip netns exec {} bpftool -j link show id {link}", lab.right)));
    }
    said
}

/// Everything that is attached to the right end.
fn attached(lab: &Lab) -> String {
    let tc = |what: &str| must(&format!("tc -n {} {what}", lab.right));
    let mut said = must(&format!("ip netns exec {} bpftool -j net list", lab.right));
    for list in
        ["qdisc show", "filter show dev veth-right ingress", "filter show dev veth-right egress"]
    {
        let text = run(&format!("tc -n {} {list}", lab.right)).stdout;
        said.push_str(&String::from_utf8_lossy(&text));
    }
    said.push_str(&tc("qdisc show dev veth-right"));
    said
}

fn ping(lab: &Lab, count: u64) -> bool {
    let ping = format!("ip netns exec {} ping -q -c {count} -i 0.02 -W 1 10.77.0.2", lab.left);
    run(&ping).status.success()
}

#[test]
fn what_is_allowed_goes_on_in_the_chain() {
    let Some(lab) = Lab::new("neighbours::what_is_allowed_goes_on_in_the_chain") else { return };
    lab.without_ipv6();
    let behind = Counter::attach(&lab.right, "veth-right", Direction::Ingress);
    let before = attached(&lab);
    let described = foreign(&lab, &[&behind]);

    apply(&lab, "tc");
    let first = Counter::attach(&lab.right, "veth-right", Direction::Ingress);
    assert!(ping(&lab, 10));
    assert!(behind.packets() >= 10);
    assert_eq!(behind.packets(), first.packets(), "everything went on");
    drop(first);
    assert_eq!(foreign(&lab, &[&behind]), described, "apply leaves it alone");

    lab.says(["remove", "--all"]);
    assert_eq!(foreign(&lab, &[&behind]), described, "remove leaves it alone");
    assert_eq!(attached(&lab), before, "and nothing else is there");
}

#[test]
fn what_is_allowed_goes_on_to_the_next_filter() {
    let test = "neighbours::what_is_allowed_goes_on_to_the_next_filter";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    // A filter on clsact behind policyc's, with the program of a counter.
    let counter = Counter::attach(&lab.left, "veth-left", Direction::Ingress);
    let pin = lab.dirs.bpffs.join(format!("{}-foreign", lab.dirs.name));
    obj_pin(counter.prog.as_fd(), &pin).expect("pins");
    must(&format!("tc -n {} qdisc add dev veth-right clsact", lab.right));
    // Not by `tc -n`, which mounts a /sys of its own without the pin.
    let filter = format!(
        "nsenter --net=/run/netns/{} tc filter add dev veth-right ingress prio 7 handle 9 \
         bpf da object-pinned {}",
        lab.right,
        pin.display()
    );
    let added = run(&filter);
    std::fs::remove_file(&pin).expect("unpins");
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let before = attached(&lab);

    apply(&lab, "clsact");
    let arriving = Counter::attach(&lab.right, "veth-right", Direction::Ingress);
    let replies = counter.packets();
    assert!(ping(&lab, 10));
    // The program counts at both places: replies at the left, requests at the right.
    assert_eq!(counter.packets() - replies, arriving.packets() + 10, "everything went on");
    drop(arriving);
    let before_deny = counter.packets();
    apply_to_right(&lab, "clsact", &deny_echo());
    assert!(!ping(&lab, 5));
    assert_eq!(counter.packets(), before_deny, "what is denied is denied finally");
    lab.says(["remove", "--all"]);
    assert_eq!(attached(&lab), before, "the filter and its qdisc stay");
}

/// What is denied does not come to those behind; what is allowed comes to them; those
/// before see all of it.
fn deny_is_final(test: &str, attach: &str) {
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let right = || Counter::attach(&lab.right, "veth-right", Direction::Ingress);
    let behind = right();
    apply_to_right(&lab, attach, &deny_echo());
    // XDP comes before every program of tc: whoever sees all of it is at the other end.
    let before = match attach {
        "xdp" => Counter::attach(&lab.left, "veth-left", Direction::Egress),
        _ => right(),
    };
    let described = foreign(&lab, &[&behind]);
    let seen = [&before, &behind].map(|counter| counter.packets());
    assert!(!ping(&lab, 5), "denied");
    let (sender, receiver) = lab.udp(7001);
    for _ in 0..3 {
        sender.send(b"allowed").expect("sends");
        wait_for("the datagram", || receiver.recv(&mut [0; 8]).ok());
    }
    let now = [&before, &behind].map(|counter| counter.packets());
    assert_eq!([now[0] - seen[0], now[1] - seen[1]], [8, 3], "{attach}");
    assert_eq!(foreign(&lab, &[&behind]), described, "and is left alone");
}

#[test]
fn deny_is_final_on_tcx() {
    deny_is_final("neighbours::deny_is_final_on_tcx", "tc");
}

#[test]
fn deny_is_final_on_xdp() {
    deny_is_final("neighbours::deny_is_final_on_xdp", "xdp");
}

#[test]
fn a_taken_place_is_left_alone() {
    let Some(lab) = Lab::new("neighbours::a_taken_place_is_left_alone") else { return };
    let code = assemble("r0 = 2\nexit\n").expect("assembles");
    let code: Vec<[u8; 8]> = code.into_iter().map(|insn| insn.to_bytes()).collect();
    let foreign = prog_load(&ProgLoad::new(ProgType::XDP, "MIT", &code)).expect("loads").fd;
    let netns = Lab::netns(&lab.right);
    let _link = in_netns(Some(&netns), || {
        let ifindex = interface_by_name("veth-right")?.index;
        link_create(foreign.as_fd(), LinkTarget::Xdp { ifindex, mode: XdpMode::Auto })
    })
    .expect("attaches");
    let before = attached(&lab);

    let (artifact, bindings) = (lab.file("a.policyc"), lab.file("b.yaml"));
    save(&allow_all(), &artifact);
    let line = "- subject: demo/right\n  attach: {xdp: {interface: veth-right, netns: RIGHT}}\n";
    std::fs::write(&bindings, bindings_text(&lab, line)).expect("a file");
    let (artifact, bindings) = (artifact.as_os_str(), bindings.as_os_str());
    let ended = lab.refuses(["apply".as_ref(), artifact, "--bindings".as_ref(), bindings]);
    assert!(ended.err.contains("cannot attach to xdp of veth-right"), "{}", ended.err);
    assert!(ended.err.contains("policyc leaves it alone"), "{}", ended.err);
    assert_eq!(attached(&lab), before);
    assert!(!lab.dirs.pins().exists(), "nothing is left of the attempt");
}

#[test]
fn nothing_is_left_in_the_kernel() {
    let Some(lab) = Lab::new("neighbours::nothing_is_left_in_the_kernel") else { return };
    let before = attached(&lab);
    for attach in ["tc", "clsact", "xdp"] {
        apply(&lab, attach);
        assert!(ping(&lab, 2));
    }
    let mut left = Vec::new();
    pinned(&lab.dirs.pins(), &mut left);
    assert!(left.len() > 10, "{left:?}");
    lab.says(["remove", "--all"]);
    assert_eq!(attached(&lab), before);
    assert!(!lab.dirs.pins().exists());
    assert!(!lab.dirs.state.exists());
    // Objects are freed after a grace period. They are listed and not opened, which
    // could keep them.
    wait_for("the kernel to free everything", || {
        let there = [ObjectKind::Prog, ObjectKind::Map, ObjectKind::Link].map(ids);
        left.retain(|(kind, id)| there[*kind].as_ref().expect("ids").contains(id));
        left.is_empty().then_some(())
    });
}

/// What is pinned below a folder: 0 and the id of a program, 1 of a map, 2 of a link.
fn pinned(folder: &Path, found: &mut Vec<(usize, u32)>) {
    for entry in std::fs::read_dir(folder).expect("pins") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pinned(&path, found);
            continue;
        }
        let fd = obj_get(&path).expect("a pin");
        let parent = path.parent().and_then(Path::file_name).expect("a folder");
        let is_program = path.ends_with("program") || parent == "programs";
        found.push(match (path.ends_with("link"), is_program) {
            (true, _) => (2, link_info(fd.as_fd()).expect("a link").id),
            (_, true) => (0, prog_info(fd.as_fd()).expect("a program").id),
            _ => (1, policyc_sys::bpf::map_info(fd.as_fd()).expect("a map").id),
        });
    }
}
