//! Run-time sets as maps: the tables of words as bytes, and the maps of the members.
//!
//! A word is a `u64`, so that of two the larger one wins: rank in the upper half, below
//! it a decision word, or [`PASS`], which no decision word has. A line of rows has a
//! row for each address class, one that says nothing, and one for each set; a row is the
//! index of its first word, and that which says nothing has index 0.

use ipnet::IpNet;
use policyc_base::EntityId;
use policyc_bpf::sets::{self, FACT, KEY, Member, Prefix, ROOM, VALUE, View};
use policyc_bpf::{MapKind, MapRole, MapSpec};
use policyc_decision::network::{Decision, SetMembers, SetTables};
use policyc_ir::MapRef;

use super::layout;
use super::maps::{MAX_TABLE, Maps, NO_PREALLOC, map, within};
use crate::CodegenError;

/// Set in a word that leads to the next stage.
pub const PASS: u32 = 1 << 29;

/// The tables that packet programs refer to where rules name run-time sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetMaps {
    /// (Behaviour, direction) → first row of the line + 1, or 0.
    pub(super) places: MapRef,
    /// Rows, as the index of their first word.
    pub(super) rows: MapRef,
    /// Words.
    pub(super) words: MapRef,
    /// The view of the members.
    pub(super) view: MapRef,
}

/// The members that an artifact is built with, by the numbers of the sets.
pub fn initial(tables: &SetTables) -> Vec<Vec<Member>> {
    let forever =
        |set: &SetMembers| prefixes(&set.members).into_iter().map(Member::forever).collect();
    tables.sets.iter().map(forever).collect()
}

/// Prefixes as maps hold them.
pub fn prefixes(nets: &[IpNet]) -> Vec<Prefix> {
    // A network is without host bits.
    nets.iter().filter_map(|net| Prefix::new(net.network(), net.prefix_len()).ok()).collect()
}

/// Declares the maps.
///
/// # Errors
/// More sets or members than a target can hold; an address in more sets than a packet
/// is judged by.
pub(super) fn declare(
    maps: &mut Maps,
    tables: &SetTables,
    decisions: &[Decision],
) -> Result<SetMaps, CodegenError> {
    within("number of run-time sets", tables.sets.len(), sets::MOST_SETS)?;
    let initial = initial(tables);
    let count = initial.iter().map(Vec::len).sum();
    within("members of run-time sets", count, ROOM as usize)?;
    View::new(&initial).map_err(|error| CodegenError::Limit {
        what: format!("run-time sets that `{}` is in", error.prefix),
        needed: error.sets as u64,
        limit: sets::MOST as u64,
    })?;
    let words = tables.words.values().map(Vec::len).sum::<usize>();
    within("table `set_words`", words.saturating_mul(8), MAX_TABLE)?;
    let places = u32s(tables.places.iter().map(|place| match place {
        0 => 0,
        place => (*place as usize - 1) * tables.columns() + 1,
    }));
    let width = tables.words.values().next().map_or(0, Vec::len);
    let rows = u32s(tables.rows.iter().map(|row| row.index() * width));
    let declared = SetMaps {
        places: maps.table("set_places", places)?,
        rows: maps.table("set_rows", rows)?,
        words: maps.table("set_words", self::words(tables, decisions))?,
        // While a view changes, it holds old keys and new ones.
        view: maps.add(trie(ROOM * 2)),
    };
    let facts = (FACT as u32, 8);
    let facts = map(sets::MEMBERS, MapKind::Hash, facts, ROOM * 2, MapRole::Binding);
    maps.add(MapSpec { flags: NO_PREALLOC, ..facts });
    Ok(declared)
}

fn trie(room: u32) -> MapSpec {
    let sizes = (KEY as u32, VALUE as u32);
    let trie = map(sets::SETS, MapKind::LpmTrie, sizes, room, MapRole::Binding);
    MapSpec { flags: NO_PREALLOC, ..trie }
}

/// A power of two of numbers, which fit: tables are far smaller than 2^32 words.
fn u32s(numbers: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut bytes: Vec<u8> = numbers.flat_map(|number| (number as u32).to_le_bytes()).collect();
    bytes.resize((bytes.len() / 4).next_power_of_two() * 4, 0);
    bytes
}

/// The words of all rows, one after the other, a power of two of them.
fn words(tables: &SetTables, decisions: &[Decision]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in tables.words.values().flatten() {
        let low = match word.decision {
            _ if word.rank == 0 => 0,
            None => PASS,
            Some(decision) => layout::decision_word(decision.index(), &decisions[decision.index()]),
        };
        bytes.extend((u64::from(word.rank) << 32 | u64::from(low)).to_le_bytes());
    }
    bytes.resize((bytes.len() / 8).next_power_of_two() * 8, 0);
    bytes
}
