//! Random functions: acyclic, verifiable, deterministic, with many values alive
//! and calls in between.

use policyc_ir::{
    BinOp, Block, CmpOp, FunctionBuilder, Helper, MapDecl, MapKind, MapRef, Module, Order, Slot,
    Target, Type, Value, Width,
};

/// Bytes of the packet that every function may read.
pub(crate) const PACKET: u32 = 128;

/// A fixed sequence of numbers for each seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// A module with one function. `pressure` is how many values it keeps alive.
pub(crate) fn module(seed: u64, pressure: usize) -> Module {
    let mut module = Module::default();
    let maps = Maps {
        table: module.maps.push(map("table", MapKind::Array, 24, 16)),
        hash: module.maps.push(map("hash", MapKind::Hash, 16, 64)),
        flat: module.maps.push(map("flat", MapKind::Array, 4096, 1)),
    };
    module.functions.push(Generator::new(seed, maps).function(pressure));
    module
}

fn map(name: &str, kind: MapKind, value_size: u32, max_entries: u32) -> MapDecl {
    MapDecl { name: name.into(), kind, key_size: 4, value_size, max_entries }
}

struct Maps {
    table: MapRef,
    hash: MapRef,
    flat: MapRef,
}

const WIDTHS: [Width; 4] = [Width::W8, Width::W16, Width::W32, Width::W64];

struct Generator {
    rng: Rng,
    maps: Maps,
    b: FunctionBuilder,
    /// Integers in scope.
    ints: Vec<Value>,
    /// Pointers into the table in scope.
    cells: Vec<Value>,
    packet: Value,
    ctx: Value,
    key: Slot,
    buffer: Slot,
    exit: Block,
    blocks_left: usize,
}

impl Generator {
    fn new(seed: u64, maps: Maps) -> Self {
        let mut b = FunctionBuilder::new("random", &[("ctx", Type::Ctx)], &[Type::U32]);
        let (key, buffer) = (b.slot_aligned("key", 4, 4), b.slot("buffer", 16));
        let ctx = b.params()[0];
        let zero = b.const_u64(0);
        let address = b.slot_addr(buffer);
        b.store(address, 0, zero);
        b.store(address, 8, zero);
        let packet = b.pkt_start(ctx);
        let (start, exit) = (b.block("start"), b.block("exit"));
        b.guard(packet, PACKET, start, exit);
        b.switch_to(start);
        let (ints, cells) = (vec![], vec![]);
        let rng = Rng(seed);
        Self { rng, maps, b, ints, cells, packet, ctx, key, buffer, exit, blocks_left: 14 }
    }

    fn function(mut self, pressure: usize) -> policyc_ir::Function {
        for _ in 0..pressure {
            self.packet_load();
        }
        self.region(pressure, 3);
        self.ret(pressure);
        self.b.switch_to(self.exit);
        let zero = self.b.const_u32(0);
        self.b.ret([zero]);
        self.b.finish()
    }

    /// Code from the cursor on that leaves it in an open block.
    fn region(&mut self, size: usize, depth: usize) {
        for _ in 0..=self.rng.below(size + 1) {
            match self.rng.below(15) {
                0..=3 => self.bin(),
                4 => self.cast(),
                5 => self.packet_load(),
                6 => self.slot_access(),
                7 => self.flat_access(),
                8 => self.cell_access(),
                9 => self.call(),
                10 if depth > 0 && self.blocks_left > 0 => self.diamond(size, depth),
                11 if depth > 0 && self.blocks_left > 0 => self.lookup(size, depth),
                12 => self.context_load(),
                13 if self.blocks_left > 0 => self.guarded_load(),
                14 if self.blocks_left > 0 => self.moved_pointer(),
                _ => self.bin(),
            }
        }
    }

    fn int_type(&mut self) -> Type {
        match self.rng.below(5) {
            0 => Type::Int(self.rng.pick(&WIDTHS[1..]), Order::Big),
            _ => self.native(),
        }
    }

