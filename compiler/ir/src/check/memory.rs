//! Every access is inside what it points to.

use std::collections::BTreeSet;

use policyc_base::SecondaryMap;

use super::Found;
use super::pointer::{Facts, Pointer};
use super::range::Range;
use super::slots::{STACK, Slots, Written};
use super::ssa::name;
use super::structure::callees;
use crate::cfg::Cfg;
use crate::helpers::Arg;
use crate::place::Place;
use crate::types::{
    BinOp, Block, FuncId, Function, Helper, Inst, Module, Op, Terminator, Type, Value,
};

/// The farthest that a packet pointer may be from the start (`MAX_PACKET_OFF`).
const PACKET: u64 = 0xffff;

pub(super) fn check(module: &Module, func: &Function, cfg: &Cfg, found: &mut Found) {
    let facts = Facts::new(func, cfg);
    let slots = Slots::new(func);
    if slots.total > STACK {
        let message = format!("the stack holds {STACK} bytes, the slots take {}", slots.total);
        return found.push(Place::Header, message);
    }
    let Some(block) = func.entry() else { return };
    let mut checker = Checker {
        module,
        func,
        facts,
        slots,
        found,
        place: Place::Header,
        block,
        written: Written::NOTHING,
        packet: Packet::new(module),
    };
    for block in cfg.order() {
        checker.block(cfg, *block);
    }
}

struct Checker<'a> {
    module: &'a Module,
    func: &'a Function,
    facts: Facts<'a>,
    slots: Slots,
    found: &'a mut Found,
    /// The line that is looked at, and its block.
    place: Place,
    block: Block,
    /// Stack bytes that are written at this line.
    written: Written,
    packet: Packet,
}

/// How memory is touched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    Read,
    Write,
}

/// Packet pointers that a helper made useless.
struct Packet {
    /// Functions that move the packet, by themselves or by what they call.
    movers: BTreeSet<FuncId>,
    /// Packet pointers defined so far, in topological order.
    defined: Vec<Value>,
    dead: BTreeSet<Value>,
    left: SecondaryMap<Block, BTreeSet<Value>>,
}

