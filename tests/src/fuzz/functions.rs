//! BIR from bytes: acyclic functions that are right by construction, over a packet
//! that is guarded and moves, stack slots, maps of several kinds and a ring buffer.
//!
//! What a function returns mixes whatever it computed, so that a wrong value shows.

use policyc_ir::{
    BinOp, Block, CmpOp, FunctionBuilder, Helper, MapDecl, MapKind, MapRef, Module, Order, Slot,
    Target, Type, Value, Width,
};

use super::choices::Choices;

const WIDTHS: [Width; 4] = [Width::W8, Width::W16, Width::W32, Width::W64];
const BITWISE: [BinOp; 3] = [BinOp::And, BinOp::Or, BinOp::Xor];
const SHIFTS: [BinOp; 3] = [BinOp::Shl, BinOp::Lshr, BinOp::Ashr];
const EQUALITY: [CmpOp; 3] = [CmpOp::Eq, CmpOp::Ne, CmpOp::Set];
/// Bytes of the slot that is read and written.
const BUFFER: u32 = 24;
/// Bytes of the only value of the flat map.
const FLAT: u32 = 64;
/// Bytes that the first guard of a packet asks for.
const GUARDED: u32 = 32;
/// Blocks that a function may have; regions nest no deeper than this.
const BLOCKS: usize = 40;
const DEPTH: usize = 4;

/// A module whose last function is `fuzz(ctx) -> u32`.
pub(super) fn module(choices: &mut Choices<'_>) -> Module {
    let mut module = Module::default();
    let mut map = |name: &str, kind, key_size, value_size, max_entries| {
        let name = name.to_owned();
        module.maps.push(MapDecl { name, kind, key_size, value_size, max_entries })
    };
    let maps = Maps {
        table: map("table", MapKind::Array, 4, 24, 5),
        hash: map("hash", MapKind::Hash, 4, 16, 3),
        flat: map("flat", MapKind::Array, 4, FLAT, 1),
        ring: map("ring", MapKind::Ringbuf, 0, 0, 4096),
    };
    let func = Generator::new(choices, maps).function();
    module.functions.push(func);
    module
}

struct Maps {
    table: MapRef,
    hash: MapRef,
    flat: MapRef,
    ring: MapRef,
}

struct Generator<'c, 'b> {
    choices: &'c mut Choices<'b>,
    maps: Maps,
    b: FunctionBuilder,
    ctx: Value,
    key: Slot,
    buffer: Slot,
    blocks_left: usize,
    scope: Scope,
}

/// What may be used at the cursor.
#[derive(Clone)]
struct Scope {
    ints: Vec<Value>,
    /// Values of the table.
    cells: Vec<Value>,
    /// A packet pointer, and how far it is guarded.
    packet: Option<(Value, u32)>,
}

impl<'c, 'b> Generator<'c, 'b> {
    fn new(choices: &'c mut Choices<'b>, maps: Maps) -> Self {
        let mut b = FunctionBuilder::new("fuzz", &[("ctx", Type::Ctx)], &[Type::U32]);
        let (key, buffer) = (b.slot_aligned("key", 4, 4), b.slot("buffer", BUFFER));
        let ctx = b.params()[0];
        let at = b.slot_addr(buffer);
        for offset in (0..BUFFER as i32).step_by(8) {
            let bits = b.const_u64(choices.number());
            b.store(at, offset, bits);
        }
        let scope = Scope { ints: Vec::new(), cells: Vec::new(), packet: None };
        Self { choices, maps, b, ctx, key, buffer, blocks_left: BLOCKS, scope }
    }

    fn function(mut self) -> policyc_ir::Function {
        while !self.choices.0.is_empty() {
            self.region(DEPTH);
        }
        self.finish();
        self.b.finish()
    }

    /// Code that leaves the cursor in an open block.
    fn region(&mut self, depth: usize) {
        for _ in 0..self.choices.below(8) {
            self.step(depth);
        }
    }

    fn step(&mut self, depth: usize) {
        let may_branch = depth > 0 && self.blocks_left > 0;
        match self.choices.below(16) {
            0 => self.constant(),
            1 | 2 => self.arithmetic(),
            3 => self.shift(),
            4 => self.cast(),
            5 => self.packet_load(),
            6 => self.buffer_access(),
            7 => self.flat_access(),
            8 => self.cell_access(),
            9 => self.helper(),
            10 if may_branch => self.branch(depth),
            11 if may_branch => self.switch(depth),
            12 if may_branch => self.lookup(depth),
            13 if may_branch => self.guard(depth),
            14 => self.context_load(),
            15 => self.send(),
            _ => self.arithmetic(),
        }
    }

