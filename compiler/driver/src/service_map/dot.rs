//! The map for Graphviz.
//!
//! Source: <https://graphviz.org/doc/info/lang.html>; labels are quoted strings, never
//! HTML-like ones.

use std::fmt::Write as _;

use super::{Counts, Node, ServiceMap, together};

/// How many services a label names.
const NAMED: usize = 4;

/// The graph; workloads of a namespace stand together.
pub fn dot(map: &ServiceMap) -> String {
    let mut text = String::from(
        "digraph policyc {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", \
         fillcolor=\"#f4f6f8\", color=\"#5b6b7b\", fontname=\"sans-serif\"];\n  \
         edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    // Writing to a string cannot fail.
    let _ = write_graph(&mut text, map);
    text
}

fn write_graph(text: &mut String, map: &ServiceMap) -> std::fmt::Result {
    let mut open = None;
    // By order, so that a namespace is one run.
    for node in map.nodes.keys() {
        let namespace = namespace(node);
        if namespace != open {
            if open.is_some() {
                writeln!(text, "  }}")?;
            }
            if let Some(name) = namespace {
                let (id, label) = (quote(&format!("cluster_{name}")), quote(name));
                writeln!(text, "  subgraph {id} {{\n    label={label}; color=\"#c3ccd5\";")?;
            }
            open = namespace;
        }
        let shape = match node {
            Node::Entity(_) => ", shape=ellipse, fillcolor=\"#e2e8ee\"",
            Node::Named(_) => "",
        };
        let name = node.name();
        let short = namespace.map_or(name, |of| name.get(of.len() + 1..).unwrap_or(name));
        writeln!(text, "    {} [label={}{shape}];", quote(&id(node)), quote(short))?;
    }
    if open.is_some() {
        writeln!(text, "  }}")?;
    }
    for ((from, to), services) in &map.edges {
        let counts = together(services);
        let mut names: Vec<_> = services.keys().take(NAMED).map(|s| s.text()).collect();
        if services.len() > NAMED {
            names.push(format!("and {} more", services.len() - NAMED));
        }
        names.push(summary(&counts));
        let (color, style) = match counts.class() {
            "dropped" => ("#c0392b", "dashed"),
            "mixed" => ("#b9770e", "solid"),
            "audit" => ("#7d3c98", "dashed"),
            _ => ("#2e7d5b", "solid"),
        };
        let (from, to, label) = (quote(&id(from)), quote(&id(to)), quote(&names.join("\n")));
        writeln!(text, "  {from} -> {to} [label={label}, color=\"{color}\", style={style}];")?;
    }
    writeln!(text, "}}")
}

/// The namespace of a workload.
fn namespace(node: &Node) -> Option<&str> {
    match node {
        Node::Named(name) => name.split_once('/').map(|(namespace, _)| namespace),
        Node::Entity(_) => None,
    }
}

/// Two nodes never share one.
fn id(node: &Node) -> String {
    match node {
        Node::Entity(name) => format!("entity {name}"),
        Node::Named(name) => name.clone(),
    }
}

/// `12 forwarded, 3 dropped`.
pub(super) fn summary(counts: &Counts) -> String {
    let kinds =
        [(counts.forwarded, "forwarded"), (counts.dropped, "dropped"), (counts.audit, "audit")];
    let parts = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, kind)| format!("{n} {kind}"));
    parts.collect::<Vec<_>>().join(", ")
}

/// A quoted string in which nothing is an escape sequence but line breaks.
fn quote(text: &str) -> String {
    let text = text.replace('\0', " ").replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\r', " ").replace('\n', "\\n"))
}
