//! Hand-made artifacts for the tests of the runtime.
//!
//! A network program counts under its subject's row + 1 (0 for an unknown one)
//! and returns the same verdict for every packet; a tracing program counts under
//! 0 and reports eight bytes.

#![allow(dead_code, reason = "each test file uses its part")]

use policyc_base::PrimaryMap;
use policyc_bpf::decode::{AluOp, Imm64, JmpOp, Size};
use policyc_bpf::{
    Artifact, Decision, Direction, Insn, Judges, License, Manifest, MapId, MapKind, MapRole,
    MapSpec, Object, Outcome, Program, ProgramKind, Reason, Reg, Reloc, RelocTarget, SourceLine,
    Subject, SubjectKind, Verdict, helper,
};

/// Room for connections.
pub(crate) const PLACES: u32 = 4;
/// Entries of `counters`.
pub(crate) const COUNTERS: u32 = 16;

/// Every kind that judges packets, with what it judges.
pub(crate) fn network() -> Vec<(ProgramKind, Judges)> {
    vec![
        (ProgramKind::Tc, Judges::Ingress),
        (ProgramKind::Tc, Judges::Egress),
        (ProgramKind::Xdp, Judges::Ingress),
        (ProgramKind::CgroupSkb(Direction::Ingress), Judges::Ingress),
        (ProgramKind::CgroupSkb(Direction::Egress), Judges::Egress),
    ]
}

/// Programs that all return the verdict, for subjects with rows in order.
pub(crate) fn artifact(
    name: &str,
    verdict: Verdict,
    kinds: &[(ProgramKind, Judges)],
    subjects: &[&str],
) -> Artifact {
    let subjects = subjects.iter().enumerate().map(|(row, name)| subject(row as u32, name));
    artifact_of(name, verdict, kinds, subjects.collect())
}

/// A subject whose policy denies nothing, says the manifest.
pub(crate) fn subject(row: u32, name: &str) -> Subject {
    Subject {
        name: name.to_owned(),
        kind: SubjectKind::Endpoint,
        row,
        addresses: Vec::new(),
        restricts: Vec::new(),
        denies_by_default: Vec::new(),
        attach: None,
        hosts: None,
    }
}

/// Programs that all return the verdict, for these subjects.
pub(crate) fn artifact_of(
    name: &str,
    verdict: Verdict,
    kinds: &[(ProgramKind, Judges)],
    subjects: Vec<Subject>,
) -> Artifact {
    let maps = Maps::new();
    let mut programs: Vec<Program> = kinds
        .iter()
        .enumerate()
        .map(|(i, (kind, judges))| program(format!("p{i}"), kind.clone(), *judges, verdict))
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    let lines = vec![line("spec"), line("spec.ingressDeny[0]")];
    let object = Object { programs, maps: maps.specs, lines };
    let mut manifest = Manifest::new(name, "cilium-1.20");
    manifest.decisions = decisions();
    manifest.subjects = subjects;
    Artifact::build(manifest, &object).expect("a sound object")
}

/// A line of the only policy.
fn line(rule: &str) -> SourceLine {
    SourceLine {
        policy: "shop/deny".to_owned(),
        rule: rule.to_owned(),
        file: "deny.yaml".to_owned(),
        line: 1,
        column: 1,
        text: String::new(),
    }
}

/// Nothing is said; denied by default; denied by a rule, behind which the default does.
fn decisions() -> Vec<Decision> {
    let decision = |outcome, reason, line, unless_audited| Decision {
        outcome,
        reason,
        line,
        event: None,
        log: None,
        unless_audited,
        answer: None,
    };
    vec![
        decision(Outcome::Allow, Reason::NoPolicy, None, None),
        decision(Outcome::Deny, Reason::DefaultDeny, Some(0), Some(0)),
        decision(Outcome::Deny, Reason::Rule, Some(1), Some(1)),
    ]
}

struct Maps {
    specs: PrimaryMap<MapId, MapSpec>,
}

const SUBJECTS: usize = 0;
const FRAME: usize = 1;
const EVENTS: usize = 2;
const COUNTS: usize = 3;

impl Maps {
    fn new() -> Self {
        let mut specs = PrimaryMap::new();
        let mut add = |name: &str, kind, sizes: (u32, u32), max_entries, role, contents| {
            let (key_size, value_size) = sizes;
            let name = name.to_owned();
            specs.push(MapSpec {
                name,
                kind,
                key_size,
                value_size,
                max_entries,
                flags: 0,
                role,
                contents,
            });
        };
        add("subjects", MapKind::Array, (4, 16), 64, MapRole::Binding, Vec::new());
        add("frame", MapKind::PercpuArray, (4, 64), 1, MapRole::Shared, Vec::new());
        add("events", MapKind::Ringbuf, (0, 0), 4096, MapRole::Shared, Vec::new());
        add("counters", MapKind::PercpuArray, (4, 16), COUNTERS, MapRole::Scratch, Vec::new());
        add("config", MapKind::Array, (4, 8), 1, MapRole::Binding, Vec::new());
        add("audits", MapKind::Array, (4, 32), 1, MapRole::Binding, Vec::new());
        add("flat", MapKind::Array, (4, 16), 1, MapRole::Table, vec![7; 16]);
        add("table", MapKind::Array, (4, 4), 4, MapRole::Table, vec![1, 0, 0, 0, 2, 0, 0, 0]);
        let entry = (48, 32);
        add("ct", MapKind::Hash, entry, PLACES, MapRole::Shared, Vec::new());
        add("ct_half", MapKind::LruHash, entry, PLACES, MapRole::Shared, Vec::new());
        add("ct_ring", MapKind::Array, (4, 48), PLACES, MapRole::Shared, Vec::new());
        add("ct_clock", MapKind::Array, (4, 16), 1, MapRole::Shared, Vec::new());
        Self { specs }
    }
}

