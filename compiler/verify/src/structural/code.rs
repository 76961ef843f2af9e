//! A program as decoded instructions and the ways between them.
//!
//! Guarantees: a [`Code`] exists only for a program whose every slot is
//! understood, whose jumps lead forward to instructions, and which ends. So
//! the order of slots is a topological order, and one walk sees every path.
//! Does not know: registers or memory.
//!
//! Source: `kernel/bpf/verifier.c`: `check_cfg`, `check_subprogs`, `push_stack`.

use policyc_bpf::Insn;

use super::Fault;
use super::isa::{Decoded, Op, decode};
use super::obligation::{Obligation, Shape};
use crate::Release;

/// `BPF_COMPLEXITY_LIMIT_INSNS`: slots of a program, and instructions that the
/// kernel's verifier follows.
pub(crate) const MAX_INSNS: usize = 1_000_000;
/// `BPF_COMPLEXITY_LIMIT_JMP_SEQ`.
const MAX_PENDING: u32 = 8_192;

/// A well-formed program.
pub(crate) struct Code {
    /// By slot; `None` is the second slot of a `lddw`.
    ops: Vec<Option<Decoded>>,
}

/// Where control goes after an instruction.
#[derive(Clone, Copy, Default)]
pub(crate) struct Successors {
    /// The next instruction, if control falls through.
    pub(crate) next: Option<usize>,
    /// The target, if the instruction jumps.
    pub(crate) target: Option<usize>,
}

impl Code {
    /// Reads a program, or reports everything that keeps it from being one.
    pub(crate) fn read(insns: &[Insn], floor: Release) -> Result<Self, Vec<Fault>> {
        if insns.is_empty() || insns.len() > MAX_INSNS {
            let explanation = format!("{} slots, not 1 to {MAX_INSNS}", insns.len());
            return Err(vec![Fault::program(Obligation::ProgramSize, explanation)]);
        }
        let mut faults = Vec::new();
        let code = Self { ops: decode_all(insns, floor, &mut faults) };
        if faults.is_empty() {
            code.check_jumps(&mut faults);
            code.check_end(&mut faults);
        }
        if faults.is_empty() {
            code.check_reachable(&mut faults);
        }
        if faults.is_empty() { Ok(code) } else { Err(faults) }
    }

    /// Every instruction with its slot, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Decoded)> {
        self.ops.iter().enumerate().filter_map(|(slot, op)| op.as_ref().map(|op| (slot, op)))
    }

    /// The instruction that begins at a slot, if one does.
    pub(crate) fn at(&self, slot: usize) -> Option<&Decoded> {
        self.ops.get(slot)?.as_ref()
    }

    /// Where control goes after the instruction at `slot`.
    pub(crate) fn successors(&self, slot: usize, decoded: &Decoded) -> Successors {
        // `read` has checked that targets lie inside.
        let inside = |target: i64| usize::try_from(target).ok();
        match decoded.op {
            Op::Exit => Successors::default(),
            Op::Jump { target } => Successors { next: None, target: inside(target) },
            Op::Branch { target, .. } => {
                Successors { next: Some(slot + 1), target: inside(target) }
            }
            _ => Successors { next: Some(slot + decoded.slots), target: None },
        }
    }

    fn check_jumps(&self, faults: &mut Vec<Fault>) {
        for (slot, decoded) in self.iter() {
            let (Op::Jump { target } | Op::Branch { target, .. }) = decoded.op else { continue };
            let lands = usize::try_from(target).ok().and_then(|target| self.at(target));
            if lands.is_none() {
                let explanation = format!("jump to {target}, where no instruction begins");
                faults.push(Fault::at(slot, Obligation::JumpInsideProgram, explanation));
            } else if target <= slot as i64 {
                let explanation = format!("jump back to {target}");
                faults.push(Fault::at(slot, Obligation::JumpForward, explanation));
            }
        }
    }

    fn check_end(&self, faults: &mut Vec<Fault>) {
        let Some((slot, last)) = self.iter().last() else { return };
        if !matches!(last.op, Op::Exit | Op::Jump { .. }) {
            let explanation = "control runs past the last instruction".to_owned();
            faults.push(Fault::at(slot, Obligation::EndsProgram, explanation));
        }
    }

    fn check_reachable(&self, faults: &mut Vec<Fault>) {
        let mut reached = vec![false; self.ops.len()];
        reached[0] = true;
        let mut previous_reached = true;
        for (slot, decoded) in self.iter() {
            // Of a stretch of dead code the first instruction is reported.
            if !reached[slot] && previous_reached {
                let explanation = "no path leads here".to_owned();
                faults.push(Fault::at(slot, Obligation::Reachable, explanation));
            }
            previous_reached = reached[slot];
            if !reached[slot] {
                continue;
            }
            let successors = self.successors(slot, decoded);
            for next in [successors.next, successors.target].into_iter().flatten() {
                // INVARIANT: `check_jumps` and `check_end` have passed, so `next` is inside.
                reached[next] = true;
            }
        }
    }

    /// Upper bounds of what the kernel's verifier meets on one path.
    ///
    /// The kernel follows the branch not taken and keeps the taken one waiting;
    /// a waiting branch is taken up with what waited before it.
    pub(crate) fn shape(&self) -> Shape {
        let mut pending = vec![0_u32; self.ops.len()];
        let mut length = vec![0_u32; self.ops.len()];
        let mut shape =
            Shape { insns: self.ops.len() as u32, longest_path: 0, pending_branches: 0 };
        for (slot, decoded) in self.iter() {
            let successors = self.successors(slot, decoded);
            let waiting = u32::from(matches!(decoded.op, Op::Branch { .. }));
            let steps = length[slot] + 1;
            shape.longest_path = shape.longest_path.max(steps);
            shape.pending_branches = shape.pending_branches.max(pending[slot] + waiting);
            for (next, added) in [(successors.next, waiting), (successors.target, 0)] {
                let Some(next) = next.filter(|&next| next < pending.len()) else { continue };
                pending[next] = pending[next].max(pending[slot] + added);
                length[next] = length[next].max(steps);
            }
        }
        shape
    }
}

/// Whether too many branches wait on some path.
pub(crate) fn check_pending(shape: &Shape, faults: &mut Vec<Fault>) {
    if shape.pending_branches > MAX_PENDING {
        let explanation = format!(
            "{} branches may wait, the kernel allows {MAX_PENDING}",
            shape.pending_branches
        );
        faults.push(Fault::program(Obligation::PendingBranches, explanation));
    }
}

fn decode_all(insns: &[Insn], floor: Release, faults: &mut Vec<Fault>) -> Vec<Option<Decoded>> {
    let mut ops = vec![None; insns.len()];
    let mut slot = 0;
    while slot < insns.len() {
        match decode(insns, slot) {
            Ok(decoded) => {
                if decoded.since > floor {
                    let explanation =
                        format!("the instruction needs {}, the target is {floor}", decoded.since);
                    faults.push(Fault::at(
                        slot,
                        Obligation::KnownSince(decoded.since),
                        explanation,
                    ));
                }
                ops[slot] = Some(decoded);
                slot += decoded.slots;
            }
            Err(explanation) => {
                faults.push(Fault::at(slot, Obligation::ValidEncoding, explanation));
                slot += 1;
            }
        }
    }
    ops
}
