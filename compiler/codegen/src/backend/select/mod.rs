//! BIR to machine instructions over virtual registers.
//!
//! Guarantees: an integer narrower than 64 bits is zero-extended in its register
//! at all times. Loads, 32-bit arithmetic, byte swaps, masks and constants give
//! that by themselves; sums, differences, products and left shifts of 8 and 16
//! bits, and arithmetic right shifts, are masked. Constants become immediates
//! where the encoding takes them; constant offsets of pointers become offsets of
//! the access; addresses and constants have no instruction of their own.
//! A mask (`and` with a constant) is never removed and is always done on 64 bits
//! if its constant allows: it is what makes an index acceptable.
//!
//! KERNEL: 6.1 forgets a 32-bit result's zero upper half after `or`, `xor`, `mul`
//! or a shift by a register (`adjust_scalar_min_max_vals`), and does not learn
//! from 32-bit compares of two registers; so whatever may be done on 64 bits is.

mod address;
mod arith;
mod branch;
mod fields;

use std::collections::BTreeMap;

use policyc_base::{EntityId, Origin, PrimaryMap, SecondaryMap};
use policyc_bpf::decode::{AluOp, Size, Width};
use policyc_bpf::{MapId, ProgramKind};
use policyc_ir as ir;

use super::error::BackendError;
use super::mir::{Block, BlockData, Inst, Mir, Op, Place, Remat, Term, VReg, VRegDef};
use super::order;
use super::target::{PacketFields, helper_number, packet_fields};
use address::Address;

/// Machine instructions for `func`, or why there are none.
pub(super) fn select(
    module: &ir::Module,
    func: &ir::Function,
    kind: &ProgramKind,
    maps: &PrimaryMap<ir::MapRef, MapId>,
) -> Result<Mir, BackendError> {
    let unsupported =
        |what: &str| BackendError::Unsupported { func: func.name.clone(), what: what.to_owned() };
    if func.params().len() != 1 || func.ty(func.params()[0]) != ir::Type::Ctx {
        return Err(unsupported("a program takes the context and nothing else"));
    }
    if func.results.len() != 1 || !func.results[0].is_int() {
        return Err(unsupported("a program returns one integer"));
    }
    let order = order::topological(func).ok_or_else(|| unsupported("it has a loop"))?;
    let mut select = Select::new(module, func, kind, maps);
    select.frame().map_err(|what| unsupported(&what))?;
    select.function(&order).map_err(|what| unsupported(&what))?;
    Ok(select.mir)
}

/// A message for [`BackendError::Unsupported`], or a value.
type Selected<T = ()> = Result<T, String>;

struct Select<'a> {
    module: &'a ir::Module,
    func: &'a ir::Function,
    packet: Option<PacketFields>,
    maps: &'a PrimaryMap<ir::MapRef, MapId>,
    mir: Mir,
    /// The context.
    context: VReg,
    blocks: SecondaryMap<ir::Block, Option<Block>>,
    vregs: SecondaryMap<ir::Value, Option<VReg>>,
    constants: SecondaryMap<ir::Value, Option<u64>>,
    addresses: SecondaryMap<ir::Value, Option<Address>>,
    slots: SecondaryMap<ir::Slot, i16>,
    remats: BTreeMap<Remat, VReg>,
    /// Values that may be loaded from the context again.
    fields: SecondaryMap<ir::Value, bool>,
    at: Block,
    origin: Option<Origin>,
}

impl<'a> Select<'a> {
    fn new(
        module: &'a ir::Module,
        func: &'a ir::Function,
        kind: &ProgramKind,
        maps: &'a PrimaryMap<ir::MapRef, MapId>,
    ) -> Self {
        let mut vregs = PrimaryMap::new();
        let context = vregs.push(VRegDef::Context);
        Self {
            module,
            func,
            packet: packet_fields(kind),
            maps,
            mir: Mir { blocks: PrimaryMap::new(), layout: vec![], vregs, frame: 0 },
            context,
            blocks: SecondaryMap::default(),
            vregs: SecondaryMap::default(),
            constants: SecondaryMap::default(),
            addresses: SecondaryMap::default(),
            slots: SecondaryMap::default(),
            remats: BTreeMap::new(),
            fields: fields::reloadable(func),
            at: Block::from_index(0),
            origin: None,
        }
    }

    /// Places the function's own slots below the frame pointer.
    fn frame(&mut self) -> Selected {
        let mut depth = 0_u32;
        for (slot, data) in self.func.slots.iter() {
            let align = data.align.clamp(1, 8).next_power_of_two();
            depth = depth.saturating_add(data.size).next_multiple_of(align);
            let offset = i16::try_from(depth).map_err(|_| "its slots exceed any stack")?;
            self.slots[slot] = -offset;
        }
        self.mir.frame = depth.next_multiple_of(8);
        Ok(())
    }

    fn function(&mut self, order: &[ir::Block]) -> Selected {
        for &block in order {
            let id = self.mir.blocks.push(empty_block(self.context));
            self.blocks[block] = Some(id);
            let params = &self.func.blocks[block].params;
            for &param in params.iter().filter(|param| self.func.ty(**param) != ir::Type::Ctx) {
                let value = self.fresh();
                self.vregs[param] = Some(value);
                self.mir.blocks[id].params.push(value);
            }
            for &param in params.iter().filter(|param| self.func.ty(**param) == ir::Type::Ctx) {
                self.vregs[param] = Some(self.context);
            }
        }
        order.iter().try_for_each(|block| self.block(*block))
    }

