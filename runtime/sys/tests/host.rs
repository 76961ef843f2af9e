//! Interfaces, filters, links and ring buffers against the running kernel.

mod common;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{insn, kernel, returning};
use policyc_sys::bpf::{
    self, Direction, LinkDetails, LinkTarget, MapDef, MapType, ObjectKind, ProgLoad, ProgType,
    QueryTarget, TestRun, XdpMode, prog_load,
};
use policyc_sys::errno;
use policyc_sys::host::{self, FileLock, LockError};
use policyc_sys::net::tc::{self, FilterKey};
use policyc_sys::net::{in_new_netns, interface_by_name};
use policyc_sys::probe::{Feature, probe};
use policyc_sys::ringbuf::Ringbuf;

#[test]
fn filters_are_found_and_removed() {
    if !kernel("filters_are_found_and_removed") {
        return;
    }
    in_new_netns(|| {
        let ifindex = interface_by_name("lo")?.index;
        let code = returning(-1);
        let load = ProgLoad::new(ProgType::SCHED_CLS, "MIT", &code);
        let (first, second) = (prog_load(&load)?.fd, prog_load(&load)?.fd);
        let key = FilterKey { ifindex, direction: Direction::Egress, priority: 1, handle: 0x7063 };

        assert!(tc::filters(ifindex, key.direction)?.is_empty());
        assert!(!tc::has_clsact(ifindex)?);
        assert!(tc::clsact_add(ifindex)?);
        assert!(tc::has_clsact(ifindex)?);
        assert!(!tc::clsact_add(ifindex)?);
        tc::filter_add(key, first.as_fd(), "t")?;
        let found = tc::filters(ifindex, key.direction)?;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].key, found[0].name.as_deref()), (key, Some("t")));
        assert_eq!(found[0].prog_id, Some(bpf::prog_info(first.as_fd())?.id));
        let taken = tc::filter_add(key, second.as_fd(), "t").expect_err("it is taken");
        assert!(taken.is(errno::EEXIST), "{taken}");
        let beside = FilterKey { handle: 0x7064, ..key };
        tc::filter_add(beside, second.as_fd(), "t")?;
        assert_eq!(tc::filters(ifindex, key.direction)?.len(), 2);
        assert!(tc::filter_remove(beside)?);
        assert!(tc::filters(ifindex, Direction::Ingress)?.is_empty());
        assert!(tc::filter_remove(key)?);
        assert!(!tc::filter_remove(key)?);
        assert!(tc::clsact_remove(ifindex)?);
        assert!(!tc::clsact_remove(ifindex)?);
        Ok(())
    })
    .expect("in the namespace");
}

#[test]
fn links_say_where_they_are() {
    if !kernel("links_say_where_they_are") {
        return;
    }
    in_new_netns(|| {
        let ifindex = interface_by_name("lo")?.index;
        let code = returning(2);
        let xdp = prog_load(&ProgLoad::new(ProgType::XDP, "MIT", &code))?.fd;
        let target = LinkTarget::Xdp { ifindex, mode: XdpMode::Generic };
        let link = bpf::link_create(xdp.as_fd(), target)?;
        assert_eq!(bpf::link_info(link.as_fd())?.details, LinkDetails::Xdp { ifindex });

        let tc = prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "MIT", &returning(-1)))?.fd;
        let other = prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "MIT", &returning(-1)))?.fd;
        let target = LinkTarget::Tcx { ifindex, direction: Direction::Ingress };
        let link = bpf::link_create(tc.as_fd(), target)?;
        let attach_type = bpf::AttachType::TCX_INGRESS;
        let info = bpf::link_info(link.as_fd())?;
        assert_eq!(info.details, LinkDetails::Tcx { ifindex, attach_type });
        assert_eq!(info.prog_id, bpf::prog_info(tc.as_fd())?.id);
        assert!(bpf::ids(ObjectKind::Link)?.contains(&info.id));
        let here = QueryTarget::Interface(ifindex);
        assert_eq!(bpf::prog_query(here, attach_type)?, [info.prog_id]);

        bpf::link_update(link.as_fd(), other.as_fd(), Some(tc.as_fd()))?;
        assert_eq!(bpf::link_info(link.as_fd())?.prog_id, bpf::prog_info(other.as_fd())?.id);
        bpf::link_detach(link.as_fd())?;
        assert!(bpf::prog_query(here, attach_type)?.is_empty());

        let raw = prog_load(&ProgLoad::new(ProgType::RAW_TRACEPOINT, "MIT", &returning(0)))?.fd;
        let link = bpf::raw_tracepoint_open(raw.as_fd(), "sched_process_exec")?;
        let name = "sched_process_exec".to_owned();
        assert_eq!(bpf::link_info(link.as_fd())?.details, LinkDetails::RawTracepoint { name });
        Ok(())
    })
    .expect("in the namespace");
}

