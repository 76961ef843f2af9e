//! The size of everything, as text.

use std::fmt::Write as _;

use policyc_bpf::{Manifest, MapKind, Object};

/// Every map with its size, and what its bytes are for.
pub fn tables(object: &Object) -> String {
    let mut text = String::new();
    for map in object.maps.values() {
        let kind = match map.kind {
            MapKind::Array if map.is_flat() => "flat array".to_owned(),
            kind => kind.name().to_owned(),
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
            "{:<12} {kind:<14} {:>13} {:>11} bytes",
            map.name,
            // The entries of a ring are its bytes.
            if map.kind == MapKind::Ringbuf { String::new() } else { entries(map.max_entries) },
            bytes
        );
    }
    text
}

fn entries(count: u32) -> String {
    format!("{count} entries")
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
