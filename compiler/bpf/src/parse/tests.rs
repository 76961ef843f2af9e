//! Round trips over whole objects, and the errors.

use proptest::prelude::*;

use super::*;
use crate::decode::strategy;
use crate::decode::{Imm64, Instruction};
use crate::print::{Style, print_object};
use crate::{Direction, Judges, License, MapKind, MapRole, ProgramKind, Reg, SourceLine};
use policyc_base::EntityId;

#[test]
fn errors_say_where_and_what() {
    let cases = [
        ("r0 = 1\n r11 = 2", "2:2: there is no register `r11`"),
        ("goto away", "1:6: no label `away`"),
        ("a:\na:\nexit", "2:1: label `a` is set twice"),
        ("r1 = w2", "1:6: both operands are `r` registers or both are `w`"),
        ("r1 = 99999999999", "1:6: `99999999999` does not fit into 32 bits"),
        ("r1 = *(u32 *)(r2 +40000)", "1:18: the offset needs more than 16 bits"),
        ("call map_lookup_elem#2", "1:6: helper 2 is `map_update_elem`"),
        ("r1 = map[nowhere]", "1:10: no map `nowhere`"),
        ("goto pc+40000", "1:6: too far for 16 bits: use `gotol`"),
        (
            "r2 = atomic_xchg((u32 *)(r1 +0), r3)",
            "1:1: the old value comes back in the source register",
        ),
        ("r2 = atomic_xchg((u64 *)(r1 +0), r2)", "1:1: with this type, use `atomic64_…`"),
        ("exit ; !1/!2", "1:8: more origins than slots"),
        ("r1 <- r2", "1:4: cannot read `r1 <- r2`"),
        (".map m kind array", "1:1: directives have no place here"),
    ];
    for (text, message) in cases {
        assert_eq!(assemble(text).map_err(|e| e.to_string()), Err(message.into()), "{text}");
    }
    let cases = [
        ("exit", "1:1: code needs a `.program` before it"),
        (".program p", "1:1: a program needs a `kind`"),
        (".program p kind tc judges me", "1:27: `me` is none of ingress, egress, events"),
        (".map m key 4", "1:1: a map needs a `kind`"),
        (".map m kind hash\n.map m kind hash", "2:1: map `m` is declared twice"),
        (".bytes 00", "1:1: contents need a `.map` before them"),
        (".line !1 \"\" \"\" \"\" 1:1 \"\"", "1:7: lines are in the order of origins: `!0`"),
    ];
    for (text, message) in cases {
        assert_eq!(parse_object(text).map_err(|e| e.to_string()), Err(message.into()), "{text}");
    }
}

#[test]
fn other_spellings_are_read() {
    for (text, canonical) in [
        ("goto +3", "goto pc+3"),
        ("call map_lookup_elem", "call map_lookup_elem#1"),
        ("call #1", "call map_lookup_elem#1"),
        ("12: r1 = 0x10 ; any comment", "r1 = 16"),
        ("if r1==r2 goto +0", "if r1 == r2 goto pc+0"),
        ("r1 = 5 ll", "r1 = 0x5 ll"),
    ] {
        assert_eq!(assemble(text), assemble(canonical), "{text}");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Za-z0-9_]{1,15}", any::<String>()]
}

fn kind() -> impl Strategy<Value = ProgramKind> {
    prop_oneof![
        Just(ProgramKind::Tc),
        Just(ProgramKind::Xdp),
        Just(ProgramKind::CgroupSkb(Direction::Ingress)),
        Just(ProgramKind::CgroupSkb(Direction::Egress)),
        name().prop_map(ProgramKind::RawTracepoint),
        (name(), name()).prop_map(|(category, event)| ProgramKind::Tracepoint { category, event }),
    ]
}

fn map() -> impl Strategy<Value = MapSpec> {
    let kinds = [MapKind::Array, MapKind::LpmTrie, MapKind::Ringbuf, MapKind::ProgArray];
    let roles = [MapRole::Table, MapRole::Binding, MapRole::Scratch, MapRole::Shared];
    let contents = proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..100);
    let sizes = any::<(u32, u32, u32, u32)>();
    (name(), 0..4usize, 0..4usize, sizes, contents).prop_map(
        move |(name, kind, role, (key_size, value_size, max_entries, flags), contents)| MapSpec {
            name,
            kind: kinds[kind],
            key_size,
            value_size,
            max_entries,
            flags,
            role: roles[role],
            contents,
        },
    )
}

