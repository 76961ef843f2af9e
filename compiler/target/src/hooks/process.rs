//! What is known about the current task at every tracing hook.

use super::{Access, Field, IntType, Kind};
use crate::Profile;

/// A fact about the task that runs when the hook fires.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ProcessField {
    /// The process (thread group).
    Pid,
    /// The thread.
    Tid,
    /// The process of the parent (`real_parent`).
    ParentPid,
    /// Real user id, as the initial user namespace sees it.
    Uid,
    /// Real group id, as the initial user namespace sees it.
    Gid,
    /// The thread's name, up to 15 bytes.
    Comm,
    /// The id of the version 2 cgroup.
    CgroupId,
}

impl ProcessField {
    /// Every one, in the order in which schemas list them.
    pub const ALL: [Self; 7] =
        [Self::Pid, Self::Tid, Self::ParentPid, Self::Uid, Self::Gid, Self::Comm, Self::CgroupId];

    /// Its name in schemas and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pid => "process.pid",
            Self::Tid => "process.tid",
            Self::ParentPid => "process.parent_pid",
            Self::Uid => "process.uid",
            Self::Gid => "process.gid",
            Self::Comm => "process.comm",
            Self::CgroupId => "process.cgroup_id",
        }
    }

    /// What it holds.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Pid | Self::Tid | Self::ParentPid => Kind::Int(IntType::signed(4)),
            Self::Uid | Self::Gid => Kind::Int(IntType::unsigned(4)),
            Self::Comm => Kind::Text,
            Self::CgroupId => Kind::Int(IntType::unsigned(8)),
        }
    }

    /// Whether the profile holds what reading it needs. No helper gives the parent,
    /// so its place in the kernel's structures must be known.
    fn is_readable(self, profile: &Profile) -> bool {
        match self {
            Self::ParentPid => ["real_parent", "tgid"]
                .iter()
                .all(|field| profile.field("task_struct", field).is_some()),
            _ => true,
        }
    }
}

/// The process fields that a program for this host can read.
pub(super) fn process_fields(profile: &Profile) -> Vec<Field> {
    let readable = ProcessField::ALL.into_iter().filter(|field| field.is_readable(profile));
    let fields = readable.map(|field| Field {
        name: field.name().to_owned(),
        type_name: String::new(),
        kind: field.kind(),
        access: Access::Process(field),
    });
    fields.collect()
}