impl Checker<'_> {
    fn block(&mut self, cfg: &Cfg, block: Block) {
        let func = self.func;
        let data = &func.blocks[block];
        self.block = block;
        self.written = self.slots.at_entry(cfg.preds(block));
        self.packet.enter(cfg.preds(block));
        self.packet.define(func, &data.params);
        for (i, inst) in data.insts.iter().enumerate() {
            self.place = Place::Inst(block, i);
            self.alive(&inst.op.operands());
            self.inst(inst);
            self.packet.after(inst);
            self.packet.define(func, &inst.results);
        }
        self.place = Place::End(block);
        if let Some(end) = &data.end {
            self.alive(&end.term.operands());
            end.term.targets().iter().for_each(|target| self.alive(&target.args));
            self.terminator(&end.term);
        }
        self.slots.leave(block, self.written);
        self.packet.leave(block);
    }

    fn alive(&mut self, values: &[Value]) {
        for value in values {
            if self.packet.dead.contains(value) {
                let name = name(self.func, *value);
                self.error(format!("the packet may have moved since `{name}` was made"));
            }
        }
    }

    fn inst(&mut self, inst: &Inst) {
        match &inst.op {
            Op::Load { base, offset } => {
                let size = inst.results.first().map_or(0, |value| bytes(self.func.ty(*value)));
                self.access(*base, *offset, size, Touch::Read);
            }
            Op::Store { base, offset, value } => {
                self.access(*base, *offset, bytes(self.func.ty(*value)), Touch::Write);
            }
            Op::AtomicAdd { base, offset, value } => {
                let size = bytes(self.func.ty(*value));
                if i64::from(*offset) % i64::from(size) != 0 {
                    self.error("an atomic add is aligned to its size");
                }
                self.access(*base, *offset, size, Touch::Read);
            }
            Op::PtrAdd(base, _) => self.moved(*base, inst.results.first().copied()),
            Op::Bin(BinOp::Shl | BinOp::Lshr | BinOp::Ashr, a, b) => self.shift(*a, *b),
            Op::Helper(helper, args) => self.helper(*helper, args),
            Op::Call(_, args) => self.handed_over(args),
            _ => {}
        }
    }

    fn terminator(&mut self, term: &Terminator) {
        match term {
            Terminator::Ret(values) => self.handed_over(values),
            Terminator::Guard { ptr, len, .. } => {
                if let Some(Pointer::Packet { offset, reach, .. }) = self.facts.pointer(*ptr) {
                    let end = reach.saturating_add(offset).saturating_add((*len).into());
                    if end > PACKET {
                        self.error(format!("a guard reaches {PACKET} bytes, this one up to {end}"));
                    }
                }
            }
            _ => {}
        }
    }

    /// The other function knows nothing of how far into the value a pointer is.
    fn handed_over(&mut self, values: &[Value]) {
        for value in values {
            let pointer = self.facts.pointer(*value);
            if let (Type::MapValue(_), Some(Pointer::Memory(at))) = (self.func.ty(*value), pointer)
                && at != Range::ZERO
            {
                let name = name(self.func, *value);
                self.error(format!("`{name}` does not point to the start of a map value"));
            }
        }
    }

    fn shift(&mut self, a: Value, distance: Value) {
        let Type::Int(width, _) = self.func.ty(a) else { return };
        let range = self.facts.range(distance, self.block);
        if range.hi >= width.bits().into() {
            self.error(format!("a shift of {} bits can be by {}", width.bits(), range.hi));
        }
    }

    fn moved(&mut self, base: Value, result: Option<Value>) {
        let pointer = result.and_then(|result| self.facts.pointer(result));
        match (self.func.ty(base), pointer) {
            (Type::Stack(_), Some(Pointer::Memory(at))) if at.constant().is_none() => {
                self.error("the distance of a stack pointer is not constant");
            }
            (_, Some(Pointer::Packet { offset, reach, .. }))
                if reach.saturating_add(offset) > PACKET =>
            {
                self.error(format!("a packet pointer can move beyond {PACKET} bytes: mask it"));
            }
            _ => {}
        }
    }

    fn access(&mut self, base: Value, offset: i32, size: u32, touch: Touch) {
        match self.func.ty(base) {
            Type::Ctx => {
                if offset < 0 || !offset.unsigned_abs().is_multiple_of(size.max(1)) {
                    self.error("context fields are aligned to their size");
                }
            }
            Type::Pkt => self.packet_access(base, offset, size),
            Type::Stack(_) => {
                let at = self.memory(base, offset, size.into());
                let aligned = |at: u64| at.is_multiple_of(size.max(1).into());
                if let Some(at) = at {
                    if !aligned(at) {
                        return self.error("stack accesses are aligned to their size");
                    }
                    self.touch(at, size.into(), touch);
                }
            }
            _ => {
                self.memory(base, offset, size.into());
            }
        }
    }

    fn packet_access(&mut self, base: Value, offset: i32, size: u32) {
        let Some(Pointer::Packet { root, offset: at, .. }) = self.facts.pointer(base) else {
            return;
        };
        let start = i128::from(at) + i128::from(offset);
        let end = start + i128::from(size);
        let enough = u64::try_from(end).unwrap_or(u64::MAX);
        let guarded = self.facts.guarded(root, self.block, enough);
        if start < 0 || end > guarded.into() {
            let name = name(self.func, base);
            let guarded = self.facts.guarded(root, self.block, u64::MAX);
            let have = i128::from(guarded) - i128::from(at);
            let have = have.max(0);
            let end = i128::from(offset) + i128::from(size);
            self.error(format!(
                "bytes up to {end} behind `{name}` are read or written, {have} are guarded"
            ));
        }
    }

    /// Checks that `size` bytes from `base + offset` are inside the map value or slot;
    /// the first byte on the stack, if that is where it points.
    fn memory(&mut self, base: Value, offset: i32, size: u64) -> Option<u64> {
        let Some(Pointer::Memory(at)) = self.facts.pointer(base) else { return None };
        let (limit, what) = match self.func.ty(base) {
            Type::MapValue(map) => (self.module.maps[map].value_size, "the map value"),
            Type::Stack(slot) => (self.func.slots[slot].size, "the slot"),
            _ => return None,
        };
        let start = i128::from(at.lo) + i128::from(offset);
        let end = i128::from(at.hi) + i128::from(offset) + i128::from(size);
        if start < 0 || end > limit.into() {
            self.error(format!("bytes {start} to {end} can be accessed, {what} has {limit}"));
            return None;
        }
        let Type::Stack(slot) = self.func.ty(base) else { return None };
        let start = u64::try_from(start).ok()?;
        Some(self.slots.start(slot) + start)
    }

    fn touch(&mut self, at: u64, size: u64, touch: Touch) {
        if touch == Touch::Write {
            return self.written.set(at, size);
        }
        if let Some(missing) = self.written.first_missing(at, size) {
            let byte = missing - at;
            // KERNEL: 6.1 rejects it; later kernels take it from privileged programs.
            self.error(format!("byte {byte} of what is read here may not have been written"));
        }
    }

    fn helper(&mut self, helper: Helper, args: &[Value]) {
        let map = args.first().and_then(|arg| match self.func.ty(*arg) {
            Type::Map(map) => self.module.maps.get(map),
            _ => None,
        });
        let (key, value) = map.map_or((0, 0), |map| (map.key_size, map.value_size));
        for (arg, wanted) in args.iter().zip(helper.signature().args) {
            match wanted {
                Arg::Key => self.region(*arg, Range::exactly(key.into()), Touch::Read),
                Arg::Value => self.region(*arg, Range::exactly(value.into()), Touch::Read),
                Arg::Read { size } => self.sized(*arg, args.get(*size), Touch::Read),
                Arg::Write { size } => self.sized(*arg, args.get(*size), Touch::Write),
                Arg::Size { zero } => {
                    if !zero && self.facts.range(*arg, self.block).lo == 0 {
                        self.error("the helper takes no size of 0, and this can be");
                    }
                }
                Arg::Ctx | Arg::KeyedMap | Arg::Ringbuf | Arg::KernelAddress | Arg::Int(_) => {}
            }
        }
    }

    fn sized(&mut self, base: Value, size: Option<&Value>, touch: Touch) {
        if let Some(size) = size {
            self.region(base, self.facts.range(*size, self.block), touch);
        }
    }

    /// Memory that a helper reads or writes.
    fn region(&mut self, base: Value, size: Range, touch: Touch) {
        let Some(at) = self.memory(base, 0, size.hi) else { return };
        // A write of a size that is not constant counts as a read for the kernel.
        let touch = if size.constant().is_some() { touch } else { Touch::Read };
        self.touch(at, size.hi, touch);
    }

    fn error(&mut self, message: impl Into<String>) {
        self.found.push(self.place, message);
    }
}

