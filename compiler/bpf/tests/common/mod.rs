//! An object with every kind of program and map, made by hand.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::Write as _;

use policyc_base::{EntityId, Origin, PrimaryMap};
use policyc_bpf::{
    Direction, Insn, Judges, License, MapId, MapKind, MapRole, MapSpec, Object, Program,
    ProgramKind, Reloc, RelocTarget, SourceLine, code as op,
};

/// What the constant table holds in its second word.
pub(crate) const TABLE_WORD: u32 = 0x5eed;

pub(crate) fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
}

fn mov(dst: u8, imm: i32) -> Insn {
    insn(op::ALU64 | op::MOV | op::K, dst, 0, 0, imm)
}

fn mov_reg(dst: u8, src: u8) -> Insn {
    insn(op::ALU64 | op::MOV | op::X, dst, src, 0, 0)
}

fn add(dst: u8, imm: i32) -> Insn {
    insn(op::ALU64 | op::ADD | op::K, dst, 0, 0, imm)
}

fn store_word(dst: u8, off: i16, imm: i32) -> Insn {
    insn(op::ST | op::MEM | op::W, dst, 0, off, imm)
}

fn store_double(dst: u8, off: i16, imm: i32) -> Insn {
    insn(op::ST | op::MEM | op::DW, dst, 0, off, imm)
}

fn load_word(dst: u8, src: u8) -> Insn {
    insn(op::LDX | op::MEM | op::W, dst, src, 0, 0)
}

fn call(helper: i32) -> Insn {
    insn(op::JMP | op::CALL, 0, 0, 0, helper)
}

const EXIT: Insn = Insn { code: op::JMP | op::EXIT, dst: 0, src: 0, off: 0, imm: 0 };

/// A program under construction.
#[derive(Default)]
struct Code {
    insns: Vec<Insn>,
    relocs: Vec<Reloc>,
    origins: Vec<Option<Origin>>,
    origin: Option<Origin>,
}

impl Code {
    fn from(mut self, origin: Option<usize>) -> Self {
        self.origin = origin.map(Origin::from_index);
        self
    }

    fn push(mut self, insns: &[Insn]) -> Self {
        self.insns.extend_from_slice(insns);
        self.origins.resize(self.insns.len(), self.origin);
        self
    }

    fn load(mut self, dst: u8, target: RelocTarget) -> Self {
        self.relocs.push(Reloc { insn: self.insns.len() as u32, target });
        self.push(&[insn(op::LD | op::IMM | op::DW, dst, 0, 0, 0), Insn::default()])
    }

    /// Calls `bpf_map_lookup_elem` with key 0 of 4 bytes.
    fn lookup(self, map: MapId) -> Self {
        self.push(&[store_word(10, -4, 0), mov_reg(2, 10), add(2, -4)])
            .load(1, RelocTarget::Map(map))
            .push(&[call(1)])
    }

    fn finish(self, verdict: i32, name: &str, kind: ProgramKind, judges: Judges) -> Program {
        let code = self.push(&[mov(0, verdict), EXIT]);
        Program {
            name: name.into(),
            kind,
            judges,
            license: License::Permissive,
            insns: code.insns,
            relocs: code.relocs,
            origins: code.origins,
        }
    }
}

pub(crate) fn map(
    name: &str,
    kind: MapKind,
    sizes: (u32, u32),
    entries: u32,
    role: MapRole,
) -> MapSpec {
    let (key_size, value_size) = sizes;
    MapSpec {
        name: name.into(),
        kind,
        key_size,
        value_size,
        max_entries: entries,
        flags: 0,
        role,
        contents: Vec::new(),
    }
}

pub(crate) fn line(rule: usize, line: u32, text: &str) -> SourceLine {
    SourceLine {
        policy: "shop/allow-web".into(),
        rule: format!("spec.ingress[{rule}]"),
        file: "policies/prüfung.yaml".into(),
        line,
        column: 5,
        text: text.into(),
    }
}

