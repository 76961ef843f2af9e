//! Programs of somebody else's that count packets and pass them on, and the sums
//! of policyc's own counters.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use policyc_bpf::assemble;
use policyc_sys::bpf::{
    AttachType, Direction, LinkTarget, Map, MapDef, MapType, ProgLoad, ProgType, link_create,
    map_create, prog_load, set_map,
};
use policyc_sys::net::{in_netns, interface_by_name};

use crate::lab::Lab;

/// Counts what passes one place in a chain. New ones come first in one of tcx, and
/// last at a cgroup.
#[derive(Debug)]
pub(crate) struct Counter {
    pub(crate) map: Map,
    pub(crate) prog: OwnedFd,
    pub(crate) link: OwnedFd,
}

impl Counter {
    /// At the head of the chain of an interface.
    pub(crate) fn attach(netns: &str, interface: &str, direction: Direction) -> Self {
        Self::attach_if(netns, interface, direction, "")
    }

    /// The same, of what comes in more than one piece.
    pub(crate) fn of_pieces(netns: &str, interface: &str, direction: Direction) -> Self {
        Self::attach_if(netns, interface, direction, IN_PIECES)
    }

    /// The same, and puts a VLAN tag on what passes.
    pub(crate) fn that_tags(netns: &str, interface: &str, direction: Direction) -> Self {
        Self::attach_if(netns, interface, direction, TAG)
    }

    fn attach_if(netns: &str, interface: &str, direction: Direction, condition: &str) -> Self {
        let map = counter_map();
        let prog = load(&map, ProgType::SCHED_CLS, None, TCX_NEXT, condition);
        let netns = Path::new("/run/netns").join(netns);
        let link = in_netns(Some(&netns), || {
            let ifindex = interface_by_name(interface)?.index;
            link_create(prog.as_fd(), LinkTarget::Tcx { ifindex, direction })
        });
        Self { map, prog, link: link.expect("attaches") }
    }

    /// At the sockets of a cgroup and of those below.
    pub(crate) fn attach_to_cgroup(cgroup: &Path, direction: Direction) -> Self {
        let map = counter_map();
        let attach_type = match direction {
            Direction::Ingress => AttachType::CGROUP_INET_INGRESS,
            Direction::Egress => AttachType::CGROUP_INET_EGRESS,
        };
        let prog = load(&map, ProgType::CGROUP_SKB, Some(attach_type), CGROUP_ALLOW, "");
        let folder = File::open(cgroup).expect("a cgroup");
        let target = LinkTarget::CgroupSkb { cgroup: folder.as_fd(), direction };
        let link = link_create(prog.as_fd(), target).expect("attaches");
        Self { map, prog, link }
    }

    /// In both directions at both ends of a lab's wire.
    pub(crate) fn around(lab: &Lab) -> [Self; 4] {
        let ends = [(&lab.left, lab.wire.left), (&lab.right, lab.wire.right)];
        let [(left, left_dev), (right, right_dev)] = ends;
        [
            Self::attach(left, left_dev, Direction::Ingress),
            Self::attach(left, left_dev, Direction::Egress),
            Self::attach(right, right_dev, Direction::Ingress),
            Self::attach(right, right_dev, Direction::Egress),
        ]
    }

    /// Packets so far.
    pub(crate) fn packets(&self) -> u64 {
        let value = self.map.lookup(&[0; 4]).expect("reads").expect("one value");
        u64::from_ne_bytes(value.try_into().expect("eight bytes"))
    }
}

/// The verdicts that pass a packet on.
const TCX_NEXT: i32 = -1;
const CGROUP_ALLOW: i32 = 1;
/// Of `struct __sk_buff`: `data` (76) to `data_end` (80) is less than `len` (0).
const IN_PIECES: &str = "
        r2 = *(u32 *)(r1 +76)
        r3 = *(u32 *)(r1 +80)
        r3 -= r2
        r2 = *(u32 *)(r1 +0)
        if r3 >= r2 goto done
";

/// The tag that is put on: 802.1Q (in network byte order), VLAN 42.
pub(crate) const PUSHED: [u8; 4] = [0x81, 0, 0, 42];
/// `bpf_skb_vlan_push`.
const TAG: &str = "
        r2 = 0x81
        r3 = 42
        call #18
";

fn counter_map() -> Map {
    map_create(&MapDef {
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        flags: 0,
        name: "foreign".to_owned(),
    })
    .expect("a map")
}

fn load(
    map: &Map,
    prog_type: ProgType,
    expected_attach_type: Option<AttachType>,
    verdict: i32,
    condition: &str,
) -> OwnedFd {
    let code = format!(
        "{condition}
        r1 = 0 ll
        r2 = 1
        lock *(u64 *)(r1 +0) += r2
    done:
        r0 = {verdict}
        exit
    "
    );
    let code = assemble(&code).expect("assembles");
    let mut code: Vec<[u8; 8]> = code.into_iter().map(|insn| insn.to_bytes()).collect();
    // The only load of two slots.
    let at = code.iter().position(|insn| insn[0] == 0x18).expect("a load");
    set_map(&mut code, at, map, Some(0)).expect("a load");
    let load = ProgLoad::new(prog_type, "MIT", &code);
    let load = ProgLoad { name: "foreign", expected_attach_type, ..load };
    prog_load(&load).expect("loads").fd
}

/// Packets of all decisions in a generation's counters: on each CPU two `u64`,
/// packets and bytes, per decision.
pub(crate) fn judged(counters: &Map) -> u64 {
    (0..counters.info().max_entries).map(|decision| decided(counters, decision)).sum()
}

/// Packets of one decision.
pub(crate) fn decided(counters: &Map, decision: u32) -> u64 {
    let value = counters.lookup(&decision.to_ne_bytes()).expect("reads").expect("a value");
    let (words, _) = value.as_chunks::<8>();
    words.iter().step_by(2).map(|packets| u64::from_ne_bytes(*packets)).sum()
}
