//! A peer that may be in run-time sets: the best of what is said of its class and of
//! those, see `policyc_decision::network::SetTables`.
//!
//! A subject that names no set, and a peer that is in none, cost a load and a lookup; all
//! else is branch-free but for the end of the list.
//! Does not know: what a set stands for, or how its members got there.

use policyc_bpf::Judges;
use policyc_bpf::sets::{KEY, KEY_BITS, MOST, NUMBER};
use policyc_decision::network::SetTables;
use policyc_ir::{BinOp, Block, CmpOp, Helper, Target, Type, Value};

use super::super::layout::{ALLOW, AUDITED};
use super::super::search;
use super::super::set_tables::{PASS, SetMaps};
use super::Lowering;
use super::parse::Packet;

/// The bit that tells version 6 from version 4 in a tail.
const IS_V6: u64 = 41;

/// Whose words are merged.
struct Merging<'t> {
    tables: &'t SetTables,
    maps: SetMaps,
    /// First row of the line.
    line: Value,
    /// Index of the words of the port's class in a row.
    ports: Value,
    /// Live is what ends later.
    now: Value,
}

impl Lowering<'_> {
    /// The decision word of a behaviour, an address class and a packet.
    pub(super) fn verdict(&mut self, behaviour: Value, class: Value, packet: &Packet) -> Value {
        let (Some(tables), Some(maps)) = (&self.decision.sets, self.tables.sets) else {
            return self.cell(behaviour, class, packet.protocol, packet.port);
        };
        let (judged, [word]) = self.b.block_with("judged", [Type::U32]);
        let plain = self.b.block("in_no_set");
        self.merged(tables, maps, (behaviour, class), packet, (plain, judged));
        self.b.switch_to(plain);
        let cell = self.cell(behaviour, class, packet.protocol, packet.port);
        self.b.jump(Target::new(judged, [cell]));
        self.b.switch_to(judged);
        word
    }

    /// Goes to `judged` with what sets have a say in, else to `plain`.
    fn merged(
        &mut self,
        tables: &SetTables,
        maps: SetMaps,
        (behaviour, class): (Value, Value),
        packet: &Packet,
        (plain, judged): (Block, Block),
    ) {
        let egress = self.program.judges == Judges::Egress;
        let place = self.b.bin_const(BinOp::Shl, behaviour, 1);
        let place = self.b.bin_const(BinOp::Add, place, egress.into());
        let place = self.table_word(maps.places, place, tables.places.len(), 4, 0);
        let names = self.b.block("names_sets");
        self.b.br_const(CmpOp::Eq, place, 0, plain, names);

        self.b.switch_to(names);
        let place = self.b.zext(Type::U64, place);
        let line = self.b.bin_const(BinOp::Sub, place, 1);
        let own = self.b.bin(BinOp::Add, line, class);
        let own = self.row(tables, maps, own);
        let look = self.b.block("look_for_sets");
        self.b.br_const(CmpOp::Eq, own, 0, plain, look);

        self.b.switch_to(look);
        let key = self.set_key(packet);
        let found = self.b.lookup(maps.view, key);
        let list_type = self.b.ty(found);
        let Type::MapValueOrNull(map) = list_type else { return self.b.jump(plain) };
        let (in_sets, [list]) = self.b.block_with("in_sets", [Type::MapValue(map)]);
        self.b.br_null(found, plain, Target::new(in_sets, [found]));

        self.b.switch_to(in_sets);
        let classes = self.decision.ports.classes.len().next_power_of_two();
        let (protocol, port) = (packet.protocol, packet.port);
        let ports = search::port_class(&mut self.b, self.tables.ports, classes, protocol, port);
        let ports = self.b.bin_const(BinOp::Mul, ports, tables.width() as u64);
        let now = self.b.helper(Helper::KtimeGetCoarseNs, []);
        let merging = Merging { tables, maps, line, ports, now };
        let words = self.words(&merging, own);
        let words = self.best(&merging, list, words);
        let (enforced, all) = words.split_at(tables.stages);
        if all.is_empty() {
            return self.first_to_decide(enforced, judged);
        }
        let (decided, [word]) = self.b.block_with("enforced_rules", [Type::U32]);
        self.first_to_decide(enforced, decided);
        self.b.switch_to(decided);
        let forwards = self.b.block("forwards");
        let as_said = Target::new(judged, [word]);
        self.b.br_const(CmpOp::Set, word, ALLOW.into(), forwards, as_said.clone());
        self.b.switch_to(forwards);
        let (told, [other]) = self.b.block_with("all_rules", [Type::U32]);
        self.first_to_decide(all, told);
        self.b.switch_to(told);
        let audited = Target::new(judged, [other]);
        self.b.br_const(CmpOp::Set, other, AUDITED.into(), audited, as_said);
    }

    /// The index of a row's first word.
    fn row(&mut self, tables: &SetTables, maps: SetMaps, row: Value) -> Value {
        let word = self.table_word(maps.rows, row, tables.rows.len(), 4, 0);
        self.b.zext(Type::U64, word)
    }

    /// The key under which the view has a peer.
    fn set_key(&mut self, packet: &Packet) -> Value {
        let version = self.b.bin_const(BinOp::Lshr, packet.tail, IS_V6);
        let is_v6 = self.b.bin_const(BinOp::And, version, 1);
        // All ones for version 4.
        let is_v4 = self.b.bin_const(BinOp::Sub, is_v6, 1);
        let [high, low] = packet.peer;
        let address = self.b.bin_const(BinOp::Shl, low, 32);
        let address = self.b.bin(BinOp::And, address, is_v4);
        let first = self.b.bin(BinOp::Or, high, address);
        let not_v4 = self.b.bin_const(BinOp::Xor, is_v4, u64::MAX);
        let second = self.b.bin(BinOp::And, low, not_v4);
        // 4 or 6.
        let version = self.b.bin_const(BinOp::Shl, is_v6, 1);
        let version = self.b.bin_const(BinOp::Add, version, 4);
        let version = self.b.trunc(Type::U32, version);

        let slot = self.b.slot("set_key", KEY as u32);
        let key = self.b.slot_addr(slot);
        let bits = self.b.const_u32(KEY_BITS);
        self.b.store(key, 0, bits);
        let version = self.b.swap(version);
        self.b.store(key, 4, version);
        let first = self.b.swap(first);
        self.b.store(key, 8, first);
        let second = self.b.swap(second);
        self.b.store(key, 16, second);
        key
    }

    /// The words of a row for the port.
    fn words(&mut self, merging: &Merging<'_>, row: Value) -> Vec<Value> {
        let count: usize = merging.tables.words.values().map(Vec::len).sum();
        let first = self.b.bin(BinOp::Add, row, merging.ports);
        let places = 0..merging.tables.width() as u64;
        let word = |lowering: &mut Self, place: u64| {
            let at = lowering.b.bin_const(BinOp::Add, first, place);
            let base = lowering.b.flat_addr(merging.maps.words);
            let count = count.next_power_of_two();
            let at = search::element(&mut lowering.b, base, at, count, 8);
            lowering.b.load(Type::U64, at, 0)
        };
        places.map(|place| word(self, place)).collect()
    }

    /// The words with those of every set on the list, by their ranks.
    fn best(&mut self, merging: &Merging<'_>, list: Value, words: Vec<Value>) -> Vec<Value> {
        let none = merging.tables.address_classes as u64;
        let best = self.b.block("best");
        let merged: Vec<Value> =
            words.iter().map(|_| self.b.block_param(best, Type::U64)).collect();
        let mut words = words;
        for at in 0..MOST as i32 {
            let entry = self.b.load(Type::U64, list, at * 8);
            if at > 0 {
                let more = self.b.block("more_sets");
                let done = Target::new(best, words.clone());
                self.b.br_const(CmpOp::Eq, entry, 0, done, more);
                self.b.switch_to(more);
            }
            // All ones if it is live: both are below 2^63.
            let live = self.b.bin(BinOp::Sub, merging.now, entry);
            let live = self.b.bin_const(BinOp::Ashr, live, 63);
            let number = self.b.bin_const(BinOp::And, entry, NUMBER);
            let number = self.b.bin(BinOp::And, number, live);
            let row = self.b.bin(BinOp::Add, merging.line, number);
            let row = self.b.bin_const(BinOp::Add, row, none);
            let row = self.row(merging.tables, merging.maps, row);
            let said = self.words(merging, row);
            words = words.into_iter().zip(said).map(|(a, b)| self.larger(a, b)).collect();
        }
        self.b.jump(Target::new(best, words));
        self.b.switch_to(best);
        merged
    }

    /// The larger of two numbers below 2^63.
    fn larger(&mut self, a: Value, b: Value) -> Value {
        let difference = self.b.bin(BinOp::Sub, a, b);
        let a_is_less = self.b.bin_const(BinOp::Ashr, difference, 63);
        let either = self.b.bin(BinOp::Xor, a, b);
        let change = self.b.bin(BinOp::And, either, a_is_less);
        self.b.bin(BinOp::Xor, a, change)
    }

    /// Goes to `judged` with the first word that is no pass; the last is none.
    fn first_to_decide(&mut self, words: &[Value], judged: Block) {
        let Some((last, others)) = words.split_last() else { return };
        for word in others {
            let next = self.b.block("next_stage");
            let decides = self.b.trunc(Type::U32, *word);
            let here = Target::new(judged, [decides]);
            self.b.br_const(CmpOp::Set, decides, PASS.into(), next, here);
            self.b.switch_to(next);
        }
        let decides = self.b.trunc(Type::U32, *last);
        self.b.jump(Target::new(judged, [decides]));
    }
}