pub(crate) fn sample() -> Object {
    let mut maps = PrimaryMap::new();
    let mut table = map("classes", MapKind::Array, (4, 64), 1, MapRole::Table);
    table.contents = vec![0; 8];
    table.contents[4..].copy_from_slice(&TABLE_WORD.to_le_bytes());
    let table = maps.push(table);
    let mut cells = map("cells", MapKind::Array, (4, 8), 4, MapRole::Table);
    cells.contents = (1..=32).collect();
    let cells = maps.push(cells);
    let scratch = maps.push(map("frame", MapKind::Array, (4, 16), 1, MapRole::Scratch));
    let mut names = map("names", MapKind::Hash, (4, 8), 100, MapRole::Shared);
    names.flags = 1; // BPF_F_NO_PREALLOC
    let names = maps.push(names);
    let hits = maps.push(map("hits", MapKind::PercpuArray, (4, 8), 3, MapRole::Scratch));
    let events = maps.push(map("events", MapKind::Ringbuf, (0, 0), 4096, MapRole::Shared));
    let slots = maps.push(map("slots", MapKind::ProgArray, (4, 4), 2, MapRole::Binding));
    let mut trie = map("peers", MapKind::LpmTrie, (8, 4), 10, MapRole::Binding);
    trie.flags = 1;
    maps.push(trie);
    maps.push(map("recent", MapKind::LruHash, (16, 8), 50, MapRole::Shared));

    let programs = vec![
        Code::default().from(Some(0)).lookup(names).finish(
            1,
            "cg_in",
            ProgramKind::CgroupSkb(Direction::Ingress),
            Judges::Ingress,
        ),
        Code::default().from(Some(1)).lookup(names).finish(
            1,
            "cg_out",
            ProgramKind::CgroupSkb(Direction::Egress),
            Judges::Egress,
        ),
        Code::default()
            .push(&[store_double(10, -8, 7), mov_reg(2, 10), add(2, -8), mov(3, 8), mov(4, 0)])
            .from(Some(2))
            .load(1, RelocTarget::Map(events))
            .push(&[call(130)])
            .finish(
                0,
                "exec",
                ProgramKind::RawTracepoint("sched_process_exec".into()),
                Judges::Events,
            ),
        Code::default().lookup(hits).finish(
            0,
            "sys",
            ProgramKind::Tracepoint {
                category: "syscalls".into(),
                event: "sys_enter_execve".into(),
            },
            Judges::Events,
        ),
        Code::default()
            .push(&[mov(6, 0)])
            .from(Some(0))
            .load(1, RelocTarget::MapValue(table, 4))
            .push(&[load_word(6, 1)])
            .from(Some(1))
            .lookup(cells)
            .finish(-1, "tc_in", ProgramKind::Tc, Judges::Egress),
        Code::default()
            .from(Some(0))
            .push(&[mov(3, 1)])
            .load(2, RelocTarget::Map(slots))
            .push(&[call(12)])
            .from(None)
            .finish(2, "tc_out", ProgramKind::Tc, Judges::Ingress),
        Code::default()
            .from(Some(2))
            .load(1, RelocTarget::MapValue(scratch, 8))
            .push(&[store_word(1, 0, 3)])
            .finish(2, "xdp_in", ProgramKind::Xdp, Judges::Ingress),
    ];
    let lines = vec![
        line(0, 7, "  - fromCIDR: [\"10.99.0.0/16\"]"),
        line(1, 9, "  - port: \"443\"   # größe ✓"),
        line(2, 12, "  - fromEntities: [world]"),
    ];
    Object { programs, maps, lines }
}

/// What the ELF format does not carry, put back by hand.
pub(crate) fn without_elf_losses(object: &Object) -> Object {
    let mut object = object.clone();
    object.lines.clear();
    for program in &mut object.programs {
        program.origins.fill(None);
        program.judges = match program.kind {
            ProgramKind::CgroupSkb(Direction::Egress) => Judges::Egress,
            ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => Judges::Events,
            _ => Judges::Ingress,
        };
    }
    for (_, map) in object.maps.iter_mut() {
        if map.name == "classes" {
            map.contents.resize(map.value_size as usize, 0);
        } else {
            map.role = MapRole::Scratch;
            map.contents.clear();
        }
    }
    object
}

/// Whether tests that need a kernel must not be skipped.
pub(crate) fn kernel_required() -> bool {
    std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some_and(|v| v == "1")
}

/// Reports that a test did not run, or fails if it had to.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(!kernel_required(), "{test} must run, but: {reason}");
    // Written past the harness, which hides what passing tests print.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}