    fn native(&mut self) -> Type {
        Type::Int(self.rng.pick(&WIDTHS), Order::Native)
    }

    /// An integer of a type: one in scope, or a constant.
    fn int(&mut self, ty: Type) -> Value {
        let all: Vec<_> = self.ints.iter().copied().filter(|v| self.b.ty(*v) == ty).collect();
        if all.is_empty() || self.rng.below(6) == 0 {
            let bits = self.bits(ty);
            return self.b.iconst(ty, bits);
        }
        self.rng.pick(&all)
    }

    fn bits(&mut self, ty: Type) -> u64 {
        let Type::Int(width, _) = ty else { return 0 };
        let max = u64::MAX >> (64 - width.bits());
        let any = self.rng.next();
        let candidates = [0, 1, 2, 7, max, max - 1, max / 2, max / 2 + 1, 0xffff_ffff, any, any];
        self.rng.pick(&candidates) & max
    }

    fn bin(&mut self) {
        const BITWISE: [BinOp; 3] = [BinOp::And, BinOp::Or, BinOp::Xor];
        const ALL: [BinOp; 11] = [
            BinOp::Add,
            BinOp::Sub,
            BinOp::Mul,
            BinOp::Div,
            BinOp::Mod,
            BinOp::And,
            BinOp::Or,
            BinOp::Xor,
            BinOp::Shl,
            BinOp::Lshr,
            BinOp::Ashr,
        ];
        let ty = self.int_type();
        let Type::Int(width, order) = ty else { return };
        let op = if order == Order::Big { self.rng.pick(&BITWISE) } else { self.rng.pick(&ALL) };
        let a = self.int(ty);
        let b = match op {
            BinOp::Shl | BinOp::Lshr | BinOp::Ashr if self.rng.below(2) == 0 => {
                let by = self.rng.below(width.bits() as usize) as u64;
                self.b.iconst(ty, by)
            }
            BinOp::Shl | BinOp::Lshr | BinOp::Ashr => {
                let by = self.int(ty);
                self.b.bin_const(BinOp::And, by, u64::from(width.bits()) - 1)
            }
            _ => self.int(ty),
        };
        let value = self.b.bin(op, a, b);
        self.ints.push(value);
    }

    fn cast(&mut self) {
        let from = self.native();
        let value = self.int(from);
        let to = self.native();
        let (Type::Int(a, _), Type::Int(b, _)) = (from, to) else { return };
        let cast = match a.cmp(&b) {
            std::cmp::Ordering::Less => self.b.zext(to, value),
            std::cmp::Ordering::Greater => self.b.trunc(to, value),
            std::cmp::Ordering::Equal if a == Width::W8 => return,
            std::cmp::Ordering::Equal => self.b.swap(value),
        };
        self.ints.push(cast);
    }

    fn packet_load(&mut self) {
        let ty = self.int_type();
        let Type::Int(width, _) = ty else { return };
        let offset = self.rng.below((PACKET - width.bytes()) as usize + 1);
        let value = self.b.load(ty, self.packet, offset as i32);
        self.ints.push(value);
    }

    /// The packet's length or mark, which may be loaded again instead of kept.
    fn context_load(&mut self) {
        let offset = self.rng.pick(&[0, 8]);
        let value = self.b.load(Type::U32, self.ctx, offset);
        self.ints.push(value);
    }

    /// A load at an offset that only a guard of its own makes safe.
    fn guarded_load(&mut self) {
        let offset = self.int(Type::U64);
        let offset = self.b.bin_const(BinOp::And, offset, 63);
        let pointer = self.b.ptr_add(self.packet, offset);
        self.guard_and_load(pointer);
    }

