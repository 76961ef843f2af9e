//! Random instructions for property tests.

use proptest::prelude::*;

use super::types::{
    AluOp, AtomicOp, Callee, Imm64, Instruction, JmpOp, Operand, Size, SwapOp, Width,
};
use crate::Reg;

fn reg() -> impl Strategy<Value = Reg> {
    (0u8..=10).prop_map(|n| Reg::new(n).expect("at most 10"))
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![reg().prop_map(Operand::Reg), any::<i32>().prop_map(Operand::Imm)]
}

fn width() -> impl Strategy<Value = Width> {
    prop_oneof![Just(Width::W32), Just(Width::W64)]
}

fn imm64() -> impl Strategy<Value = Imm64> {
    prop_oneof![
        any::<u64>().prop_map(Imm64::Value),
        any::<i32>().prop_map(Imm64::MapFd),
        (any::<i32>(), any::<u32>()).prop_map(|(fd, offset)| Imm64::MapFdValue { fd, offset }),
        (any::<i32>(), any::<i32>()).prop_map(|(id, module_fd)| Imm64::BtfId { id, module_fd }),
        any::<i32>().prop_map(Imm64::Func),
        any::<i32>().prop_map(Imm64::MapIdx),
        (any::<i32>(), any::<u32>()).prop_map(|(idx, offset)| Imm64::MapIdxValue { idx, offset }),
    ]
}

fn callee() -> impl Strategy<Value = Callee> {
    prop_oneof![
        prop_oneof![0..300i32, any::<i32>()].prop_map(Callee::Helper),
        any::<i32>().prop_map(Callee::Local),
        (any::<i32>(), any::<i16>()).prop_map(|(btf_id, module)| Callee::Kfunc { btf_id, module }),
    ]
}

fn arithmetic() -> impl Strategy<Value = Instruction> {
    let ops = proptest::sample::select(AluOp::ALL.to_vec());
    let swaps = proptest::sample::select(vec![SwapOp::ToLe, SwapOp::ToBe, SwapOp::Bswap]);
    prop_oneof![
        4 => (width(), ops, reg(), operand())
            .prop_map(|(width, op, dst, src)| Instruction::Alu { width, op, dst, src }),
        1 => (width(), 0..3usize, reg(), reg()).prop_map(|(width, from, dst, src)| {
            let sizes = if width == Width::W64 { 3 } else { 2 };
            Instruction::MovSx { width, from: Size::ALL[from % sizes], dst, src }
        }),
        1 => (width(), reg()).prop_map(|(width, dst)| Instruction::Neg { width, dst }),
        1 => (swaps, 1..4usize, reg())
            .prop_map(|(op, size, dst)| Instruction::Swap { op, size: Size::ALL[size], dst }),
    ]
}

fn control() -> impl Strategy<Value = Instruction> {
    let ops = proptest::sample::select(JmpOp::ALL.to_vec());
    prop_oneof![
        any::<i16>().prop_map(|off| Instruction::Goto { off }),
        any::<i32>().prop_map(|off| Instruction::Gotol { off }),
        any::<i16>().prop_map(|off| Instruction::MayGoto { off }),
        (width(), ops, reg(), operand(), prop_oneof![0..20i16, any::<i16>()])
            .prop_map(|(width, op, dst, src, off)| Instruction::If { width, op, dst, src, off }),
        callee().prop_map(Instruction::Call),
        Just(Instruction::Exit),
    ]
}

fn memory() -> impl Strategy<Value = Instruction> {
    let ops = proptest::sample::select(AtomicOp::ALL.to_vec());
    let size = || (0..4usize).prop_map(|i| Size::ALL[i]);
    let short = || (0..3usize).prop_map(|i| Size::ALL[i]);
    prop_oneof![
        (size(), reg(), reg(), any::<i16>()).prop_map(|(size, dst, base, off)| Instruction::Load {
            size,
            dst,
            base,
            off
        }),
        (short(), reg(), reg(), any::<i16>())
            .prop_map(|(size, dst, base, off)| Instruction::LoadSx { size, dst, base, off }),
        (size(), reg(), any::<i16>(), operand())
            .prop_map(|(size, base, off, src)| Instruction::Store { size, base, off, src }),
        (width(), ops, reg(), any::<i16>(), reg()).prop_map(|(width, op, base, off, src)| {
            Instruction::Atomic { width, op, base, off, src }
        }),
        (size(), reg(), reg(), any::<i16>())
            .prop_map(|(size, dst, base, off)| Instruction::LoadAcquire { size, dst, base, off }),
        (size(), reg(), any::<i16>(), reg())
            .prop_map(|(size, base, off, src)| Instruction::StoreRelease { size, base, off, src }),
        (reg(), imm64()).prop_map(|(dst, value)| Instruction::LoadImm { dst, value }),
        (short(), proptest::option::of(reg()), any::<i32>())
            .prop_map(|(size, index, imm)| Instruction::LoadPacket { size, index, imm }),
    ]
}

/// Every instruction of the set.
pub(crate) fn instruction() -> impl Strategy<Value = Instruction> {
    prop_oneof![arithmetic(), control(), memory()]
}
