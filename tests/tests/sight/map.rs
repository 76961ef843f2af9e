//! `policyc map`: what was observed becomes a picture, whatever names say.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::is_there;
use crate::tool::{Ended, policyc, run, run_with_input};

/// A line of `policyc observe -o json`.
fn line(from: &str, to: &str, port: u16, verdict: &str) -> String {
    let end = |name: &str, port: u16| {
        let name = if name == "world" { Value::Null } else { name.into() };
        json!({"address": "10.0.0.1", "name": name, "port": port})
    };
    let flow =
        json!({"source": end(from, 40_000), "destination": end(to, port), "protocol": "TCP"});
    let by = json!({"policy": "shop/rules"});
    json!({"verdict": verdict, "flow": flow, "reason": "rule", "by": by}).to_string()
}

fn shop() -> String {
    [
        line("world", "shop/web", 443, "FORWARDED"),
        line("world", "shop/web", 22, "DROPPED"),
        line("shop/web", "shop/billing", 8080, "FORWARDED"),
        line("shop/billing", "data/ledger", 5432, "FORWARDED"),
        line("shop/web", "data/ledger", 5432, "DROPPED"),
        line("data/ledger", "shop/billing", 9090, "AUDIT"),
    ]
    .join("\n")
}

fn map(flows: &str, options: &[&str]) -> Ended {
    run_with_input(&mut policyc(["map", "-"].iter().chain(options)), flows.as_bytes())
}

/// The page as Chromium has it after its scripts; `None` where there is no Chromium.
fn seen(page: &str, state: &str, test: &str) -> Option<String> {
    let folder = TempDir::new().expect("a folder");
    if !is_there("chromium", "chromium", test) {
        return None;
    }
    let file = folder.path().join("map.html");
    std::fs::write(&file, page).expect("a file");
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
    chromium.args(["--virtual-time-budget=2000", "--no-first-run", "--disable-dev-shm-usage"]);
    chromium.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    let output = chromium.arg(format!("file://{}{state}", file.display())).output();
    Some(String::from_utf8(output.expect("chromium runs").stdout).expect("text"))
}

/// The names of the lines of the picture that are shown: `shop/web → shop/billing`.
fn shown(page: &str) -> Vec<String> {
    let lines = page.split("<g class=\"edge ").skip(1);
    let lines = lines.filter(|line| !line.split('"').next().is_some_and(|c| c.contains("off")));
    let title = |line: &str| Some(line.split_once("<title>")?.1.split_once(": ")?.0.to_owned());
    lines.filter_map(title).collect()
}

fn count(page: &str) -> &str {
    let end = page.split_once("<output id=\"count\">").map(|(_, rest)| rest);
    end.and_then(|rest| rest.split('<').next()).unwrap_or_default()
}

#[test]
fn every_form_is_written() {
    let (html, dot, json) =
        (map(&shop(), &[]), map(&shop(), &["-o", "dot"]), map(&shop(), &["-o", "json"]));
    for ended in [&html, &dot, &json] {
        assert_eq!((ended.status, ended.err.as_str()), (Some(0), ""));
    }
    assert!(html.out.starts_with("<!doctype html>") && html.out.contains("6 flows of -"));
    assert!(!html.out.contains("http://") || !html.out.contains("src="), "it asks for nothing");
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(json["edges"].as_array().map(Vec::len), Some(6));
    assert!(
        dot.out.contains("\"shop/web\" -> \"shop/billing\" [label=\"8080/TCP\\n1 forwarded\""),
        "{}",
        dot.out
    );
    if is_there("dot", "graphviz", "map::every_form_is_written") {
        let drawn = run_with_input(Command::new("dot").arg("-Tsvg"), dot.out.as_bytes());
        assert_eq!((drawn.status, drawn.err.as_str()), (Some(0), ""));
        assert!(drawn.out.contains("<svg") && drawn.out.contains("ledger"));
    }
}

#[test]
fn what_is_no_flow_is_said() {
    let event = r#"{"event": "sched/sched_process_exec"}"#;
    let ended = map(&format!("{}\n{event}\nno json\n", shop()), &["-o", "json"]);
    assert_eq!(ended.status, Some(0));
    let said = "policyc: 1 line left out: no JSON documents\n\
                policyc: 1 line left out: no flows between two addresses\n";
    assert_eq!(ended.err, said);
    let ended = map("", &[]);
    assert_eq!((ended.status, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("`-` has no flows\n  help: write flows with"), "{}", ended.err);
    let ended = run(&mut policyc(["map", "/nowhere/flows.json"]));
    assert!(ended.err.contains("cannot read `/nowhere/flows.json`"), "{}", ended.err);
    let long = format!("{}\n{}", "x".repeat(3 << 20), shop());
    let ended = map(&long, &["-o", "json"]);
    assert_eq!(
        (ended.status, ended.err.as_str()),
        (Some(0), "policyc: 1 line left out: longer than 1 MiB\n")
    );
}

#[test]
fn the_page_is_searched_and_filtered() {
    let test = "map::the_page_is_searched_and_filtered";
    let page = map(&shop(), &[]).out;
    let look = |state: &str| seen(&page, state, test);
    let Some(all) = look("") else { return };
    assert_eq!(count(&all), "4 of 4 names, 5 of 5 connections");
    assert_eq!(shown(&all).len(), 5);
    let cases = [
        ("#search=ledger", "3 of 4 names, 3 of 5 connections"),
        ("#search=LEDGER%20web", "2 of 4 names, 1 of 5 connections"),
        ("#port=5432", "3 of 4 names, 2 of 5 connections"),
        ("#port=443%2Ftcp", "2 of 4 names, 1 of 5 connections"),
        ("#port=44", "0 of 4 names, 0 of 5 connections"),
        ("#verdict=audit", "2 of 4 names, 1 of 5 connections"),
        ("#verdict=dropped", "3 of 4 names, 2 of 5 connections"),
        ("#node=shop/billing&verdict=forwarded", "3 of 4 names, 2 of 5 connections"),
    ];
    for (state, expected) in cases {
        assert_eq!(look(state).as_deref().map(count), Some(expected), "{state}");
    }
    let dropped = look("#verdict=dropped").expect("chromium");
    assert_eq!(shown(&dropped), ["world → shop/web", "shop/web → data/ledger"]);
}

#[test]
fn hostile_names_run_nothing() {
    let names = [
        "</title></svg></table><script>document.title='owned'</script>",
        "\"><img src=x onerror=\"document.title='owned'\">",
        "x' tabindex=1 autofocus onfocus='document.title=1",
        "</script><script>document.title='owned'//",
        "<svg/onload=document.title='owned'>",
        "&lt;script&gt;",
    ];
    let flows: Vec<_> = names.iter().map(|name| line(name, "shop/web", 80, "FORWARDED")).collect();
    let page = map(&flows.join("\n"), &[]).out;
    let Some(seen) = seen(&page, "", "map::hostile_names_run_nothing") else { return };
    assert!(seen.contains("<title>service map</title>"), "{seen}");
    assert_eq!(seen.matches("<script").count(), 1, "{seen}");
    assert!(!seen.contains("<img") && seen.matches("<svg").count() == 1);
    // All of them are there, as text.
    assert_eq!(count(&seen), "7 of 7 names, 6 of 6 connections");
}