fn line() -> impl Strategy<Value = SourceLine> {
    let texts = any::<(String, String, String, String)>();
    (texts, any::<u32>(), any::<u32>()).prop_map(|((policy, rule, file, text), line, column)| {
        SourceLine { policy, rule, file, line, column, text }
    })
}

/// What one line of code is made from.
#[derive(Clone, Debug)]
enum Code {
    Insn(Instruction),
    Load(Reg, usize, Option<u32>),
    Raw([u8; 8]),
}

fn code() -> impl Strategy<Value = (Code, Option<u32>, Option<u32>)> {
    let code = prop_oneof![
        8 => strategy::instruction().prop_map(Code::Insn),
        2 => (0..=10u8, 0..2usize, any::<Option<u32>>())
            .prop_map(|(r, m, o)| Code::Load(Reg::new(r).expect("a register"), m, o)),
        1 => any::<[u8; 8]>().prop_map(Code::Raw),
    ];
    (code, proptest::option::of(0..9u32), proptest::option::weighted(0.1, 0..9u32))
}

fn program(
    name: String,
    kind: ProgramKind,
    license: License,
    code: Vec<(Code, Option<u32>, Option<u32>)>,
) -> Program {
    let mut program =
        Program { name, kind, license, judges: Judges::Egress, ..directive::nameless_program() };
    let origin = |o: Option<u32>| o.map(|o| Origin::from_index(o as usize));
    for (code, first, second) in code {
        let pc = program.insns.len() as u32;
        match code {
            Code::Insn(insn) => program.insns.extend(insn.encode()),
            Code::Raw(bytes) => program.insns.push(Insn::from_bytes(bytes)),
            Code::Load(dst, map, offset) => {
                let load = Instruction::LoadImm { dst, value: Imm64::Value(0) };
                program.insns.extend(load.encode());
                let map = MapId::from_index(map);
                let target =
                    offset.map_or(RelocTarget::Map(map), |o| RelocTarget::MapValue(map, o));
                program.relocs.push(Reloc { insn: pc, target });
            }
        }
        program.origins.push(origin(first));
        program.origins.resize(program.insns.len(), origin(second.or(first)));
    }
    program
}

fn object() -> impl Strategy<Value = Object> {
    let body = proptest::collection::vec(code(), 0..40);
    let license = prop_oneof![Just(License::Permissive), Just(License::DualMitGpl)];
    let programs = proptest::collection::vec((name(), kind(), license, body), 0..3);
    let maps = proptest::collection::vec(map(), 2..4);
    let lines = proptest::collection::vec(line(), 0..4);
    (programs, maps, lines).prop_map(|(programs, mut maps, lines)| {
        for (i, map) in maps.iter_mut().enumerate() {
            map.name.push_str(&i.to_string());
        }
        Object {
            programs: programs.into_iter().map(|(n, k, l, b)| program(n, k, l, b)).collect(),
            maps: maps.into_iter().collect(),
            lines,
        }
    })
}

proptest! {
    #[test]
    fn objects_read_back(object in object(), slots: bool, places: bool) {
        let text = print_object(&object, Style { slots, places, contents: true });
        let back = parse_object(&text);
        prop_assert!(back.is_ok(), "{:?}\n{text}", back);
        prop_assert_eq!(back.expect("checked"), object, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = parse_object(&text);
    }

    #[test]
    fn any_words_are_read_or_refused(
        words in proptest::collection::vec(
            "(r1|w2|=|\\+=|\\(|\\)|\\*|u32|-|\\+4|5|0x5|ll|map|\\[|\\]|goto|if|call|lock|;|!1|:|#|\n|\\.map|\\.zero|x)",
            0..30,
        )
    ) {
        let text = words.join(" ");
        let _ = parse_object(&text);
        let _ = assemble(&text);
        let _ = parse_object(&format!(".program p kind tc\n{text}"));
    }
}
