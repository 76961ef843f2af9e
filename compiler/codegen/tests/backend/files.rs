//! `*.bir` beside this file: a `; kind:` line, functions, then after `; ---` the
//! assembly they must become. `BLESS=1` rewrites it. All of it must load.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use policyc_bpf::{Direction, ProgramKind, Style, print_program};

use crate::common::{compile_all, parse};
use crate::kernel;

const RULE: &str = "; ---\n";

#[test]
fn assembly_is_as_expected() {
    let mut failures = String::new();
    for path in files() {
        let text = fs::read_to_string(&path).expect("the file can be read");
        let (source, expected) = text.split_once(RULE).unwrap_or((&text, ""));
        let found = assembly(&path.display().to_string(), source);
        if found == expected {
            continue;
        }
        if env::var_os("BLESS").is_some() {
            fs::write(&path, format!("{source}{RULE}{found}")).expect("the file can be written");
        } else {
            let _ = writeln!(failures, "{}\nexpected\n{expected}\nfound\n{found}", path.display());
        }
    }
    assert!(failures.is_empty(), "{failures}BLESS=1 rewrites the expectations");
}

#[test]
fn the_kernel_loads_them() {
    if !kernel::is_there("the_kernel_loads_them") {
        return;
    }
    for path in files() {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).expect("the file can be read");
        let (source, expected) = text.split_once(RULE).unwrap_or((&text, ""));
        if expected.starts_with("error: ") {
            continue;
        }
        let compiled = compile_all(&parse(&name, source), &kind(source));
        let (object, _) = compiled.unwrap_or_else(|error| panic!("{name}: {error}"));
        for program in &object.programs {
            if let Err(error) = kernel::load(&object, program) {
                panic!("{name}: {}\n{error}", print_program(&object, program, Style::DUMP));
            }
        }
    }
}

/// The programs with their costs, or the error.
fn assembly(name: &str, source: &str) -> String {
    let (object, stats) = match compile_all(&parse(name, source), &kind(source)) {
        Ok(compiled) => compiled,
        Err(error) => return format!("error: {error}\n"),
    };
    let mut out = String::new();
    for (program, cost) in object.programs.iter().zip(stats) {
        let _ = writeln!(
            out,
            "; {} instructions, {} spills, {} bytes of stack",
            cost.insns, cost.spills, cost.stack_bytes
        );
        out.push_str(&print_program(&object, program, Style::PLAIN));
    }
    out
}

fn kind(source: &str) -> ProgramKind {
    let line = source.lines().find_map(|line| line.strip_prefix("; kind: "));
    match line {
        Some("tc") => ProgramKind::Tc,
        Some("xdp") => ProgramKind::Xdp,
        Some("cgroup_skb") => ProgramKind::CgroupSkb(Direction::Egress),
        Some("raw_tracepoint") => ProgramKind::RawTracepoint("sched_process_exec".into()),
        other => panic!("unknown kind {other:?}"),
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backend");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "bir")).collect();
    files.sort();
    assert!(!files.is_empty(), "no tests");
    files
}
