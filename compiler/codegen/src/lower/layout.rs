//! Tables as bytes: where each lies in a flat map, and how it is addressed.
//!
//! All numbers are stored in the machine's order (little-endian, as every BPF
//! object policyc writes). Sizes that are indexed by a computed number are powers
//! of two, so that a mask keeps the index inside.

use policyc_base::EntityId;
use policyc_decision::intervals::Family;
use policyc_decision::network::Decision;
use policyc_decision::tables::{CellTable, IntervalTable, PortTable, RowTable};
use policyc_policy::network::DenyResponse;

/// Set in a decision word when the flow is forwarded.
pub const ALLOW: u32 = 1 << 31;
/// Set in a decision word, beside [`ALLOW`], when the flow is forwarded because a rule
/// is audited.
pub const AUDITED: u32 = 1 << 30;

/// Set in a decision word when the flow is dropped and TCP is told so by a reset. The
/// bit above is that of a pass, see `set_tables`.
pub const RESET: u32 = 1 << 28;
/// Set in a decision word when the flow is dropped and ICMP says so.
pub const UNREACHABLE: u32 = 1 << 27;

/// The index of the decision in a word.
pub const fn decision_index(word: u32) -> u32 {
    word & !(ALLOW | AUDITED | RESET | UNREACHABLE)
}

/// The word of a decision, as cells and verdict events have it.
pub fn decision_word(index: usize, decision: &Decision) -> u32 {
    // INVARIANT: decisions come from lines of policy, of which there are far fewer
    // than 2^27.
    let allow = if decision.allowed { ALLOW } else { 0 };
    let audited = if decision.audited.is_some() { AUDITED } else { 0 };
    let response = match decision.response {
        DenyResponse::Drop => 0,
        DenyResponse::Reset => RESET,
        DenyResponse::Unreachable => UNREACHABLE,
    };
    index as u32 | allow | audited | response
}

/// Bytes of an element of the audits table: until when, CLOCK_MONOTONIC in
/// nanoseconds, a denying decision is reported and not enforced; 0 for never.
pub const AUDIT: u32 = 8;

/// Bytes of one interval: last address before it, then its class.
pub const fn interval_stride(family: Family) -> u32 {
    match family {
        Family::V4 => 8,
        Family::V6 => 32,
    }
}

/// Offset of the class in an interval.
pub const fn class_offset(family: Family) -> i32 {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

/// Number of intervals a table holds once padded; at least one.
pub fn padded_intervals(table: &IntervalTable) -> usize {
    table.starts.len().next_power_of_two()
}

/// An interval table for binary search: entry `i` holds the last address before
/// interval `i` (so that `i` is too high exactly when the key is not above it),
/// and the interval's class. Entry 0 is never compared; padding compares as too
/// high for every key.
pub fn intervals(table: &IntervalTable) -> Vec<u8> {
    let stride = interval_stride(table.family) as usize;
    let mut bytes = vec![0; padded_intervals(table) * stride];
    for (i, entry) in bytes.chunks_exact_mut(stride).enumerate() {
        let before = table.starts.get(i).map_or(u128::MAX, |start| start.wrapping_sub(1));
        // INVARIANT: there are fewer classes than bytes of a table, far below 2^32.
        let class = table.classes.get(i).map_or(0, |c| c.index() as u32).to_le_bytes();
        match table.family {
            Family::V4 => {
                entry[..4].copy_from_slice(&(before as u32).to_le_bytes());
                entry[4..8].copy_from_slice(&class);
            }
            Family::V6 => {
                entry[..8].copy_from_slice(&((before >> 64) as u64).to_le_bytes());
                entry[8..16].copy_from_slice(&(before as u64).to_le_bytes());
                entry[16..20].copy_from_slice(&class);
            }
        }
    }
    bytes
}

/// Bytes of one protocol's slice: base and mask, both `u32`.
pub const SLICE: u32 = 8;

/// Offset of the classes in the ports table, behind 256 slices.
pub const PORT_CLASSES: u32 = 256 * SLICE;

/// Most classes of ports that a table can number.
pub const MAX_PORT_CLASSES: usize = 1 << 16;

/// The ports table: 256 slices, then the classes as `u16`, a power of two of them.
pub fn ports(table: &PortTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    for slice in &table.protocols {
        bytes.extend(slice.base.to_le_bytes());
        bytes.extend(u32::from(slice.mask).to_le_bytes());
    }
    let classes = table.classes.len().next_power_of_two();
    for class in &table.classes {
        // INVARIANT: at most MAX_PORT_CLASSES, which the maps' declaration checks.
        bytes.extend((class.index() as u16).to_le_bytes());
    }
    bytes.resize(PORT_CLASSES as usize + classes * 2, 0);
    bytes
}

/// Bytes of the cells table before it is padded; the numbers in the rows table fit
/// `u32` when this does not exceed what a table can be.
pub fn cells_size(table: &CellTable, port_classes: usize) -> usize {
    table.rows.len().saturating_mul(port_classes).saturating_mul(CELL as usize)
}

/// The rows table: for each (behaviour, direction, address class) the index of the
/// row's first cell as `u32`, a power of two of them.
pub fn rows(table: &RowTable, port_classes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(table.rows.len() * 4);
    for row in &table.rows {
        // INVARIANT: [`cells_size`] was checked, so this is far below 2^32.
        bytes.extend(((row.index() * port_classes) as u32).to_le_bytes());
    }
    bytes.resize(table.rows.len().next_power_of_two() * 4, 0);
    bytes
}

/// Bytes of one cell: rank, then decision with [`ALLOW`], both `u32`.
pub const CELL: u32 = 8;

/// The cells of all rows, one after the other, a power of two of them.
/// The words are those of `decisions`.
pub fn cells(table: &CellTable, decisions: &[Decision]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for cell in table.rows.values().flatten() {
        let index = cell.decision.index();
        bytes.extend(cell.rank.to_le_bytes());
        bytes.extend(decision_word(index, &decisions[index]).to_le_bytes());
    }
    let cells = (bytes.len() / CELL as usize).next_power_of_two();
    bytes.resize(cells * CELL as usize, 0);
    bytes
}
