//! The interpreter against the running kernel: random programs, and the
//! conformance files.
//!
//! Needs bpf(2); says so where it is not permitted, and fails if
//! `POLICYC_REQUIRE_KERNEL=1`. `POLICYC_KERNEL_PROGRAMS` sets how many random
//! programs are tried, `POLICYC_KERNEL_SEED` the first seed.

#[path = "support/generate.rs"]
mod generate;
#[path = "support/kernel.rs"]
mod running;
mod support;

use std::collections::BTreeSet;

use policyc_base::EntityId;
use policyc_bpf::interp::{Fault, Machine, Skb};
use policyc_bpf::{Insn, Instruction, MapId, Object, code, decode_all};
use running::{Loaded, Run, not_permitted, skip};
use support::{Expect, suites};

/// Programs of one ordinary run.
const PROGRAMS: u64 = 2_000;
const OUT: usize = 1;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |v| v.parse().expect("a number"))
}

/// Map `out` after the interpreter ran the program.
fn interpreted(object: &Object) -> Result<Vec<u8>, Fault> {
    let mut machine = Machine::new(object).expect("two flat maps");
    machine.run("t", Skb::new([0; 64], 0x0800))?;
    let out = machine.map(MapId::from_index(OUT)).expect("map `out`");
    Ok(out.lookup(&[0; 4]).expect("an array has its entries"))
}

/// Map `out` after the kernel ran the program, or why it would not.
fn in_the_kernel(object: &Object) -> Result<Vec<u8>, String> {
    let kernel = Loaded::new(object).expect("maps");
    match kernel.run(&object.programs[0], &[0; 64]).expect("a test run") {
        Run::Result(_) => {
            Ok(kernel.maps[OUT].lookup(&[0; 4]).expect("a lookup").expect("an entry"))
        }
        Run::Refused(log) => Err(log),
    }
}

/// The same program with every instruction that does not matter for the
/// difference replaced by `goto pc+0`.
fn reduced(mut object: Object) -> Object {
    let nothing = Insn::ja(0);
    for pc in 0..object.programs[0].insns.len() {
        let before = object.clone();
        let insns = &mut object.programs[0].insns;
        let is_load = insns[pc].code == code::LD | code::IMM | code::DW;
        if is_load || insns[pc].code == code::LD || insns[pc] == Insn::exit() {
            continue;
        }
        insns[pc] = nothing;
        let different = match (interpreted(&object), in_the_kernel(&object)) {
            (Ok(ours), Ok(theirs)) => ours != theirs,
            _ => false,
        };
        if !different {
            object = before;
        }
    }
    object
}

/// The program without the instructions that do nothing.
fn listing(object: &Object) -> String {
    let insns = decode_all(&object.programs[0].insns).expect("generated");
    let something = insns.iter().filter(|(_, i)| *i != Instruction::Goto { off: 0 });
    something.map(|(pc, insn)| format!("{pc:5}: {insn}\n")).collect()
}

/// Registers and stack words that differ at the end.
fn differences(object: &Object) -> Vec<String> {
    let theirs = in_the_kernel(object).expect("it ran before");
    let ours = interpreted(object).expect("it ran before");
    let word = |w: &[u8]| u64::from_le_bytes(w.try_into().expect("eight bytes"));
    let pairs = ours.chunks(8).map(word).zip(theirs.chunks(8).map(word)).enumerate();
    let different = pairs.filter(|(_, (ours, theirs))| ours != theirs);
    let text = |(i, (ours, theirs)): (usize, (u64, u64))| {
        let name = if i < 10 { format!("r{i}") } else { format!("fp-{}", (i - 9) * 8) };
        format!("{name}: ours {ours:#x}, kernel {theirs:#x}")
    };
    different.map(text).collect()
}

#[test]
fn random_programs_end_alike() {
    if let Some(reason) = not_permitted() {
        return skip(&reason);
    }
    let first = setting("POLICYC_KERNEL_SEED", 1);
    let count = setting("POLICYC_KERNEL_PROGRAMS", PROGRAMS);
    let mut codes = BTreeSet::new();
    for seed in first..first + count {
        let object = generate::object(seed);
        codes.extend(generate::codes(&object.programs[0]));
        let theirs = in_the_kernel(&object)
            .unwrap_or_else(|log| panic!("seed {seed}: {log}\n{}", listing(&object)));
        let ours = interpreted(&object);
        let ours =
            ours.unwrap_or_else(|fault| panic!("seed {seed}: {fault}\n{}", listing(&object)));
        if ours != theirs {
            let object = reduced(object);
            let differences = differences(&object).join("\n");
            panic!("seed {seed}, reduced:\n{differences}\n{}", listing(&object));
        }
    }
    if count >= PROGRAMS {
        assert!(codes.len() > 100, "only {} codes were tried", codes.len());
    }
}

#[test]
fn the_kernel_conforms() {
    if let Some(reason) = not_permitted() {
        return skip(&reason);
    }
    let mut wrong = Vec::new();
    for suite in suites() {
        let kernel = Loaded::new(&suite.object).expect("maps");
        for case in &suite.cases {
            let program = suite.object.programs.iter().find(|p| p.name == case.program);
            let run = kernel.run(program.expect("named"), &suite.packet).expect("a test run");
            let place = format!("{}: {}", suite.file, case.program);
            match (run, &case.expect, case.refused) {
                (Run::Refused(_), _, true) => {}
                (Run::Refused(log), _, false) => wrong.push(format!("{place}: refused: {log}")),
                (Run::Result(_), _, true) => wrong.push(format!("{place}: not refused")),
                (Run::Result(r0), Expect::Result(expect), false) if r0 != *expect as u32 => {
                    wrong.push(format!("{place}: r0 = {r0:#x}"));
                }
                (Run::Result(_), _, false) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
