//! The maps of a network artifact, as programs declare them and as the loader
//! makes them.

use policyc_base::PrimaryMap;
use policyc_bpf::{MapId, MapKind, MapRole, MapSpec};
use policyc_decision::network::NetworkDecision;
use policyc_ir::{MapDecl, MapKind as IrMapKind, MapRef, Module};

use super::layout;
use crate::CodegenError;

/// Most attach points one host can have.
pub const ATTACH_POINTS: u32 = 4096;
/// Bytes of what a gate hands to the program behind it.
pub const FRAME: u32 = 64;
/// Bytes of the event ring.
pub const RING: u32 = 1 << 20;
/// Most bytes of one table; what the kernel lets a value have is more, but
/// nobody wants a larger one by accident.
const MAX_TABLE: usize = 256 << 20;

/// The maps that lowering refers to.
#[derive(Clone, Copy, Debug)]
pub struct Maps {
    /// IPv4 address → class.
    pub addr4: MapRef,
    /// IPv6 address → class.
    pub addr6: MapRef,
    /// (Protocol, port) → class.
    pub ports: MapRef,
    /// (Behaviour, direction, address class) → first cell of the row.
    pub rows: MapRef,
    /// Rows of cells.
    pub cells: MapRef,
}

/// Declares every map of a network module. The blueprint of a map has the id that
/// the module's declaration has, by number.
///
/// # Errors
/// A table that is larger than any target can hold.
pub fn declare(
    decision: &NetworkDecision,
    module: &mut Module,
    specs: &mut PrimaryMap<MapId, MapSpec>,
) -> Result<Maps, CodegenError> {
    let mut add = |spec: MapSpec| -> Result<MapRef, CodegenError> {
        if spec.contents.len() > MAX_TABLE {
            let (needed, limit) = (spec.contents.len() as u64, MAX_TABLE as u64);
            return Err(CodegenError::Limit { what: format!("table `{}`", spec.name), needed, limit });
        }
        let map = module.maps.push(declaration(&spec));
        specs.push(spec);
        Ok(map)
    };
    let allowed = |decision_index: usize| decision.decisions[decision_index].allowed;
    let maps = Maps {
        addr4: add(table("addr4", layout::intervals(&decision.addresses.v4)))?,
        addr6: add(table("addr6", layout::intervals(&decision.addresses.v6)))?,
        ports: add(table("ports", layout::ports(&decision.ports)))?,
        rows: add(table("rows", layout::rows(&decision.rows, decision.ports.count)))?,
        cells: add(table("cells", layout::cells(&decision.cells, allowed)))?,
    };
    add(map("subjects", MapKind::Array, (4, 4), ATTACH_POINTS, MapRole::Binding))?;
    add(map("config", MapKind::Array, (4, 8), 1, MapRole::Binding))?;
    add(map("frame", MapKind::PercpuArray, (4, FRAME), 1, MapRole::Shared))?;
    let decisions = decision.decisions.len() as u32;
    add(map("counters", MapKind::PercpuArray, (4, 16), decisions, MapRole::Scratch))?;
    add(map("events", MapKind::Ringbuf, (0, 0), RING, MapRole::Shared))?;
    Ok(maps)
}

/// A flat table with its bytes.
fn table(name: &str, contents: Vec<u8>) -> MapSpec {
    // INVARIANT: `declare` refuses contents above MAX_TABLE, far below 2^32.
    let sizes = (4, contents.len() as u32);
    MapSpec { contents, ..map(name, MapKind::Array, sizes, 1, MapRole::Table) }
}

fn map(name: &str, kind: MapKind, sizes: (u32, u32), max_entries: u32, role: MapRole) -> MapSpec {
    let (key_size, value_size) = sizes;
    let (name, contents) = (name.to_owned(), Vec::new());
    MapSpec { name, kind, key_size, value_size, max_entries, flags: 0, role, contents }
}

/// A map as BIR sees it.
fn declaration(spec: &MapSpec) -> MapDecl {
    let kind = match spec.kind {
        MapKind::Array => IrMapKind::Array,
        MapKind::PercpuArray => IrMapKind::PercpuArray,
        MapKind::Hash => IrMapKind::Hash,
        MapKind::LruHash => IrMapKind::LruHash,
        MapKind::LpmTrie => IrMapKind::LpmTrie,
        MapKind::ProgArray => IrMapKind::ProgArray,
        MapKind::Ringbuf => IrMapKind::Ringbuf,
    };
    MapDecl {
        name: spec.name.clone(),
        kind,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
    }
}
