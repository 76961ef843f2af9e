use std::net::Ipv4Addr;

use policyc_bpf::Direction;
use policyc_sys::bpf::{MapDef, MapType};
use policyc_sys::kernel::fake::FakeMap;
use policyc_sys::kernel::{FakeHost, FakeKernel};

use super::*;

#[test]
fn places_are_shared_as_programs_share_them() {
    for (ring, common, share) in [
        (4 + 64, 4, 1),
        (1024 + 256, 1024, 4),
        (262_144 + 65_536, 262_144, 1024),
        (1 << 24 | 1 << 22, 1 << 24, 65_536),
        (4, 4, 0),
        (1000, 1000, 0),
    ] {
        assert_eq!(Places::of(ring), Places { common, share }, "{ring}");
    }
    let places = Places::of(1024 + 256);
    assert_eq!(places.of_subject(64 + 3), [(0, 1024), (1024 + 12, 4)]);
    assert_eq!(Places::of(4).of_subject(3), [(0, 4), (4, 0)]);
}

fn ends(number: u16) -> Ends {
    let [own, peer] = [1, 2].map(|end| Ipv4Addr::new(10, 0, 0, end).into());
    let (subject, protocol, own_port) = (7, TCP, 22);
    Ends { subject, protocol, own, own_port, peer, peer_port: number, own_asks: false }
}

#[test]
fn an_entry_whose_place_somebody_else_took_is_given_up() {
    let kernel = FakeKernel::new(&FakeHost::new());
    let make = |map_type, key_size, value_size| -> FakeMap {
        let name = "a_table".to_owned();
        let def = MapDef { name, map_type, key_size, value_size, max_entries: 4, flags: 0 };
        kernel.map_create(&def).expect("makes")
    };
    let hash = || make(MapType::HASH, 48, 32);
    let (half, full, ring) = (hash(), hash(), make(MapType::ARRAY, 4, 48));
    let places = Places::of(4);
    let (kernel, half, full, ring) = (&kernel, &half, &full, &ring);
    let mut tables =
        Tables { kernel, half, full, ring, places, next: 0, number: 3, taken: Vec::new() };
    let existing =
        Existing { opened: Direction::Ingress, finished: [false; 2], is_established: true };
    for number in [1, 2, 3] {
        assert!(matches!(tables.add(&ends(number), &existing), Ok(Added::Yes)), "{number}");
    }
    let place_of = |number| {
        let value = kernel.map_lookup(full, &ends(number).key()).expect("reads");
        value.and_then(|value| entry::place(&value))
    };
    // One place was written over; another one's entry was, by a program of its own.
    let [first, second] = [1, 2].map(|number| place_of(number).expect("a place").to_ne_bytes());
    kernel.map_update(ring, &first, &ends(9).key()).expect("writes");
    kernel.map_update(ring, &second, &ends(9).key()).expect("writes");
    let mut value = kernel.map_lookup(full, &ends(2).key()).expect("reads").expect("is there");
    value[28..].fill(0);
    kernel.map_update(full, &ends(2).key(), &value).expect("writes");
    assert_eq!(tables.give_up_lost(), Ok(1));
    assert_eq!([1, 2, 3].map(|number| place_of(number).is_some()), [false, true, true]);
    assert_eq!(tables.give_up_lost(), Ok(0));
}
