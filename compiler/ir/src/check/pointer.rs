//! Where pointers point and how large integers are, at every place.
//!
//! Facts of a value are computed once, where it is defined; what a branch adds is
//! found by walking up the dominators from the place that asks.

use policyc_base::SecondaryMap;

use super::range::{self, Range};
use crate::cfg::Cfg;
use crate::eval::mask;
use crate::types::{Block, CastOp, CmpOp, Function, Inst, Op, Terminator, Type, Value, Width};

/// What a pointer is relative to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pointer {
    /// Bytes from the start of the map value or slot.
    Memory(Range),
    /// `offset` bytes behind the pointer `root`, which is the value itself if it was
    /// made from a distance that is not constant; a guard on one pointer with this
    /// root covers the others.
    Packet {
        root: Value,
        offset: u64,
        /// Upper bound of the distance of `root` from the start of the packet.
        reach: u64,
    },
}

/// Facts about the values of a function.
pub(super) struct Facts<'a> {
    func: &'a Function,
    cfg: &'a Cfg,
    ranges: SecondaryMap<Value, Range>,
    pointers: SecondaryMap<Value, Option<Pointer>>,
    homes: SecondaryMap<Value, Option<Block>>,
}

impl<'a> Facts<'a> {
    /// The facts of a function whose types were checked and that does not loop.
    pub(super) fn new(func: &'a Function, cfg: &'a Cfg) -> Self {
        let mut facts = Self {
            func,
            cfg,
            ranges: SecondaryMap::with_default(Range::of(Width::W64)),
            pointers: SecondaryMap::with_default(None),
            homes: SecondaryMap::with_default(None),
        };
        for block in cfg.order() {
            for (i, value) in func.blocks[*block].params.iter().enumerate() {
                facts.homes[*value] = Some(*block);
                facts.param(*block, i, *value);
            }
            for inst in &func.blocks[*block].insts {
                inst.results.iter().for_each(|value| facts.homes[*value] = Some(*block));
                facts.inst(*block, inst);
            }
        }
        facts
    }

    /// Values of an integer at a block.
    pub(super) fn range(&self, value: Value, block: Block) -> Range {
        let mut range = self.ranges[value];
        let mut at = Some(block).filter(|_| range.constant().is_none());
        while let Some(block) = at.filter(|block| self.homes[value] != Some(*block)) {
            if let Some((pred, index)) = self.only_edge(block) {
                range = self.learn(value, range, pred, index);
            }
            at = self.cfg.idom(block);
        }
        range
    }

    /// What a pointer points to; `None` for the context, maps and integers.
    pub(super) fn pointer(&self, value: Value) -> Option<Pointer> {
        self.pointers[value]
    }

    /// Bytes behind `root` that guards allow at a block: all of them, or `enough`.
    pub(super) fn guarded(&self, root: Value, block: Block, enough: u64) -> u64 {
        let mut reach = 0;
        let mut at = Some(block);
        while let Some(block) = at.filter(|_| reach < enough) {
            if let Some((pred, 0)) = self.only_edge(block)
                && let Some(Terminator::Guard { ptr, len, .. }) = self.term(pred)
                && let Some(Pointer::Packet { root: guarded, offset, .. }) = self.pointers[*ptr]
                && guarded == root
            {
                reach = reach.max(offset.saturating_add((*len).into()));
            }
            at = self.cfg.idom(block);
        }
        reach
    }

