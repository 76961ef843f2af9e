use policyc_base::{Sink, SourceMap};

use super::*;

/// Every finding as "code line:column message".
fn findings(text: &str) -> Vec<String> {
    let mut sources = SourceMap::new();
    let file = sources.add("t.yaml", text);
    let mut sink = Sink::new();
    parse(file, text, &mut sink);
    let show = |d: &policyc_base::Diagnostic| {
        let at = d.span.and_then(|s| sources.location(s)).unwrap();
        format!("{} {}:{} {}", d.code, at.line, at.column, d.message)
    };
    sink.iter().map(show).collect()
}

/// The tree with the source text of every key and value.
fn spans(text: &str) -> String {
    fn show(node: &Node, text: &str, out: &mut String) {
        let at = |s: policyc_base::Span| &text[s.start as usize..s.end as usize];
        match &node.value {
            Value::Scalar(_) => out.push_str(&format!("<{}>", at(node.span))),
            Value::List(items) => {
                out.push('[');
                items.iter().for_each(|i| show(i, text, out));
                out.push(']');
            }
            Value::Map(map) => {
                out.push('{');
                for field in map.values() {
                    out.push_str(&format!("{}=", at(field.key)));
                    show(&field.value, text, out);
                }
                out.push('}');
            }
        }
    }
    let mut sink = Sink::new();
    let mut sources = SourceMap::new();
    let file = sources.add("t.yaml", text);
    let mut out = String::new();
    for document in parse(file, text, &mut sink) {
        out.push_str(&format!("({}..{})", document.span.start, document.span.end));
        show(&document, text, &mut out);
    }
    assert!(sink.is_empty(), "{sink:?}");
    out
}

#[test]
fn spans_are_the_bytes_written() {
    let cases = [
        ("a: 1\nb: [x, \"y\"]\n", "(0..16){a=<1>b=[<x><\"y\">]}"),
        ("größe: ü # ä\nβ:\n  - 'γ δ'\n", "(0..32){größe=<ü>β=[<'γ δ'>]}"),
        ("a:\nb: ~\n", "(0..7){a=<a>b=<~>}"),
        ("a: 1\r\nb: ä\r\nc: 2\r\n", "(0..17){a=<1>b=<ä>c=<2>}"),
        ("\u{feff}a: 1\n", "(3..7){a=<1>}"),
        ("---\na: 1\n---\n---\nb: 2\n...\n", "(4..8){a=<1>}(17..21){b=<2>}"),
        ("x: &a {k: v}\ny: *a\n", "(0..18){x={k=<v>}y={k=<v>}}"),
        ("x: &a {k: v, l: w}\ny:\n  <<: *a\n  k: z\n", "(0..37){x={k=<v>l=<w>}y={k=<z>l=<w>}}"),
    ];
    for (text, expected) in cases {
        assert_eq!(spans(text), expected, "{text:?}");
    }
}

#[test]
fn spans_are_right_beyond_the_stride_of_the_offset_table() {
    let text = format!("a: {}\nb: ö{}\nc: end\n", "ü".repeat(300), "x".repeat(300));
    assert!(spans(&text).ends_with("c=<end>}"));
}

#[test]
fn plain_scalars_mean_what_kubernetes_takes_them_for() {
    use Resolved::*;
    let cases = [
        ("", Null),
        ("~", Null),
        ("null", Null),
        ("true", Bool(true)),
        ("No", Bool(false)),
        ("ON", Bool(true)),
        ("y", Bool(true)),
        ("tRue", Text),
        ("80", Int(80)),
        ("-1", Int(-1)),
        ("0x1f", Int(31)),
        ("0o17", Int(15)),
        ("0443", OtherNumber),
        ("1_000", OtherNumber),
        ("1.5", OtherNumber),
        (".inf", OtherNumber),
        ("1e3", OtherNumber),
        ("10.0.0.1", Text),
        ("10.0.0.0/8", Text),
        ("fd00::1", Text),
        ("e3", Text),
        (".", Text),
        ("-", Text),
        ("0x", Text),
        ("+", Text),
        ("80/TCP", Text),
        ("é", Text),
        ("1-2", Text),
    ];
    for (text, expected) in cases {
        let scalar = Scalar { text: text.into(), quoted: false };
        assert_eq!(scalar.resolve(), expected, "{text:?}");
        assert_eq!(Scalar { quoted: true, ..scalar }.resolve(), Text);
    }
}

#[test]
fn what_is_wrong_is_reported_at_its_place() {
    let deep = format!("a: {}{}", "[".repeat(120), "]".repeat(120));
    let deep_alias = "a: &a [[[[[[[[[[1]]]]]]]]]]\n".to_owned()
        + &(b'b'..b'z')
            .map(|c| {
                let (c, before) = (c as char, (c - 1) as char);
                format!("{c}: &{c} [[[[[[[[[[*{before}]]]]]]]]]]\n")
            })
            .collect::<String>();
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for c in b'b'..=b'j' {
        let (c, b) = (c as char, (c - 1) as char);
        bomb += &format!("{c}: &{c} [{}]\n", vec![format!("*{b}"); 10].join(", "));
    }
    let cases: &[(&str, &[&str])] = &[
        ("a: 1\na: 2\n", &["P0105 2:1 `a` is given twice"]),
        ("? [x]\n: 1\nb: 2\n", &["P0106 1:3 a key must be a string, not a list"]),
        ("a:\n  <<: 1\n", &["P0107 2:7 `<<` can merge maps only, not the number `1`"]),
        ("a: &a [*a]\n", &["P0108 1:8 an alias cannot be inside what it names"]),
        ("a: !foo x\n", &["P0109 1:4 the tag `!foo` has no meaning here"]),
        ("a: !!str 80\n", &[]),
        (&deep, &["P0103 1:103 nested more than 100 levels deep"]),
        (&deep_alias, &["P0103 10:17 nested more than 100 levels deep"]),
        (&bomb, &["P0104 7:16 the file has more than 4000000 values, aliases followed"]),
        ("", &[]),
        ("# nothing\n---\n", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(findings(text), *expected, "{}", shorten(text));
    }
}

#[test]
fn reading_goes_on_at_the_next_document() {
    let text = "a: [1\n---\nb: 2\n---\nc: \"x\n";
    let mut sources = SourceMap::new();
    let file = sources.add("t.yaml", text);
    let mut sink = Sink::new();
    let documents = parse(file, text, &mut sink);
    assert_eq!(documents.len(), 1, "{sink:?}");
    assert_eq!(sink.iter().filter(|d| d.code == crate::codes::YAML_SYNTAX).count(), 2);
}

#[test]
fn a_file_over_the_limit_is_refused_at_once() {
    let text = "a: 1\n".repeat(MAX_BYTES / 5 + 1);
    assert_eq!(findings(&text), ["P0102 1:1 the file has 33 MiB, and at most 32 are read"]);
}

#[test]
fn near_words_are_suggested() {
    let known = ["fromEndpoints", "fromEntities", "toPorts", "ports"];
    for (word, near) in [
        ("fromEndpoint", Some("fromEndpoints")),
        ("FROMENTITIES", Some("fromEntities")),
        ("port", Some("ports")),
        ("spec", None),
    ] {
        assert_eq!(closest(word, known), near, "{word}");
    }
}
