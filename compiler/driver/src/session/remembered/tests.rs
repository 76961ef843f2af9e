use policyc_base::EntityId as _;
use policyc_base::Origin;
use policyc_bpf::{Manifest, SourceLine};

use crate::session::Session;

fn line(file: &str, line: u32, column: u32, text: &str) -> SourceLine {
    let (policy, rule) = ("shop/web".to_owned(), format!("line {line}"));
    SourceLine { policy, rule, file: file.into(), line, column, text: text.into() }
}

fn session(lines: Vec<SourceLine>) -> Session {
    Session::of_manifest(&Manifest { lines, ..Manifest::new("shop", "cilium-1.20") })
}

#[test]
fn rules_are_at_their_lines() {
    let lines = vec![
        line("b.yaml", 7, 3, "  - fromEntities: [all]"),
        line("a.yaml", 2, 1, "größe: 1"),
        line("a.yaml", 2, 4, "größe: 1"),
        line("b.yaml", 3, 5, "    ports: []  "),
        line("", 0, 1, ""),
    ];
    let session = session(lines.clone());
    assert_eq!(session.lines().len(), lines.len());
    for (index, line) in lines.iter().enumerate() {
        let info = session.origins.get(Origin::from_index(index)).expect("every rule");
        let at = info.span.and_then(|span| session.sources.location(span));
        let found = at.map(|at| (at.file, at.line, at.column));
        let expected = (line.line > 0).then(|| (line.file.clone(), line.line, line.column));
        assert_eq!(found, expected);
        if let Some(span) = info.span {
            let rest: String = line.text.chars().skip(line.column as usize - 1).collect();
            assert_eq!(session.sources.text(span), rest.trim_end());
        }
    }
}

#[test]
fn hostile_lines_lose_their_places() {
    let lines = vec![
        line("far.yaml", u32::MAX, 1, "x"),
        line("far.yaml", 1, u32::MAX, "x"),
        line("torn.yaml", 2, 1, "one\ntwo"),
        line("torn.yaml", 3, 1, "three"),
    ];
    let session = session(lines);
    let places = session.lines();
    assert_eq!((places[0].line, places[0].policy.as_str()), (0, "shop/web"));
    assert_eq!((places[1].line, places[1].column), (1, 2));
    assert_eq!(places[2].text, "one");
    assert_eq!((places[3].line, places[3].text.as_str()), (3, "three"));
}
