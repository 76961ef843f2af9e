//! Witness packets find nothing wrong, reach every instruction but some that no
//! packet can reach, and do find what is wrong.

use std::collections::BTreeMap;

use policyc::pipeline::Built;
use policyc::witness;
use policyc_bpf::{Style, print_program};
use policyc_decision::network::builtin;
use policyc_policy::network::Dialect;

use crate::build::compile;
use crate::cilium;
use crate::say::say;
use crate::small;

fn small() -> Built {
    let echo4 = "{icmps: [{fields: [{family: IPv4, type: 8}]}]}";
    let web = small::policy("web", &[small::FROM_SOME], &[echo4, small::TO_SOME]);
    let closed =
        small::policy("closed", &["{fromCIDR: [192.0.2.7/32]}"], &["{toCIDR: [192.0.2.7/32]}"]);
    let inventory = small::pods(&["web", "closed"]);
    compile(&format!("{web}{closed}"), &inventory, Dialect::Cilium120).unwrap()
}

/// How many instructions of each program no witness reached.
fn unreached(built: &Built) -> BTreeMap<String, Vec<u32>> {
    let witnessed = witness::check(built);
    assert!(witnessed.disagreements.is_empty(), "{:#?}", witnessed.disagreements);
    let mut programs: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for at in witnessed.uncovered {
        programs.entry(at.program).or_default().push(at.pc);
    }
    programs
}

/// Snapshot of what no witness reaches. `BLESS=1` writes it.
const UNREACHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines/unreached.txt");
const EXPLAINED: &str = "\
# Instructions that no witness packet of the small policy reaches: for each program how
# many, and among them the branches and calls, with how often.
#
# - `events_lost`: nothing is lost, because the interpreter's ring is never full;
# - `= -1` in XDP: the frame's only entry is always there;
# - `r7 = 4` on tc: a kind of network header that the parser never names;
# - `skb_load_bytes`: how much of a packet an event holds, of lengths that no packet
#   with this verdict has here;
# - `map_delete_elem`: a place for a connection that is reclaimed behind some in use;
# - statuses that a routine never gives to this caller, and times of what a reply does
#   not refresh: what inlining leaves of routines with several callers.
";

#[test]
fn what_no_packet_reaches_is_known() {
    let built = small();
    let mut text = EXPLAINED.to_owned();
    for (name, pcs) in unreached(&built) {
        let program = built.compiled.object.programs.iter().find(|p| p.name == name).unwrap();
        let listing = print_program(&built.compiled.object, program, Style::DUMP);
        text += &format!("\n{name}: {} of {}\n", pcs.len(), program.insns.len());
        let mut telling: BTreeMap<&str, usize> = BTreeMap::new();
        for line in listing.lines() {
            let Some((slot, insn)) = line.split_once(": ") else { continue };
            if slot.trim().parse().is_ok_and(|slot| pcs.contains(&slot)) {
                // Without slots and labels, which move with every change elsewhere.
                let insn = insn.split(';').next().unwrap_or_default().trim();
                let insn = insn.split(" L").next().unwrap_or_default();
                if insn.starts_with("call ") || insn.starts_with("if ") {
                    *telling.entry(insn).or_default() += 1;
                }
            }
        }
        for (insn, count) in telling {
            text += &format!("  {count:3} {insn}\n");
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(UNREACHED, &text).unwrap();
    }
    let expected = std::fs::read_to_string(UNREACHED).unwrap_or_default();
    assert_eq!(text, expected, "BLESS=1 writes what is unreached now");
}

#[test]
fn cases_of_ciliums_engine_are_witnessed() {
    let Some(cases) = cilium::cases("cases.json", &[]) else { return };
    let mut packets = 0;
    let mut built = 0;
    for case in cases.iter().step_by(50) {
        let compiled = compile(&case.policies, &case.inventory, case.dialect).unwrap();
        let witnessed = witness::check(&compiled);
        assert!(witnessed.disagreements.is_empty(), "{}: {:#?}", case.id, witnessed.disagreements);
        packets += witnessed.packets;
        built += 1;
    }
    say(&format!("witness: {built} cases of cilium's engine, {packets} packets"));
}

/// A check that finds nothing in a broken build is none: every table is changed in
/// turn, and so is what is decided.
#[test]
fn broken_builds_are_found() {
    let mut missed = Vec::new();
    for table in ["addr4", "addr6", "ports", "rows", "cells"] {
        let mut built = small();
        let maps = &mut built.compiled.object.maps;
        let (_, map) = maps.iter_mut().find(|(_, map)| map.name == table).unwrap();
        // Classes and rows begin where the first entry does; the rest is padding.
        let end = map.contents.len().min(4096);
        map.contents[..end].rotate_left(4);
        if witness::check(&built).disagreements.is_empty() {
            missed.push(table);
        }
    }
    let mut built = small();
    built.decided.network.as_mut().unwrap().decisions.swap(builtin::COUNT, builtin::COUNT + 1);
    if witness::check(&built).disagreements.is_empty() {
        missed.push("decisions");
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