impl Packet {
    fn new(module: &Module) -> Self {
        let mut movers = BTreeSet::new();
        for (id, func) in module.functions.iter() {
            let blocks = func.layout.iter().filter_map(|block| func.blocks.get(*block));
            let mut insts = blocks.flat_map(|block| &block.insts);
            if insts.any(|inst| matches!(&inst.op, Op::Helper(h, _) if h.signature().moves_packet))
            {
                movers.insert(id);
            }
        }
        loop {
            let calls_mover =
                |id: &FuncId| callees(module, *id).iter().any(|callee| movers.contains(callee));
            let more: Vec<_> = module.functions.ids().filter(calls_mover).collect();
            let before = movers.len();
            movers.extend(more);
            if movers.len() == before {
                break;
            }
        }
        Self { movers, defined: vec![], dead: BTreeSet::new(), left: SecondaryMap::default() }
    }

    fn enter(&mut self, preds: &[Block]) {
        self.dead = preds.iter().flat_map(|pred| &self.left[*pred]).copied().collect();
    }

    fn define(&mut self, func: &Function, values: &[Value]) {
        self.defined.extend(values.iter().filter(|value| func.ty(**value) == Type::Pkt));
    }

    fn after(&mut self, inst: &Inst) {
        let moves = match &inst.op {
            Op::Helper(helper, _) => helper.signature().moves_packet,
            Op::Call(callee, _) => self.movers.contains(callee),
            _ => false,
        };
        if moves {
            self.dead.extend(&self.defined);
        }
    }

    fn leave(&mut self, block: Block) {
        self.left[block] = std::mem::take(&mut self.dead);
    }
}

fn bytes(ty: Type) -> u32 {
    match ty {
        Type::Int(width, _) => width.bytes(),
        _ => 0,
    }
}
