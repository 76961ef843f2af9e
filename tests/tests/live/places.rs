//! Places of connections that two processors want at once: each is taken by one of them.
//!
//! What has a place that names somebody else would be reclaimed by nobody, and be in the
//! way of others for ever.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;

use policyc_codegen::lower::maps::Room;
use policyc_sys::bpf::{Map, obj_get};

use crate::races::{PASSED, Rig, numbers, on_processor, words};

/// Places for all, in use by connections that do not end; one more is the subject's.
const ROOM: u16 = 64;

/// The tables, as they are in the kernel.
struct Tables {
    entries: Map,
    ring: Map,
    locks: Map,
}

impl Tables {
    fn of(rig: &Rig) -> Self {
        let open = |name| {
            let path = rig.lab.dirs.pins().join("shared").join(name);
            obj_get(&path).and_then(Map::from_fd).expect("a table")
        };
        Self { entries: open("ct"), ring: open("ct_ring"), locks: open("ct_locks") }
    }

    /// Keys and values of those that have the subject's own place.
    fn of_share(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let entries = self.entries.entries().expect("entries");
        let of_share = entries.iter().filter(|(_, value)| place(value) >= ROOM.into());
        of_share.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    /// Whether the place that an entry says it has is its own.
    fn is_named(&self, key: &[u8], value: &[u8]) -> bool {
        let name = self.ring.lookup(&place(value).to_ne_bytes()).expect("reads");
        name.is_some_and(|name| name[..key.len()] == *key)
    }

    /// Whether nobody is at any place.
    fn are_left(&self) -> bool {
        let locks = self.locks.entries().expect("entries");
        locks.iter().all(|(_, count)| count.iter().all(|byte| *byte == 0))
    }

    /// Lets it have been gone for as long as this machine has been up.
    fn expire(&self, key: &[u8], value: &[u8]) {
        let mut value = value.to_vec();
        value[..8].copy_from_slice(&1u64.to_ne_bytes());
        self.entries.update(key, &value, 0).expect("writes");
    }
}

fn place(value: &[u8]) -> u32 {
    u32::from_ne_bytes([value[24], value[25], value[26], value[27]])
}

#[test]
fn a_place_of_a_share_is_taken_by_one() {
    let test = "places::a_place_of_a_share_is_taken_by_one";
    let room = Room { established: ROOM.into(), half_open: 1024 };
    let Some(rig) = Rig::new(test, room) else { return };
    for number in 100..100 + ROOM {
        let (asks, answers, confirms) = words(number, true);
        for packet in [asks, answers, confirms] {
            assert_eq!(rig.judge(&packet, 1), PASSED, "connection {number}");
        }
    }
    let tables = Tables::of(&rig);
    assert_eq!(tables.of_share().len(), 0, "there was room for all of these");

    let (start, done, next) = (Barrier::new(2), AtomicBool::new(false), AtomicU16::new(0));
    let confirm = |number| rig.judge(&words(number, true).2, 1) == PASSED;
    let (mut rounds, mut both, mut neither, mut lost) = (0, 0, 0, 0);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            on_processor(1);
            loop {
                start.wait();
                if done.load(Ordering::Relaxed) {
                    return;
                }
                start.wait();
                confirm(next.load(Ordering::Relaxed) + 1);
                start.wait();
            }
        });
        on_processor(0);
        for number in numbers().filter(|number| number % 2 == 0) {
            for number in [number, number + 1] {
                let (asks, answers, _) = words(number, true);
                assert_eq!(rig.judge(&asks, 1), PASSED);
                assert_eq!(rig.judge(&answers, 1), PASSED);
            }
            next.store(number, Ordering::Relaxed);
            start.wait();
            start.wait();
            confirm(number);
            start.wait();
            let there = tables.of_share();
            rounds += 1;
            both += u32::from(there.len() > 1);
            neither += u32::from(there.is_empty());
            for (key, value) in there {
                tables.expire(&key, &value);
                if !tables.is_named(&key, &value) {
                    lost += 1;
                    tables.entries.delete(&key).expect("deletes");
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        start.wait();
        other.join().expect("ends");
    });
    println!("{test}: {rounds} rounds, {both} had two of one place, {neither} none");
    assert_eq!((both, lost), (0, 0), "one place, one entry, which it names");
    assert!(tables.are_left(), "who was at a place has left it");
    assert!(neither < rounds, "it is taken");
}
