//! Objects to test with: one of each kind of map, and programs around code.

use policyc_bpf::{
    AluOp, AtomicOp, Direction, Insn, JmpOp, Judges, License, MapId, MapKind, MapRole, MapSpec,
    Object, Program, ProgramKind, Reg, Reloc, RelocTarget, Size, SourceLine, Width,
};

use policyc_base::{EntityId, Origin};

pub(crate) const R0: Reg = Reg::R0;
pub(crate) const R1: Reg = Reg::R1;
pub(crate) const R2: Reg = Reg::R2;
pub(crate) const R3: Reg = Reg::R3;
pub(crate) const R4: Reg = Reg::R4;
pub(crate) const R5: Reg = Reg::R5;
pub(crate) const R6: Reg = Reg::R6;
pub(crate) const R7: Reg = Reg::R7;
pub(crate) const R10: Reg = Reg::R10;

/// The maps of every test object, in this order.
#[derive(Clone, Copy)]
pub(crate) enum TestMap {
    /// One value of 64 bytes.
    Flat,
    /// Key 4, value 16 bytes.
    Hash,
    /// 4,096 bytes.
    Ring,
    /// Two programs.
    Progs,
    /// Key 8, value 4 bytes.
    Trie,
}

impl TestMap {
    pub(crate) fn id(self) -> MapId {
        MapId::from_index(self as usize)
    }
}

fn map(name: &str, kind: MapKind, key: u32, value: u32, entries: u32, flags: u32) -> MapSpec {
    MapSpec {
        name: name.into(),
        kind,
        key_size: key,
        value_size: value,
        max_entries: entries,
        flags,
        role: MapRole::Scratch,
        contents: Vec::new(),
    }
}

/// Code with the places where maps belong.
#[derive(Clone, Default)]
pub(crate) struct Asm {
    pub(crate) insns: Vec<Insn>,
    pub(crate) relocs: Vec<Reloc>,
}

impl Asm {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(mut self, insns: impl IntoIterator<Item = Insn>) -> Self {
        self.insns.extend(insns);
        self
    }

    fn lddw(mut self, dst: Reg, target: RelocTarget) -> Self {
        self.relocs.push(Reloc { insn: self.insns.len() as u32, target });
        self.push(Insn::lddw(dst, 0))
    }

    pub(crate) fn map(self, dst: Reg, map: TestMap) -> Self {
        self.lddw(dst, RelocTarget::Map(map.id()))
    }

    pub(crate) fn value(self, dst: Reg, map: TestMap, offset: u32) -> Self {
        self.lddw(dst, RelocTarget::MapValue(map.id(), offset))
    }

    pub(crate) fn call(self, helper: i32) -> Self {
        self.push([Insn::call_helper(helper)])
    }

    pub(crate) fn mov(self, dst: Reg, imm: i32) -> Self {
        self.push([Insn::mov64_imm(dst, imm)])
    }

    pub(crate) fn copy(self, dst: Reg, src: Reg) -> Self {
        self.push([Insn::mov64(dst, src)])
    }

    pub(crate) fn add(self, dst: Reg, imm: i32) -> Self {
        self.push([Insn::alu64(AluOp::Add, dst, imm)])
    }

    /// `r1 = packet, r2 = its end, r3 = r1 + bytes; if r3 > r2 goto +past`
    pub(crate) fn guard_tc(self, bytes: i32, past: i16) -> Self {
        self.push([
            Insn::load(Size::W, R2, R1, 80),
            Insn::load(Size::W, R1, R1, 76),
            Insn::mov64(R3, R1),
            Insn::alu64(AluOp::Add, R3, bytes),
            Insn::jump(JmpOp::Gt, R3, R2, past),
        ])
    }

    /// Stores 0 at `off` and puts the address in `dst`.
    pub(crate) fn zero_at(self, dst: Reg, size: Size, off: i16) -> Self {
        self.push([
            Insn::store_imm(size, R10, off, 0),
            Insn::mov64(dst, R10),
            Insn::alu64(AluOp::Add, dst, i32::from(off)),
        ])
    }

    /// `r0 = value; exit`
    pub(crate) fn ret(self, value: i32) -> Self {
        self.push([Insn::mov64_imm(R0, value), Insn::exit()])
    }

    pub(crate) fn program(self, kind: ProgramKind) -> Program {
        Program {
            name: "test".into(),
            judges: match kind {
                ProgramKind::CgroupSkb(Direction::Egress) => Judges::Egress,
                ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => Judges::Events,
                _ => Judges::Ingress,
            },
            kind,
            license: License::Permissive,
            origins: (0..self.insns.len()).map(|slot| Some(Origin::from_index(slot))).collect(),
            insns: self.insns,
            relocs: self.relocs,
        }
    }

    pub(crate) fn object(self, kind: ProgramKind) -> Object {
        object([self.program(kind)])
    }
}