    fn native(&mut self) -> Type {
        Type::Int(self.choices.pick(&WIDTHS), Order::Native)
    }

    fn int_type(&mut self) -> Type {
        if self.choices.one_in(5) {
            return Type::Int(self.choices.pick(&WIDTHS[1..]), Order::Big);
        }
        self.native()
    }

    fn bits(&mut self, ty: Type) -> u64 {
        let Type::Int(width, _) = ty else { return 0 };
        let most = u64::MAX >> (64 - width.bits());
        let bits = match self.choices.below(8) {
            0 => 0,
            1 => 1,
            2 => most,
            3 => most / 2 + 1,
            4 => u64::from(self.choices.byte()),
            5 => u64::from(u32::MAX) >> self.choices.below(3),
            6 => !u64::from(self.choices.byte()),
            _ => self.choices.number(),
        };
        bits & most
    }

    /// An integer in scope, or a constant.
    fn int(&mut self, ty: Type) -> Value {
        let b = &self.b;
        let fits: Vec<Value> = self.scope.ints.iter().copied().filter(|v| b.ty(*v) == ty).collect();
        match self.choices.below(fits.len() + 1).checked_sub(1) {
            Some(at) => fits[at],
            None => {
                let bits = self.bits(ty);
                self.b.iconst(ty, bits)
            }
        }
    }

    fn constant(&mut self) {
        let ty = self.int_type();
        let bits = self.bits(ty);
        let value = self.b.iconst(ty, bits);
        self.scope.ints.push(value);
    }

    fn arithmetic(&mut self) {
        const ALL: [BinOp; 8] = [
            BinOp::Add,
            BinOp::Sub,
            BinOp::Mul,
            BinOp::Div,
            BinOp::Mod,
            BinOp::And,
            BinOp::Or,
            BinOp::Xor,
        ];
        let ty = self.int_type();
        let is_big = matches!(ty, Type::Int(_, Order::Big));
        let op = if is_big { self.choices.pick(&BITWISE) } else { self.choices.pick(&ALL) };
        let (left, right) = (self.int(ty), self.int(ty));
        let value = self.b.bin(op, left, right);
        self.scope.ints.push(value);
    }

    fn shift(&mut self) {
        let (op, ty) = (self.choices.pick(&SHIFTS), self.native());
        let Type::Int(width, _) = ty else { return };
        let value = self.int(ty);
        let most = u64::from(width.bits()) - 1;
        let value = if self.choices.one_in(2) {
            let by = self.int(ty);
            let by = self.b.bin_const(BinOp::And, by, most);
            self.b.bin(op, value, by)
        } else {
            let by = u64::from(self.choices.byte()) & most;
            self.b.bin_const(op, value, by)
        };
        self.scope.ints.push(value);
    }

    fn cast(&mut self) {
        let from = if self.choices.one_in(3) { self.int_type() } else { self.native() };
        let Type::Int(width, order) = from else { return };
        let to = self.choices.pick(&WIDTHS);
        let value = self.int(from);
        let value = match (order, width.cmp(&to)) {
            (Order::Native, std::cmp::Ordering::Less) => {
                self.b.zext(Type::Int(to, Order::Native), value)
            }
            (Order::Native, std::cmp::Ordering::Greater) => {
                self.b.trunc(Type::Int(to, Order::Native), value)
            }
            _ if width == Width::W8 => return,
            _ => self.b.swap(value),
        };
        self.scope.ints.push(value);
    }

    fn packet_load(&mut self) {
        let Some((pointer, guarded)) = self.scope.packet else { return };
        let ty = self.int_type();
        let Type::Int(width, _) = ty else { return };
        let Some(room) = guarded.checked_sub(width.bytes()) else { return };
        let mut at = self.choices.below(room as usize + 1) as u32;
        let mut pointer = pointer;
        if self.choices.one_in(3) {
            let part = self.choices.below(at as usize + 1) as u32;
            pointer = self.b.ptr_add_const(pointer, part);
            at -= part;
        }
        let value = self.b.load(ty, pointer, at as i32);
        self.scope.ints.push(value);
    }

