//! The maps of an artifact, as programs declare them and as the loader makes
//! them.

use std::ops::RangeInclusive;

use policyc_base::PrimaryMap;
use policyc_bpf::{MapId, MapKind, MapRole, MapSpec};
use policyc_decision::network::NetworkDecision;
use policyc_ir::{MapDecl, MapKind as IrMapKind, MapRef, Module};
use policyc_policy::network::connection;

use super::layout;
use super::set_tables::{self, SetMaps};
use crate::CodegenError;

/// Most attach points one host can have.
pub const ATTACH_POINTS: u32 = 4096;
/// Bytes of what a gate hands to the program behind it.
pub const FRAME: u32 = 64;
/// Bytes of the event ring.
pub const RING: u32 = 1 << 20;
/// Bytes of a subject: behaviour + 1, at which hook of an interface it is met, and by
/// what its connections are known.
pub const SUBJECT: u32 = 16;
/// Bytes of what an answer is made in, see `stdlib-bpf/bir/answer.bir`.
const ANSWER: u32 = 160;
/// Bytes of a connection's key, and of that of a datagram in fragments.
pub const CONNECTION_KEY: u32 = 48;
/// Bytes of a connection.
pub const CONNECTION: u32 = 32;
/// Locks of places, as in `stdlib-bpf/bir/connection.bir`.
const LOCKS: u32 = 64;
/// Most datagrams in fragments at a time; Cilium's number.
const DATAGRAMS: u32 = 8192;
/// `BPF_F_NO_PREALLOC`
pub(super) const NO_PREALLOC: u32 = 1;
/// Most bytes of one table; the kernel lets a value be larger, but nobody wants
/// a larger one by accident.
pub(super) const MAX_TABLE: usize = 256 << 20;

/// How many connections are remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Established ones that all subjects share; a power of two. When there are more,
    /// a subject has [`Self::share`] of its own, then its new ones are dropped.
    pub established: u32,
    /// Half-open ones. When there are more, the least used is forgotten.
    pub half_open: u32,
}

impl Default for Room {
    fn default() -> Self {
        Self { established: 1 << 18, half_open: 1 << 16 }
    }
}

impl Room {
    /// How many established connections can be asked for. Below, a busy moment fills
    /// it; above, the places alone take more than a gigabyte.
    pub const RANGE: RangeInclusive<u32> = 1 << 10..=1 << 24;

    /// At least so many established ones, of [`Self::RANGE`], and a quarter as many
    /// half-open ones.
    pub fn for_established(entries: u32) -> Self {
        let (least, most) = (*Self::RANGE.start(), *Self::RANGE.end());
        let established = entries.clamp(least, most).next_power_of_two();
        Self { established, half_open: established / 4 }
    }

    /// Places that a subject has where all others are in use.
    pub const fn share(self) -> u32 {
        connection::share(self.established)
    }

    /// All places: what is shared, and every share.
    const fn places(self) -> u32 {
        self.established.saturating_add(self.share().saturating_mul(connection::SHARES))
    }
}

/// The tables that packet programs refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    /// IPv4 address → class.
    pub(super) addr4: MapRef,
    /// IPv6 address → class.
    pub(super) addr6: MapRef,
    /// (Protocol, port) → class.
    pub(super) ports: MapRef,
    /// (Behaviour, direction, address class) → first cell of the row.
    pub(super) rows: MapRef,
    /// Rows of cells.
    pub(super) cells: MapRef,
    /// Decision → until when it is audited.
    pub(super) audits: MapRef,
    /// What is said of run-time sets, where rules name one.
    pub(super) sets: Option<SetMaps>,
    /// Where answers to what is denied are made, where rules ask for some.
    pub(super) answers: Option<MapRef>,
    /// Room for connections.
    pub(super) room: Room,
}

/// Maps under declaration. The blueprint of a map has the id that the module's
/// declaration has, by number.
#[derive(Default)]
pub(super) struct Maps {
    pub(super) module: Module,
    pub(super) specs: PrimaryMap<MapId, MapSpec>,
}