/// An object with every test map.
pub(crate) fn object(programs: impl IntoIterator<Item = Program>) -> Object {
    let maps = [
        map("flat", MapKind::Array, 4, 64, 1, 0),
        map("hash", MapKind::Hash, 4, 16, 8, 0),
        map("ring", MapKind::Ringbuf, 0, 0, 4_096, 0),
        map("progs", MapKind::ProgArray, 4, 4, 2, 0),
        map("trie", MapKind::LpmTrie, 8, 4, 8, 1),
    ];
    let programs: Vec<Program> = programs.into_iter().collect();
    let slots = programs.iter().map(|program| program.insns.len()).max().unwrap_or(0);
    Object { programs, maps: maps.into_iter().collect(), lines: (0..slots).map(line).collect() }
}

/// The line of the instruction in a slot.
fn line(slot: usize) -> SourceLine {
    SourceLine {
        policy: "shop/web".into(),
        rule: format!("spec.ingress[{slot}]"),
        file: "größe.yaml".into(),
        line: slot as u32 + 1,
        column: 1,
        text: format!("- port: {slot}"),
    }
}

/// Programs that every kernel takes, by name: what the code generator writes,
/// in small.
pub(crate) fn good() -> Vec<(&'static str, Object)> {
    let cgroup = || ProgramKind::CgroupSkb(Direction::Ingress);
    let raw = || ProgramKind::RawTracepoint("sched_process_exec".into());
    vec![
        ("return", Asm::new().ret(0).object(ProgramKind::Tc)),
        ("cgroup-allow", Asm::new().ret(1).object(cgroup())),
        ("guarded-packet-read", guarded_read().object(ProgramKind::Tc)),
        ("variable-packet-offset", variable_offset().object(ProgramKind::Tc)),
        ("hash-lookup", hash_lookup().object(ProgramKind::Tc)),
        ("masked-table-index", masked_index().object(ProgramKind::Xdp)),
        ("bounded-table-index", bounded_index().object(cgroup())),
        ("spill-and-reload", spill().object(ProgramKind::Tc)),
        ("ring-buffer-record", ring_record().object(raw())),
        ("copy-checked-for-null", copied_null_check().object(ProgramKind::Tc)),
        ("two-headers-meet", headers_meet().object(ProgramKind::Tc)),
        ("counter", counter().object(ProgramKind::Tc)),
        ("indexed-counter", indexed_counter().object(ProgramKind::Tc)),
        ("tail-call", tail_call().object(ProgramKind::Tc)),
        ("load-bytes", load_bytes().object(ProgramKind::Tc)),
        ("tracepoint-argument", tracepoint_argument().object(syscall())),
        ("text-in-record", text_in_record()),
    ]
}

pub(crate) fn syscall() -> ProgramKind {
    ProgramKind::Tracepoint { category: "syscalls".into(), event: "sys_enter_execve".into() }
}

/// The next number of a small generator (xorshift); `seed` is not 0.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// A good program with one to three small changes.
pub(crate) fn mutant(seed: &mut u64) -> (&'static str, Object) {
    let mut programs = good();
    let chosen = random(seed) as usize % programs.len();
    let (name, mut object) = programs.swap_remove(chosen);
    let insns = &mut object.programs[0].insns;
    for _ in 0..1 + random(seed) % 3 {
        let at = random(seed) as usize % insns.len();
        let other = insns[random(seed) as usize % insns.len()];
        let insn = &mut insns[at];
        let small = random(seed) as i32 % 64;
        match random(seed) % 9 {
            0 => *insn = Insn::from_bytes(random(seed).to_le_bytes()),
            1 => insn.off = random(seed) as i16,
            2 => insn.off = small as i16,
            3 => insn.imm = random(seed) as i32,
            4 => insn.imm = small,
            5 => insn.dst = random(seed) as u8 % 11,
            6 => insn.src = random(seed) as u8 % 11,
            7 => insn.code = insn.code & 0x0f | (random(seed) as u8 & 0xf0),
            _ => *insn = other,
        }
    }
    (name, object)
}

fn guarded_read() -> Asm {
    Asm::new().guard_tc(14, 1).push([Insn::load(Size::H, R4, R1, 12)]).ret(0)
}

/// IPv4 header length from the packet, then a second guard behind it.
fn variable_offset() -> Asm {
    Asm::new()
        .guard_tc(34, 9)
        .push([
            Insn::load(Size::B, R4, R1, 14),
            Insn::alu64(AluOp::And, R4, 0xf),
            Insn::alu64(AluOp::Lsh, R4, 2),
            Insn::alu64(AluOp::Add, R1, 14),
            Insn::alu64(AluOp::Add, R1, R4),
            Insn::mov64(R3, R1),
            Insn::alu64(AluOp::Add, R3, 4),
            Insn::jump(JmpOp::Gt, R3, R2, 1),
            Insn::load(Size::W, R5, R1, 0),
        ])
        .ret(0)
}

fn hash_lookup() -> Asm {
    Asm::new()
        .zero_at(R2, Size::W, -4)
        .map(R1, TestMap::Hash)
        .call(1)
        .push([Insn::jump(JmpOp::Eq, R0, 0, 1), Insn::load(Size::DW, R1, R0, 8)])
        .ret(0)
}

