//! Builds a [`Function`] instruction by instruction.
//!
//! The builder has a cursor (a block), an origin that it stamps on what it
//! appends, and infers the types of results. It never fails: what does not fit
//! together is for the checker to say, in one voice for all authors of BIR.
//!
//! ```
//! use policyc_ir::{BinOp, CmpOp, FunctionBuilder, Type};
//!
//! let mut b = FunctionBuilder::new("clamp", &[("n", Type::U32)], &[Type::U32]);
//! let (small, large) = (b.block("small"), b.block("large"));
//! let (n, limit) = (b.params()[0], b.const_u32(100));
//! b.br(CmpOp::Ult, n, limit, small, large);
//! b.switch_to(small);
//! b.ret([n]);
//! b.switch_to(large);
//! b.ret([limit]);
//! assert_eq!(b.finish().layout.len(), 3);
//! ```

use std::collections::BTreeSet;

use policyc_base::{Origin, PrimaryMap};

use crate::types::{
    BinOp, Block, BlockData, CastOp, CmpOp, End, FuncId, Function, Helper, Inst, MapRef, Module,
    Op, Order, Slot, SlotData, Target, Terminator, Type, Value, ValueData,
};

/// A function under construction.
#[derive(Clone, Debug)]
pub struct FunctionBuilder {
    func: Function,
    entry: Block,
    at: Block,
    origin: Option<Origin>,
    names: BTreeSet<String>,
}

impl FunctionBuilder {
    /// A function with named parameters and its entry block, where the cursor is.
    pub fn new(name: impl Into<String>, params: &[(&str, Type)], results: &[Type]) -> Self {
        let mut func = Function {
            name: name.into(),
            results: results.to_vec(),
            blocks: PrimaryMap::new(),
            layout: vec![],
            values: PrimaryMap::new(),
            slots: PrimaryMap::new(),
        };
        let entry = func.blocks.push(empty_block("entry"));
        func.layout.push(entry);
        let names = BTreeSet::from(["entry".to_owned()]);
        let mut builder = Self { func, entry, at: entry, origin: None, names };
        for (name, ty) in params {
            let value = builder.block_param(entry, *ty);
            builder.name(value, name);
        }
        builder
    }

    /// The function, as far as it was built.
    pub fn finish(self) -> Function {
        self.func
    }

    /// The function so far.
    pub const fn func(&self) -> &Function {
        &self.func
    }

    /// The function's parameters.
    pub fn params(&self) -> &[Value] {
        &self.func.blocks[self.entry].params
    }

    /// A new block. It enters the layout when the cursor first goes there.
    /// A name in use gets a number; an empty one prints as the id.
    pub fn block(&mut self, name: &str) -> Block {
        let name = self.unique(name);
        self.func.blocks.push(empty_block(&name))
    }

    /// A new block with parameters.
    pub fn block_with<const N: usize>(
        &mut self,
        name: &str,
        params: [Type; N],
    ) -> (Block, [Value; N]) {
        let block = self.block(name);
        (block, params.map(|ty| self.block_param(block, ty)))
    }

    /// Adds a parameter to a block.
    pub fn block_param(&mut self, block: Block, ty: Type) -> Value {
        let value = self.value(ty);
        self.func.blocks[block].params.push(value);
        value
    }

    /// Moves the cursor to the end of a block.
    pub fn switch_to(&mut self, block: Block) {
        if !self.func.layout.contains(&block) {
            self.func.layout.push(block);
        }
        self.at = block;
    }

    /// Where the cursor is.
    pub const fn current(&self) -> Block {
        self.at
    }

    /// Whether the block at the cursor has its terminator.
    pub fn is_ended(&self) -> bool {
        self.func.blocks[self.at].end.is_some()
    }

    /// The rule that instructions and terminators are made for from now on.
    pub fn set_origin(&mut self, origin: Option<Origin>) {
        self.origin = origin;
    }

    /// Gives a value a name for readers; a name in use gets a number.
    pub fn name(&mut self, value: Value, name: &str) {
        self.func.values[value].name = self.unique(name);
    }

    /// A stack slot of `size` bytes, aligned to 8.
    pub fn slot(&mut self, name: &str, size: u32) -> Slot {
        self.slot_aligned(name, size, 8)
    }