    /// A pointer that comes from two places.
    fn moved_pointer(&mut self) {
        let [left, right] = ["left", "right"].map(|name| self.b.block(name));
        self.branch(&[left, right]);
        let (meet, [pointer]) = self.b.block_with("meet", [Type::Pkt]);
        for arm in [left, right] {
            self.b.switch_to(arm);
            let by = self.rng.below(40) as u32;
            let moved = self.b.ptr_add_const(self.packet, by);
            self.b.jump((meet, [moved]));
        }
        self.b.switch_to(meet);
        self.guard_and_load(pointer);
    }

    fn guard_and_load(&mut self, pointer: Value) {
        self.blocks_left -= 1;
        let inside = self.b.block("inside");
        self.b.guard(pointer, 16, inside, self.exit);
        self.b.switch_to(inside);
        let ty = self.int_type();
        let offset = self.rng.below(9) as i32;
        let value = self.b.load(ty, pointer, offset);
        self.ints.push(value);
    }

    /// A store to the buffer, or a load from it.
    fn slot_access(&mut self) {
        let ty = self.int_type();
        let Type::Int(width, _) = ty else { return };
        let offset = width.bytes() as i32 * self.rng.below(16 / width.bytes() as usize) as i32;
        let address = self.b.slot_addr(self.buffer);
        self.access(ty, address, offset);
    }

    fn access(&mut self, ty: Type, base: Value, offset: i32) {
        if self.rng.below(2) == 0 {
            let value = self.int(ty);
            self.b.store(base, offset, value);
        } else {
            let value = self.b.load(ty, base, offset);
            self.ints.push(value);
        }
    }

    /// An access at a masked index of the flat map, or an atomic addition.
    fn flat_access(&mut self) {
        let base = self.b.flat_addr(self.maps.flat);
        if self.rng.below(3) == 0 {
            let value = self.int(Type::U64);
            let offset = 8 * self.rng.below(512) as i32;
            if self.rng.below(2) == 0 {
                return self.b.atomic_add(base, offset, value);
            }
            let before = self.b.atomic_fetch_add(base, offset, value);
            return self.ints.push(before);
        }
        let index = self.int(Type::U64);
        let index = self.b.bin_const(BinOp::And, index, 0xff8);
        let cell = self.b.ptr_add(base, index);
        let ty = self.int_type();
        self.access(ty, cell, 0);
    }

    fn cell_access(&mut self) {
        if let Some(last) = self.cells.len().checked_sub(1) {
            let at = self.rng.below(last + 1);
            let (ty, offset) = (self.native(), 8 * self.rng.below(3) as i32);
            self.access(ty, self.cells[at], offset);
        }
    }

    fn call(&mut self) {
        let buffer = self.b.slot_addr(self.buffer);
        let status = if self.rng.below(2) == 0 {
            let offset = self.rng.below(PACKET as usize - 16) as u32;
            let offset = self.b.const_u32(offset);
            let len = self.rng.pick(&[4, 8, 16]);
            let len = self.b.const_u32(len);
            self.b.helper(Helper::SkbLoadBytes, [self.ctx, offset, buffer, len])
        } else {
            let key = self.key();
            let map = self.b.map_addr(self.maps.hash);
            let flags = self.b.const_u64(0);
            self.b.helper(Helper::MapUpdateElem, [map, key, buffer, flags])
        };
        self.ints.push(status);
    }

    /// The address of a key below 16.
    fn key(&mut self) -> Value {
        let key = self.int(Type::U32);
        let key = self.b.bin_const(BinOp::And, key, 15);
        let address = self.b.slot_addr(self.key);
        self.b.store(address, 0, key);
        address
    }

    /// A lookup whose hit goes on with the pointer; a miss returns.
    fn lookup(&mut self, size: usize, depth: usize) {
        self.blocks_left -= 1;
        let key = self.key();
        let hit = self.b.lookup(self.maps.table, key);
        let (found, [cell]) = self.b.block_with("found", [Type::MapValue(self.maps.table)]);
        let miss = self.b.block("miss");
        self.b.br_null(hit, miss, (found, [hit]));
        self.b.switch_to(miss);
        let (ints, cells) = (self.ints.len(), self.cells.len());
        self.region(size / 4, 0);
        self.ret(size / 4);
        self.ints.truncate(ints);
        self.cells.truncate(cells);
        self.b.switch_to(found);
        self.cells.push(cell);
        self.region(size / 4, depth - 1);
    }

