//! The bpf(2) layer against the running kernel. Needs root; without it each
//! test says that it was skipped, and fails if `POLICYC_REQUIRE_KERNEL=1`.

mod common;

use std::os::fd::AsFd;

use common::{insn, kernel, returning};

use policyc_sys::bpf::{
    self, MapDef, MapType, ObjectKind, ProgLoad, ProgType, TestRun, map_create, prog_load,
    prog_test_run,
};

fn array(map_type: MapType, value_size: u32, max_entries: u32) -> MapDef {
    MapDef { map_type, key_size: 4, value_size, max_entries, flags: 0, name: "t-map".into() }
}

#[test]
fn a_program_runs_and_says_who_it_is() {
    if !kernel("a_program_runs_and_says_who_it_is") {
        return;
    }
    let code = returning(2);
    let load =
        ProgLoad { name: "t_drop", log_level: 1, ..ProgLoad::new(ProgType::XDP, "MIT", &code) };
    let loaded = prog_load(&load).expect("loads");
    assert!(loaded.log.contains("processed 2 insns"), "{}", loaded.log);

    let result = prog_test_run(
        loaded.fd.as_fd(),
        &TestRun { data: &[0; 64], repeat: 10, ..Default::default() },
    )
    .expect("runs");
    assert_eq!((result.retval, result.data.len()), (2, 64));

    let info = bpf::prog_info(loaded.fd.as_fd()).expect("info");
    assert_eq!((info.name.as_str(), info.prog_type), ("t_drop", ProgType::XDP));
    assert_eq!(info.verified_insns, 2);
    assert!(bpf::ids(ObjectKind::Prog).expect("ids").contains(&info.id));
    let again = bpf::fd_by_id(ObjectKind::Prog, info.id).expect("by id");
    assert_eq!(bpf::prog_info(again.as_fd()).expect("info").id, info.id);
}

#[test]
fn a_refusal_carries_the_log() {
    if !kernel("a_refusal_carries_the_log") {
        return;
    }
    let code = [insn(0x95, 0, 0, 0)];
    let error = prog_load(&ProgLoad::new(ProgType::XDP, "MIT", &code)).expect_err("R0 unset");
    assert_eq!((error.call, error.errno), ("BPF_PROG_LOAD", libc::EACCES));
    assert!(error.log.contains("R0 !read_ok"), "{}", error.log);
}

#[test]
fn raw_tracepoints_can_be_test_run() {
    if !kernel("raw_tracepoints_can_be_test_run") {
        return;
    }
    // r0 = *(u64 *)(r1 + 0)
    let code = [insn(0x79, 0x10, 0, 0), insn(0x95, 0, 0, 0)];
    let loaded = prog_load(&ProgLoad::new(ProgType::RAW_TRACEPOINT, "MIT", &code)).expect("loads");
    let ctx = 7_u64.to_ne_bytes();
    let result = prog_test_run(loaded.fd.as_fd(), &TestRun { ctx: &ctx, ..Default::default() })
        .expect("runs");
    assert_eq!(result.retval, 7);
}

#[test]
fn arrays_hold_what_was_put_in() {
    if !kernel("arrays_hold_what_was_put_in") {
        return;
    }
    let map = map_create(&array(MapType::ARRAY, 8, 4)).expect("create");
    assert_eq!(map.info().name, "t_map");
    map.update(&1_u32.to_ne_bytes(), &42_u64.to_ne_bytes(), 0).expect("update");
    assert_eq!(
        map.lookup(&1_u32.to_ne_bytes()).expect("lookup"),
        Some(42_u64.to_ne_bytes().into())
    );
    assert_eq!(map.lookup(&9_u32.to_ne_bytes()).expect("lookup"), None);

    let keys: Vec<u8> = (0..4_u32).flat_map(u32::to_ne_bytes).collect();
    let values: Vec<u8> = (10..14_u64).flat_map(u64::to_ne_bytes).collect();
    map.update_batch(&keys, &values).expect("batch");
    assert_eq!(
        map.lookup(&3_u32.to_ne_bytes()).expect("lookup"),
        Some(13_u64.to_ne_bytes().into())
    );

    assert_eq!(map.update(&[0; 3], &[0; 8], 0).expect_err("short key").errno, libc::EINVAL);
    assert_eq!(map.update(&[0; 4], &[0; 7], 0).expect_err("short value").errno, libc::EINVAL);
    map.freeze().expect("freeze");
    assert_eq!(map.update(&[0; 4], &[0; 8], 0).expect_err("frozen").errno, libc::EPERM);
}

#[test]
fn per_cpu_values_have_every_cpu() {
    if !kernel("per_cpu_values_have_every_cpu") {
        return;
    }
    let map = map_create(&array(MapType::PERCPU_ARRAY, 12, 1)).expect("create");
    let value = map.lookup(&[0; 4]).expect("lookup").expect("arrays are full");
    assert_eq!(value.len(), 16 * bpf::possible_cpus().expect("cpus"));
}

#[test]
fn hashes_are_walked_and_emptied() {
    if !kernel("hashes_are_walked_and_emptied") {
        return;
    }
    let map = map_create(&array(MapType::HASH, 4, 8)).expect("create");
    for key in 0..3_u32 {
        map.update(&key.to_ne_bytes(), &[0; 4], 1).expect("update");
    }
    assert_eq!(map.update(&[0; 4], &[0; 4], 1).expect_err("exists").errno, libc::EEXIST);
    let mut keys = 0;
    while let Some(key) = map.next_key(None).expect("next") {
        assert!(map.delete(&key).expect("delete"));
        keys += 1;
    }
    assert_eq!(keys, 3);
    assert!(!map.delete(&[0; 4]).expect("delete"));
}