    /// A stack slot of `size` bytes, aligned to `align`.
    pub fn slot_aligned(&mut self, name: &str, size: u32, align: u32) -> Slot {
        let name = self.unique(name);
        self.func.slots.push(SlotData { size, align, name })
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Type {
        self.func.ty(value)
    }

    fn value(&mut self, ty: Type) -> Value {
        self.func.values.push(ValueData { ty, name: String::new() })
    }

    /// `name`, or with a number if it is taken. Names that look like ids are not
    /// names: the text form would read them back as ids.
    fn unique(&mut self, name: &str) -> String {
        if name.is_empty() || crate::names::is_id(name) {
            return String::new();
        }
        let numbered = (2..).map(|n| format!("{name}.{n}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let free = candidates.find(|name| !self.names.contains(name)).unwrap_or_default();
        self.names.insert(free.clone());
        free
    }

    fn push(&mut self, op: Op, results: Vec<Value>) {
        let inst = Inst { op, results, origin: self.origin };
        self.func.blocks[self.at].insts.push(inst);
    }

    fn push_one(&mut self, op: Op, ty: Type) -> Value {
        let value = self.value(ty);
        self.push(op, vec![value]);
        value
    }
}

/// Instructions.
impl FunctionBuilder {
    /// A constant, as register bits.
    pub fn iconst(&mut self, ty: Type, bits: u64) -> Value {
        self.push_one(Op::Const(bits), ty)
    }

    /// A native 8-bit constant.
    pub fn const_u8(&mut self, n: u8) -> Value {
        self.iconst(Type::U8, n.into())
    }

    /// A native 16-bit constant.
    pub fn const_u16(&mut self, n: u16) -> Value {
        self.iconst(Type::U16, n.into())
    }

    /// A native 32-bit constant.
    pub fn const_u32(&mut self, n: u32) -> Value {
        self.iconst(Type::U32, n.into())
    }

    /// A native 64-bit constant.
    pub fn const_u64(&mut self, n: u64) -> Value {
        self.iconst(Type::U64, n)
    }

    /// A 16-bit number in network order: `const_u16be(443)` equals a loaded port 443.
    pub fn const_u16be(&mut self, n: u16) -> Value {
        self.iconst(Type::U16BE, n.swap_bytes().into())
    }

    /// A 32-bit number in network order: `0x0a000001` equals a loaded 10.0.0.1.
    pub fn const_u32be(&mut self, n: u32) -> Value {
        self.iconst(Type::U32BE, n.swap_bytes().into())
    }

    /// A 64-bit number in network order.
    pub fn const_u64be(&mut self, n: u64) -> Value {
        self.iconst(Type::U64BE, n.swap_bytes())
    }

    /// Arithmetic; the result has the type of `a`.
    pub fn bin(&mut self, op: BinOp, a: Value, b: Value) -> Value {
        self.push_one(Op::Bin(op, a, b), self.ty(a))
    }

    /// Arithmetic with a constant of the type of `a`, as register bits.
    pub fn bin_const(&mut self, op: BinOp, a: Value, bits: u64) -> Value {
        let b = self.iconst(self.ty(a), bits);
        self.bin(op, a, b)
    }

    /// Zero extension to `ty`.
    pub fn zext(&mut self, ty: Type, value: Value) -> Value {
        self.push_one(Op::Cast(CastOp::Zext, value), ty)
    }

    /// Truncation to `ty`.
    pub fn trunc(&mut self, ty: Type, value: Value) -> Value {
        self.push_one(Op::Cast(CastOp::Trunc, value), ty)
    }

    /// The same integer in the other byte order.
    pub fn swap(&mut self, value: Value) -> Value {
        let ty = match self.ty(value) {
            Type::Int(width, Order::Native) => Type::Int(width, Order::Big),
            Type::Int(width, Order::Big) => Type::Int(width, Order::Native),
            other => other,
        };
        self.push_one(Op::Cast(CastOp::Swap, value), ty)
    }

    /// Pointer plus bytes.
    pub fn ptr_add(&mut self, ptr: Value, bytes: Value) -> Value {
        self.push_one(Op::PtrAdd(ptr, bytes), self.ty(ptr).moved())
    }

    /// Pointer plus a constant number of bytes.
    pub fn ptr_add_const(&mut self, ptr: Value, bytes: u32) -> Value {
        let bytes = self.const_u64(bytes.into());
        self.ptr_add(ptr, bytes)
    }

    /// The first byte of the packet.
    pub fn pkt_start(&mut self, ctx: Value) -> Value {
        self.push_one(Op::PktStart(ctx), Type::Pkt)
    }

    /// The address of a stack slot.
    pub fn slot_addr(&mut self, slot: Slot) -> Value {
        self.push_one(Op::SlotAddr(slot), Type::Stack(slot))
    }

    /// A map, for helpers.
    pub fn map_addr(&mut self, map: MapRef) -> Value {
        self.push_one(Op::MapAddr(map), Type::Map(map))
    }

    /// The address of the only value of a flat map.
    pub fn flat_addr(&mut self, map: MapRef) -> Value {
        self.push_one(Op::FlatAddr(map), Type::MapValue(map))
    }

    /// Load of `ty` from `base + offset`.
    pub fn load(&mut self, ty: Type, base: Value, offset: i32) -> Value {
        self.push_one(Op::Load { base, offset }, ty)
    }

    /// Store of an integer to `base + offset`.
    pub fn store(&mut self, base: Value, offset: i32, value: Value) {
        self.push(Op::Store { base, offset, value }, vec![]);
    }

    /// `lock *(base + offset) += value`.
    pub fn atomic_add(&mut self, base: Value, offset: i32, value: Value) {
        self.push(Op::AtomicAdd { base, offset, value }, vec![]);
    }

    /// The same; what was there before.
    pub fn atomic_fetch_add(&mut self, base: Value, offset: i32, value: Value) -> Value {
        let ty = self.ty(value);
        self.push_one(Op::AtomicAdd { base, offset, value }, ty)
    }

    /// A call of a kernel helper.
    pub fn helper(&mut self, helper: Helper, args: impl Into<Vec<Value>>) -> Value {
        let args = args.into();
        let first = args.first().map(|arg| self.ty(*arg));
        let ty = helper.result(first).unwrap_or(Type::U64);
        self.push_one(Op::Helper(helper, args), ty)
    }

    /// `map_lookup_elem` of a key at `key`: a value or null, for [`Self::br_null`].
    pub fn lookup(&mut self, map: MapRef, key: Value) -> Value {
        let map = self.map_addr(map);
        self.helper(Helper::MapLookupElem, [map, key])
    }

    /// A call of a function of `module`, with all its results.
    pub fn call(
        &mut self,
        module: &Module,
        func: FuncId,
        args: impl Into<Vec<Value>>,
    ) -> Vec<Value> {
        let types = module.functions.get(func).map_or(&[][..], |callee| &callee.results);
        let results: Vec<_> = types.iter().map(|ty| self.value(*ty)).collect();
        self.push(Op::Call(func, args.into()), results.clone());
        results
    }
}

/// Terminators. Each ends the block at the cursor.
impl FunctionBuilder {
    fn end(&mut self, term: Terminator) {
        debug_assert!(!self.is_ended(), "{} has two terminators", self.at);
        self.func.blocks[self.at].end = Some(End { term, origin: self.origin });
    }

    /// Always to `target`.
    pub fn jump(&mut self, target: impl Into<Target>) {
        self.end(Terminator::Jump(target.into()));
    }

    /// To `then` if `a op b`, else to `other`.
    pub fn br(
        &mut self,
        op: CmpOp,
        a: Value,
        b: Value,
        then: impl Into<Target>,
        other: impl Into<Target>,
    ) {
        self.end(Terminator::Br { op, a, b, then: then.into(), other: other.into() });
    }

    /// [`Self::br`] with a constant of the type of `a`, as register bits.
    pub fn br_const(
        &mut self,
        op: CmpOp,
        a: Value,
        bits: u64,
        then: impl Into<Target>,
        other: impl Into<Target>,
    ) {
        let b = self.iconst(self.ty(a), bits);
        self.br(op, a, b, then, other);
    }

    /// By the value of an integer; cases are register bits.
    pub fn switch(
        &mut self,
        value: Value,
        cases: impl IntoIterator<Item = (u64, Target)>,
        default: impl Into<Target>,
    ) {
        let cases = cases.into_iter().collect();
        self.end(Terminator::Switch { value, cases, default: default.into() });
    }

    /// By whether a lookup found something. Hand `value` itself to `found` to get
    /// the pointer.
    pub fn br_null(&mut self, value: Value, null: impl Into<Target>, found: impl Into<Target>) {
        self.end(Terminator::BrNull { value, null: null.into(), found: found.into() });
    }

    /// By whether `len` bytes from `ptr` are inside the packet.
    pub fn guard(&mut self, ptr: Value, len: u32, ok: impl Into<Target>, short: impl Into<Target>) {
        self.end(Terminator::Guard { ptr, len, ok: ok.into(), short: short.into() });
    }

    /// To program `index` of a program array, or to `missed` if its slot is empty.
    pub fn tail_call(&mut self, ctx: Value, map: MapRef, index: u32, missed: impl Into<Target>) {
        self.end(Terminator::TailCall { ctx, map, index, missed: missed.into() });
    }

    /// Return.
    pub fn ret(&mut self, values: impl Into<Vec<Value>>) {
        self.end(Terminator::Ret(values.into()));
    }
}

fn empty_block(name: &str) -> BlockData {
    BlockData { name: name.to_owned(), params: vec![], insts: vec![], end: None }
}
