//! Rules about Rust files.

use crate::none;
use crate::strip::{code, has_word};
use crate::workspace::{packages, read, rust_files};

/// Think about splitting.
const LONG: usize = 500;
/// Split.
const TOO_LONG: usize = 800;

/// The only place where `unsafe` may stand.
const UNSAFE_ROOM: &str = "runtime/sys/";

#[test]
fn files_are_short() {
    let lines = |file: &String| (read(file).lines().count(), file.clone());
    let mut long: Vec<_> =
        rust_files().iter().map(lines).filter(|(lines, _)| *lines > LONG).collect();
    long.sort();
    for (lines, file) in &long {
        println!("note: {file} has {lines} lines; think about splitting over {LONG}");
    }
    let too_long = long.into_iter().filter(|(lines, _)| *lines > TOO_LONG);
    let findings = too_long.map(|(lines, file)| format!("{file} has {lines} lines")).collect();
    none("no Rust file has more than 800 lines: split these", findings);
}

#[test]
fn modules_say_what_they_are() {
    let is_tests = |file: &str| file.ends_with("/tests.rs") || file.ends_with("/tests/mod.rs");
    let silent = rust_files().into_iter().filter(|file| !is_tests(file));
    let silent = silent.filter(|file| !read(file).starts_with("//!")).collect();
    none("every module begins with a `//!` header; these do not", silent);
}

#[test]
fn unsafe_is_in_one_room() {
    let elsewhere = rust_files().into_iter().filter(|file| !file.starts_with(UNSAFE_ROOM));
    let findings = elsewhere.filter(|file| has_word(&code(&read(file)), "unsafe")).collect();
    none("`unsafe` stands in `runtime/sys` only; here it is not", findings);

    let forbidden = read("Cargo.toml").lines().any(|line| line == "unsafe_code = \"forbid\"");
    assert!(forbidden, "the workspace forbids `unsafe_code`");
    let mut findings = Vec::new();
    for package in packages().into_values() {
        let manifest = read(&format!("{}/Cargo.toml", package.folder));
        let inherits = manifest.contains("[lints]\nworkspace = true\n");
        if !inherits && !format!("{}/", package.folder).starts_with(UNSAFE_ROOM) {
            findings.push(package.name);
        }
    }
    none("every other crate takes the workspace's lints; these do not", findings);
}

#[test]
fn nothing_is_left_for_later() {
    let mut findings = Vec::new();
    for file in rust_files() {
        let text = read(&file);
        let code = code(&text);
        for (number, (line, code)) in (1..).zip(text.lines().zip(code.lines())) {
            let macros = ["todo!", "unimplemented!", "dbg!"];
            let left = macros
                .iter()
                .any(|word| has_word(code, word.trim_end_matches('!')) && code.contains(word));
            // Put together here, or this file would be a finding.
            let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
            if left || marks.iter().any(|mark| has_word(line, mark)) {
                findings.push(format!("{file}:{number}: {}", line.trim()));
            }
        }
    }
    none("unfinished work is an issue, not a comment", findings);
}
