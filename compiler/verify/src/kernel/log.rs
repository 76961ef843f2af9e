//! Reading the log of the kernel's verifier.
//!
//! Guarantees: total on any text; what is not recognised is left out.
//! Does not know: policies.
//!
//! The log is for people and differs between kernels. Relied on is only what
//! 6.1 to 6.18 have in common: `12: (61) r1 = ...` is an instruction that was
//! followed, `from 5 to 9: ...` takes up a branch that waited, and
//! `processed 12 insns ... peak_states 3` is the account at the end.

use std::collections::BTreeSet;

use policyc_bpf::{Callee, Imm64, Insn, Instruction, Operand, Reg, decode};
use policyc_sys::SysError;

use crate::report::{Cost, Rejection};

/// Instructions of a slice; older ones are left out.
const MAX_SLICE: usize = 24;

/// What a successful load cost.
pub(super) fn cost(log: &str) -> Cost {
    let mut cost = Cost::default();
    for line in log.lines() {
        if let Some(depth) = line.strip_prefix("stack depth ") {
            // One number per function: `8+16`.
            cost.stack_bytes = depth.split('+').filter_map(number).max().unwrap_or(0);
        } else if line.starts_with("processed ") {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |name: &str| {
                let at = words.iter().position(|word| *word == name)?;
                number(words.get(at + 1)?)
            };
            cost.insns_processed = after("processed").unwrap_or(0);
            cost.peak_states = after("peak_states").unwrap_or(0);
            cost.total_states = after("total_states").unwrap_or(0);
        }
    }
    cost
}

/// Why a load failed: the instruction, the words, and how it came to that.
pub(super) fn rejection(error: &SysError, insns: &[Insn]) -> Rejection {
    let lines: Vec<&str> = error.log.lines().collect();
    let fault = lines.iter().rposition(|line| followed(line).is_some());
    let words: Vec<&str> = lines
        .iter()
        .skip(fault.map_or(0, |fault| fault + 1))
        .filter(|line| is_explanation(line))
        .map(|line| line.trim())
        .collect();
    let message = if words.is_empty() { error.to_string() } else { words.join("; ") };
    // Before any instruction is followed, the fault is named in words.
    let insn = match fault {
        Some(fault) => followed(lines[fault]),
        None => words.iter().find_map(|words| named_insn(words)),
    };
    let slice = fault.map_or_else(Vec::new, |fault| slice(&lines[..=fault], insns));
    Rejection { insn, origin: None, message, slice }
}

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}

/// The slot of a line that is an instruction: `12: (61) r1 = ...`.
fn followed(line: &str) -> Option<u32> {
    let (slot, rest) = line.split_once(": (")?;
    let hex = rest.get(..2)?.bytes().all(|b| b.is_ascii_hexdigit());
    if hex && rest.get(2..3) == Some(")") { slot.parse().ok() } else { None }
}

/// Whether a line says something about a fault, and is not state, source or account.
fn is_explanation(line: &str) -> bool {
    let begins = [
        "processed ",
        "verification time ",
        "stack depth ",
        ";",
        "func#",
        "from ",
        "last_idx ",
        "parent ",
        "regs=",
        "mark_precise:",
        "Live regs",
        "insn ",
    ];
    let state = line.split_once(": ").is_some_and(|(slot, _)| number(slot).is_some());
    !line.trim().is_empty() && !state && !begins.iter().any(|begin| line.starts_with(begin))
}

/// The slot in `unreachable insn 3` or `back-edge from insn 5 to 2`.
fn named_insn(words: &str) -> Option<u32> {
    let mut words = words.split_whitespace();
    words.find(|word| *word == "insn")?;
    words.next().and_then(|word| number(word.trim_end_matches(':')))
}