impl Maps {
    /// The tables of a network decision, and who is behind which attach point.
    ///
    /// # Errors
    /// A table that is larger than any target can hold.
    pub(super) fn network(
        &mut self,
        decision: &NetworkDecision,
        room: Room,
    ) -> Result<Tables, CodegenError> {
        let ports = decision.ports.count;
        within("classes of ports", ports, layout::MAX_PORT_CLASSES)?;
        within("table `cells`", layout::cells_size(&decision.cells, ports), MAX_TABLE)?;
        let mut tables = Tables {
            addr4: self.table("addr4", layout::intervals(&decision.addresses.v4))?,
            addr6: self.table("addr6", layout::intervals(&decision.addresses.v6))?,
            ports: self.table("ports", layout::ports(&decision.ports))?,
            rows: self.table("rows", layout::rows(&decision.rows, decision.ports.count))?,
            cells: self.table("cells", layout::cells(&decision.cells, &decision.decisions))?,
            audits: self.audits(decision.decisions.len())?,
            sets: None,
            answers: None,
            room,
        };
        if decision.answers() {
            let answers = map("answers", MapKind::PercpuArray, (4, ANSWER), 1, MapRole::Scratch);
            tables.answers = Some(self.add(answers));
        }
        if let Some(sets) = &decision.sets {
            tables.sets = Some(set_tables::declare(self, sets, &decision.decisions)?);
        }
        let subject = (4, SUBJECT);
        self.add(map("subjects", MapKind::Array, subject, ATTACH_POINTS, MapRole::Binding));
        self.add(map("frame", MapKind::PercpuArray, (4, FRAME), 1, MapRole::Shared));
        self.connections(room)?;
        Ok(tables)
    }

    /// Until when each decision is audited, which is said while it is live.
    fn audits(&mut self, decisions: usize) -> Result<MapRef, CodegenError> {
        let bytes = decisions.next_power_of_two().saturating_mul(layout::AUDIT as usize);
        within("table `audits`", bytes, MAX_TABLE)?;
        Ok(self.add(map("audits", MapKind::Array, (4, bytes as u32), 1, MapRole::Binding)))
    }

    /// What is remembered of connections: shared, so that it survives a swap.
    fn connections(&mut self, room: Room) -> Result<(), CodegenError> {
        let Room { established, half_open } = room;
        if !established.is_power_of_two() || half_open == 0 {
            let what = format!("room for {established} established, {half_open} other connections");
            return Err(CodegenError::internal(what));
        }
        let entry = (CONNECTION_KEY, CONNECTION);
        let shared = |name, kind, sizes, entries| map(name, kind, sizes, entries, MapRole::Shared);
        let ct = shared("ct", MapKind::Hash, entry, room.places());
        self.add(MapSpec { flags: NO_PREALLOC, ..ct });
        self.add(shared("ct_half", MapKind::LruHash, entry, half_open));
        self.add(shared("ct_ring", MapKind::Array, (4, CONNECTION_KEY), room.places()));
        self.add(shared("ct_clock", MapKind::Array, (4, 16), 1));
        self.add(shared("ct_locks", MapKind::Array, (4, 4), LOCKS));
        self.add(shared("frags", MapKind::LruHash, (CONNECTION_KEY, 16), DATAGRAMS));
        Ok(())
    }

    /// What every program counts and reports with. Returns the ring.
    pub(super) fn common(&mut self, decisions: usize) -> MapRef {
        // INVARIANT: every decision comes from a line of policy, of which there are
        // far fewer than 2^32.
        let decisions = decisions.max(1) as u32;
        self.add(map("config", MapKind::Array, (4, 8), 1, MapRole::Binding));
        self.add(map("counters", MapKind::PercpuArray, (4, 16), decisions, MapRole::Scratch));
        self.add(map("events_lost", MapKind::PercpuArray, (4, 8), 1, MapRole::Shared));
        self.add(map("events", MapKind::Ringbuf, (0, 0), RING, MapRole::Shared))
    }

    /// Per-CPU memory of `bytes` in which a hook's records are built. Each hook has
    /// its own: a raw tracepoint in an interrupt can fire while another hook's
    /// program runs on the CPU.
    // KERNEL: one program is not entered again on a CPU on which it runs
    // (`bpf_prog_active`, and `prog->active` for raw tracepoints).
    pub(super) fn scratch(&mut self, hook: usize, bytes: u32) -> MapRef {
        let name = format!("scratch_{hook}");
        self.add(map(&name, MapKind::PercpuArray, (4, bytes), 1, MapRole::Scratch))
    }

    /// A flat table with its bytes.
    pub(super) fn table(&mut self, name: &str, contents: Vec<u8>) -> Result<MapRef, CodegenError> {
        within(&format!("table `{name}`"), contents.len(), MAX_TABLE)?;
        let sizes = (4, contents.len() as u32);
        let spec = map(name, MapKind::Array, sizes, 1, MapRole::Table);
        Ok(self.add(MapSpec { contents, ..spec }))
    }

    pub(super) fn add(&mut self, spec: MapSpec) -> MapRef {
        let map = self.module.maps.push(declaration(&spec));
        self.specs.push(spec);
        map
    }
}

/// Refuses what is larger than a target can hold.
pub(super) fn within(what: &str, needed: usize, limit: usize) -> Result<(), CodegenError> {
    if needed <= limit {
        return Ok(());
    }
    let (needed, limit) = (needed as u64, limit as u64);
    Err(CodegenError::Limit { what: what.to_owned(), needed, limit })
}

pub(super) fn map(
    name: &str,
    kind: MapKind,
    sizes: (u32, u32),
    max_entries: u32,
    role: MapRole,
) -> MapSpec {
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
