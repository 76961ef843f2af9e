//! What each pass does: `tests/opt/<pass>/*.bir`.
//!
//! The first line names the passes (`; test: opt fold dce`, or `all` for a whole
//! optimisation); then comes a module, and after `; ---` what becomes of it, which
//! `BLESS=1` writes. Input and output must satisfy the checker.

use std::fs;
use std::path::{Path, PathBuf};

use policyc_base::{Sink, SourceMap};
use policyc_codegen::opt::{OptError, Pass, PassSet, optimise};
use policyc_ir::check::render;
use policyc_ir::{Module, check, parse};

const SEPARATOR: &str = "; ---\n";

fn files() -> Vec<PathBuf> {
    let list = |folder: PathBuf| {
        let entries = fs::read_dir(folder).expect("the folder is there");
        entries.map(|entry| entry.expect("the folder can be read").path()).collect::<Vec<_>>()
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/opt");
    let mut files: Vec<_> = list(root).into_iter().flat_map(list).collect();
    files.sort();
    files
}

fn read(text: &str) -> Module {
    let mut sources = SourceMap::new();
    let file = sources.add("test.bir", text);
    let mut sink = Sink::new();
    parse(file, text, &mut sink).unwrap_or_else(|| {
        let found: Vec<_> = sink.iter().map(|found| (sources.location_of(found), found)).collect();
        panic!("{found:#?}")
    })
}

trait LocationOf {
    fn location_of(&self, found: &policyc_base::Diagnostic) -> String;
}

impl LocationOf for SourceMap {
    fn location_of(&self, found: &policyc_base::Diagnostic) -> String {
        let at = found.span.and_then(|span| self.location(span));
        at.map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default()
    }
}

fn well_formed(module: &Module) {
    let findings = check(module);
    assert!(findings.is_empty(), "{}", render(module, &findings));
}

/// The module after the passes that the first line of its text names.
fn transform(text: &str) -> String {
    let mut module = read(text);
    well_formed(&module);
    let first = text.lines().next().unwrap_or_default();
    let words = first.strip_prefix("; test: opt ").expect("the passes");
    if words == "all" {
        optimise(&mut module, PassSet::all()).expect("it is well-formed");
    } else {
        for word in words.split_whitespace() {
            let pass = Pass::from_name(word).expect("a pass");
            pass.run(&mut module).expect("nothing recurs");
            well_formed(&module);
        }
        module.compact();
    }
    module.to_string()
}

#[test]
fn every_file_becomes_what_it_says() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = vec![];
    for path in files() {
        let text = fs::read_to_string(&path).expect("the file can be read");
        let (input, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let found = transform(input);
        if found == expected {
            continue;
        }
        if bless {
            let blessed = format!("{input}{SEPARATOR}{found}");
            fs::write(&path, blessed).expect("the file can be written");
        } else {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "BLESS=1 accepts these:\n{}", wrong.join("\n"));
}

#[test]
fn recursion_is_an_error() {
    let text =
        "func @f() {\nentry:\n  call @g()\n  ret\n}\nfunc @g() {\nentry:\n  call @f()\n  ret\n}\n";
    let result = Pass::Inline.run(&mut read(text));
    assert!(matches!(result, Err(OptError::Recursion(_))), "{result:?}");
    let result = optimise(&mut read(text), PassSet::none());
    assert!(matches!(result, Err(OptError::Input(_))), "{result:?}");
}

#[test]
fn passes_can_be_switched_off() {
    let text = "func @f() -> u32 {\nentry:\n  %a = add u32 1, 2\n  ret %a\n}\n";
    let mut module = read(text);
    let before = module.to_string();
    optimise(&mut module, PassSet::none()).expect("it is well-formed");
    assert_eq!(module.to_string(), before);
    optimise(&mut module, PassSet::all().without(Pass::Dce)).expect("it is well-formed");
    assert!(module.to_string().contains("%a = const u32 3"), "{module}");
    assert!(Pass::ALL.iter().all(|pass| Pass::from_name(pass.name()) == Some(*pass)));
}
