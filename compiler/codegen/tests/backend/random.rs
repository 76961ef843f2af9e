//! Random functions: the allocation must be right, the kernel must load them, and
//! BIR, bytecode and kernel must compute the same.

use std::collections::BTreeSet;

use policyc_bpf::interp::{Machine, Skb};
use policyc_bpf::{Object, ProgramKind, Style, print_program};
use policyc_ir as ir;
use policyc_ir::Module;
use policyc_ir::interp::Context;

use crate::common::compile_all;
use crate::generate::{PACKET, Rng, module};
use crate::kernel;

/// Seeds and how many values each keeps alive; `POLICYC_SEEDS` says how many seeds.
fn cases() -> impl Iterator<Item = (u64, usize)> {
    let seeds = std::env::var("POLICYC_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    (0..seeds.unwrap_or(400)).map(|seed| (seed, [3, 8, 14, 24, 40][seed as usize % 5]))
}

/// Packets for a seed: random bytes, and one with all bytes alike.
fn packets(seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng(seed ^ 0xfeed);
    let mut packets: Vec<Vec<u8>> =
        (0..4).map(|_| (0..PACKET + 16).map(|_| rng.next() as u8).collect()).collect();
    packets.push(vec![[0, 0xff, 1, 0x80][seed as usize % 4]; PACKET as usize]);
    packets.push(vec![7; 64]);
    packets
}

fn compiled(seed: u64, module: &Module) -> Object {
    match compile_all(module, &ProgramKind::Tc) {
        Ok((object, _)) => object,
        Err(error) => panic!("seed {seed}: {error}\n{module}"),
    }
}

fn listing(module: &Module, object: &Object) -> String {
    format!("{module}\n{}", print_program(object, &object.programs[0], Style::DUMP))
}

#[test]
fn allocations_are_right() {
    let mut spills = 0;
    for (seed, pressure) in cases() {
        let module = module(seed, pressure);
        let findings = ir::check::check(&module);
        assert!(findings.is_empty(), "seed {seed}\n{}", ir::check::render(&module, &findings));
        match compile_all(&module, &ProgramKind::Tc) {
            Ok((_, stats)) => spills += stats[0].spills,
            Err(error) => panic!("seed {seed}: {error}\n{module}"),
        }
    }
    assert!(spills > 1000, "only {spills} spills: the functions are too easy");
}

#[test]
fn bytecode_computes_what_bir_computes() {
    let mut results = BTreeSet::new();
    for (seed, pressure) in cases() {
        let module = module(seed, pressure);
        let object = compiled(seed, &module);
        let mut bir = ir::Machine::new(&module);
        let mut bpf = Machine::new(&object).expect("the object is well-formed");
        for packet in packets(seed) {
            let expected = bir.run("random", Context::skb(packet.clone()));
            let found = bpf.run("random", Skb::new(packet, 0));
            let (expected, found) = match (expected, found) {
                (Ok(expected), Ok(found)) => (expected.value(), Some(found.ret)),
                (expected, found) => {
                    panic!("seed {seed}: {expected:?}, {found:?}\n{}", listing(&module, &object))
                }
            };
            assert_eq!(expected, found, "seed {seed}\n{}", listing(&module, &object));
            results.extend(found);
        }
        let flat = bpf.map_id("flat").and_then(|flat| bpf.map(flat));
        let found = flat.and_then(|flat| flat.lookup(&[0; 4]));
        let expected = bir.map("flat").and_then(|flat| flat.get(&[0; 4]));
        assert_eq!(expected, found, "seed {seed}\n{}", listing(&module, &object));
    }
    assert!(results.len() > 500, "only {} results: the functions are too alike", results.len());
}

#[test]
fn the_kernel_computes_what_bir_computes() {
    if !kernel::is_there("the_kernel_computes_what_bir_computes") {
        return;
    }
    for (seed, pressure) in cases() {
        let module = module(seed, pressure);
        let object = compiled(seed, &module);
        let loaded = kernel::load(&object, &object.programs[0]);
        let loaded = loaded
            .unwrap_or_else(|error| panic!("seed {seed}\n{}\n{error}", listing(&module, &object)));
        let mut bir = ir::Machine::new(&module);
        for packet in packets(seed) {
            let found = kernel::run(&loaded, &packet).expect("it runs");
            let expected = bir.run("random", Context::skb(packet)).expect("it runs").value();
            let shown = || listing(&module, &object);
            assert_eq!(expected, Some(found.into()), "seed {seed}\n{}", shown());
        }
    }
}
