//! The world around a program, supplied by the caller, so that a run depends on
//! nothing else.

use std::collections::BTreeMap;

/// What helpers report about the world.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Environment {
    /// What the clocks show, in nanoseconds since boot.
    pub clock_ns: u64,
    /// Nanoseconds that pass with each look at a clock.
    pub clock_step_ns: u64,
    /// Results of `get_prandom_u32`, in turn and over again; 0 if there is none.
    pub randoms: Vec<u32>,
    /// The CPU, below [`super::MAX_CPUS`].
    pub cpu: u32,
    /// The current task.
    pub task: Task,
    /// What `probe_read_kernel` can read besides the program's own memory.
    pub kernel: SparseMemory,
    /// What `probe_read_user` can read.
    pub user: SparseMemory,
}

/// The current task.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Task {
    /// Thread id (`pid` of the kernel).
    pub tid: u32,
    /// Process id (`tgid` of the kernel).
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Name; the kernel keeps 15 bytes.
    pub comm: Vec<u8>,
    /// Address of the `task_struct`.
    pub address: u64,
    /// Id of the cgroup (v2).
    pub cgroup_id: u64,
}

/// Memory of which only some ranges exist.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SparseMemory {
    ranges: BTreeMap<u64, Vec<u8>>,
}

impl SparseMemory {
    /// Puts bytes at an address. Of two ranges that overlap, the one that begins
    /// later is seen.
    pub fn insert(&mut self, address: u64, bytes: impl Into<Vec<u8>>) {
        self.ranges.insert(address, bytes.into());
    }

    /// One byte, or `None` where nothing is.
    pub fn byte(&self, address: u64) -> Option<u8> {
        let (start, bytes) = self.ranges.range(..=address).next_back()?;
        bytes.get(usize::try_from(address - start).ok()?).copied()
    }
}
