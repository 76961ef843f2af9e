//! Output for programs: it parses, it is the same every time, and its fields stay.

use serde_json::Value;

use crate::tool::{policyc, run, words};

/// Runs a command line twice and returns its document and exit status.
fn document(line: &str) -> (Value, Option<i32>) {
    let ended = run(&mut policyc(words(line)));
    assert_eq!(run(&mut policyc(words(line))).out, ended.out, "`{line}` is not stable");
    let document = serde_json::from_str(&ended.out);
    let document = document.unwrap_or_else(|error| panic!("`{line}`: {error}: {}", ended.out));
    (document, ended.status)
}

/// The names of an object's fields, in order.
fn fields(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn findings() {
    let (document, status) = document("check -f tests/tests/cli/cmd/bad.yaml -o json");
    assert_eq!((status, &document["version"]), (Some(1), &Value::from(1)));
    let findings = document["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), 7);
    let first = &findings[0];
    let known = ["code", "family", "help", "labels", "message", "place", "severity"];
    assert!(findings.iter().flat_map(fields).all(|field| known.contains(&field)), "{first}");
    assert_eq!(first["code"], "P0205");
    assert_eq!((&first["severity"], &first["family"]), (&"error".into(), &"policy".into()));
    assert_eq!(first["place"]["file"], "tests/tests/cli/cmd/bad.yaml");
    assert_eq!((&first["place"]["line"], &first["place"]["column"]), (&5.into(), &3.into()));
    let label = &findings.last().expect("one")["labels"][0];
    assert_eq!((&label["text"], &label["line"]), (&"first given here".into(), &24.into()));
}

#[test]
fn no_findings() {
    let line = "check -f examples/shop/policies -i examples/shop/inventory.yaml -o json";
    let (document, status) = document(line);
    assert_eq!(status, Some(0));
    assert_eq!(document, serde_json::json!({"version": 1, "findings": []}));
}

#[test]
fn tests_that_pass_and_fail() {
    let (document, status) = document("test examples/packet-of-death -o json");
    assert_eq!(
        (status, fields(&document)),
        (Some(0), vec!["failed", "findings", "passed", "unjudged", "version"])
    );
    assert_eq!(document["failed"], serde_json::json!([]));

    let (document, status) = self::document("test tests/tests/cli/cmd/wrong.test.yaml -o json");
    assert_eq!(status, Some(1));
    let failed = document["failed"].as_array().expect("a list");
    assert!(!failed.is_empty());
    assert!(failed.iter().all(|f| fields(f) == ["at", "engine", "fixture", "message"]));

    let (document, status) = self::document("test examples/ping/inventory.yaml -o json");
    assert_eq!((status, &document["passed"]), (Some(1), &0.into()));
    assert_eq!(document["findings"][0]["code"], "P0901");
}

#[test]
fn explanations() {
    let line = "explain -f examples/shop/policies -i examples/shop/inventory.yaml \
                --from shop/web --to shop/billing --to-port 8080/TCP -o json";
    let (documents, status) = document(line);
    // One for each pair of addresses.
    let document = &documents[0];
    assert_eq!((status, &document["verdict"]), (Some(0), &"FORWARDED".into()));
    let known = ["destination", "directions", "source", "verdict"];
    assert_eq!(fields(document), known);
    let ingress = &document["directions"][1];
    assert_eq!((&ingress["direction"], &ingress["reason"]), (&"ingress".into(), &"rule".into()));
    assert_eq!(ingress["policy"], "shop/billing");
    let at = ingress["at"].as_str().expect("a place");
    assert!(at.starts_with("examples/shop/policies/billing.yaml:"), "{at}");
}
