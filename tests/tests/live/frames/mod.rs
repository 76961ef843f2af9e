//! What packets get, with live frames: each row of the table "Packets" of
//! `docs/coverage.md`, sent through real interfaces.
//!
//! Neither end has an address, so no kernel says anything by itself. Every frame is
//! looked for at the other side, byte by byte, and the reason that `observe` tells is
//! the one that the table says.

mod bench;
pub(crate) mod packet;
mod rows;
mod stack;

use std::collections::BTreeSet;

use policyc_bpf::Reason;
use policyc_policy::network::Direction;

use crate::tool::root;
use bench::Bench;
use packet::{TAG, Way};
use rows::{Case, Hooks, Policy, ROWS, Step};
use stack::Stack;

/// Where programs are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Tcx,
    Clsact,
    /// In the driver, and on tc behind it.
    Xdp,
    /// In the network stack, and on tc behind it.
    GenericXdp,
    Cgroup,
}

impl Place {
    fn is_xdp(self) -> bool {
        matches!(self, Self::Xdp | Self::GenericXdp)
    }
}

/// Every row has its test, and every test is of a row.
#[test]
fn the_table_is_tested_row_by_row() {
    let page = std::fs::read_to_string(root().join("docs/coverage.md")).expect("a page");
    let table = page.split("\n## Packets\n").nth(1).expect("a section");
    let table = table.split("\n## ").next().expect("its text");
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let rows = rows.skip(1).map(|row| row.split('|').nth(1).expect("a cell").trim());
    let written: BTreeSet<&str> = rows.collect();
    let tested: BTreeSet<&str> = ROWS.iter().map(|row| row.packet).collect();
    assert_eq!(written, tested);
    let cases = ROWS.iter().flat_map(|row| row.cases.iter().map(|case| (row.packet, case.name)));
    let names: BTreeSet<_> = cases.clone().collect();
    assert_eq!(names.len(), cases.count(), "each case has a name of its own");
}

#[test]
fn on_tcx() {
    every_row("frames::on_tcx", Place::Tcx);
}

#[test]
fn on_clsact() {
    every_row("frames::on_clsact", Place::Clsact);
}

#[test]
fn on_xdp() {
    every_row("frames::on_xdp", Place::Xdp);
}

#[test]
fn on_generic_xdp() {
    every_row("frames::on_generic_xdp", Place::GenericXdp);
}

/// A tag that somebody else pushes on the way out is not in the packet; with two that are
/// it is one of three.
#[test]
fn behind_a_tag_that_was_pushed() {
    let test = "frames::behind_a_tag_that_was_pushed";
    let Some(mut bench) = Bench::new(test, Place::Tcx, Policy::Closed) else { return };
    bench.push_tags();
    let [own, peer] = ["10.77.0.2", "203.0.113.9"].map(|text| text.parse().expect("an address"));
    let at = Way { direction: Direction::Egress, own, peer, number: 9000 };
    let frame = |passes, reason, packet| Step { packet, passes, reason };
    let steps = [
        frame(true, Reason::Rule, at.tcp(443)),
        frame(false, Reason::DefaultDeny, at.tcp(444)),
        frame(true, Reason::Rule, at.tcp(443).tagged(&[TAG])),
        frame(false, Reason::DefaultDeny, at.tcp(444).tagged(&[TAG])),
        frame(false, Reason::UnknownL3, at.tcp(443).tagged(&[TAG, TAG])),
        frame(true, Reason::Arp, at.frame(0x0806, &[1; 46])),
    ];
    let played = bench.play(&steps).expect("can be sent");
    assert!(played.is_empty(), "{played:#?}");
}

/// What sockets can send, and what a stack hands to them.
#[test]
fn at_a_cgroup() {
    every_row("frames::at_a_cgroup", Place::Cgroup);
}

/// The kernel puts together what comes in fragments before a socket is asked.
#[test]
fn fragments_come_to_a_cgroup_in_one_piece() {
    let test = "frames::fragments_come_to_a_cgroup_in_one_piece";
    let Some(mut stack) = Stack::new(test, Policy::Closed) else { return };
    let case = ROWS[0].cases[0];
    let received = ways(&case).into_iter();
    let received = received.filter(|way| way.direction == Direction::Ingress);
    for (way, number) in received.flat_map(|way| (0..4u16).map(move |number| (way, number))) {
        let at = numbered(way, number);
        let (port, passes) = if number % 2 == 0 { (53, true) } else { (54, false) };
        let reason = if passes { Reason::Rule } else { Reason::DefaultDeny };
        let step = Step { packet: at.udp(port), passes, reason };
        // In order, and the other way round.
        let played = stack.play_in_fragments(&step, number >= 2);
        assert_eq!(played, Ok(()), "{way:?}, port {port}, {number}");
    }
}

/// Where packets are sent and looked for.
trait Play {
    /// Sends packets one by one; what is wrong about what they get. `None` where they
    /// cannot be met.
    fn play(&mut self, steps: &[Step]) -> Option<Vec<String>>;
}

fn bench(test: &str, place: Place, policy: Policy) -> Option<Box<dyn Play>> {
    Some(match place {
        Place::Cgroup => Box::new(Stack::new(test, policy)?),
        _ => Box::new(Bench::new(test, place, policy)?),
    })
}

fn every_row(test: &str, place: Place) {
    let (mut cases, mut frames, mut wrong) = (0u16, 0, Vec::new());
    for policy in [Policy::Closed, Policy::Open, Policy::Nobody] {
        let Some(mut bench) = bench(test, place, policy) else { return };
        for (row, case) in ROWS.iter().flat_map(|row| row.cases.iter().map(move |c| (row, c))) {
            if case.policy != policy || !is_tried(case.hooks, place) {
                continue;
            }
            for way in ways(case) {
                let steps = (case.frames)(numbered(way, cases));
                let Some(played) = bench.play(&steps) else { continue };
                frames += steps.len();
                cases += 1;
                let family = if way.is_v4() { 4 } else { 6 };
                let name =
                    format!("{}: {}, IPv{family}, {:?}", row.packet, case.name, way.direction);
                wrong.extend(played.into_iter().map(|why| format!("{name}{why}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{test}: {} wrong\n{}", wrong.len(), wrong.join("\n"));
    println!("{test}: {cases} cases, {frames} frames");
}

/// Each time another peer, and numbers with room behind them: nothing that was sent is
/// part of what others are.
fn numbered(way: Way, case: u16) -> Way {
    let end = case % 250 + 1;
    let way = way.peer(&format!("203.0.113.{end}"), &format!("2001:db8::{end}"));
    Way { number: 20_000 + case * 16, ..way }
}

fn is_tried(hooks: Hooks, place: Place) -> bool {
    match hooks {
        Hooks::All => true,
        Hooks::Link => place != Place::Cgroup,
        Hooks::Tc => matches!(place, Place::Tcx | Place::Clsact),
        Hooks::Cgroup => place == Place::Cgroup,
    }
}

/// Every way that a case goes.
fn ways(case: &Case) -> Vec<Way> {
    let mut ways = Vec::new();
    for direction in case.ways {
        let families = [(case.v4, "10.77.0.2"), (case.v6, "fd77::2")];
        for (_, own) in families.into_iter().filter(|(is_tried, _)| *is_tried) {
            let own = own.parse().expect("an address");
            ways.push(Way { direction: *direction, own, peer: own, number: 0 });
        }
    }
    ways
}
