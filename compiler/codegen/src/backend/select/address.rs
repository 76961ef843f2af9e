//! Memory: constant offsets are folded into the access.
//!
//! Guarantees: an access through `p + 14` is an access through `p` at offset 14.
//! For the verifier that is the same, since the guard's range belongs to all
//! copies of `p` at any constant distance, and one register serves a whole header.

use policyc_bpf::MapId;
use policyc_bpf::decode::{AluOp, Size, Width};
use policyc_ir as ir;

use super::{Op, Place, Remat, Select, Selected, size};
use crate::backend::mir::VReg;

/// A pointer as a root and a constant distance from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Address {
    root: Root,
    offset: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Root {
    Frame,
    Flat(MapId),
    Reg(VReg),
}

impl Address {
    pub(super) fn frame(offset: i16) -> Self {
        Self { root: Root::Frame, offset: offset.into() }
    }

    pub(super) const fn flat(map: MapId) -> Self {
        Self { root: Root::Flat(map), offset: 0 }
    }
}

impl Select<'_> {
    /// What `pointer` is, seen through constant additions.
    fn address(&self, pointer: ir::Value) -> Selected<Address> {
        match self.addresses[pointer] {
            Some(address) => Ok(address),
            None => Ok(Address { root: Root::Reg(self.reg(pointer)?), offset: 0 }),
        }
    }

    pub(super) fn ptr_add(
        &mut self,
        base: ir::Value,
        bytes: ir::Value,
        result: ir::Value,
    ) -> Selected {
        let constant = self.constants[bytes].and_then(|bits| i32::try_from(bits as i64).ok());
        let value = match constant {
            Some(bytes) => {
                let Address { root, offset } = self.address(base)?;
                let address = Address { root, offset: offset + i64::from(bytes) };
                self.addresses[result] = Some(address);
                self.materialise(address)?
            }
            None => {
                let uses = vec![self.reg(base)?, self.reg(bytes)?];
                self.compute(Op::Alu(Width::W64, AluOp::Add), uses)
            }
        };
        self.vregs[result] = Some(value);
        Ok(())
    }

    /// A register that holds an address. If every access folds it, it is unused
    /// and `sweep` removes it.
    fn materialise(&mut self, Address { root, offset }: Address) -> Selected<VReg> {
        let too_far = || format!("a pointer is moved by {offset} bytes");
        match root {
            Root::Reg(root) if offset == 0 => Ok(root),
            Root::Reg(root) => {
                let imm = i32::try_from(offset).map_err(|_| too_far())?;
                Ok(self.alu_imm(Width::W64, AluOp::Add, root, imm))
            }
            Root::Frame => {
                let offset = i16::try_from(offset).map_err(|_| too_far())?;
                Ok(self.remat(Remat::Frame(offset)))
            }
            Root::Flat(map) => {
                let offset = u32::try_from(offset).map_err(|_| too_far())?;
                Ok(self.remat(Remat::MapValue(map, offset)))
            }
        }
    }

    /// The operands of an access to `base + offset`.
    fn place(&mut self, base: ir::Value, offset: i32) -> Selected<(Place, Option<VReg>)> {
        let mut address = self.address(base)?;
        address.offset += i64::from(offset);
        match (address.root, i16::try_from(address.offset)) {
            (Root::Frame, Ok(offset)) => Ok((Place::Frame(offset), None)),
            (Root::Reg(root), Ok(offset)) => Ok((Place::Base(offset), Some(root))),
            (Root::Flat(map), Ok(offset)) => {
                let base = self.remat(Remat::MapValue(map, 0));
                Ok((Place::Base(offset), Some(base)))
            }
            (_, Err(_)) => Ok((Place::Base(0), Some(self.materialise(address)?))),
        }
    }

    pub(super) fn load(
        &mut self,
        base: ir::Value,
        offset: i32,
        result: ir::Value,
    ) -> Selected<VReg> {
        let size = size(self.width(result)?);
        let (place, base) = self.place(base, offset)?;
        match place {
            Place::Base(offset) if self.fields[result] => {
                Ok(self.remat(Remat::Field(size, offset)))
            }
            _ => Ok(self.load_from(size, place, base)),
        }
    }

    pub(super) fn load_from(&mut self, size: Size, place: Place, base: Option<VReg>) -> VReg {
        self.compute(Op::Load(size, place), base.into_iter().collect())
    }

    pub(super) fn store(&mut self, base: ir::Value, offset: i32, value: ir::Value) -> Selected {
        let width = self.width(value)?;
        // KERNEL: before 6.4 a constant is not stored to the context without a register
        // (`do_check` of `BPF_ST`).
        let constant = self.constants[value].filter(|_| self.func.ty(base) != ir::Type::Ctx);
        let (place, base) = self.place(base, offset)?;
        let immediate = constant.and_then(|bits| match width {
            ir::Width::W64 => i32::try_from(bits as i64).ok(),
            _ => Some(bits as u32 as i32),
        });
        let mut uses: Vec<_> = base.into_iter().collect();
        let op = match immediate {
            Some(imm) => Op::StoreImm(size(width), place, imm),
            None => {
                uses.push(self.reg(value)?);
                Op::Store(size(width), place)
            }
        };
        self.push(op, None, uses);
        Ok(())
    }

    pub(super) fn atomic_add(
        &mut self,
        base: ir::Value,
        offset: i32,
        value: ir::Value,
        result: Option<ir::Value>,
    ) -> Selected {
        let width = match self.width(value)? {
            ir::Width::W32 => Width::W32,
            ir::Width::W64 => Width::W64,
            _ => return Err("an atomic addition is of 32 or 64 bits".into()),
        };
        let (place, base) = self.place(base, offset)?;
        let value = self.reg(value)?;
        if let Some(result) = result {
            let uses = [value].into_iter().chain(base).collect();
            self.vregs[result] = Some(self.compute(Op::AtomicFetchAdd(width, place), uses));
            return Ok(());
        }
        let uses = base.into_iter().chain([value]).collect();
        self.push(Op::AtomicAdd(width, place), None, uses);
        Ok(())
    }

    /// A register with the end of the `len` bytes from `pointer`, for a guard.
    pub(super) fn end_of(&mut self, pointer: ir::Value, len: u32) -> Selected<VReg> {
        let Address { root, offset } = self.address(pointer)?;
        let end = Address { root, offset: offset + i64::from(len) };
        // Always a copy: what the guard learns belongs to the pointer, and the
        // pointer stays where it is.
        match root {
            Root::Reg(_) => self.materialise(end),
            Root::Frame | Root::Flat(_) => Err("a guard is for packet pointers".into()),
        }
    }
}
