//! Labels to distances.

use std::collections::BTreeMap;

use policyc_base::Origin;
use policyc_bpf::decode::{JmpOp, Operand, Width};
use policyc_bpf::{Insn, Reg, Reloc, RelocTarget};

use super::Code;
use crate::backend::Features;
use crate::backend::error::LimitError;

/// A place in the code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Label(pub(super) u32);

/// What a jump depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Condition {
    pub(super) width: Width,
    pub(super) op: JmpOp,
    pub(super) lhs: Reg,
    pub(super) rhs: Operand,
}

impl Condition {
    fn jump(self, off: i16) -> Insn {
        match self.width {
            Width::W32 => Insn::jump32(self.op, self.lhs, self.rhs, off),
            Width::W64 => Insn::jump(self.op, self.lhs, self.rhs, off),
        }
    }
}

/// A piece of code whose jumps have no distance yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item {
    Label(Label),
    Insn { first: Insn, second: Option<Insn>, reloc: Option<RelocTarget>, origin: Option<Origin> },
    Jump { condition: Option<Condition>, to: Label, origin: Option<Origin> },
}

impl Item {
    /// An instruction of one slot.
    pub(super) const fn insn(first: Insn, origin: Option<Origin>) -> Self {
        Self::Insn { first, second: None, reloc: None, origin }
    }

    /// An instruction of two slots.
    pub(super) const fn wide(
        [first, second]: [Insn; 2],
        reloc: Option<RelocTarget>,
        origin: Option<Origin>,
    ) -> Self {
        Self::Insn { first, second: Some(second), reloc, origin }
    }

    /// Whether it reads the context's register.
    pub(super) fn reads_context(&self) -> bool {
        match self {
            Self::Insn { first, .. } => reads_context(first),
            Self::Jump { condition: Some(condition), .. } => reads_context(&condition.jump(0)),
            Self::Label(_) | Self::Jump { condition: None, .. } => false,
        }
    }
}

/// The compare that holds where `op` does not; `None` for a test of bits.
pub(super) const fn invert(op: JmpOp) -> Option<JmpOp> {
    Some(match op {
        JmpOp::Eq => JmpOp::Ne,
        JmpOp::Ne => JmpOp::Eq,
        JmpOp::Gt => JmpOp::Le,
        JmpOp::Le => JmpOp::Gt,
        JmpOp::Ge => JmpOp::Lt,
        JmpOp::Lt => JmpOp::Ge,
        JmpOp::Sgt => JmpOp::Sle,
        JmpOp::Sle => JmpOp::Sgt,
        JmpOp::Sge => JmpOp::Slt,
        JmpOp::Slt => JmpOp::Sge,
        JmpOp::Set => return None,
    })
}

/// Whether an instruction reads the context's register.
fn reads_context(insn: &Insn) -> bool {
    let r6 = Reg::R6.number();
    insn.src == r6 || insn.dst == r6
}

/// Furthest distance of a jump of one slot.
const REACH: u32 = i16::MAX as u32;

/// Instructions with distances.
pub(super) fn resolve(mut items: Vec<Item>, features: Features) -> Result<Code, LimitError> {
    drop_idle_jumps(&mut items);
    let mut is_long = vec![false; items.len()];
    loop {
        let (starts, labels) = positions(&items, &is_long);
        let mut changed = false;
        for (at, item) in items.iter().enumerate() {
            let Item::Jump { to, .. } = item else { continue };
            let distance = distance(starts[at] + 1, &labels, *to).unsigned_abs();
            if distance > REACH && !is_long[at] {
                if !features.long_jump {
                    return Err(LimitError::JumpDistance { distance, limit: REACH });
                }
                (is_long[at], changed) = (true, true);
            }
        }
        if !changed {
            return Ok(write(&items, &is_long, &starts, &labels));
        }
    }
}

/// Removes jumps to the next instruction.
fn drop_idle_jumps(items: &mut Vec<Item>) {
    let is_idle = |at: usize| {
        let Item::Jump { to, .. } = &items[at] else { return false };
        let labels = items[at + 1..].iter().take_while(|item| matches!(item, Item::Label(_)));
        labels.into_iter().any(|item| *item == Item::Label(*to))
    };
    let idle: Vec<_> = (0..items.len()).map(is_idle).collect();
    let mut idle = idle.into_iter();
    items.retain(|_| !idle.next().unwrap_or(false));
}

/// Slots of an item.
fn slots(item: &Item, is_long: bool) -> u32 {
    match item {
        Item::Label(_) => 0,
        Item::Insn { second, .. } => 1 + u32::from(second.is_some()),
        Item::Jump { condition: Some(condition), .. } if is_long => {
            if invert(condition.op).is_some() { 2 } else { 3 }
        }
        Item::Jump { .. } => 1,
    }
}

fn positions(items: &[Item], is_long: &[bool]) -> (Vec<u32>, BTreeMap<Label, u32>) {
    let (mut starts, mut labels, mut at) = (Vec::with_capacity(items.len()), BTreeMap::new(), 0);
    for (item, is_long) in items.iter().zip(is_long) {
        starts.push(at);
        if let Item::Label(label) = item {
            labels.insert(*label, at);
        }
        at += slots(item, *is_long);
    }
    (starts, labels)
}

/// Slots from `from` to a label.
fn distance(from: u32, labels: &BTreeMap<Label, u32>, to: Label) -> i32 {
    // INVARIANT: every label that is jumped to is written, since its block is in
    // the layout or was forwarded to one that is.
    labels.get(&to).map_or(0, |to| *to as i32 - from as i32)
}

fn write(items: &[Item], is_long: &[bool], starts: &[u32], labels: &BTreeMap<Label, u32>) -> Code {
    let mut code = Code::default();
    for (at, item) in items.iter().enumerate() {
        let start = starts[at];
        let origin = match item {
            Item::Label(_) => continue,
            Item::Insn { first, second, reloc, origin } => {
                code.relocs.extend(reloc.map(|target| Reloc { insn: start, target }));
                code.insns.push(*first);
                code.insns.extend(*second);
                origin
            }
            Item::Jump { condition, to, origin } => {
                let size = slots(item, is_long[at]);
                let distance = distance(start + size, labels, *to);
                code.insns.extend(jump(*condition, distance, is_long[at]));
                origin
            }
        };
        code.origins.resize(code.insns.len(), *origin);
    }
    code
}

/// A jump over `distance` slots, counted from its end.
fn jump(condition: Option<Condition>, distance: i32, is_long: bool) -> Vec<Insn> {
    // INVARIANT: `resolve` made long what does not fit.
    let short = distance as i16;
    match (condition, is_long) {
        (None, false) => vec![Insn::ja(short)],
        (Some(condition), false) => vec![condition.jump(short)],
        (None, true) => vec![Insn::gotol(distance)],
        (Some(condition), true) => match invert(condition.op) {
            Some(op) => vec![Condition { op, ..condition }.jump(1), Insn::gotol(distance)],
            None => vec![condition.jump(1), Insn::ja(1), Insn::gotol(distance)],
        },
    }
}
