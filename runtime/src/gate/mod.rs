//! The code of gates, and of what stands in slots that no generation's program
//! is in.
//!
//! A gate writes its attach id where the program behind it looks for it, reads
//! the state word once, and tail-calls into the slot of the active parity by
//! constant index (a direct jump after JIT). It falls to its own end only when
//! a slot is empty, and that end denies. Packets that are not its subject's it
//! passes on before all that; see [`Scope`].

mod scope;

pub(crate) use scope::Scope;

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
    /// Final too, with an answer in the packet's place; where there is such a thing.
    pub(crate) answer: Option<i32>,
}

/// What the kernel takes as verdict of a program of the kind. Tracing programs
/// judge nothing: theirs leaves the event alone.
pub(crate) const fn verdicts(kind: &ProgramKind) -> Verdicts {
    let (allow, deny) = match kind {
        // TCX_NEXT, which is TC_ACT_UNSPEC to clsact, and TC_ACT_SHOT.
        ProgramKind::Tc => (-1, 2),
        // XDP_PASS and XDP_DROP.
        ProgramKind::Xdp => (2, 1),
        ProgramKind::CgroupSkb(_) => (1, 0),
        ProgramKind::RawTracepoint(_) => (0, 0),
        // 0 would keep the event from everybody else who traces it with perf.
        ProgramKind::Tracepoint { .. } => (1, 1),
    };
    let answer = match kind {
        // TC_ACT_REDIRECT.
        ProgramKind::Tc => Some(7),
        _ => None,
    };
    Verdicts { allow, deny, answer }
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
    /// Of gates that follow a cgroup.
    pub(crate) members: Option<&'a M>,
}

/// Loads the gate of an attach point.
pub(crate) fn load<K: Kernel>(
    kernel: &K,
    kind: &ProgramKind,
    id: u32,
    scope: Scope,
    maps: &GateMaps<'_, K::Map>,
) -> Result<K::Prog, SysError> {
    let (insns, uses) = code(kind, id, scope);
    let name = format!("gate_{id}");
    let map = |used: Used| match used {
        Used::State => Some((maps.state, Some(0))),
        Used::Slots => Some((maps.slots, None)),
        Used::Frame => maps.frame.map(|frame| (frame, None)),
        Used::Members => maps.members.map(|members| (members, None)),
    };
    let references = uses.into_iter().filter_map(|(insn, used)| {
        map(used).map(|(map, value_offset)| MapRef { insn, map, value_offset })
    });
    load_code(kernel, kind, (&name, scope.license()), &insns, references.collect())
}

/// Loads what stands in a slot for a generation that does not judge there: it
/// passes everything on, as if there were no gate.
pub(crate) fn load_absent<K: Kernel>(kernel: &K, kind: &ProgramKind) -> Result<K::Prog, SysError> {
    load_constant(kernel, kind, "absent", verdicts(kind).allow)
}

/// Loads what stands in a slot that no generation has: it denies, as the end of
/// the gate does. Putting it takes 50 us; emptying the slot takes a grace
/// period, because the kernel turns the gate's direct jump into none.
pub(crate) fn load_closed<K: Kernel>(kernel: &K, kind: &ProgramKind) -> Result<K::Prog, SysError> {
    load_constant(kernel, kind, "closed", verdicts(kind).deny)
}

fn load_constant<K: Kernel>(
    kernel: &K,
    kind: &ProgramKind,
    name: &str,
    returned: i32,
) -> Result<K::Prog, SysError> {
    let code = [Insn::mov64_imm(Reg::R0, returned), Insn::exit()];
    load_code(kernel, kind, (name, LICENSE), &code, Vec::new())
}

