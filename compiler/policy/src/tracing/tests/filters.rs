//! What is refused of filters, and in which words.

use policyc_base::{OriginTable, Sink, SourceMap};
use proptest::prelude::*;

use super::{findings, small_host, with_filter, with_hook};
use crate::documents;
use crate::tracing::load_document;

#[test]
fn filters_must_name_an_argument() {
    let cases: &[(&str, &[&str])] = &[
        ("index: 5", &[]),
        ("args: [1]", &[]),
        ("index: 0", &[]),
        ("", &["P0206 a filter needs `args` or `index` to say which argument it asks about"]),
        (
            "index: 3",
            &[
                "P0605 3 names none of the 2 arguments of `args` (a filter asks about an argument that the tracepoint lists in `args`)",
            ],
        ),
        (
            "args: [2]",
            &[
                "P0605 2 names none of the 2 arguments of `args` (a filter asks about an argument that the tracepoint lists in `args`)",
            ],
        ),
        ("args: [0, 1]", &["P0601 a filter on several arguments is not supported yet"]),
    ];
    for (which, expected) in cases {
        let comma = if which.is_empty() { "" } else { ", " };
        let fields = format!(
            "args: [{{index: 5}}, {{index: 7}}], selectors: [{{matchArgs: [{{{which}{comma}operator: Equal, values: [1]}}]}}]"
        );
        assert_eq!(
            findings(&with_hook("syscalls/sys_enter_openat", &fields)),
            *expected,
            "{which}"
        );
    }
    let fields = "args: [{index: 1}, {index: 4}], selectors: [{matchArgs: [{index: 1, operator: Equal, values: [1]}]}]";
    let ambiguous = with_hook("raw_syscalls/sys_enter", fields);
    let message = "`index: 1` is read as the field's index, not as the position in `args`";
    assert_eq!(findings(&ambiguous), [format!("P0606 {message} (write `args: [0]`)")]);
}

#[test]
fn operators_must_fit_types() {
    let int = "{index: 5}";
    let text = "{index: 6, type: string}";
    let int_fits =
        "one of `Equal`, `NotEqual`, `GreaterThan`, `LessThan`, `InRange`, `NotInRange`, `Mask`";
    let text_fits = "one of `Equal`, `NotEqual`, `Prefix`, `NotPrefix`, `Postfix`, `NotPostfix`";
    for (operator, value, is_int) in [
        ("Equal", "1", None),
        ("neq", "1", None),
        ("Prefix", "1", Some(false)),
        ("NotPrefix", "1", Some(false)),
        ("Postfix", "1", Some(false)),
        ("NotPostfix", "1", Some(false)),
        ("GreaterThan", "1", Some(true)),
        ("LT", "1", Some(true)),
        ("InRange", "1:2", Some(true)),
        ("NotInRange", "1:2", Some(true)),
        ("Mask", "1", Some(true)),
    ] {
        for (arg, arg_is_int) in [(int, true), (text, false)] {
            let filter = format!("operator: {operator}, values: [\"{value}\"]");
            let found = findings(&with_filter("syscalls/sys_enter_openat", arg, &filter));
            if is_int.is_none_or(|is_int| is_int == arg_is_int) {
                assert!(found.is_empty(), "{operator} {arg}: {found:?}");
                continue;
            }
            let fits = if arg_is_int { int_fits } else { text_fits };
            assert!(
                matches!(&found[..], [one] if one.starts_with("P0608 ") && one.contains(fits)),
                "{operator} {arg}: {found:?}"
            );
        }
    }
}

