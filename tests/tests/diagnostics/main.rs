//! The examples of `docs/diagnostics/` are run, and say what their pages say.
//!
//! A page holds blocks marked `yaml` (policies), `yaml inventory` and `yaml test`
//! (fixtures), and one marked `text`: every finding about them, word for word.
//! `BLESS=1` writes that block; which code a page is about stays its author's word.

mod page;
mod refusals;

use std::fs;
use std::path::{Path, PathBuf};

use page::Page;
use policyc::fixture;
use policyc::pipeline::{self, Input};
use policyc::session::Session;
use policyc_base::{Diagnostic, SourceMap};
use policyc_target::Profile;

/// A code whose example is too large for a page, and what makes it.
type Made = (&'static str, fn() -> String);

const MADE: &[Made] = &[("P0102", || "#".repeat((32 << 20) + 1)), ("P0544", one_rule_for_each)];

/// A policy whose rules are all about the same workloads, each about one peer.
fn one_rule_for_each() -> String {
    let rule = |i| format!("  - {{fromEndpoints: [{{matchLabels: {{app: a{i}}}}}]}}\n");
    let head = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
                metadata: {name: many, namespace: shop}\nspec:\n  endpointSelector: {}\n  ingress:\n";
    std::iter::once(head.to_owned()).chain((0..2_100).map(rule)).collect()
}

/// Codes of what no text of a few lines leads to: limits, hosts, bugs of ours.
const LATER: &[&str] = &["P0702", "P0703", "P0705", "P08"];

#[test]
fn every_page_says_what_policyc_says() {
    let mut wrong = Vec::new();
    for path in pages() {
        let text = fs::read_to_string(&path).expect("a page can be read");
        let code = path.file_stem().and_then(|s| s.to_str()).expect("PNNNN.md");
        let mut page = Page::read(code, &text);
        if LATER.iter().any(|prefix| code.starts_with(prefix)) {
            continue;
        }
        if let Some((_, make)) = MADE.iter().find(|(made, _)| *made == code) {
            page.policies.push(make());
            let found = findings(&page).1;
            assert!(found.iter().any(|d| d.code.0 == code), "{code}: {found:?}");
            continue;
        }
        let (sources, found) = findings(&page);
        if !found.iter().any(|d| d.code.0 == code) {
            wrong.push(format!("{code}: the example does not lead to it"));
        }
        let output: String = found.iter().map(|d| show(d, &sources)).collect();
        if page.output.as_deref() != Some(&output) {
            if std::env::var_os("BLESS").is_some() {
                fs::write(&path, page::with_output(&text, &output)).expect("a page can be written");
            } else {
                wrong.push(format!("{code}: policyc says now\n{output}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n(BLESS=1 writes what is said now)", wrong.join("\n"));
}

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/diagnostics");
    let entries = fs::read_dir(folder).expect("the pages are there").flatten();
    let mut pages: Vec<_> = entries.map(|entry| entry.path()).collect();
    pages
        .retain(|path| path.extension().is_some_and(|e| e == "md") && !path.ends_with("README.md"));
    pages.sort();
    pages
}

/// Every finding about the texts of a page, in the order of their places.
fn findings(page: &Page) -> (SourceMap, Vec<Diagnostic>) {
    let mut session = Session::new();
    let mut add = |name: &str, texts: &[String]| {
        let sources = &mut session.sources;
        let texts = texts.iter().map(|text| sources.add(format!("{name}.yaml"), text.as_str()));
        texts.collect::<Vec<_>>()
    };
    let input = Input {
        policies: add("policy", &page.policies),
        inventory: add("inventory", &page.inventories),
        profile: Some(host()),
        ..Input::default()
    };
    let tests = add("test", &page.tests);
    // What is about building would only stand in the way on the other pages.
    if page.code.starts_with("P07") {
        pipeline::build(&mut session, &input);
    } else {
        pipeline::check(&mut session, &input);
    }
    for test in tests {
        fixture::read(&session.sources, test, Path::new(""), &mut session.sink);
    }
    let findings = session.findings();
    (session.sources, findings)
}

fn host() -> Profile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/small.yaml");
    Profile::parse(&fs::read_to_string(path).expect("the host is there")).expect("it is a profile")
}

/// One finding on a few lines, as the pages show it.
fn show(finding: &Diagnostic, sources: &SourceMap) -> String {
    let place =
        |span| sources.location(span).map(|at| format!("{}:{}:{}", at.file, at.line, at.column));
    let at = finding.span.and_then(place).map_or_else(String::new, |at| format!("{at}: "));
    let severity = finding.severity.as_str();
    let mut text = format!("{at}{severity}[{}]: {}\n", finding.code, finding.message);
    for label in &finding.labels {
        let at = place(label.span).unwrap_or_default();
        text.push_str(&format!("  {at}: {}\n", label.text));
    }
    if let Some(help) = &finding.help {
        text.push_str(&format!("  help: {help}\n"));
    }
    text
}