    fn block(&mut self, block: ir::Block) -> Selected {
        let data = &self.func.blocks[block];
        self.at = self.blocks[block].ok_or("a block is missing")?;
        self.mir.layout.push(self.at);
        for inst in &data.insts {
            self.origin = inst.origin;
            self.inst(inst)?;
        }
        let end = data.end.as_ref().ok_or("a block has no end")?;
        self.origin = end.origin;
        self.terminator(&end.term)
    }

    fn inst(&mut self, inst: &ir::Inst) -> Selected {
        let result = inst.results.first().copied();
        match (&inst.op, result) {
            (ir::Op::Store { base, offset, value }, _) => self.store(*base, *offset, *value),
            (ir::Op::AtomicAdd { base, offset, value }, _) => {
                self.atomic_add(*base, *offset, *value, result)
            }
            (ir::Op::Helper(helper, args), _) => self.helper(*helper, args, result),
            (ir::Op::Call(..), _) => Err("it calls a function that was not inlined".into()),
            (_, None) => Ok(()),
            (op, Some(result)) => self.value(op, result),
        }
    }

    /// An instruction that does nothing but define `result`.
    fn value(&mut self, op: &ir::Op, result: ir::Value) -> Selected {
        let value = match op {
            ir::Op::Const(bits) => {
                self.constants[result] = Some(*bits);
                self.constant(*bits)
            }
            ir::Op::Bin(op, a, b) => self.bin(*op, *a, *b)?,
            ir::Op::Cast(op, a) => self.cast(*op, *a, self.func.ty(result))?,
            ir::Op::PtrAdd(base, bytes) => return self.ptr_add(*base, *bytes, result),
            ir::Op::PktStart(_) => {
                let fields = self.packet_fields()?;
                self.load_from(Size::W, Place::Base(fields.start), Some(self.context))
            }
            ir::Op::SlotAddr(slot) => {
                let offset = self.slots[*slot];
                self.addresses[result] = Some(Address::frame(offset));
                self.remat(Remat::Frame(offset))
            }
            ir::Op::MapAddr(map) => {
                let map = self.map(*map)?;
                self.remat(Remat::Map(map))
            }
            ir::Op::FlatAddr(map) => {
                let map = self.map(*map)?;
                self.addresses[result] = Some(Address::flat(map));
                self.remat(Remat::MapValue(map, 0))
            }
            ir::Op::Load { base, offset } => self.load(*base, *offset, result)?,
            ir::Op::Store { .. }
            | ir::Op::AtomicAdd { .. }
            | ir::Op::Helper(..)
            | ir::Op::Call(..) => return Err("a result is defined by nothing".into()),
        };
        self.vregs[result] = Some(value);
        Ok(())
    }

    fn helper(
        &mut self,
        helper: ir::Helper,
        args: &[ir::Value],
        result: Option<ir::Value>,
    ) -> Selected {
        if args.len() > 5 {
            return Err("a helper has more than five arguments".into());
        }
        let uses = args.iter().map(|arg| self.reg(*arg)).collect::<Selected<Vec<_>>>()?;
        let dst = result.map(|_| self.fresh());
        self.push(Op::Call(helper_number(helper)), dst, uses);
        if let Some(result) = result {
            self.vregs[result] = dst;
        }
        Ok(())
    }

    fn packet_fields(&self) -> Selected<PacketFields> {
        self.packet.ok_or_else(|| "it reads packets but its hook has none".into())
    }

    fn map(&self, map: ir::MapRef) -> Selected<MapId> {
        let id = self.maps.get(map).copied();
        id.ok_or_else(|| match self.module.maps.get(map) {
            Some(decl) => format!("map `{}` is not in the object", decl.name),
            None => format!("{map} is not declared"),
        })
    }
}

/// Building blocks.
impl Select<'_> {
    fn fresh(&mut self) -> VReg {
        self.mir.vregs.push(VRegDef::Computed)
    }

    fn remat(&mut self, remat: Remat) -> VReg {
        let vregs = &mut self.mir.vregs;
        *self.remats.entry(remat).or_insert_with(|| vregs.push(VRegDef::Remat(remat)))
    }

    fn constant(&mut self, bits: u64) -> VReg {
        self.remat(Remat::Const(bits))
    }

    /// The register of a value that was already defined.
    fn reg(&self, value: ir::Value) -> Selected<VReg> {
        self.vregs[value].ok_or_else(|| format!("{value} is used where it is not defined"))
    }

    fn push(&mut self, op: Op, dst: Option<VReg>, uses: Vec<VReg>) {
        let inst = Inst { op, dst, uses, origin: self.origin };
        self.mir.blocks[self.at].insts.push(inst);
    }

    fn compute(&mut self, op: Op, uses: Vec<VReg>) -> VReg {
        let dst = self.fresh();
        self.push(op, Some(dst), uses);
        dst
    }

    fn alu_imm(&mut self, width: Width, op: AluOp, a: VReg, imm: i32) -> VReg {
        self.compute(Op::AluImm(width, op, imm), vec![a])
    }

    /// The integer type of a value: width only.
    fn width(&self, value: ir::Value) -> Selected<ir::Width> {
        match self.func.ty(value) {
            ir::Type::Int(width, _) => Ok(width),
            _ => Err(format!("{value} is a pointer where an integer is needed")),
        }
    }
}

/// `term` is replaced when the block is done.
fn empty_block(value: VReg) -> BlockData {
    BlockData { params: vec![], insts: vec![], term: Term::Exit(value), origin: None }
}

fn size(width: ir::Width) -> Size {
    match width {
        ir::Width::W8 => Size::B,
        ir::Width::W16 => Size::H,
        ir::Width::W32 => Size::W,
        ir::Width::W64 => Size::DW,
    }
}