#[test]
fn records_are_read_in_order_across_the_end_of_the_ring() {
    if !kernel("records_are_read_in_order_across_the_end_of_the_ring") {
        return;
    }
    let (map_type, max_entries) = (MapType::RINGBUF, 4096);
    let def =
        MapDef { map_type, key_size: 0, value_size: 0, max_entries, flags: 0, name: "ring".into() };
    let map = bpf::map_create(&def).expect("create");
    // bpf_ringbuf_output(map, fp - 8, 8, 0) with the packet length at fp - 8.
    let mut code = vec![
        insn(0x61, 0x16, 0, 0),  // w6 = skb->len
        insn(0x7b, 0x6a, -8, 0), // *(u64 *)(r10 - 8) = r6
        insn(0x18, 0x01, 0, 0),  // r1 = map ll
        insn(0x00, 0x00, 0, 0),
        insn(0xbf, 0xa2, 0, 0), // r2 = r10
        insn(0x07, 0x02, 0, -8),
        insn(0xb7, 0x03, 0, 8),
        insn(0xb7, 0x04, 0, 0),
        insn(0x85, 0x00, 0, 130),
        insn(0xb7, 0x00, 0, 0),
        insn(0x95, 0x00, 0, 0),
    ];
    bpf::set_map(&mut code, 2, &map, None).expect("lddw");
    let prog = prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "MIT", &code)).expect("loads").fd;

    let mut ring = Ringbuf::new(map).expect("mmap");
    assert!(!ring.wait(Duration::ZERO).expect("poll"));
    for round in 0..600_usize {
        let packet = vec![0; 64 + round];
        bpf::prog_test_run(prog.as_fd(), &TestRun { data: &packet, ..Default::default() })
            .expect("runs");
        assert!(ring.wait(Duration::from_secs(1)).expect("poll"));
        assert_eq!(ring.next_record(), Some((packet.len() as u64).to_ne_bytes().to_vec()));
        assert_eq!(ring.next_record(), None);
    }
}

#[test]
fn probes_leave_nothing() {
    if !kernel("probes_leave_nothing") {
        return;
    }
    for feature in [Feature::Tcx, Feature::Clsact, Feature::XdpGeneric, Feature::RawTracepoint] {
        probe(feature).unwrap_or_else(|error| panic!("{}: {error:?}", feature.name()));
    }
    // These depend on how the machine is set up; either answer is one.
    let _ = (probe(Feature::CgroupSkb), probe(Feature::Tracepoint));
    // Other processes may probe at the same time; ours must be gone soon.
    let left = (0..50).all(|_| {
        std::thread::sleep(Duration::from_millis(100));
        attached_programs().contains("probe")
    });
    assert!(!left, "a probe is still attached");
}

/// Names of the programs that links run.
fn attached_programs() -> BTreeSet<String> {
    bpf::ids(ObjectKind::Link)
        .expect("ids")
        .into_iter()
        .filter_map(|id| bpf::fd_by_id(ObjectKind::Link, id).ok())
        .filter_map(|link| bpf::link_info(link.as_fd()).ok())
        .filter_map(|info| bpf::fd_by_id(ObjectKind::Prog, info.prog_id).ok())
        .filter_map(|prog| bpf::prog_info(prog.as_fd()).ok())
        .map(|info| info.name)
        .collect()
}

/// Who removes everything takes the lock's file away at the end; whoever opened it
/// before must not think that it holds the lock of those who come later.
#[test]
fn a_lock_whose_file_is_gone_is_none() {
    let folder = std::env::temp_dir().join(format!("policyc-lock-gone-{}", std::process::id()));
    let path = folder.join("lock");
    let inside = AtomicBool::new(false);
    let work = || {
        for _ in 0..10_000 {
            let Ok(lock) = FileLock::acquire(&path, "me") else { continue };
            assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
            std::thread::yield_now();
            inside.store(false, Ordering::SeqCst);
            let _ = std::fs::remove_file(&path);
            drop(lock);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn a_held_lock_names_its_holder() {
    let dir = std::env::temp_dir().join(format!("policyc-sys-lock-{}", std::process::id()));
    let path = dir.join("lock");
    let held = FileLock::acquire(&path, "apply, process 7").expect("free");
    let second = FileLock::acquire(&path, "me").expect_err("held");
    assert_eq!(second, LockError::Held("apply, process 7".to_owned()));
    drop(held);
    drop(FileLock::acquire(&path, "me").expect("free again"));
    std::fs::remove_dir_all(dir).expect("cleanup");
}

/// It covers what is in the folder, and a mount elsewhere is the user's to make.
#[test]
fn no_bpffs_is_mounted_over_a_folder() {
    let dir = std::env::temp_dir().join(format!("policyc-sys-mount-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("a folder");
    let error = host::ensure_bpffs(&dir).expect_err("refused");
    assert_eq!((error.call, error.is(errno::EINVAL)), ("mount", true), "{error}");
    assert_eq!(host::bpffs(&dir), Ok(None));
    std::fs::remove_dir(&dir).expect("nothing is mounted on it");
}

/// Not even on one CPU is a program still running afterwards.
#[test]
fn a_grace_period_waits() {
    if !kernel("a_grace_period_waits") {
        return;
    }
    let started = std::time::Instant::now();
    for _ in 0..5 {
        host::grace_period().expect("waits");
    }
    // RCU takes milliseconds; two maps alone take some ten microseconds.
    assert!(started.elapsed() > Duration::from_millis(5), "{:?}", started.elapsed());
    eprintln!("{:?}", started.elapsed());
}
