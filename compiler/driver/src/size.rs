//! The size of everything, as text.

use std::fmt::Write as _;

use policyc_bpf::{Manifest, MapKind, Object};
use policyc_policy::network::Direction;

use crate::pipeline::Built;
use crate::session::Session;

/// Every map with its size, and what its bytes are for.
pub fn tables(object: &Object) -> String {
    let mut text = String::new();
    for map in object.maps.values() {
        let kind = match map.kind {
            MapKind::Array if map.is_flat() => "flat array".to_owned(),
            kind => format!("{kind:?}").to_lowercase(),
        };
        let entry = u64::from(map.key_size + map.value_size).max(1);
        let bytes = if map.is_flat() {
            u64::from(map.value_size)
        } else {
            entry * u64::from(map.max_entries)
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<10} {:<14} {:>9} entries {:>11} bytes",
            map.name, kind, map.max_entries, bytes
        );
    }
    text
}

/// Costs and limits of a manifest.
pub fn cost(manifest: &Manifest) -> String {
    let mut text = String::new();
    for program in &manifest.programs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "program {:<15} {:>6} instructions", program.name, program.insns);
    }
    for (name, bytes) in &manifest.cost.maps {
        let _ = writeln!(text, "map     {name:<15} {bytes:>11} bytes");
    }
    for limit in &manifest.cost.limits {
        let _ = writeln!(text, "limit   {}: {} of {}", limit.name, limit.used, limit.limit);
    }
    text
}

/// The rules as they were understood.
pub fn policy(session: &Session, built: &Built) -> String {
    let mut text = String::new();
    let name = |origin| {
        let info = session.origins.get(origin);
        info.map_or_else(String::new, |info| format!("{} {}", info.policy, info.rule))
    };
    for rule in &built.policy.network {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "rule {}", name(rule.origin));
        let _ = writeln!(text, "  subject {:?}", rule.subject);
        for direction in Direction::BOTH {
            if *rule.default_deny.get(direction) {
                let _ = writeln!(text, "  default deny {direction:?}");
            }
        }
        for entry in &rule.entries {
            let _ = writeln!(
                text,
                "  {:?} {:?} tier {} priority {}: {}",
                entry.verdict,
                entry.direction,
                entry.tier.0,
                entry.priority,
                name(entry.origin)
            );
            let _ = writeln!(text, "    peers {:?}", entry.peers);
            let _ = writeln!(text, "    ports {:?}", entry.ports);
        }
    }
    for policy in &built.policy.tracing {
        for hook in &policy.hooks {
            let _ = writeln!(text, "tracing {} at {}", policy.name, hook.hook);
            for selector in &hook.selectors {
                let _ = writeln!(text, "  selector {}", name(selector.origin));
                let _ = writeln!(text, "    {:?} -> {:?}", selector.filters, selector.actions);
            }
        }
    }
    text
}
