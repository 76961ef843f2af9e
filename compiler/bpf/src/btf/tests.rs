use policyc_base::{EntityId, Origin};

use super::{FUNC_INFO_SIZE, LINE_INFO_SIZE, encode};
use crate::{
    Insn, Judges, License, MapKind, MapRole, MapSpec, Object, ObjectError, Program, ProgramKind,
    SourceLine, code,
};

const LDDW: Insn = Insn { code: code::LD | code::IMM | code::DW, dst: 1, src: 0, off: 0, imm: 0 };
const SECOND_HALF: Insn = Insn { code: 0, dst: 0, src: 0, off: 0, imm: 0 };
const MOV: Insn = Insn { code: code::ALU64 | code::MOV, dst: 0, src: 0, off: 0, imm: 0 };

fn program(name: &str, insns: &[Insn], origins: &[Option<usize>]) -> Program {
    Program {
        name: name.into(),
        kind: ProgramKind::Tc,
        judges: Judges::Ingress,
        license: License::Permissive,
        insns: insns.into(),
        relocs: Vec::new(),
        origins: origins.iter().map(|o| o.map(Origin::from_index)).collect(),
    }
}

fn line(file: &str, line: u32, column: u32, text: &str) -> SourceLine {
    SourceLine {
        policy: "shop/web".into(),
        rule: "spec.ingress[0]".into(),
        file: file.into(),
        line,
        column,
        text: text.into(),
    }
}

/// Slot, file, text, line and column of each record of the first program.
fn lines_of(object: &Object) -> Vec<(u32, String, String, u32, u32)> {
    let btf = encode(object).unwrap();
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let strings = 24 + word(&btf.types, 16) as usize;
    let string = |offset: u32| {
        let rest = &btf.types[strings + offset as usize..];
        let end = rest.iter().position(|b| *b == 0).unwrap();
        String::from_utf8(rest[..end].into()).unwrap()
    };
    assert_eq!(btf.programs[0].func_info.len(), FUNC_INFO_SIZE as usize);
    let records = btf.programs[0].line_info.chunks_exact(LINE_INFO_SIZE as usize);
    records
        .map(|r| {
            let (slot, line_col) = (word(r, 0), word(r, 12));
            (slot, string(word(r, 4)), string(word(r, 8)), line_col >> 10, line_col & 0x3ff)
        })
        .collect()
}

fn of_one(insns: &[Insn], origins: &[Option<usize>], lines: Vec<SourceLine>) -> Object {
    Object { programs: vec![program("p", insns, origins)], lines, ..Object::default() }
}

#[test]
fn a_run_of_one_line_is_one_record_and_code_of_no_rule_names_its_program() {
    let lines = vec![line("a.yaml", 3, 5, "  - a"), line("a.yaml", 4, 1, "b")];
    let origins = [None, None, Some(0), Some(0), Some(1), None];
    let records = lines_of(&of_one(&[MOV; 6], &origins, lines));
    let own = |slot| (slot, "policyc".into(), "program p".into(), 0, 0);
    let expected = [
        own(0),
        (2, "a.yaml".into(), "- a".into(), 3, 5),
        (4, "a.yaml".into(), "b".into(), 4, 1),
        own(5),
    ];
    assert_eq!(records, expected);
}

#[test]
fn no_record_is_the_second_half_of_a_lddw() {
    let lines = vec![line("a.yaml", 1, 1, "a"), line("a.yaml", 2, 1, "b")];
    let insns = [LDDW, SECOND_HALF, MOV, MOV];
    let records = lines_of(&of_one(&insns, &[Some(0), Some(1), Some(1), None], lines));
    let slots: Vec<u32> = records.iter().map(|r| r.0).collect();
    assert_eq!(slots, [0, 2, 3]);
}

#[test]
fn two_rules_on_one_line_are_one_record() {
    let lines = vec![line("a.yaml", 1, 1, "a"), line("a.yaml", 1, 1, "a")];
    assert_eq!(lines_of(&of_one(&[MOV; 2], &[Some(0), Some(1)], lines)).len(), 1);
}

#[test]
fn texts_and_numbers_fit_their_fields() {
    let cases = [
        (line("", 0, 0, ""), ("policyc", "shop/web spec.ingress[0]", 0, 0)),
        (line("a\nb", 1, 5000, "x\0y\tz"), ("a b", "x y z", 1, 1023)),
        (line("a", u32::MAX, 1, "größe"), ("a", "größe", (1 << 22) - 1, 1)),
    ];
    for (given, (file, text, number, column)) in cases {
        let records = lines_of(&of_one(&[MOV], &[Some(0)], vec![given]));
        assert_eq!(records, [(0, file.into(), text.into(), number, column)]);
    }
    let long = line("a", 1, 1, &"ö".repeat(500));
    assert_eq!(lines_of(&of_one(&[MOV], &[Some(0)], vec![long]))[0].2, "ö".repeat(120));
}

#[test]
fn more_than_a_kernel_takes_is_refused() {
    let count = 80_000;
    let text = "x".repeat(230);
    let lines = (0..count).map(|i| line("a.yaml", 1, 1, &format!("{text}{i}"))).collect();
    let origins: Vec<_> = (0..count).map(Some).collect();
    let error = encode(&of_one(&vec![MOV; count], &origins, lines)).unwrap_err();
    assert!(matches!(error, ObjectError::TooLarge { limit: 0x0100_0000, .. }), "{error}");
}

#[test]
fn aya_reads_the_types_and_equal_ones_are_written_once() {
    let mut object = of_one(&[MOV], &[None], Vec::new());
    let before = encode(&object).unwrap().types;
    object.programs.push(program("q", &[MOV], &[None]));
    for (name, kind, entries) in [("a", MapKind::Hash, 8), ("b", MapKind::Hash, 8)] {
        object.maps.push(MapSpec {
            name: name.into(),
            kind,
            key_size: 4,
            value_size: 4,
            max_entries: entries,
            flags: 0,
            role: MapRole::Shared,
            contents: Vec::new(),
        });
    }
    let after = encode(&object).unwrap().types;
    aya_obj::btf::Btf::parse(&after, Default::default()).unwrap();
    let count =
        |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).filter(|w| *w == word).count();
    assert_eq!(count(&before, b"__sk_buff\0"), 1);
    assert_eq!(count(&after, b"__sk_buff\0"), 1);
    assert_eq!(count(&after, b"max_entries\0"), 1);
    let definitions = super::read::definitions(&after).unwrap();
    assert_eq!(definitions["a"], definitions["b"]);
    assert_eq!(definitions["a"].max_entries, 8);
}