    fn buffer_access(&mut self) {
        let base = self.b.slot_addr(self.buffer);
        self.access(base, BUFFER);
    }

    /// At a masked index, or an atomic addition.
    fn flat_access(&mut self) {
        let base = self.b.flat_addr(self.maps.flat);
        match self.choices.below(3) {
            0 => {
                let value = self.int(Type::U64);
                let at = 8 * self.choices.below(FLAT as usize / 8) as i32;
                self.b.atomic_add(base, at, value);
            }
            1 => self.access(base, FLAT),
            _ => {
                let index = self.int(Type::U64);
                let index = self.b.bin_const(BinOp::And, index, u64::from(FLAT / 2 - 8));
                let cell = self.b.ptr_add(base, index);
                self.access(cell, FLAT / 2);
            }
        }
    }

    fn cell_access(&mut self) {
        let cells = self.scope.cells.clone();
        if !cells.is_empty() {
            let cell = self.choices.pick(&cells);
            self.access(cell, 24);
        }
    }

    /// A store to memory of a size, or a load from it, aligned to its width.
    fn access(&mut self, base: Value, size: u32) {
        let ty = self.int_type();
        let Type::Int(width, _) = ty else { return };
        let places = (size / width.bytes()) as usize;
        let at = width.bytes() as i32 * self.choices.below(places) as i32;
        if self.choices.one_in(2) {
            let value = self.int(ty);
            self.b.store(base, at, value);
        } else {
            let value = self.b.load(ty, base, at);
            self.scope.ints.push(value);
        }
    }

    /// The length or the mark of the packet.
    fn context_load(&mut self) {
        let at = self.choices.pick(&[0, 8]);
        let value = self.b.load(Type::U32, self.ctx, at);
        self.scope.ints.push(value);
    }

    /// The address of a key below 8.
    fn key(&mut self) -> Value {
        let key = self.int(Type::U32);
        let key = self.b.bin_const(BinOp::And, key, 7);
        let at = self.b.slot_addr(self.key);
        self.b.store(at, 0, key);
        at
    }

    fn helper(&mut self) {
        let buffer = self.b.slot_addr(self.buffer);
        let status = match self.choices.below(4) {
            0 => {
                let offset = u32::from(self.choices.byte());
                let offset = self.b.const_u32(offset);
                let size = 1 + self.choices.below(BUFFER as usize) as u32;
                let size = self.b.const_u32(size);
                self.b.helper(Helper::SkbLoadBytes, [self.ctx, offset, buffer, size])
            }
            1 => {
                let (key, map) = (self.key(), self.b.map_addr(self.maps.hash));
                let flags = self.b.const_u64(0);
                self.b.helper(Helper::MapUpdateElem, [map, key, buffer, flags])
            }
            2 => {
                let (key, map) = (self.key(), self.b.map_addr(self.maps.hash));
                self.b.helper(Helper::MapDeleteElem, [map, key])
            }
            _ => {
                let size = self.b.const_u32(0);
                self.scope.packet = None;
                self.b.helper(Helper::SkbPullData, [self.ctx, size])
            }
        };
        self.scope.ints.push(status);
    }

    fn send(&mut self) {
        let (ring, buffer) = (self.b.map_addr(self.maps.ring), self.b.slot_addr(self.buffer));
        let size = 1 + self.choices.below(BUFFER as usize) as u64;
        let (size, flags) = (self.b.const_u64(size), self.b.const_u64(0));
        self.b.helper(Helper::RingbufOutput, [ring, buffer, size, flags]);
    }

    /// Grows each arm from the same scope and joins them, handing over integers.
    fn arms(&mut self, depth: usize, arms: Vec<(Block, Scope)>) {
        let before = self.scope.clone();
        let types: Vec<Type> = (0..self.choices.below(4)).map(|_| self.int_type()).collect();
        let join = self.b.block("join");
        let joined: Vec<Value> = types.iter().map(|ty| self.b.block_param(join, *ty)).collect();
        // A packet pointer goes on only if no arm lost it.
        let mut packet = before.packet;
        for (arm, scope) in arms {
            self.b.switch_to(arm);
            self.scope = scope;
            self.region(depth - 1);
            packet = packet.filter(|_| self.scope.packet.is_some());
            let args: Vec<Value> = types.iter().map(|ty| self.int(*ty)).collect();
            self.b.jump(Target::new(join, args));
        }
        self.b.switch_to(join);
        self.scope = Scope { packet, ..before };
        self.scope.ints.extend(joined);
    }