    /// A branch or switch whose arms meet again and hand over values.
    fn diamond(&mut self, size: usize, depth: usize) {
        self.blocks_left -= 1;
        let types: Vec<_> = (0..self.rng.below(5)).map(|_| self.int_type()).collect();
        let join = self.b.block("join");
        let params: Vec<_> = types.iter().map(|ty| self.b.block_param(join, *ty)).collect();
        let arms: Vec<_> =
            (0..2 + self.rng.below(2) * self.rng.below(6)).map(|_| self.b.block("arm")).collect();
        self.branch(&arms);
        let (ints, cells) = (self.ints.len(), self.cells.len());
        for arm in arms {
            self.b.switch_to(arm);
            self.region(size / 3, depth - 1);
            let args: Vec<_> = types.iter().map(|ty| self.int(*ty)).collect();
            self.b.jump(Target::new(join, args));
            self.ints.truncate(ints);
            self.cells.truncate(cells);
        }
        self.b.switch_to(join);
        self.ints.extend(params);
    }

    fn branch(&mut self, arms: &[Block]) {
        const EQUALITY: [CmpOp; 3] = [CmpOp::Eq, CmpOp::Ne, CmpOp::Set];
        const ALL: [CmpOp; 11] = [
            CmpOp::Eq,
            CmpOp::Ne,
            CmpOp::Ult,
            CmpOp::Ule,
            CmpOp::Ugt,
            CmpOp::Uge,
            CmpOp::Slt,
            CmpOp::Sle,
            CmpOp::Sgt,
            CmpOp::Sge,
            CmpOp::Set,
        ];
        let ty = self.int_type();
        let value = self.int(ty);
        if let [then, other] = arms {
            let is_big = matches!(ty, Type::Int(_, Order::Big));
            let op = if is_big { self.rng.pick(&EQUALITY) } else { self.rng.pick(&ALL) };
            let right = self.int(ty);
            return self.b.br(op, value, right, *then, *other);
        }
        let (default, cases) = arms.split_last().expect("there are arms");
        let mut seen = std::collections::BTreeSet::new();
        let mut list = vec![];
        for case in cases {
            let bits = self.bits(ty);
            let bits = if self.rng.below(2) == 0 { bits & 0xff } else { bits };
            match seen.insert(bits) {
                true => list.push((bits, Target::from(*case))),
                // The arm must be reachable all the same.
                false => list.push((self.fresh_case(&mut seen), Target::from(*case))),
            }
        }
        self.b.switch(value, list, *default);
    }

    fn fresh_case(&mut self, seen: &mut std::collections::BTreeSet<u64>) -> u64 {
        let free = (0..=255).find(|bits| seen.insert(*bits));
        free.unwrap_or_default()
    }

    /// Returns a mix of many values.
    fn ret(&mut self, count: usize) {
        let mut mix = self.b.const_u64(self.rng.clone().next());
        for _ in 0..count.max(2) {
            let ty = self.int_type();
            let value = self.int(ty);
            let is_big = matches!(ty, Type::Int(_, Order::Big));
            let value = if is_big { self.b.swap(value) } else { value };
            let wide =
                if self.b.ty(value) == Type::U64 { value } else { self.b.zext(Type::U64, value) };
            mix = self.b.bin(BinOp::Add, mix, wide);
            mix = self.b.bin_const(BinOp::Mul, mix, 31);
        }
        let high = self.b.bin_const(BinOp::Lshr, mix, 32);
        let folded = self.b.bin(BinOp::Xor, mix, high);
        let result = self.b.trunc(Type::U32, folded);
        self.b.ret([result]);
    }
}
