//! Against the running kernel: both ways find the same.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::collections::BTreeMap;

use super::*;
use crate::bpf::{MapDef, MapType, map_create};

fn in_batches(map: &Map) -> Entries {
    let mut found = Entries::of_sizes(map.info.key_size as usize, map.user_value_size);
    map.visit_in_batches(&mut |key, value| found.push(key, value)).expect("batches");
    found
}

#[test]
fn both_ways_find_every_entry() {
    const NO_PREALLOC: u32 = 1;
    for (map_type, flags) in [(MapType::HASH, NO_PREALLOC), (MapType::LRU_HASH, 0)] {
        let name = "t-entries".to_owned();
        let def =
            MapDef { map_type, key_size: 48, value_size: 32, max_entries: 40_000, flags, name };
        let map = match map_create(&def) {
            Ok(map) => map,
            Err(error) => {
                let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
                assert!(!required, "needs bpf(2): {error}");
                eprintln!("SKIPPED both_ways_find_every_entry: {error}");
                return;
            }
        };
        assert_eq!(in_batches(&map).iter().count(), 0);
        assert_eq!(map.entries_one_by_one().expect("keys").iter().count(), 0);
        let entry = |n: u32| ([n.to_le_bytes(); 12].concat(), [n.to_be_bytes(); 8].concat());
        // More than one batch.
        let expected: BTreeMap<_, _> = (0..10_000).map(entry).collect();
        for (key, value) in &expected {
            map.update(key, value, 0).expect("there is room");
        }
        let read = |entries: Entries| -> BTreeMap<_, _> {
            let count = entries.iter().count();
            let found: BTreeMap<_, _> =
                entries.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            assert_eq!(count, found.len(), "each once");
            found
        };
        assert!(read(in_batches(&map)) == expected);
        assert!(read(map.entries_one_by_one().expect("keys")) == expected);
        assert!(read(map.entries().expect("entries")) == expected);
    }
}