    fn blocks<const N: usize>(&mut self, names: [&str; N]) -> [Block; N] {
        self.blocks_left = self.blocks_left.saturating_sub(N);
        names.map(|name| self.b.block(name))
    }

    fn branch(&mut self, depth: usize) {
        let ty = self.int_type();
        let is_big = matches!(ty, Type::Int(_, Order::Big));
        let op = if is_big { self.choices.pick(&EQUALITY) } else { self.choices.pick(CmpOp::ALL) };
        let (left, right) = (self.int(ty), self.int(ty));
        let [then, other] = self.blocks(["then", "other"]);
        self.b.br(op, left, right, then, other);
        let scope = self.scope.clone();
        self.arms(depth, vec![(then, scope.clone()), (other, scope)]);
    }

    fn switch(&mut self, depth: usize) {
        let ty = self.int_type();
        let value = self.int(ty);
        let [one, two, rest] = self.blocks(["one", "two", "rest"]);
        let mut cases: Vec<u64> = (0..4).map(|_| self.bits(ty)).collect();
        cases.sort_unstable();
        cases.dedup();
        let cases: Vec<(u64, Target)> = cases
            .into_iter()
            .enumerate()
            .map(|(at, bits)| (bits, Target::from(if at % 2 == 0 { one } else { two })))
            .collect();
        let has_two = cases.len() > 1;
        self.b.switch(value, cases, rest);
        let scope = self.scope.clone();
        let mut arms = vec![(one, scope.clone()), (rest, scope.clone())];
        if has_two {
            arms.push((two, scope));
        } else {
            // Nothing leads there, but a block has to end.
            self.b.switch_to(two);
            let zero = self.b.const_u32(0);
            self.b.ret([zero]);
        }
        self.arms(depth, arms);
    }

    fn lookup(&mut self, depth: usize) {
        let key = self.key();
        let found = self.b.lookup(self.maps.table, key);
        let [miss] = self.blocks(["miss"]);
        let (hit, [cell]) = self.b.block_with("hit", [Type::MapValue(self.maps.table)]);
        self.b.br_null(found, miss, (hit, [found]));
        let scope = self.scope.clone();
        let mut with_cell = scope.clone();
        with_cell.cells.push(cell);
        self.arms(depth, vec![(hit, with_cell), (miss, scope)]);
    }

    /// The packet's start, guarded; or a pointer into it that a guard of its own
    /// makes safe.
    fn guard(&mut self, depth: usize) {
        let start = self.b.pkt_start(self.ctx);
        let (pointer, length) = if self.choices.one_in(2) {
            (start, 1 + self.choices.below(GUARDED as usize) as u32)
        } else {
            let by = self.int(Type::U64);
            let by = self.b.bin_const(BinOp::And, by, 63);
            (self.b.ptr_add(start, by), 16)
        };
        let [enough, short] = self.blocks(["enough", "short"]);
        self.b.guard(pointer, length, enough, short);
        let scope = self.scope.clone();
        let guarded = Scope { packet: Some((pointer, length)), ..scope.clone() };
        self.arms(depth, vec![(enough, guarded), (short, scope)]);
    }

    /// Returns a mix of what is in scope.
    fn finish(&mut self) {
        let mut mix = self.b.const_u64(1);
        for value in self.scope.ints.clone() {
            let ty = self.b.ty(value);
            let is_big = matches!(ty, Type::Int(_, Order::Big));
            let value = if is_big { self.b.swap(value) } else { value };
            let is_wide = self.b.ty(value) == Type::U64;
            let wide = if is_wide { value } else { self.b.zext(Type::U64, value) };
            mix = self.b.bin_const(BinOp::Mul, mix, 31);
            mix = self.b.bin(BinOp::Add, mix, wide);
        }
        let high = self.b.bin_const(BinOp::Lshr, mix, 32);
        let folded = self.b.bin(BinOp::Xor, mix, high);
        let result = self.b.trunc(Type::U32, folded);
        self.b.ret([result]);
    }
}
