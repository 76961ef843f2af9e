//! Each row: a program, the slot at fault, and the obligation it breaks.

use policyc_bpf::{
    AluOp, AtomicOp, Direction, Insn, JmpOp, MapRole, Object, ProgramKind, Size, Width, code,
};

use crate::fixtures::*;
use crate::structural::verify_structural;

type Row = (&'static str, Option<u32>, Object);

/// The only failure of every row is the one it is named for.
fn check(rows: Vec<Row>) {
    for (number, (obligation, insn, object)) in rows.into_iter().enumerate() {
        let failures = verify_structural(&object);
        let found: Vec<_> = failures.iter().map(|f| (f.obligation.name(), f.insn)).collect();
        assert_eq!(found, [(obligation, insn)], "row {number}: {failures:#?}");
        let origin = insn.and_then(|insn| object.programs[0].origins[insn as usize]);
        assert_eq!(failures[0].origin, origin, "row {number}");
    }
}

fn tc(asm: Asm) -> Object {
    asm.object(ProgramKind::Tc)
}

fn insns(insns: impl IntoIterator<Item = Insn>) -> Object {
    tc(Asm::new().push(insns))
}

/// `r0 = lookup(hash, 0)`, eight slots.
fn lookup() -> Asm {
    Asm::new().zero_at(R2, Size::W, -4).map(R1, TestMap::Hash).call(1)
}

/// `r0 = reserve(ring, 16)`, five slots.
fn reserve() -> Asm {
    Asm::new().map(R1, TestMap::Ring).mov(R2, 16).mov(R3, 0).call(131)
}

#[test]
fn objects() {
    let named = |name: &str| {
        let mut object = tc(Asm::new().ret(0));
        object.programs[0].name = name.into();
        object
    };
    let two = {
        let program = Asm::new().ret(0).program(ProgramKind::Tc);
        object([program.clone(), program])
    };
    let mapped = |change: fn(&mut policyc_bpf::MapSpec), map: TestMap| {
        let mut object = tc(Asm::new().ret(0));
        change(&mut object.maps[map.id()]);
        object
    };
    let mut short = tc(Asm::new().ret(0));
    short.programs[0].origins.pop();
    let mut nowhere = tc(Asm::new().ret(0));
    nowhere.lines.pop();
    check(vec![
        ("valid-name", None, named("")),
        ("valid-name", None, named("sixteen-is-a-lot")),
        ("valid-name", None, named("a-b")),
        ("valid-name", None, two),
        ("valid-map", None, mapped(|map| map.key_size = 8, TestMap::Flat)),
        ("valid-map", None, mapped(|map| map.max_entries = 0, TestMap::Hash)),
        ("valid-map", None, mapped(|map| map.value_size = 0, TestMap::Hash)),
        ("valid-map", None, mapped(|map| map.flags = 0, TestMap::Trie)),
        ("valid-map", None, mapped(|map| map.key_size = 4, TestMap::Trie)),
        ("valid-map", None, mapped(|map| map.max_entries = 5_000, TestMap::Ring)),
        ("valid-map", None, mapped(|map| map.value_size = 8, TestMap::Progs)),
        ("valid-map", None, mapped(|map| map.contents = vec![0; 64], TestMap::Flat)),
        (
            "valid-map",
            None,
            mapped(
                |map| {
                    map.role = MapRole::Table;
                    map.contents = vec![0; 65];
                },
                TestMap::Flat,
            ),
        ),
        ("origin-per-slot", None, short),
        ("origin-per-slot", None, nowhere),
    ]);
}

#[test]
fn relocations() {
    let moved = |slot: u32| {
        let mut object = tc(Asm::new().map(R1, TestMap::Hash).ret(0));
        object.programs[0].relocs[0].insn = slot;
        object
    };
    let mut filled = tc(Asm::new().map(R1, TestMap::Hash).ret(0));
    filled.programs[0].insns[0].imm = 7;
    let mut twice = tc(Asm::new().map(R1, TestMap::Hash).ret(0));
    let reloc = twice.programs[0].relocs[0];
    twice.programs[0].relocs.push(reloc);
    let mut unknown = tc(Asm::new().map(R1, TestMap::Hash).ret(0));
    unknown.maps = Default::default();
    check(vec![
        ("reloc-on-lddw", Some(0), filled),
        ("reloc-on-lddw", Some(0), twice),
        ("reloc-on-lddw", Some(2), moved(2)),
        ("reloc-fits-map", Some(0), unknown),
        ("reloc-fits-map", Some(0), tc(Asm::new().value(R1, TestMap::Hash, 0).ret(0))),
        ("reloc-fits-map", Some(0), tc(Asm::new().value(R1, TestMap::Flat, 64).ret(0))),
    ]);
    // A slot outside the program has no origin to report.
    let failures = verify_structural(&moved(99));
    assert_eq!(failures[0].obligation.name(), "reloc-on-lddw");
}

#[test]
fn code_shape() {
    let exit = Insn::exit();
    let r0 = Insn::mov64_imm(R0, 0);
    let garbage = Insn { code: 0xff, ..Insn::default() };
    let reserved = Insn { off: 1, ..exit };
    let half = Insn { code: code::LD | code::DW, ..Insn::default() };
    let many = (0..8_193).map(|_| Insn::jump(JmpOp::Eq, R1, 0, 0));
    let ctx_to_number = [Insn::load(Size::W, R1, R1, 0)];
    check(vec![
        ("program-size", None, insns([])),
        ("valid-encoding", Some(1), insns([r0, garbage, exit])),
        ("valid-encoding", Some(1), insns([r0, reserved])),
        ("valid-encoding", Some(2), insns([r0, exit, half])),
        ("valid-encoding", Some(1), insns([r0, Insn::call_local(0), exit])),
        ("known-since", Some(1), insns([r0, Insn::gotol(0), exit])),
        ("jump-inside-program", Some(1), insns([r0, Insn::ja(5), exit])),
        ("jump-inside-program", Some(0), insns([Insn::ja(-5), r0, exit])),
        (
            "jump-inside-program",
            Some(0),
            insns([Insn::ja(1)].into_iter().chain(Insn::lddw(R0, 1)).chain([exit])),
        ),
        ("jump-forward", Some(1), insns([r0, Insn::ja(-2), exit])),
        ("jump-forward", Some(1), insns([r0, Insn::jump(JmpOp::Eq, R0, 0, -1), exit])),
        ("reachable", Some(2), insns([r0, exit, r0, exit])),
        ("ends-program", Some(0), insns([r0])),
        ("pending-branches", None, insns(ctx_to_number.into_iter().chain(many).chain([r0, exit]))),
    ]);
}

#[test]
fn registers() {
    let exit = Insn::exit();
    check(vec![
        ("initialised", Some(0), insns([exit])),
        ("initialised", Some(0), insns([Insn::mov64(R0, R5), exit])),
        // On one path only.
        (
            "initialised",
            Some(3),
            insns([
                Insn::load(Size::W, R6, R1, 0),
                Insn::jump(JmpOp::Eq, R6, 0, 1),
                Insn::mov64_imm(R0, 0),
                exit,
            ]),
        ),
        // Lost in a call.
        (
            "initialised",
            Some(2),
            insns([Insn::mov64_imm(R2, 1), Insn::call_helper(5), Insn::mov64(R3, R2), exit]),
        ),
        // Two kinds of value meet.
        (
            "initialised",
            Some(4),
            insns([
                Insn::load(Size::W, R6, R1, 0),
                Insn::mov64_imm(R7, 0),
                Insn::jump(JmpOp::Eq, R6, 0, 1),
                Insn::mov64(R7, R10),
                Insn::mov64(R0, R7),
                exit,
            ]),
        ),
        // A tail call that fails leaves nothing in r0.
        (
            "initialised",
            Some(4),
            tc(Asm::new().map(R2, TestMap::Progs).mov(R3, 0).call(12).copy(R6, R0).ret(0)),
        ),
        ("writable", Some(0), insns([Insn::mov64_imm(R10, 0), Insn::mov64_imm(R0, 0), exit])),
        ("writable", Some(0), insns([Insn::load(Size::W, R10, R1, 0), exit])),
        ("number", Some(0), insns([Insn::mov32(R0, R1), exit])),
        ("number", Some(0), insns([Insn::alu64(AluOp::And, R1, 7), exit])),
        ("number", Some(0), insns([Insn::to_be(Size::H, R1), Insn::mov64_imm(R0, 0), exit])),
        (
            "divisor-not-zero",
            Some(1),
            insns([Insn::mov64_imm(R0, 1), Insn::alu64(AluOp::Div, R0, 0), exit]),
        ),
        (
            "shift-in-width",
            Some(1),
            insns([Insn::mov64_imm(R0, 1), Insn::alu64(AluOp::Lsh, R0, 64), exit]),
        ),
        (
            "shift-in-width",
            Some(1),
            insns([Insn::mov64_imm(R0, 1), Insn::alu32(AluOp::Rsh, R0, 32), exit]),
        ),
    ]);
}

#[test]
fn pointers() {
    let exit = Insn::exit();
    let r0 = Insn::mov64_imm(R0, 0);
    check(vec![
        // An unknown number added to the stack pointer.
        (
            "pointer-arithmetic",
            Some(2),
            insns([
                Insn::load(Size::B, R6, R1, 0),
                Insn::mov64(R7, R10),
                Insn::alu64(AluOp::Add, R7, R6),
                r0,
                exit,
            ]),
        ),
        ("pointer-arithmetic", Some(0), insns([Insn::alu64(AluOp::Add, R1, 4), r0, exit])),
        (
            "pointer-arithmetic",
            Some(1),
            insns([Insn::mov64(R6, R10), Insn::alu64(AluOp::Add, R6, 8), r0, exit]),
        ),
        // Before the null check.
        ("pointer-arithmetic", Some(6), tc(lookup().add(R0, 8).ret(0))),
        // 64 unknown bits added to a value's address.
        (
            "pointer-arithmetic",
            Some(3),
            tc(Asm::new()
                .value(R7, TestMap::Flat, 0)
                .call(5)
                .push([Insn::alu64(AluOp::Add, R7, R0)])
                .ret(0)),
        ),
        ("comparable", Some(0), insns([Insn::jump(JmpOp::Eq, R1, R10, 0), r0, exit])),
        ("comparable", Some(6), tc(lookup().push([Insn::jump(JmpOp::Gt, R0, 0, 0)]).ret(0))),
        (
            "pointer-stays-private",
            Some(2),
            tc(Asm::new()
                .value(R7, TestMap::Flat, 0)
                .push([Insn::store(Size::DW, R7, 0, R10)])
                .ret(0)),
        ),
        ("pointer-stays-private", Some(0), insns([Insn::store(Size::W, R10, -4, R1), r0, exit])),
    ]);
}

#[test]
fn memory() {
    let exit = Insn::exit();
    let r0 = Insn::mov64_imm(R0, 0);
    let cgroup = ProgramKind::CgroupSkb(Direction::Egress);
    let read = |size, base, off| Insn::load(size, R4, base, off);
    check(vec![
        // Context.
        ("access", Some(0), insns([read(Size::DW, R1, 0), r0, exit])),
        ("access", Some(0), insns([read(Size::W, R1, 92), r0, exit])),
        ("access", Some(0), insns([read(Size::B, R1, 76), r0, exit])),
        ("access", Some(0), insns([Insn::store_imm(Size::W, R1, 16, 0), r0, exit])),
        ("access", Some(0), Asm::new().push([read(Size::DW, R1, 0)]).ret(0).object(syscall())),
        // An address behind the context is for helpers only.
        (
            "access",
            Some(1),
            Asm::new().add(R1, 16).push([read(Size::DW, R1, 0)]).ret(0).object(syscall()),
        ),
        // Stack.
        ("access", Some(0), insns([read(Size::B, R10, 0), r0, exit])),
        ("access", Some(0), insns([Insn::store_imm(Size::DW, R10, -520, 0), r0, exit])),
        ("access", Some(0), insns([Insn::store_imm(Size::DW, R10, -12, 0), r0, exit])),
        // Written in half.
        (
            "access",
            Some(1),
            insns([Insn::store_imm(Size::W, R10, -8, 0), read(Size::DW, R10, -8), r0, exit]),
        ),
        // Written on one path.
        (
            "access",
            Some(3),
            insns([
                Insn::load(Size::W, R6, R1, 0),
                Insn::jump(JmpOp::Eq, R6, 0, 1),
                Insn::store_imm(Size::DW, R10, -8, 0),
                read(Size::DW, R10, -8),
                r0,
                exit,
            ]),
        ),
        // Half of a spilled address.
        (
            "access",
            Some(1),
            insns([Insn::store(Size::DW, R10, -8, R1), read(Size::W, R10, -8), r0, exit]),
        ),
        // Packet: no guard, a guard too short, after the packet moved, in the
        // branch that the guard took.
        (
            "access",
            Some(1),
            insns([Insn::load(Size::W, R1, R1, 76), read(Size::B, R1, 0), r0, exit]),
        ),
        ("access", Some(5), tc(Asm::new().guard_tc(14, 1).push([read(Size::W, R1, 12)]).ret(0))),
        ("access", Some(5), tc(Asm::new().guard_tc(14, 0).push([read(Size::B, R1, 0)]).ret(0))),
        ("access", Some(5), tc(Asm::new().guard_tc(14, 1).push([read(Size::B, R1, -1)]).ret(0))),
        (
            "access",
            Some(5),
            Asm::new()
                .guard_tc(14, 1)
                .push([Insn::store_imm(Size::B, R1, 0, 0)])
                .ret(1)
                .object(cgroup),
        ),
        // Map values: null, behind the end, unbounded, off by the mask.
        ("access", Some(6), tc(lookup().push([read(Size::B, R0, 0)]).ret(0))),
        (
            "access",
            Some(7),
            tc(lookup().push([Insn::jump(JmpOp::Eq, R0, 0, 1), read(Size::DW, R0, 9)]).ret(0)),
        ),
        (
            "access",
            Some(2),
            tc(Asm::new().value(R7, TestMap::Flat, 61).push([read(Size::W, R7, 0)]).ret(0)),
        ),
        (
            "access",
            Some(5),
            tc(Asm::new()
                .push([Insn::load(Size::W, R6, R1, 0), Insn::alu64(AluOp::And, R6, 63)])
                .value(R7, TestMap::Flat, 0)
                .push([Insn::alu64(AluOp::Add, R7, R6), read(Size::H, R7, 0)])
                .ret(0)),
        ),
        // What is learnt after a spill is not known of the copy on the stack.
        (
            "pointer-arithmetic",
            Some(6),
            tc(Asm::new()
                .push([
                    Insn::load(Size::W, R6, R1, 0),
                    Insn::store(Size::DW, R10, -8, R6),
                    Insn::jump(JmpOp::Ge, R6, 64, 5),
                    Insn::load(Size::DW, R6, R10, -8),
                ])
                .value(R7, TestMap::Flat, 0)
                .push([Insn::alu64(AluOp::Add, R7, R6), Insn::load(Size::B, R0, R7, 0)])
                .ret(0)),
        ),
        // A byte swap forgets the bound.
        (
            "pointer-arithmetic",
            Some(5),
            tc(Asm::new()
                .push([Insn::load(Size::B, R6, R1, 0), Insn::to_be(Size::H, R6)])
                .push([Insn::mov64_imm(R5, 1)])
                .value(R7, TestMap::Flat, 0)
                .push([Insn::alu64(AluOp::Add, R7, R6)])
                .ret(0)),
        ),
        ("access", Some(1), insns([r0, Insn::atomic(Width::W64, AtomicOp::Add, R1, 0, R0), exit])),
        ("access", Some(1), insns([r0, read(Size::B, R0, 0), exit])),
    ]);
}

#[test]
fn helpers() {
    let raw = || ProgramKind::RawTracepoint("sched_process_exec".into());
    check(vec![
        ("helper-allowed", Some(0), tc(Asm::new().call(9_999).ret(0))),
        ("helper-allowed", Some(0), tc(Asm::new().call(14).ret(0))),
        (
            "helper-licensed",
            Some(3),
            Asm::new().copy(R3, R1).mov(R1, 0).mov(R2, 8).call(113).ret(0).object(raw()),
        ),
        ("helper-argument", Some(1), tc(Asm::new().mov(R1, 0).call(34).ret(0))),
        // A key that was not written.
        (
            "helper-argument",
            Some(4),
            tc(Asm::new().copy(R2, R10).add(R2, -4).map(R1, TestMap::Hash).call(1).ret(0)),
        ),
        // A key that reaches out of the stack.
        (
            "helper-argument",
            Some(5),
            tc(Asm::new().zero_at(R2, Size::H, -2).map(R1, TestMap::Hash).call(1).ret(0)),
        ),
        // A map of the wrong kind.
        (
            "helper-argument",
            Some(5),
            tc(Asm::new().zero_at(R2, Size::W, -4).map(R1, TestMap::Ring).call(1).ret(0)),
        ),
        // A length that may be 0, and one that is not bounded.
        (
            "helper-argument",
            Some(5),
            tc(Asm::new()
                .push([Insn::load(Size::B, R4, R1, 0)])
                .zero_at(R3, Size::DW, -8)
                .mov(R2, 0)
                .call(26)
                .ret(0)),
        ),
        (
            "helper-argument",
            Some(4),
            tc(Asm::new().map(R1, TestMap::Ring).mov(R2, 0).mov(R3, 0).call(131).ret(0)),
        ),
    ]);
}

#[test]
fn results() {
    let ingress = || ProgramKind::CgroupSkb(Direction::Ingress);
    check(vec![
        ("exit-value", Some(1), Asm::new().ret(2).object(ingress())),
        (
            "exit-value",
            Some(1),
            Asm::new().push([Insn::load(Size::B, R0, R1, 0), Insn::exit()]).object(ingress()),
        ),
        ("exit-value", Some(1), Asm::new().ret(5).object(ProgramKind::Xdp)),
        ("exit-value", Some(1), Asm::new().ret(9).object(ProgramKind::Tc)),
        (
            "exit-value",
            Some(1),
            Asm::new().copy(R0, R1).push([Insn::exit()]).object(ProgramKind::Tc),
        ),
        // Reserved and forgotten, on every path or on one.
        (
            "released",
            Some(6),
            tc(reserve()
                .push([Insn::jump(JmpOp::Ne, R0, 0, 0)])
                .push([Insn::mov64_imm(R0, 0), Insn::exit()])),
        ),
    ]);
}
