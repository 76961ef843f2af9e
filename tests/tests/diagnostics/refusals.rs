//! The tables of `docs/refusals.md`: each example leads to the codes beside it.

use std::fs;
use std::path::Path;

use policyc::pipeline::{self, Input};
use policyc::session::Session;
use policyc_base::{Diagnostic, Severity};

/// One line of a table.
struct Row<'p> {
    /// The table it is in.
    section: &'p str,
    /// The example: perhaps a kind, and a `spec`.
    example: &'p str,
    /// What it leads to; none if it is accepted.
    codes: Vec<&'p str>,
}

/// The table whose examples are all refused.
const REFUSED: &str = "Refused by Cilium";
/// Fewer rows would be a page that lost some.
const ENOUGH: usize = 115;

#[test]
fn every_example_leads_to_its_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/refusals.md");
    let page = fs::read_to_string(path).expect("the page can be read");
    let inventory = page.split("\n```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let inventory = inventory.expect("an inventory");
    let rows = rows(&page);
    assert!(rows.len() >= ENOUGH, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for Row { section, example, codes } in rows {
        let found = findings(example, inventory);
        let refused = found.iter().any(|finding| finding.severity == Severity::Error);
        let missing: Vec<_> =
            codes.iter().filter(|code| found.iter().all(|f| f.code.0 != **code)).collect();
        let expected = section != REFUSED || refused != codes.is_empty();
        if !missing.is_empty() || !expected {
            let found = found.iter().map(|f| format!("\n    {} {}", f.code, f.message));
            let found: String = found.collect();
            wrong.push(format!("{example}\n  is not {missing:?}, refused: {refused}{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rows of all tables that have an example.
fn rows(page: &str) -> Vec<Row<'_>> {
    let (mut section, mut rows) = ("", Vec::new());
    for line in page.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        let cells: Vec<&str> = line.split(" | ").collect();
        let [_, example, codes] = cells[..] else { continue };
        let example = example.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        let Some(example) = example else { continue };
        let codes: Vec<_> =
            codes.split("[").skip(1).filter_map(|rest| rest.split(']').next()).collect();
        rows.push(Row { section, example, codes });
    }
    rows
}

fn findings(example: &str, inventory: &str) -> Vec<Diagnostic> {
    let mut session = Session::new();
    let input = Input {
        policies: vec![session.sources.add("policy.yaml", policy(example))],
        inventory: vec![session.sources.add("inventory.yaml", inventory)],
        ..Input::default()
    };
    pipeline::check(&mut session, &input);
    session.findings()
}

/// The whole document of an example.
fn policy(example: &str) -> String {
    let (kind, spec) = match example.split_once(' ') {
        Some((kind, spec)) if kind.ends_with("Policy") => (kind, spec),
        _ => ("CiliumNetworkPolicy", example),
    };
    let (api, namespace) = match kind {
        "NetworkPolicy" => ("networking.k8s.io/v1", ", namespace: shop"),
        "ClusterNetworkPolicy" => ("policy.networking.k8s.io/v1alpha2", ""),
        "CiliumClusterwideNetworkPolicy" => ("cilium.io/v2", ""),
        _ => ("cilium.io/v2", ", namespace: shop"),
    };
    let spec = match spec.chars().next() {
        Some('-') => String::new(),
        Some('{') => format!(", spec: {spec}"),
        _ => format!(", spec: {{endpointSelector: {{matchLabels: {{app: web}}}}, {spec}}}"),
    };
    let head = format!("apiVersion: {api}, kind: {kind}, metadata: {{name: example{namespace}}}");
    repeated(&format!("{{{head}{spec}}}\n"))
}

/// `41 × {…}` written out.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" × ") else { return text.to_owned() };
    let digits = before.len() - before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (before, count) = before.split_at(before.len() - digits);
    let end = rest.find('}').expect("an element in braces") + 1;
    let (element, rest) = rest.split_at(end);
    let count = count.parse().expect("a count");
    format!("{before}{}{rest}", vec![element; count].join(", "))
}
