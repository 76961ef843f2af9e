//! What the checker rejects, and where: `tests/check/*.bir`.
//!
//! Each finding is expected by `; error: message` on its line; several of one line
//! are separated by ` | `. Findings about maps are expected on the first line.
//! Files without any expectation are well-formed.

mod common;

use std::collections::BTreeMap;

use policyc_base::{Sink, SourceMap};
use policyc_ir::check::{diagnostics, render};
use policyc_ir::{Module, check, parse_into};

fn findings(name: &str, text: &str) -> (BTreeMap<u32, Vec<String>>, String) {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    let mut sink = Sink::new();
    let mut module = Module::default();
    let Some(spans) = parse_into(&mut module, file, text, &mut sink) else {
        let found: Vec<_> = sink.iter().map(|found| common::show(&sources, found)).collect();
        panic!("{name}: {}", found.join("\n"));
    };
    let findings = check(&module);
    let mut lines: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for found in diagnostics(&findings, &spans) {
        let at = found.span.and_then(|span| sources.location(span)).map_or(1, |at| at.line);
        lines.entry(at).or_default().push(found.message);
    }
    (lines, render(&module, &findings))
}

fn expected(text: &str) -> BTreeMap<u32, Vec<String>> {
    let lines = text.lines().zip(1..);
    let with = |(line, number): (&str, u32)| {
        let (_, errors) = line.split_once("; error: ")?;
        Some((number, errors.split(" | ").map(str::to_owned).collect()))
    };
    lines.filter_map(with).collect()
}

#[test]
fn every_file_has_the_findings_it_expects() {
    let mut wrong = vec![];
    for (name, text) in ["check", "text"].into_iter().flat_map(common::files) {
        let (found, rendered) = findings(&name, &text);
        let expected = expected(&text);
        if found != expected {
            wrong.push(format!("{name}:\n{rendered}found    {found:?}\nexpected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn findings_are_shown_under_their_lines() {
    let text = "func @f(%x: u32) -> u32 {\nentry:\n  %y = zext u16 %x\n  ret %x\n}\n";
    let (_, rendered) = findings("f.bir", text);
    let shown = "  %y = zext u16 %x\n;  ^ `zext` makes an integer wider\n  ret %x\n";
    assert!(rendered.contains(shown), "{rendered}");
}
