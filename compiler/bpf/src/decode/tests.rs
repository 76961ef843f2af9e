//! Round trips over encodings, and one case for each reserved field.

use proptest::prelude::*;

use super::strategy::instruction;
use super::*;

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
}

/// Every code with every value of a field that means something somewhere.
fn interesting_slots() -> impl Iterator<Item = Insn> {
    let registers = [0u8, 1, 2, 3, 4, 5, 6, 7, 10, 11, 15];
    let offs = [0i16, 1, 2, 8, 16, 32, 64, -1];
    let imms = [
        0, 1, 0x10, 0x20, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe0, 0xe1, 0xf0, 0xf1, 8, 64, 0x100,
        0x110, -1,
    ];
    (0..=255u8).flat_map(move |code| {
        [0u8, 10, 11].into_iter().flat_map(move |dst| {
            registers.into_iter().flat_map(move |src| {
                offs.into_iter().flat_map(move |off| imms.map(|imm| insn(code, dst, src, off, imm)))
            })
        })
    })
}

#[test]
fn what_decodes_encodes_to_the_same_slots() {
    let mut meanings = std::collections::BTreeSet::new();
    for first in interesting_slots() {
        for second in [0, 7] {
            let slots = [first, insn(0, 0, 0, 0, second)];
            let Ok(meaning) = decode(&slots) else { continue };
            let encoded: Vec<Insn> = meaning.encode().into_iter().collect();
            assert_eq!(encoded, slots[..meaning.slots() as usize], "{meaning:?}");
            meanings.insert(meaning);
        }
    }
    assert!(meanings.len() > 10_000, "only {} meanings", meanings.len());
}

proptest! {
    #[test]
    fn every_instruction_survives(i in instruction()) {
        let slots: Vec<Insn> = i.encode().into_iter().collect();
        prop_assert_eq!(decode(&slots), Ok(i));
        prop_assert_eq!(slots.len(), i.slots() as usize);
    }

    #[test]
    fn random_bytes_never_panic(a: [u8; 8], b: [u8; 8], two: bool) {
        let slots = [Insn::from_bytes(a), Insn::from_bytes(b)];
        let slots = if two { &slots[..] } else { &slots[..1] };
        if let Ok(meaning) = decode(slots) {
            let encoded: Vec<Insn> = meaning.encode().into_iter().collect();
            prop_assert_eq!(&encoded[..], &slots[..encoded.len()]);
        }
        let _ = decode_all(slots);
    }
}