fn masked_index() -> Asm {
    Asm::new()
        .push([Insn::load(Size::W, R6, R1, 12), Insn::alu64(AluOp::And, R6, 15)])
        .push([Insn::alu64(AluOp::Lsh, R6, 2)])
        .value(R7, TestMap::Flat, 0)
        .push([Insn::alu64(AluOp::Add, R7, R6), Insn::load(Size::W, R0, R7, 0)])
        .ret(2)
}

fn bounded_index() -> Asm {
    Asm::new()
        .push([Insn::load(Size::W, R6, R1, 0), Insn::jump(JmpOp::Gt, R6, 56, 4)])
        .value(R7, TestMap::Flat, 0)
        .push([Insn::alu64(AluOp::Add, R7, R6), Insn::load(Size::DW, R0, R7, 0)])
        .ret(1)
}

/// A bounded number and the context go to the stack and back.
fn spill() -> Asm {
    Asm::new()
        .push([
            Insn::load(Size::W, R6, R1, 0),
            Insn::jump(JmpOp::Ge, R6, 64, 9),
            Insn::store(Size::DW, R10, -8, R1),
            Insn::store(Size::DW, R10, -16, R6),
            Insn::load(Size::DW, R4, R10, -16),
        ])
        .value(R7, TestMap::Flat, 0)
        .push([Insn::alu64(AluOp::Add, R7, R4), Insn::load(Size::B, R0, R7, 0)])
        .push([Insn::load(Size::DW, R1, R10, -8), Insn::load(Size::W, R0, R1, 0)])
        .ret(0)
}

fn ring_record() -> Asm {
    Asm::new()
        .map(R1, TestMap::Ring)
        .mov(R2, 16)
        .mov(R3, 0)
        .call(131)
        .push([
            Insn::jump(JmpOp::Eq, R0, 0, 6),
            Insn::mov64(R6, R0),
            Insn::call_helper(14),
            Insn::store(Size::DW, R6, 8, R0),
            Insn::mov64(R1, R6),
            Insn::mov64_imm(R2, 0),
            Insn::call_helper(132),
        ])
        .ret(0)
}

fn copied_null_check() -> Asm {
    Asm::new()
        .zero_at(R2, Size::W, -4)
        .map(R1, TestMap::Hash)
        .call(1)
        .copy(R6, R0)
        .push([Insn::jump(JmpOp::Ne, R6, 0, 2)])
        .ret(0)
        .push([Insn::load(Size::DW, R1, R0, 0)])
        .ret(0)
}

/// Two header lengths on two paths, one guard behind where they meet.
fn headers_meet() -> Asm {
    Asm::new()
        .guard_tc(14, 8)
        .push([
            Insn::load(Size::H, R4, R1, 12),
            Insn::alu64(AluOp::Add, R1, 34),
            Insn::jump(JmpOp::Eq, R4, 8, 1),
            Insn::alu64(AluOp::Add, R1, 20),
            Insn::mov64(R3, R1),
            Insn::alu64(AluOp::Add, R3, 4),
            Insn::jump(JmpOp::Gt, R3, R2, 1),
            Insn::load(Size::H, R5, R1, 2),
        ])
        .ret(0)
}

fn counter() -> Asm {
    Asm::new()
        .value(R1, TestMap::Flat, 8)
        .mov(R2, 1)
        .push([Insn::atomic(Width::W64, AtomicOp::Add, R1, 0, R2)])
        .ret(0)
}

fn indexed_counter() -> Asm {
    Asm::new()
        .push([
            Insn::load(Size::W, R6, R1, 0),
            Insn::alu64(AluOp::And, R6, 3),
            Insn::alu64(AluOp::Lsh, R6, 4),
        ])
        .value(R7, TestMap::Flat, 8)
        .mov(R2, 1)
        .push([Insn::alu64(AluOp::Add, R7, R6), Insn::atomic(Width::W64, AtomicOp::Add, R7, 0, R2)])
        .ret(0)
}

fn tail_call() -> Asm {
    Asm::new().map(R2, TestMap::Progs).mov(R3, 0).call(12).ret(2)
}

fn load_bytes() -> Asm {
    Asm::new()
        .copy(R3, R10)
        .add(R3, -16)
        .mov(R2, 0)
        .mov(R4, 14)
        .call(26)
        .push([Insn::load(Size::B, R5, R10, -16)])
        .ret(0)
}

fn tracepoint_argument() -> Asm {
    Asm::new().push([Insn::load(Size::DW, R6, R1, 16)]).ret(0)
}

/// A text whose place in the record is in the record (`__data_loc`).
fn text_in_record() -> Object {
    let mut program = Asm::new()
        .push([
            Insn::load(Size::W, R3, R1, 8),
            Insn::alu64(AluOp::And, R3, 0xffff),
            Insn::alu64(AluOp::Add, R1, R3),
            Insn::mov64(R3, R1),
            Insn::mov64(R1, R10),
            Insn::alu64(AluOp::Add, R1, -16),
        ])
        .mov(R2, 16)
        .call(115)
        .push([Insn::load(Size::B, R1, R10, -16)])
        .ret(0)
        .program(syscall());
    program.license = License::DualMitGpl;
    object([program])
}
