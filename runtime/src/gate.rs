//! The code of gates, and of what stands in a slot for a generation that does
//! not judge there.
//!
//! A gate writes its attach id where the program behind it looks for it, reads
//! the state word once, and tail-calls into the slot of the active parity by
//! constant index (a direct jump after JIT). It falls to its own end only when
//! a slot is empty, and that end denies.

use policyc_bpf::decode::{AluOp, Imm64, JmpOp, Size};
use policyc_bpf::{Insn, ProgramKind, Reg, helper};
use policyc_sys::bpf::{AttachType, MapDef, MapType, ProgType};
use policyc_sys::kernel::{Code, MapRef};
use policyc_sys::{Kernel, SysError};

use crate::state::{DEADLINE_SHIFT, PENDING, Parity};

/// `offsetof(struct __sk_buff, cb[0])`
const SKB_CB0: i16 = 48;
/// Of gates and absentees, which call no GPL-only helper.
const LICENSE: &str = "MIT OR Apache-2.0";

/// The verdicts of a program type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdicts {
    /// Pass on to the next program of the chain.
    pub(crate) allow: i32,
    /// Final.
    pub(crate) deny: i32,
}

/// What the kernel takes as verdict of a program of the kind. What tracing
/// programs return means nothing.
pub(crate) const fn verdicts(kind: &ProgramKind) -> Verdicts {
    match kind {
        // TCX_NEXT, which is TC_ACT_UNSPEC to clsact, and TC_ACT_SHOT.
        ProgramKind::Tc => Verdicts { allow: -1, deny: 2 },
        // XDP_PASS and XDP_DROP.
        ProgramKind::Xdp => Verdicts { allow: 2, deny: 1 },
        ProgramKind::CgroupSkb(_) => Verdicts { allow: 1, deny: 0 },
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => {
            Verdicts { allow: 0, deny: 0 }
        }
    }
}

/// `BPF_PROG_TYPE_*` of a kind.
pub(crate) const fn prog_type(kind: &ProgramKind) -> ProgType {
    match kind {
        ProgramKind::Tc => ProgType::SCHED_CLS,
        ProgramKind::Xdp => ProgType::XDP,
        ProgramKind::CgroupSkb(_) => ProgType::CGROUP_SKB,
        ProgramKind::RawTracepoint(_) => ProgType::RAW_TRACEPOINT,
        ProgramKind::Tracepoint { .. } => ProgType::TRACEPOINT,
    }
}

/// The attach type that the kernel wants at load.
pub(crate) const fn attach_type(kind: &ProgramKind) -> Option<AttachType> {
    use policyc_bpf::Direction::{Egress, Ingress};
    match kind {
        ProgramKind::CgroupSkb(Ingress) => Some(AttachType::CGROUP_INET_INGRESS),
        ProgramKind::CgroupSkb(Egress) => Some(AttachType::CGROUP_INET_EGRESS),
        _ => None,
    }
}

/// The program array of a gate.
pub(crate) fn slots_def() -> MapDef {
    MapDef {
        map_type: MapType::PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 2,
        flags: 0,
        name: "slots".to_owned(),
    }
}

/// The map of the state word.
pub(crate) fn state_def() -> MapDef {
    MapDef {
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        flags: 0,
        name: "state".to_owned(),
    }
}

/// Where XDP gates leave the attach id: XDP has no `cb`. Bytes 0 to 3 of the
/// only value, per CPU; the rest belongs to the programs behind.
pub(crate) fn frame_def() -> MapDef {
    MapDef {
        map_type: MapType::PERCPU_ARRAY,
        key_size: 4,
        value_size: 64,
        max_entries: 1,
        flags: 0,
        name: "frame".to_owned(),
    }
}

/// The maps of a gate.
#[derive(Debug)]
pub(crate) struct GateMaps<'a, M> {
    pub(crate) state: &'a M,
    pub(crate) slots: &'a M,
    /// XDP only.
    pub(crate) frame: Option<&'a M>,
}

/// Loads the gate of an attach point.
pub(crate) fn load<K: Kernel>(
    kernel: &K,
    kind: &ProgramKind,
    id: u32,
    maps: &GateMaps<'_, K::Map>,
) -> Result<K::Prog, SysError> {
    let (insns, uses) = code(kind, id);
    let name = format!("gate_{id}");
    let map = |used: Used| match used {
        Used::State => Some((maps.state, Some(0))),
        Used::Slots => Some((maps.slots, None)),
        Used::Frame => maps.frame.map(|frame| (frame, None)),
    };
    let references = uses.into_iter().filter_map(|(insn, used)| {
        map(used).map(|(map, value_offset)| MapRef { insn, map, value_offset })
    });
    load_code(kernel, kind, &name, &insns, references.collect())
}