fn program(name: String, kind: ProgramKind, judges: Judges, verdict: Verdict) -> Program {
    let returned = match (&kind, verdict) {
        (ProgramKind::Tc, Verdict::Allow) => -1,
        (ProgramKind::Tc, Verdict::Deny) | (ProgramKind::Xdp, Verdict::Allow) => 2,
        (ProgramKind::Xdp, Verdict::Deny) => 1,
        (ProgramKind::CgroupSkb(_), Verdict::Allow) | (ProgramKind::Tracepoint { .. }, _) => 1,
        _ => 0,
    };
    let mut body = Body::default();
    match &kind {
        ProgramKind::Tc | ProgramKind::CgroupSkb(_) => {
            body.code.push(Insn::load(Size::W, Reg::R2, Reg::R1, 48));
            body.code.push(Insn::store(Size::W, Reg::R10, -4, Reg::R2));
            body.key_from(SUBJECTS);
        }
        ProgramKind::Xdp => {
            body.code.push(Insn::store_imm(Size::W, Reg::R10, -4, 0));
            body.key_from(FRAME);
            body.key_from(SUBJECTS);
        }
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => {
            body.code.push(Insn::store_imm(Size::W, Reg::R10, -4, 0));
            body.report();
        }
    }
    body.count();
    body.code.push(Insn::mov64_imm(Reg::R0, returned));
    body.code.push(Insn::exit());
    let origins = vec![None; body.code.len()];
    let (insns, relocs) = (body.code, body.relocs);
    Program { name, kind, judges, license: License::Permissive, insns, relocs, origins }
}

#[derive(Default)]
struct Body {
    code: Vec<Insn>,
    relocs: Vec<Reloc>,
}

impl Body {
    fn map(&mut self, dst: Reg, map: usize) {
        let target = RelocTarget::Map(policyc_base::EntityId::from_index(map));
        self.relocs.push(Reloc { insn: self.code.len() as u32, target });
        self.code.extend(Insn::lddw_from(dst, Imm64::Value(0)));
    }

    /// r0 = lookup of the key at fp - 4
    fn lookup(&mut self, map: usize) {
        self.map(Reg::R1, map);
        self.code.push(Insn::mov64(Reg::R2, Reg::R10));
        self.code.push(Insn::alu64(AluOp::Add, Reg::R2, -4));
        self.code.push(Insn::call_helper(helper::MAP_LOOKUP_ELEM));
    }

    /// Replaces the key at fp - 4 by the word found under it, or 0.
    fn key_from(&mut self, map: usize) {
        self.lookup(map);
        self.code.push(Insn::mov64_imm(Reg::R1, 0));
        self.code.push(Insn::jump(JmpOp::Eq, Reg::R0, 0, 1));
        self.code.push(Insn::load(Size::W, Reg::R1, Reg::R0, 0));
        self.code.push(Insn::store(Size::W, Reg::R10, -4, Reg::R1));
    }

    /// Adds one to the counter with the key at fp - 4.
    fn count(&mut self) {
        self.lookup(COUNTS);
        self.code.push(Insn::jump(JmpOp::Eq, Reg::R0, 0, 3));
        self.code.push(Insn::load(Size::DW, Reg::R1, Reg::R0, 0));
        self.code.push(Insn::alu64(AluOp::Add, Reg::R1, 1));
        self.code.push(Insn::store(Size::DW, Reg::R0, 0, Reg::R1));
    }

    /// Reports the eight bytes 1 to 8.
    fn report(&mut self) {
        self.code.extend(Insn::lddw(Reg::R1, u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8])));
        self.code.push(Insn::store(Size::DW, Reg::R10, -16, Reg::R1));
        self.map(Reg::R1, EVENTS);
        self.code.push(Insn::mov64(Reg::R2, Reg::R10));
        self.code.push(Insn::alu64(AluOp::Add, Reg::R2, -16));
        self.code.push(Insn::mov64_imm(Reg::R3, 8));
        self.code.push(Insn::mov64_imm(Reg::R4, 0));
        self.code.push(Insn::call_helper(helper::RINGBUF_OUTPUT));
    }
}
