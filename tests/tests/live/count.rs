//! Programs of somebody else's that count packets and pass them on, and the sums
//! of policyc's own counters.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use policyc_bpf::assemble;
use policyc_sys::bpf::{
    Direction, LinkTarget, Map, MapDef, MapType, ProgLoad, ProgType, link_create, map_create,
    prog_load, set_map,
};
use policyc_sys::net::{in_netns, interface_by_name};

use crate::lab::Lab;

/// Counts what passes one place in a tcx chain. New ones come first in it.
#[derive(Debug)]
pub(crate) struct Counter {
    pub(crate) map: Map,
    pub(crate) prog: OwnedFd,
    pub(crate) link: OwnedFd,
}

impl Counter {
    /// At the head of the chain of an interface.
    pub(crate) fn attach(netns: &str, interface: &str, direction: Direction) -> Self {
        let map = map_create(&MapDef {
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: 0,
            name: "foreign".to_owned(),
        })
        .expect("a map");
        let prog = load(&map);
        let netns = Path::new("/run/netns").join(netns);
        let link = in_netns(Some(&netns), || {
            let ifindex = interface_by_name(interface)?.index;
            link_create(prog.as_fd(), LinkTarget::Tcx { ifindex, direction })
        });
        Self { map, prog, link: link.expect("attaches") }
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

fn load(map: &Map) -> OwnedFd {
    const TCX_NEXT: &str = "
        r1 = 0 ll
        r2 = 1
        lock *(u64 *)(r1 +0) += r2
        r0 = -1
        exit
    ";
    let code = assemble(TCX_NEXT).expect("assembles");
    let mut code: Vec<[u8; 8]> = code.into_iter().map(|insn| insn.to_bytes()).collect();
    set_map(&mut code, 0, map, Some(0)).expect("a load");
    let load = ProgLoad { name: "foreign", ..ProgLoad::new(ProgType::SCHED_CLS, "MIT", &code) };
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