#[test]
fn values_must_be_of_the_arguments_type() {
    let int = "{index: 5}";
    let unsigned = "{index: 5, type: uint32}";
    let small = "{index: 4, type: int8}";
    let wide = "{index: 1, type: uint64}";
    let text = "{index: 6, type: string}";
    let long = format!("operator: Equal, values: [{}]", "x".repeat(255));
    let cases: &[(&str, &str, &[&str])] = &[
        (int, "operator: Equal, values: [\"-100\", 0x10, 010, \"0b11\"]", &[]),
        (int, "operator: Equal, values: []", &["P0206 a filter needs at least one value"]),
        (int, "operator: Equal", &["P0206 a filter needs `values`"]),
        (
            int,
            "operator: Equal, values: [{}, ~]",
            &[
                "P0207 each of `values` must be a string or a number, not a map",
                "P0207 each of `values` must be a string or a number, not nothing",
            ],
        ),
        (
            int,
            "operator: Equal, values: [a, 1, b]",
            &["P0609 `a` is not an integer", "P0609 `b` is not an integer"],
        ),
        (
            int,
            "operator: Equal, values: [\"--1\", \"0x\", \"08\"]",
            &[
                "P0609 `--1` is not an integer",
                "P0609 `0x` is not an integer",
                "P0609 `08` is not an integer",
            ],
        ),
        (
            int,
            "operator: Equal, values: [4294967196]",
            &[
                "P0610 4294967196 is out of range: int32 holds -2147483648 to 2147483647 (write `-100` for these bits)",
            ],
        ),
        (
            unsigned,
            "operator: Equal, values: [-100]",
            &["P0610 -100 is out of range: uint32 holds 0 to 4294967295"],
        ),
        (small, "operator: Equal, values: [-128, 127]", &[]),
        (
            small,
            "operator: Equal, values: [128]",
            &["P0610 128 is out of range: int8 holds -128 to 127 (write `-128` for these bits)"],
        ),
        (wide, "operator: LessThan, values: [18446744073709551615]", &[]),
        (
            wide,
            "operator: Equal, values: [18446744073709551616]",
            &["P0610 18446744073709551616 is out of range: uint64 holds 0 to 18446744073709551615"],
        ),
        (
            wide,
            "operator: GT, values: [18446744073709551615]",
            &["P0612 no `uint64` is beyond 18446744073709551615"],
        ),
        (wide, "operator: InRange, values: [\"0:4294967295\"]", &[]),
        (
            int,
            "operator: InRange, values: [\"5\"]",
            &["P0609 `5` is not a range (write `first:last`, both included)"],
        ),
        (
            int,
            "operator: InRange, values: [\"5:4\"]",
            &["P0609 the range `5:4` ends before it begins (write `4:5`)"],
        ),
        (
            small,
            "operator: NotInRange, values: [\"-128:0\", \"1:127\"]",
            &[
                "P0612 the values hold every `int8`, so the filter asks nothing (leave the filter out)",
            ],
        ),
        (int, "operator: Mask, values: [0x80000000, \"-1\"]", &[]),
        (int, "operator: Mask, values: [0]", &["P0612 a mask of 0 never matches (leave it out)"]),
        (
            int,
            "operator: Mask, values: [0x100000000]",
            &["P0610 4294967296 is out of range: uint32 holds 0 to 4294967295"],
        ),
        (
            text,
            &long,
            &["P0611 the value has 255 bytes, and only texts of at most 254 are read whole"],
        ),
        (text, "operator: Equal, values: [\"\"]", &[]),
        (
            text,
            "operator: Prefix, values: [\"\"]",
            &["P0612 every text begins and ends with nothing, so the filter asks nothing"],
        ),
        (
            text,
            "operator: Equal, values: [\"a\\0b\"]",
            &["P0609 the value has a NUL inside, where every text ends"],
        ),
        (text, "operator: Equal, values: [\"a\\0\", 'b\\0']", &[]),
        (int, "operator: InMap, values: [1]", &["P0601 the operator `InMap` is not supported yet"]),
        (
            int,
            "operator: In, values: [1]",
            &[
                "P0603 `In` is no operator of `matchArgs` (write `Equal`: it takes any number of values)",
            ],
        ),
        (
            int,
            "operator: Equals, values: [1]",
            &["P0603 `Equals` is no operator (did you mean `Equal`?)"],
        ),
        (int, "operator: Instring, values: [1]", &["P0603 `Instring` is no operator"]),
    ];
    for (arg, filter, expected) in cases {
        let raw = arg.contains("index: 1,") || arg.contains("int8");
        let hook = if raw { "raw_syscalls/sys_enter" } else { "syscalls/sys_enter_openat" };
        assert_eq!(findings(&with_filter(hook, arg, filter)), *expected, "{arg} {filter}");
    }
}

#[test]
fn a_value_must_have_room_in_its_field() {
    let cases: &[(&str, &[&str])] = &[
        ("sixteen-bytes-16", &[]),
        ("seventeen-bytes17", &["P0611 the value has 17 bytes, the field `comm` has 16"]),
    ];
    for (value, expected) in cases {
        let filter = format!("operator: Equal, values: [{value}]");
        let found = findings(&with_filter("sched/sched_process_exec", "{index: 3}", &filter));
        assert_eq!(found, *expected, "{value}");
    }
}

/// Pieces that are put into a good policy at random.
const PIECES: &[&str] = &[
    "",
    "-",
    "{",
    "}",
    "[",
    "]",
    "~",
    "0",
    "-1",
    "99999999999999999999",
    "0x",
    "1:2",
    ":",
    "\\0",
    "é",
    "Mask",
    "Equal",
    "string",
    "auto",
    "index: 7",
    "args: [9]",
    "raw: true",
    "selectors",
    "*a",
    "&a",
];

proptest! {
    #[test]
    fn no_policy_makes_it_panic(at in proptest::collection::vec((any::<usize>(), 0..PIECES.len(), 0..9usize), 1..4)) {
        let fields = "args: [{index: 5, type: int32}, {index: 6, type: string}], selectors: [{matchArgs: \
                      [{index: 5, operator: InRange, values: [\"-1:7\"]}, {args: [1], operator: Postfix, values: [nc]}], \
                      matchActions: [{action: Post}]}]";
        let mut text = with_hook("syscalls/sys_enter_openat", fields);
        for (at, piece, length) in at {
            let at = at % text.len();
            let end = (at + length).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, PIECES[piece]);
            }
        }
        let mut sources = SourceMap::new();
        let file = sources.add("t.yaml", text.as_str());
        let (mut sink, mut origins) = (Sink::new(), OriginTable::new());
        for document in documents::read(&sources, &[file], &mut sink) {
            let mut found = Sink::new();
            let policy = load_document(&document, &small_host(), &mut origins, &mut found);
            prop_assert_eq!(policy.is_none(), found.has_errors(), "{}", text);
        }
    }
}
