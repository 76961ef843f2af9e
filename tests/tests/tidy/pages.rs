//! Pages that must keep up with the code.

use std::collections::{BTreeMap, BTreeSet};

use crate::none;
use crate::strip::has_word;
use crate::workspace::{files, packages, read, root, rust_files};

const DEPENDENCIES: &str = "docs/decisions/0001-dependencies.md";

#[test]
fn every_dependency_has_its_reason() {
    let packages = packages();
    let used = packages.values().flat_map(|p| p.needs.iter().chain(&p.needs_for_tests));
    let used: BTreeSet<String> = used.filter(|n| !packages.contains_key(*n)).cloned().collect();
    // The first cell of each row of the table is a crate's name in backticks.
    let page = read(DEPENDENCIES);
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<String> =
        rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect();
    let missing = used.difference(&listed).map(|name| format!("`{name}` has no row"));
    let stale = listed.difference(&used).map(|name| format!("no crate uses `{name}`"));
    none(DEPENDENCIES, missing.chain(stale).collect());
}

/// Every code with its title, from the tables `codes.rs` of the crates.
fn codes() -> BTreeMap<String, String> {
    let mut codes = BTreeMap::new();
    for file in files().into_iter().filter(|file| file.ends_with("/codes.rs")) {
        let text = read(&file);
        let (mut named, mut found) = (BTreeMap::new(), Vec::new());
        for line in text.lines() {
            let parts: Vec<_> = line.trim().split('"').collect();
            match parts[..] {
                // NAME = "P0101", "the title";
                [name, code, ", ", title, ";"] if name.ends_with(" = ") => {
                    found.push((code, title));
                }
                // pub const NAME: Code = Code("P0101"); and below (NAME, "the title"),
                [name, code, ");"] if name.ends_with(": Code = Code(") => {
                    named.insert(name.trim_start_matches("pub const ").split(':').next(), code);
                }
                [name, title, ")," | ")];"] => {
                    let name = name.trim_start_matches('(').split(',').next();
                    found.extend(named.get(&name).map(|code| (*code, title)));
                }
                _ => {}
            }
        }
        for (code, title) in found {
            let before = codes.insert(code.to_owned(), title.to_owned());
            assert!(before.is_none(), "{file}: the code {code} is given twice");
        }
        let untitled = named.values().filter(|code| !codes.contains_key(**code));
        none("codes without a title", untitled.map(|code| format!("{file}: {code}")).collect());
    }
    assert!(!codes.is_empty(), "there are tables of codes");
    codes
}

#[test]
fn every_code_has_its_page() {
    let codes = codes();
    let mut findings = Vec::new();
    for (code, title) in &codes {
        let path = format!("docs/diagnostics/{code}.md");
        let heading = format!("# {code}: {title}");
        if !root().join(&path).is_file() {
            findings.push(format!("{path} is missing: it begins with `{heading}`"));
        } else if read(&path).lines().next() != Some(&heading) {
            findings.push(format!("{path} must begin with `{heading}`"));
        }
    }
    for file in files() {
        let Some(name) = file.strip_prefix("docs/diagnostics/") else { continue };
        let code = name.strip_suffix(".md").unwrap_or(name);
        if code != "README" && !codes.contains_key(code) {
            findings.push(format!("{file}: there is no code `{code}`"));
        }
    }
    let index = read("docs/diagnostics/README.md");
    let unlisted = codes.keys().filter(|code| !index.contains(&format!("[{code}]({code}.md)")));
    findings.extend(unlisted.map(|code| format!("docs/diagnostics/README.md leaves out {code}")));
    none("codes and their pages", findings);
}

#[test]
fn codes_are_made_in_their_tables() {
    let mut findings = Vec::new();
    for file in files().into_iter().filter(|f| f.ends_with(".rs") && !f.ends_with("/codes.rs")) {
        let tests = ["/tests/", "/tests.rs", "_tests.rs", "/fixtures.rs"];
        if tests.iter().any(|part| file.contains(part)) {
            continue;
        }
        let made = ["Code(\"", "P"].concat();
        if read(&file).contains(&made) {
            findings.push(file);
        }
    }
    none("codes are made in a `codes.rs`, where their pages are held against them", findings);
}

#[test]
fn every_code_is_reported_somewhere() {
    let (mut names, mut text) = (Vec::new(), String::new());
    for file in rust_files() {
        for line in read(&file).lines() {
            let line = line.trim();
            // NAME = "P0101", … or pub const NAME: Code = Code("P0701");
            let declares = file.ends_with("/codes.rs") && line.contains("\"P");
            // (NAME, "the title"), gives no use either.
            let titles = file.ends_with("/codes.rs") && line.starts_with('(');
            if declares {
                let name = line.trim_start_matches("pub const ").split([':', ' ']).next();
                names.push(name.unwrap_or_default().to_owned());
            } else if !titles {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    let unused = names.into_iter().filter(|name| !has_word(&text, name));
    none("codes that nothing reports", unused.collect());
}

#[test]
fn coverage_names_what_is_refused() {
    let page = read("docs/coverage.md");
    let quoted = |path: &str, from: &str, to: &str| -> Vec<String> {
        let text = read(path);
        let part = text.split(from).nth(1).and_then(|rest| rest.split(to).next());
        let part = part.unwrap_or_else(|| panic!("{path} has no `{from}`")).to_owned();
        part.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let network = "compiler/policy/src/network/doc/unsupported.rs";
    let mut refused = quoted(network, "type Table", "/// Takes every field");
    let tracing = "compiler/policy/src/tracing/names.rs";
    refused.extend(quoted(tracing, "const SPEC: &[&str] =", "];"));
    let unnamed = refused.into_iter().filter(|name| !has_word(&page, name));
    none("docs/coverage.md leaves out", unnamed.collect());
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut findings = Vec::new();
    for file in files().into_iter().filter(|file| file.ends_with(".md")) {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in links(&read(&file)) {
            let path = root().join(folder).join(&target);
            if !path.exists() {
                findings.push(format!("{file}: `{target}` is not there"));
            }
        }
    }
    none("links between pages", findings);
}

/// The files that a page links to, without anchors; other hosts are not asked.
fn links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.filter(|target| !target.contains("://") && !target.contains(' '));
    let files = targets.filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty()).map(str::to_owned).collect()
}