/// Loads what stands in a slot for a generation that does not judge there: it
/// passes everything on, as if there were no gate.
pub(crate) fn load_absent<K: Kernel>(kernel: &K, kind: &ProgramKind) -> Result<K::Prog, SysError> {
    let insns = [Insn::mov64_imm(Reg::R0, verdicts(kind).allow), Insn::exit()];
    load_code(kernel, kind, "absent", &insns, Vec::new())
}

fn load_code<K: Kernel>(
    kernel: &K,
    kind: &ProgramKind,
    name: &str,
    insns: &[Insn],
    maps: Vec<MapRef<'_, K::Map>>,
) -> Result<K::Prog, SysError> {
    let insns: Vec<_> = insns.iter().map(|insn| insn.to_bytes()).collect();
    kernel.prog_load(&Code {
        prog_type: prog_type(kind),
        expected_attach_type: attach_type(kind),
        name,
        license: LICENSE,
        insns: &insns,
        maps,
        debug: None,
    })
}

/// A map that an instruction of a gate loads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Used {
    State,
    Slots,
    Frame,
}

/// The code of a gate, and which slot of it loads which map.
fn code(kind: &ProgramKind, id: u32) -> (Vec<Insn>, Vec<(usize, Used)>) {
    let mut code = Vec::new();
    let mut uses = Vec::new();
    let mut load_map = |code: &mut Vec<Insn>, dst: Reg, used: Used| {
        uses.push((code.len(), used));
        code.extend(Insn::lddw_from(dst, Imm64::Value(0)));
    };
    let mut to_end = Vec::new();

    code.push(Insn::mov64(Reg::R6, Reg::R1));
    match kind {
        ProgramKind::Tc | ProgramKind::CgroupSkb(_) => {
            // KERNEL: not a store of a constant, which the context takes only
            // since 6.5.
            code.push(Insn::mov32_imm(Reg::R2, id as i32));
            code.push(Insn::store(Size::W, Reg::R6, SKB_CB0, Reg::R2));
        }
        ProgramKind::Xdp => {
            code.push(Insn::store_imm(Size::W, Reg::R10, -4, 0));
            load_map(&mut code, Reg::R1, Used::Frame);
            code.push(Insn::mov64(Reg::R2, Reg::R10));
            code.push(Insn::alu64(AluOp::Add, Reg::R2, -4));
            code.push(Insn::call_helper(helper::MAP_LOOKUP_ELEM));
            to_end.push(code.len());
            code.push(Insn::jump(JmpOp::Eq, Reg::R0, 0, 0));
            code.push(Insn::mov32_imm(Reg::R2, id as i32));
            code.push(Insn::store(Size::W, Reg::R0, 0, Reg::R2));
        }
        ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => {}
    }

    // r7 = the state word, read once.
    load_map(&mut code, Reg::R2, Used::State);
    code.push(Insn::load(Size::DW, Reg::R7, Reg::R2, 0));
    // Without a pending confirmation the deadline is not looked at.
    code.push(Insn::jump(JmpOp::Set, Reg::R7, PENDING as i32, 1));
    code.push(Insn::ja(5));
    code.push(Insn::call_helper(helper::KTIME_GET_NS));
    code.push(Insn::mov64(Reg::R1, Reg::R7));
    code.push(Insn::alu64(AluOp::Rsh, Reg::R1, DEADLINE_SHIFT as i32));
    code.push(Insn::jump(JmpOp::Lt, Reg::R0, Reg::R1, 1));
    code.push(Insn::alu64(AluOp::Xor, Reg::R7, 1));

    // Two code paths, so that each tail call has a constant index.
    code.push(Insn::alu64(AluOp::And, Reg::R7, 1));
    let odd = code.len();
    code.push(Insn::jump(JmpOp::Ne, Reg::R7, 0, 0));
    for parity in [Parity::Even, Parity::Odd] {
        if parity == Parity::Odd {
            let distance = code.len() - odd - 1;
            code[odd].off = distance as i16;
        }
        code.push(Insn::mov64(Reg::R1, Reg::R6));
        load_map(&mut code, Reg::R2, Used::Slots);
        code.push(Insn::mov64_imm(Reg::R3, parity.slot() as i32));
        code.push(Insn::call_helper(helper::TAIL_CALL));
        if parity == Parity::Even {
            to_end.push(code.len());
            code.push(Insn::ja(0));
        }
    }

    let end = code.len();
    for jump in to_end {
        code[jump].off = (end - jump - 1) as i16;
    }
    code.push(Insn::mov64_imm(Reg::R0, verdicts(kind).deny));
    code.push(Insn::exit());
    (code, uses)
}
