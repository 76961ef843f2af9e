//! The dashboard and the alerts: their queries are PromQL and name metrics that exist.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use policyc::metrics::FAMILIES;
use serde_json::{Value, json};

use crate::is_there;
use crate::tool::root;

const DASHBOARD: &str = "packaging/grafana/policyc.json";
const RULES: &str = "packaging/prometheus/policyc.rules.yml";
const RULE_TESTS: &str = "packaging/prometheus/policyc.test.yml";

fn dashboard() -> Value {
    let text = fs::read_to_string(root().join(DASHBOARD)).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

/// The queries below a value: the panels' and the annotations'.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(query) if name == "expr" => found.push(query.clone()),
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

fn of_dashboard() -> Vec<String> {
    let mut found = Vec::new();
    queries(&dashboard(), &mut found);
    found
}

fn of_rules() -> Vec<String> {
    let text = fs::read_to_string(root().join(RULES)).expect("the rules");
    let rules: Value = serde_yaml::from_str(&text).expect("YAML");
    let mut found = Vec::new();
    queries(&rules, &mut found);
    found
}

/// The metrics that a query names.
fn names(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("policyc_")).collect()
}

#[test]
fn every_query_names_a_metric_that_exists() {
    let known: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    let (panels, alerts) = (of_dashboard(), of_rules());
    assert!(panels.len() > 15 && alerts.len() > 5, "{panels:?} {alerts:?}");
    for query in panels.iter().chain(&alerts) {
        let names = names(query);
        assert!(!names.is_empty() || query.starts_with("up{"), "{query} names no metric");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{query}: {unknown:?} are no metrics");
    }
    let variable = dashboard()["templating"]["list"][1]["definition"].to_string();
    assert!(names(&variable).is_subset(&known), "{variable}");
}

#[test]
fn panels_have_their_place() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let of = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(of("x") + of("w") <= 24, "{}", panel["title"]);
        for (x, y) in (of("x")..of("x") + of("w"))
            .flat_map(|x| (of("y")..of("y") + of("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert((x, y)), "{} lies on another", panel["title"]);
        }
    }
}

/// What Grafana puts in place of its variables.
fn filled_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", "5m").replace("$__range", "1h");
    query.replace("$__interval", "1m").replace("$instance", ".*")
}

#[test]
fn every_query_is_promql() {
    if !is_there("promtool", "prometheus", "dashboard::every_query_is_promql") {
        return;
    }
    let rules: Vec<_> = of_dashboard()
        .iter()
        .enumerate()
        .map(|(n, query)| json!({"record": format!("query:{n}"), "expr": filled_in(query)}))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queries.json");
    // JSON is YAML.
    let text = json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string();
    fs::write(&file, text).expect("a file");
    let checks =
        [("check", file), ("check", root().join(RULES)), ("test", root().join(RULE_TESTS))];
    for (how, file) in checks {
        let output = Command::new("promtool").args([how, "rules"]).arg(&file).output();
        let output = output.expect("promtool runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}
