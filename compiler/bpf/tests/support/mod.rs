//! Conformance files: assembly with what each program must do in its comments.
//!
//! ```text
//! ; packet 00 11 22          the packet every program of the file gets
//! ; expect NAME = 0x1        r0 at the end
//! ; fault NAME: TEXT         stops with a message that contains the text
//! ; refused NAME             the kernel's verifier does not load it
//! ```

use std::path::PathBuf;

use policyc_bpf::{Object, parse_object};

/// What one program must do.
pub(crate) struct Case {
    pub(crate) program: String,
    pub(crate) expect: Expect,
    /// Whether the kernel refuses to load it.
    pub(crate) refused: bool,
}

/// How a program ends.
pub(crate) enum Expect {
    Result(u64),
    Fault(#[allow(dead_code, reason = "the kernel has other messages")] String),
}

/// One file.
pub(crate) struct Suite {
    pub(crate) file: String,
    pub(crate) object: Object,
    pub(crate) packet: Vec<u8>,
    pub(crate) cases: Vec<Case>,
}

/// Every file of `tests/conformance`, by name.
pub(crate) fn suites() -> Vec<Suite> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let entries = std::fs::read_dir(&folder).expect("the folder of conformance files");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(read).collect()
}

fn read(path: &PathBuf) -> Suite {
    let file = path.file_name().expect("a name").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).expect("readable");
    let object = parse_object(&text).unwrap_or_else(|e| panic!("{file}:{e}"));
    let mut suite = Suite { file, object, packet: vec![0; 64], cases: Vec::new() };
    for line in text.lines() {
        read_header(line, &mut suite);
    }
    for program in &suite.object.programs {
        let name = &program.name;
        assert!(suite.cases.iter().any(|c| c.program == *name), "{}: {name}", suite.file);
    }
    suite
}

fn read_header(line: &str, suite: &mut Suite) {
    let Some((word, rest)) = line.strip_prefix("; ").and_then(|l| l.split_once(' ')) else {
        return;
    };
    let mut case = |program: &str, expect| {
        suite.cases.push(Case { program: program.into(), expect, refused: false });
    };
    match word {
        "packet" => {
            let byte = |b: &str| u8::from_str_radix(b, 16).expect("a byte");
            suite.packet = rest.split_whitespace().map(byte).collect();
        }
        "expect" => {
            let (program, value) = rest.split_once(" = 0x").expect("`NAME = 0x1`");
            case(program, Expect::Result(u64::from_str_radix(value, 16).expect("a number")));
        }
        "fault" => {
            let (program, text) = rest.split_once(": ").expect("`NAME: TEXT`");
            case(program, Expect::Fault(text.into()));
        }
        "refused" => {
            let known = suite.cases.iter_mut().find(|c| c.program == rest);
            known.expect("`refused` follows `expect` or `fault`").refused = true;
        }
        _ => {}
    }
}
