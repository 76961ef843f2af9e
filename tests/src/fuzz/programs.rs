//! Readers of programs in every form.

use policyc_base::{PrimaryMap, Sink, SourceMap};
use policyc_bpf::interp::{Context, Machine, Skb, Xdp};
use policyc_bpf::{
    Direction, Insn, Judges, License, MapKind, MapRole, MapSpec, Object, Program, ProgramKind,
    Reloc, RelocTarget, Style,
};
use policyc_ir as ir;
use policyc_verify::verify_structural;

use super::text;

/// A `lddw`, and what its source register says about the immediate.
const LDDW: u8 = 0x18;
const PSEUDO_MAP: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;

/// BIR text: what is read reads back from its print, can be checked, and runs
/// without a fault that the check exists to prevent.
pub fn bir_reader(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Some(module) = read_bir(text) else { return };
    let print = module.to_string();
    let again = read_bir(&print);
    assert_eq!(again.map(|again| again.to_string()), Some(print));
    let findings = ir::check(&module);
    ir::check::render(&module, &findings);
    let too_large = module.maps.values().any(|map| is_too_large(map.value_size, map.max_entries));
    if too_large {
        return;
    }
    for name in module.functions.values().map(|func| &func.name) {
        let mut machine = ir::Machine::new(&module);
        machine.step_limit = 10_000;
        let _ = machine.run(name, ir::interp::Context::skb(vec![0x45; 64]));
    }
}

/// Maps that would only exhaust the memory of the machine that fuzzes.
fn is_too_large(value_size: u32, max_entries: u32) -> bool {
    u64::from(value_size) * u64::from(max_entries) > 1 << 20
}

/// The module of a text.
pub(super) fn read_bir(text: &str) -> Option<ir::Module> {
    let mut sources = SourceMap::new();
    let file = sources.add("fuzz.bir", text);
    let mut sink = Sink::new();
    let module = ir::parse(file, text, &mut sink);
    assert_eq!(module.is_none(), sink.has_errors(), "{sink:?}");
    module
}

/// BPF assembly: an object reads back from its print.
pub fn asm(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(slots) = policyc_bpf::assemble(text) {
        policyc_bpf::print_slots(&slots);
    }
    let Ok(object) = policyc_bpf::parse_object(text) else { return };
    let print = policyc_bpf::print_object(&object, Style::DUMP);
    assert_eq!(policyc_bpf::parse_object(&print).as_ref(), Ok(&object), "{print}");
    if !object.maps.values().any(|map| is_too_large(map.value_size, map.max_entries)) {
        verify_structural(&object);
        let _ = Machine::new(&object);
    }
}

/// Eight bytes are an instruction or none: what decodes, encodes to the same.
pub fn instructions(bytes: &[u8]) {
    let slots = slots(bytes);
    for (at, first) in slots.iter().enumerate() {
        assert_eq!(Insn::from_bytes(first.to_bytes()), *first);
        let Ok(instruction) = policyc_bpf::decode(&slots[at..]) else { continue };
        let encoded: Vec<Insn> = instruction.encode().into_iter().collect();
        assert_eq!(encoded, slots[at..at + encoded.len()], "{instruction:?}");
    }
    let print = policyc_bpf::print_slots(&slots);
    if policyc_bpf::decode_all(&slots).is_ok() {
        assert_eq!(policyc_bpf::assemble(&print).as_ref(), Ok(&slots), "{print}");
    }
}

/// Any program: the interpreter and the structural verifier end, and what the
/// verifier accepts runs without a fault.
pub fn interpreter(bytes: &[u8]) {
    let Some((kind, code)) = bytes.split_first() else { return };
    let object = object(*kind, code);
    let failures = verify_structural(&object);
    let Ok(mut machine) = Machine::new(&object) else { return };
    machine.step_limit = 10_000;
    for packet in [vec![], vec![0x45; 14], (0..=255).collect()] {
        let run = machine.run("fuzz", context(&object.programs[0].kind, packet));
        let listing = || policyc_bpf::print_object(&object, Style::DUMP);
        assert!(run.is_ok() || !failures.is_empty(), "{run:?}\n{}", listing());
    }
}

