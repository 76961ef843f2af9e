use crate::{Code, Diagnostic, PrimaryMap, SecondaryMap, Sink, SourceFile, SourceMap, Span};

crate::entity!(struct Thing, "t");

#[test]
fn entities_print_with_their_prefix_and_index_their_table() {
    let mut things: PrimaryMap<Thing, &str> = PrimaryMap::new();
    let a = things.push("a");
    let b = things.push("b");
    let mut facts = SecondaryMap::with_default(0);
    facts[b] = 7;
    assert_eq!((format!("{a}"), format!("{b:?}")), ("t0".into(), "t1".into()));
    assert_eq!((things[b], facts[a], facts[b]), ("b", 0, 7));
}

#[test]
fn columns_count_characters_and_lines_count_from_one() {
    let file = SourceFile::new("prüfung.yaml", "größe: 1\nb: 2\n");
    assert_eq!(file.line_column(0), (1, 1));
    assert_eq!(file.line_column("größe".len() as u32), (1, 6));
    assert_eq!(file.line_column("größe: 1\n".len() as u32), (2, 1));
    assert_eq!(file.line_column(10_000), (3, 1));
    assert_eq!(file.line_text(2), "b: 2");
    assert_eq!(file.line_text(9), "");
}

#[test]
fn findings_come_out_by_place() {
    let mut sources = SourceMap::new();
    let file = sources.add("a.yaml", "abc");
    let mut sink = Sink::new();
    sink.push(Diagnostic::limit(Code("P9000"), "no place"));
    sink.push(Diagnostic::error(Code("P0002"), Span::new(file, 2, 3), "late"));
    sink.push(Diagnostic::warning(Code("P0001"), Span::new(file, 0, 1), "early"));
    assert!(sink.has_errors());
    let messages: Vec<_> = sink.into_sorted().into_iter().map(|d| d.message).collect();
    assert_eq!(messages, ["early", "late", "no place"]);
}