fn load_code<K: Kernel>(
    kernel: &K,
    kind: &ProgramKind,
    (name, license): (&str, &str),
    insns: &[Insn],
    maps: Vec<MapRef<'_, K::Map>>,
) -> Result<K::Prog, SysError> {
    let insns: Vec<_> = insns.iter().map(|insn| insn.to_bytes()).collect();
    kernel.prog_load(&Code {
        prog_type: prog_type(kind),
        expected_attach_type: attach_type(kind),
        name,
        license,
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
    Members,
}

/// The code of a gate, and which slot of it loads which map.
fn code(kind: &ProgramKind, id: u32, scope: Scope) -> (Vec<Insn>, Vec<(usize, Used)>) {
    let mut gate = Assembly::default();
    gate.push(Insn::mov64(Reg::R6, Reg::R1));
    gate.leave_unless_in(scope, id);
    gate.leave_id(kind, id);
    gate.choose_parity();
    gate.enter_slots();
    gate.end(verdicts(kind));
    (gate.code, gate.uses)
}

/// Code in the making. r6 is the context, r7 the state word.
#[derive(Default)]
struct Assembly {
    code: Vec<Insn>,
    uses: Vec<(usize, Used)>,
    /// Jumps to the end, still without distance.
    to_end: Vec<usize>,
    /// Jumps to the other end, which passes on.
    to_pass: Vec<usize>,
}

impl Assembly {
    fn push(&mut self, insn: Insn) -> usize {
        self.code.push(insn);
        self.code.len() - 1
    }

    fn load_map(&mut self, dst: Reg, used: Used) {
        self.uses.push((self.code.len(), used));
        self.code.extend(Insn::lddw_from(dst, Imm64::Value(0)));
    }

    /// Makes the jump at `jump` land on the next instruction.
    fn land(&mut self, jump: usize) {
        // INVARIANT: `jump` came from `push`, and a gate is some 100 slots long.
        self.code[jump].off = (self.code.len() - jump - 1) as i16;
    }

    /// Leaves the attach id where the program behind looks for it.
    fn leave_id(&mut self, kind: &ProgramKind, id: u32) {
        match kind {
            ProgramKind::Tc | ProgramKind::CgroupSkb(_) => {
                // KERNEL: not a store of a constant, which the context takes
                // only since 6.5.
                self.push(Insn::mov32_imm(Reg::R2, id as i32));
                self.push(Insn::store(Size::W, Reg::R6, SKB_CB0, Reg::R2));
            }
            ProgramKind::Xdp => {
                self.push(Insn::store_imm(Size::W, Reg::R10, -4, 0));
                self.load_map(Reg::R1, Used::Frame);
                self.push(Insn::mov64(Reg::R2, Reg::R10));
                self.push(Insn::alu64(AluOp::Add, Reg::R2, -4));
                self.push(Insn::call_helper(helper::MAP_LOOKUP_ELEM));
                let missing = self.push(Insn::jump(JmpOp::Eq, Reg::R0, 0, 0));
                self.to_end.push(missing);
                self.push(Insn::mov32_imm(Reg::R2, id as i32));
                self.push(Insn::store(Size::W, Reg::R0, 0, Reg::R2));
            }
            // Nobody in particular is judged.
            ProgramKind::RawTracepoint(_) | ProgramKind::Tracepoint { .. } => {}
        }
    }

    /// Reads the state word, once, and leaves the parity to use in bit 0.
    fn choose_parity(&mut self) {
        self.load_map(Reg::R2, Used::State);
        self.push(Insn::load(Size::DW, Reg::R7, Reg::R2, 0));
        // The deadline counts only while a confirmation is pending.
        let pending = self.push(Insn::jump(JmpOp::Set, Reg::R7, PENDING as i32, 0));
        let confirmed = self.push(Insn::ja(0));
        self.land(pending);
        self.push(Insn::call_helper(helper::KTIME_GET_NS));
        self.push(Insn::mov64(Reg::R1, Reg::R7));
        self.push(Insn::alu64(AluOp::Rsh, Reg::R1, DEADLINE_SHIFT as i32));
        let in_time = self.push(Insn::jump(JmpOp::Lt, Reg::R0, Reg::R1, 0));
        self.push(Insn::alu64(AluOp::Xor, Reg::R7, 1));
        self.land(in_time);
        self.land(confirmed);
    }

    /// One path per parity, so that each tail call has a constant index.
    fn enter_slots(&mut self) {
        self.push(Insn::alu64(AluOp::And, Reg::R7, 1));
        let odd = self.push(Insn::jump(JmpOp::Ne, Reg::R7, 0, 0));
        self.enter_slot(Parity::Even);
        let empty = self.push(Insn::ja(0));
        self.to_end.push(empty);
        self.land(odd);
        self.enter_slot(Parity::Odd);
    }

    /// Does not come back unless the slot is empty.
    fn enter_slot(&mut self, parity: Parity) {
        self.push(Insn::mov64(Reg::R1, Reg::R6));
        self.load_map(Reg::R2, Used::Slots);
        self.push(Insn::mov64_imm(Reg::R3, parity.slot() as i32));
        self.push(Insn::call_helper(helper::TAIL_CALL));
    }

    fn end(&mut self, verdicts: Verdicts) {
        let ends = [
            (std::mem::take(&mut self.to_end), verdicts.deny),
            (std::mem::take(&mut self.to_pass), verdicts.allow),
        ];
        for (jumps, verdict) in ends {
            // The first end is always reached; a second that is not, the kernel refuses.
            if jumps.is_empty() {
                continue;
            }
            for jump in jumps {
                self.land(jump);
            }
            self.push(Insn::mov64_imm(Reg::R0, verdict));
            self.push(Insn::exit());
        }
    }
}
