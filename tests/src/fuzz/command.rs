//! Readers of what is typed, of what programs report, and of what was written of that.

use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use clap::Parser as _;
use policyc::cli::args::Cli;
use policyc::observe::{Clock, Record, compact, decode, head, json};
use policyc::service_map::{self, ServiceMap};
use policyc::{manifest as manifests, who as ends};
use policyc_bpf::Manifest;
use policyc_policy::inventory::Inventory;

use super::flows::{self, INVENTORY};
use super::text;

/// Who talks to whom: lines `from`, `to`, `port`.
pub fn who(bytes: &[u8]) {
    static INVENTORY_READ: LazyLock<Inventory> = LazyLock::new(|| flows::inventory(INVENTORY));
    let Some(text) = text(bytes) else { return };
    let mut lines = text.splitn(3, '\n');
    let [from, to, port] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let Ok(port) = ends::port(port) else { return };
    for flow in ends::flows(from, to, port, &INVENTORY_READ).into_iter().flatten() {
        assert_eq!(flow.source.is_ipv4(), flow.destination.is_ipv4(), "{flow:?}");
    }
}

/// Arguments of the command, one a line.
pub fn arguments(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let words = std::iter::once("policyc").chain(text.split('\n'));
    if let Err(error) = Cli::try_parse_from(words) {
        assert!(!error.to_string().is_empty());
    }
}

/// Records: each is one line, with and without the artifact that it belongs to.
pub fn record(bytes: &[u8]) {
    static KNOWN: LazyLock<Option<Manifest>> = LazyLock::new(known);
    let record = decode(bytes);
    if let Record::Verdict(verdict) = &record {
        head(&verdict.head, verdict.from_network_header);
    }
    head(bytes, false);
    head(bytes, true);
    let clock = Clock::new(UNIX_EPOCH, 0);
    for manifest in [None, KNOWN.as_ref()] {
        for line in [compact(&record, manifest, &clock), json(&record, manifest, &clock)] {
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{line:?}");
        }
    }
}

/// Flows, one a line: whatever they say, the page has its own script alone, and each
/// output is one.
pub fn service_map(bytes: &[u8]) {
    let mut map = ServiceMap::default();
    for line in String::from_utf8_lossy(bytes).lines().take(64) {
        if let Ok(flow) = service_map::flow(line) {
            map.add(flow);
        }
    }
    let page = service_map::html(&map, "");
    for tag in ["<script", "</script", "<style", "<svg", "</svg", "<title>service map"] {
        assert_eq!(page.matches(tag).count(), 1, "{tag}");
    }
    assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "{page:?}");
    let graph = service_map::dot(&map);
    assert!(graph.starts_with("digraph policyc {\n") && graph.ends_with("\n}\n"), "{graph}");
    for line in graph.lines() {
        let bare = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(bare.matches('"').count() % 2, 0, "{line}");
    }
    let edges: usize = map.edges.values().map(|services| services.len()).sum();
    assert_eq!(service_map::json(&map)["edges"].as_array().map(Vec::len), Some(edges));
}

/// The manifest of a small build with verdicts and events.
fn known() -> Option<Manifest> {
    let (session, built) = flows::build_with_events()?;
    Some(manifests::manifest(&session, &built))
}