    fn term(&self, block: Block) -> Option<&'a Terminator> {
        self.func.blocks[block].end.as_ref().map(|end| &end.term)
    }

    /// The edge by which alone a block is entered: predecessor and target number.
    fn only_edge(&self, block: Block) -> Option<(Block, usize)> {
        let pred = self.cfg.only_pred(block)?;
        let targets = self.term(pred)?.targets();
        let index = targets.iter().position(|target| target.block == block)?;
        Some((pred, index))
    }

    /// The range of a value after leaving `pred` through its target number `index`.
    fn learn(&self, value: Value, range: Range, pred: Block, index: usize) -> Range {
        match self.term(pred) {
            Some(Terminator::Br { op, a, b, .. }) => {
                let (op, other) = match (*a == value, *b == value) {
                    (true, false) => (*op, *b),
                    (false, true) => (op.exchanged(), *a),
                    _ => return range,
                };
                // KERNEL: 6.1 learns nothing from comparing two 32-bit registers.
                let Some(n) = self.ranges[other].constant() else { return range };
                let held = if index == 0 { Some(op) } else { op.negated() };
                held.map_or(range, |op| range.refine(op, n))
            }
            Some(Terminator::Switch { value: on, cases, .. }) if *on == value => {
                cases.get(index).map_or(range, |(bits, _)| range.refine(CmpOp::Eq, *bits))
            }
            _ => range,
        }
    }

    /// A parameter is what any edge hands over; a parameter of the function is anything.
    fn param(&mut self, block: Block, i: usize, param: Value) {
        let ty = self.func.ty(param);
        let mut range: Option<Range> = None;
        let mut memory: Option<Range> = None;
        let mut reach = 0;
        let mut handed_over = vec![];
        let mut preds = self.cfg.preds(block).to_vec();
        preds.sort_unstable();
        preds.dedup();
        for pred in preds {
            let targets = self.term(pred).map(Terminator::targets).unwrap_or_default();
            for (index, target) in targets.iter().enumerate().filter(|(_, t)| t.block == block) {
                let Some(arg) = target.args.get(i).copied() else { continue };
                let handed = self.learn(arg, self.range(arg, pred), pred, index);
                range = Some(range.map_or(handed, |range| range.hull(handed)));
                handed_over.push(self.pointers[arg]);
                match self.pointers[arg] {
                    Some(Pointer::Memory(at)) => {
                        memory = Some(memory.map_or(at, |memory| memory.hull(at)));
                    }
                    Some(Pointer::Packet { offset, reach: root, .. }) => {
                        reach = reach.max(root.saturating_add(offset));
                    }
                    None => {}
                }
            }
        }
        self.define(param, ty, range, memory, reach);
        // Another name of one pointer: guards on either count.
        if let [Some(first @ Pointer::Packet { .. }), rest @ ..] = handed_over.as_slice()
            && rest.iter().all(|other| *other == Some(*first))
        {
            self.pointers[param] = Some(*first);
        }
    }

    fn define(
        &mut self,
        value: Value,
        ty: Type,
        range: Option<Range>,
        memory: Option<Range>,
        reach: u64,
    ) {
        match ty {
            Type::Int(width, _) => self.ranges[value] = range.unwrap_or(Range::of(width)),
            Type::MapValue(_) | Type::Stack(_) | Type::MapValueOrNull(_) => {
                self.pointers[value] = Some(Pointer::Memory(memory.unwrap_or(Range::ZERO)));
            }
            Type::Pkt => {
                self.pointers[value] = Some(Pointer::Packet { root: value, offset: 0, reach });
            }
            Type::Ctx | Type::CtxPlace | Type::Map(_) => {}
        }
    }

    fn inst(&mut self, block: Block, inst: &Inst) {
        if let (Op::PtrAdd(base, bytes), [result]) = (&inst.op, inst.results.as_slice()) {
            let distance = self.range(*bytes, block);
            self.pointers[*result] =
                self.pointers[*base].map(|base| moved(*result, base, distance));
            return;
        }
        for result in &inst.results {
            let ty = self.func.ty(*result);
            let range = match ty {
                Type::Int(width, _) => Some(self.result_range(&inst.op, width, block)),
                _ => None,
            };
            self.define(*result, ty, range, None, 0);
        }
    }

    fn result_range(&self, op: &Op, width: Width, block: Block) -> Range {
        match op {
            Op::Const(bits) => Range::exactly(*bits),
            Op::Bin(op, a, b) => {
                range::bin(*op, width, self.range(*a, block), self.range(*b, block))
            }
            Op::Cast(CastOp::Zext, a) => self.range(*a, block),
            Op::Cast(CastOp::Trunc, a) => {
                let range = self.range(*a, block);
                if range.hi <= mask(width) { range } else { Range::of(width) }
            }
            _ => Range::of(width),
        }
    }
}

/// `base`, moved by a number of bytes.
fn moved(result: Value, base: Pointer, distance: Range) -> Pointer {
    match (base, distance.constant()) {
        (Pointer::Memory(at), _) => Pointer::Memory(at.plus(distance)),
        (Pointer::Packet { root, offset, reach }, Some(n)) => {
            Pointer::Packet { root, offset: offset.saturating_add(n), reach }
        }
        (Pointer::Packet { offset, reach, .. }, None) => {
            let reach = reach.saturating_add(offset).saturating_add(distance.hi);
            Pointer::Packet { root: result, offset: 0, reach }
        }
    }
}
