//! The map as one document.

use serde_json::{Value, json};

use super::{Node, ServiceMap};

/// The document.
pub fn json(map: &ServiceMap) -> Value {
    let nodes = map.nodes.iter().map(|(node, addresses)| {
        let kind = match node {
            Node::Entity(_) => "entity",
            Node::Named(_) => "named",
        };
        json!({"name": node.name(), "kind": kind, "addresses": addresses})
    });
    let edges = map.edges.iter().flat_map(|((from, to), services)| {
        services.iter().map(|(service, seen)| {
            json!({
                "from": from.name(), "to": to.name(),
                "protocol": service.protocol, "port": service.port,
                "forwarded": seen.counts.forwarded,
                "dropped": seen.counts.dropped,
                "audit": seen.counts.audit,
                "policies": seen.policies,
            })
        })
    });
    let (nodes, edges): (Vec<_>, Vec<_>) = (nodes.collect(), edges.collect());
    json!({"version": 1, "nodes": nodes, "edges": edges})
}