/// ELF: what is read can be written, and reads back.
pub fn elf(bytes: &[u8]) {
    let Ok(object) = policyc_bpf::read_elf(bytes) else { return };
    if let Ok(file) = policyc_bpf::write_elf(&object) {
        assert_eq!(policyc_bpf::read_elf(&file).as_ref(), Ok(&object));
    }
}

fn slots(bytes: &[u8]) -> Vec<Insn> {
    bytes.as_chunks().0.iter().map(|slot| Insn::from_bytes(*slot)).collect()
}

fn kind_of(byte: u8) -> ProgramKind {
    match byte % 6 {
        0 => ProgramKind::Tc,
        1 => ProgramKind::Xdp,
        2 => ProgramKind::CgroupSkb(Direction::Ingress),
        3 => ProgramKind::CgroupSkb(Direction::Egress),
        4 => ProgramKind::RawTracepoint("sys_enter".to_owned()),
        _ => ProgramKind::Tracepoint { category: "sched".to_owned(), event: "switch".to_owned() },
    }
}

fn context(kind: &ProgramKind, packet: Vec<u8>) -> Context {
    match kind {
        ProgramKind::Tc | ProgramKind::CgroupSkb(_) => Skb::new(packet, 0x0800).into(),
        ProgramKind::Xdp => Xdp::new(packet).into(),
        // KERNEL: up to these sizes a program loads; attaching knows the true one.
        ProgramKind::RawTracepoint(_) => Context::RawTracepoint(vec![0; 12]),
        ProgramKind::Tracepoint { .. } => Context::Tracepoint(vec![0; 8192]),
    }
}

/// One program over a map of every kind; a `lddw` of a map names it by number.
fn object(kind: u8, code: &[u8]) -> Object {
    let maps = maps();
    let mut insns = slots(code);
    let mut relocs = Vec::new();
    let ids: Vec<_> = maps.ids().collect();
    for (at, slot) in insns.iter_mut().enumerate() {
        if slot.code != LDDW || !matches!(slot.src, PSEUDO_MAP | PSEUDO_MAP_VALUE) {
            continue;
        }
        let map = ids[slot.imm as u32 as usize % ids.len()];
        let target = match slot.src {
            PSEUDO_MAP => RelocTarget::Map(map),
            _ => RelocTarget::MapValue(map, 0),
        };
        relocs.push(Reloc { insn: at as u32, target });
        (slot.src, slot.imm) = (0, 0);
    }
    let program = Program {
        name: "fuzz".to_owned(),
        kind: kind_of(kind),
        judges: Judges::Ingress,
        license: License::DualMitGpl,
        origins: vec![None; insns.len()],
        insns,
        relocs,
    };
    Object { programs: vec![program], maps, lines: Vec::new() }
}

fn maps() -> PrimaryMap<policyc_bpf::MapId, MapSpec> {
    let sizes = [
        (MapKind::Array, 4, 16, 4, 0),
        (MapKind::PercpuArray, 4, 16, 1, 0),
        (MapKind::Hash, 4, 8, 4, 0),
        (MapKind::LruHash, 8, 8, 4, 0),
        // KERNEL: a trie without BPF_F_NO_PREALLOC is refused.
        (MapKind::LpmTrie, 8, 4, 4, 1),
        (MapKind::ProgArray, 4, 4, 2, 0),
        (MapKind::Ringbuf, 0, 0, 4096, 0),
        (MapKind::Array, 4, 64, 1, 0),
    ];
    let spec = |(at, (kind, key_size, value_size, max_entries, flags))| MapSpec {
        name: format!("map{at}"),
        kind,
        key_size,
        value_size,
        max_entries,
        flags,
        role: MapRole::Scratch,
        contents: Vec::new(),
    };
    sizes.into_iter().enumerate().map(spec).collect()
}