#[test]
fn reserved_fields_are_errors() {
    use DecodeError::{MissingSecondSlot, Reserved, UnknownCode, UnknownRegister};
    let (alu, jmp) = (code::ALU64, code::JMP);
    let lddw = code::LD | code::IMM | code::DW;
    let cases: &[(&str, Insn, DecodeError)] = &[
        ("alu above arsh", insn(alu | 0xe0, 0, 0, 0, 0), UnknownCode(0xe7)),
        ("alu reg with imm", insn(alu | code::X, 0, 0, 0, 1), Reserved(Field::Imm)),
        ("alu imm with src", insn(alu, 0, 1, 0, 1), Reserved(Field::Src)),
        ("add with off", insn(alu, 0, 0, 1, 1), Reserved(Field::Off)),
        ("div with off 2", insn(alu | code::DIV, 0, 0, 2, 1), Reserved(Field::Off)),
        ("mov imm with off", insn(alu | code::MOV, 0, 0, 8, 1), Reserved(Field::Off)),
        (
            "movsx 32 in 32",
            insn(code::ALU | code::MOV | code::X, 0, 0, 32, 0),
            Reserved(Field::Off),
        ),
        ("neg reg", insn(alu | code::NEG | code::X, 0, 0, 0, 0), UnknownCode(0x8f)),
        ("swap of 8 bits", insn(code::ALU | code::END, 0, 0, 0, 8), Reserved(Field::Imm)),
        ("bswap be", insn(alu | code::END | code::X, 0, 0, 0, 16), UnknownCode(0xdf)),
        ("goto with imm", insn(jmp, 0, 0, 1, 1), Reserved(Field::Imm)),
        ("gotol with off", insn(code::JMP32, 0, 0, 1, 1), Reserved(Field::Off)),
        ("goto reg", insn(jmp | code::X, 0, 0, 1, 0), UnknownCode(0x0d)),
        ("exit in jmp32", insn(code::JMP32 | code::EXIT, 0, 0, 0, 0), UnknownCode(0x96)),
        ("exit with imm", insn(jmp | code::EXIT, 0, 0, 0, 1), Reserved(Field::Imm)),
        ("call with src 3", insn(jmp | code::CALL, 0, 3, 0, 1), Reserved(Field::Src)),
        ("helper with off", insn(jmp | code::CALL, 0, 0, 1, 1), Reserved(Field::Off)),
        ("call with dst", insn(jmp | code::CALL, 1, 0, 0, 1), Reserved(Field::Dst)),
        ("jump above jcond", insn(jmp | 0xf0, 0, 0, 0, 0), UnknownCode(0xf5)),
        ("may_goto with src", insn(jmp | code::JCOND, 0, 1, 0, 0), Reserved(Field::Src)),
        ("if reg with imm", insn(jmp | code::JEQ | code::X, 0, 0, 0, 1), Reserved(Field::Imm)),
        ("load with imm", insn(code::LDX | code::MEM, 0, 0, 0, 1), Reserved(Field::Imm)),
        (
            "ldsx of 8 bytes",
            insn(code::LDX | code::MEMSX | code::DW, 0, 0, 0, 0),
            UnknownCode(0x99),
        ),
        ("store imm with src", insn(code::ST | code::MEM, 0, 1, 0, 0), Reserved(Field::Src)),
        ("store with imm", insn(code::STX | code::MEM, 0, 0, 0, 1), Reserved(Field::Imm)),
        ("atomic byte", insn(code::STX | code::ATOMIC | code::B, 0, 0, 0, 0), UnknownCode(0xd3)),
        ("xchg without fetch", insn(code::STX | code::ATOMIC, 0, 0, 0, 0xe0), Reserved(Field::Imm)),
        ("register 11", insn(alu | code::MOV, 11, 0, 0, 0), UnknownRegister(11)),
        ("lddw alone", insn(lddw, 0, 0, 0, 0), MissingSecondSlot),
        ("abs of 8 bytes", insn(code::ABS | code::DW, 0, 0, 0, 0), UnknownCode(0x38)),
        ("abs with dst", insn(code::ABS, 1, 0, 0, 0), Reserved(Field::Dst)),
        ("abs with src", insn(code::ABS, 0, 1, 0, 0), Reserved(Field::Src)),
    ];
    for (name, slot, error) in cases {
        assert_eq!(decode(&[*slot]), Err(*error), "{name}");
    }
    assert_eq!(decode(&[]), Err(DecodeError::Empty));
}

#[test]
fn second_slots_are_checked() {
    let lddw = |src| insn(code::LD | code::IMM | code::DW, 1, src, 0, 5);
    let cases = [
        (lddw(0), insn(1, 0, 0, 0, 0), Field::SecondSlot),
        (lddw(0), insn(0, 1, 0, 0, 0), Field::SecondSlot),
        (lddw(0), insn(0, 0, 0, 1, 0), Field::SecondSlot),
        (lddw(code::PSEUDO_MAP_FD), insn(0, 0, 0, 0, 1), Field::SecondSlot),
        (lddw(7), insn(0, 0, 0, 0, 0), Field::Src),
        (Insn { off: 1, ..lddw(0) }, insn(0, 0, 0, 0, 0), Field::Off),
    ];
    for (first, second, field) in cases {
        assert_eq!(decode(&[first, second]), Err(DecodeError::Reserved(field)));
    }
}

#[test]
fn impossible_combinations_encode_to_slots_that_do_not_decode() {
    let (dst, src) = (Reg::R1, Reg::R2);
    for i in [
        Instruction::LoadSx { size: Size::DW, dst, base: src, off: 0 },
        Instruction::Swap { op: SwapOp::ToBe, size: Size::B, dst },
        Instruction::MovSx { width: Width::W32, from: Size::W, dst, src },
        Instruction::MovSx { width: Width::W64, from: Size::DW, dst, src },
        Instruction::LoadPacket { size: Size::DW, index: None, imm: 0 },
    ] {
        assert!(decode(&[i.encode().first()]).is_err(), "{i:?}");
    }
}