/// The lines of the instructions that made what the last one uses.
///
/// Walks the followed path backwards and keeps what writes a register or stack
/// byte that is wanted, which makes wanted what that instruction reads.
fn slice(lines: &[&str], insns: &[Insn]) -> Vec<String> {
    let mut wanted = BTreeSet::new();
    let mut kept = Vec::new();
    for (at, line) in path_backwards(lines) {
        let Some(effect) = followed(line).and_then(|slot| effect(insns, slot)) else { continue };
        let first = at + 1 == lines.len();
        if !first && effect.writes.iter().all(|place| !wanted.contains(place)) {
            continue;
        }
        for place in &effect.writes {
            wanted.remove(place);
        }
        wanted.extend(effect.reads);
        kept.push(line.trim().to_owned());
        if kept.len() == MAX_SLICE {
            break;
        }
    }
    kept.reverse();
    kept
}

/// Instruction lines from the last to the first of the path it lies on. Where
/// a branch was taken up that had waited, the path leads to that branch.
fn path_backwards<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = (usize, &'a str)> {
    let mut at = lines.len();
    let mut jump_to = None;
    std::iter::from_fn(move || {
        while at > 0 {
            at -= 1;
            let line = lines[at];
            if let Some(slot) = followed(line) {
                if jump_to.is_none_or(|wanted| wanted == slot) {
                    jump_to = None;
                    return Some((at, line));
                }
            } else if jump_to.is_none()
                && let Some((from, _)) =
                    line.strip_prefix("from ").and_then(|rest| rest.split_once(" to "))
            {
                jump_to = number(from);
            }
        }
        None
    })
}

/// Something an instruction reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Reg(Reg),
    /// Stack bytes from R10 plus this.
    Stack(i16),
}

struct Effect {
    reads: Vec<Place>,
    writes: Vec<Place>,
}

fn effect(insns: &[Insn], slot: u32) -> Option<Effect> {
    use Place::{Reg as R, Stack};
    let arguments = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
    let operand = |src: Operand| match src {
        Operand::Reg(reg) => Some(R(reg)),
        Operand::Imm(_) => None,
    };
    let memory = |base: Reg, off: i16| if base == Reg::R10 { Stack(off) } else { R(base) };
    let (reads, writes) = match decode(insns.get(slot as usize..)?).ok()? {
        Instruction::Alu { op: policyc_bpf::AluOp::Mov, dst, src, .. } => {
            (operand(src).into_iter().collect(), vec![R(dst)])
        }
        Instruction::Alu { dst, src, .. } => {
            ([Some(R(dst)), operand(src)].into_iter().flatten().collect(), vec![R(dst)])
        }
        Instruction::MovSx { dst, src, .. } => (vec![R(src)], vec![R(dst)]),
        Instruction::Neg { dst, .. } | Instruction::Swap { dst, .. } => {
            (vec![R(dst)], vec![R(dst)])
        }
        // A comparison teaches something about what it compares.
        Instruction::If { dst, src, .. } => {
            let compared: Vec<Place> = [Some(R(dst)), operand(src)].into_iter().flatten().collect();
            (compared.clone(), compared)
        }
        Instruction::Load { dst, base, off, .. } | Instruction::LoadSx { dst, base, off, .. } => {
            (vec![memory(base, off)], vec![R(dst)])
        }
        Instruction::Store { base, off, src, .. } => {
            let reads = operand(src).into_iter().chain((base != Reg::R10).then_some(R(base)));
            (reads.collect(), if base == Reg::R10 { vec![Stack(off)] } else { Vec::new() })
        }
        Instruction::LoadImm { dst, value: Imm64::Value(_) } => (Vec::new(), vec![R(dst)]),
        Instruction::LoadImm { dst, .. } => (Vec::new(), vec![R(dst)]),
        Instruction::Call(Callee::Helper(_)) => {
            let writes = [Reg::R0].into_iter().chain(arguments).map(R).collect();
            (arguments.map(R).to_vec(), writes)
        }
        Instruction::Exit => (vec![R(Reg::R0)], Vec::new()),
        _ => (Vec::new(), Vec::new()),
    };
    Some(Effect { reads, writes })
}
