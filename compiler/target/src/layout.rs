//! Where the fields of kernel structures lie, as far as programs need them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::btf::{Btf, TypeId};

/// Structures by name.
pub type Layouts = BTreeMap<String, StructLayout>;

/// One structure.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StructLayout {
    /// Bytes.
    pub size: u32,
    /// The wanted fields that this kernel has, by name.
    pub fields: BTreeMap<String, FieldLayout>,
}

/// One field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldLayout {
    /// Bytes from the start of the structure.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// The structures and fields that generated programs may read. A field that a
/// kernel lacks is left out; programs that need it are refused for that kernel.
const WANTED: &[(&str, &[&str])] = &[
    ("cgroup", &["kn", "level"]),
    (
        "cred",
        &[
            "cap_effective",
            "cap_inheritable",
            "cap_permitted",
            "egid",
            "euid",
            "fsgid",
            "fsuid",
            "gid",
            "sgid",
            "suid",
            "uid",
            "user_ns",
        ],
    ),
    ("css_set", &["dfl_cgrp"]),
    ("dentry", &["d_inode", "d_name", "d_parent"]),
    ("file", &["f_flags", "f_inode", "f_mode", "f_path"]),
    ("inode", &["i_ino", "i_mode"]),
    ("kernfs_node", &["id"]),
    ("linux_binprm", &["argc", "cred", "envc", "file", "filename", "interp"]),
    ("mm_struct", &["arg_end", "arg_start", "exe_file"]),
    ("ns_common", &["inum"]),
    ("nsproxy", &["mnt_ns", "net_ns", "pid_ns_for_children", "uts_ns"]),
    ("path", &["dentry", "mnt"]),
    ("pt_regs", &["ax", "cx", "di", "dx", "orig_ax", "r10", "r8", "r9", "si"]),
    ("qstr", &["len", "name"]),
    (
        "task_struct",
        &[
            "cgroups",
            "comm",
            "cred",
            "exit_code",
            "flags",
            "group_leader",
            "mm",
            "nsproxy",
            "pid",
            "real_cred",
            "real_parent",
            "start_boottime",
            "start_time",
            "tgid",
            "thread_pid",
        ],
    ),
];

/// The layouts that programs may need, from a kernel's types.
pub(crate) fn layouts(btf: &Btf) -> Layouts {
    let found = WANTED.iter().filter_map(|(name, fields)| {
        Some(((*name).to_owned(), layout(btf, btf.find_struct(name)?, fields)?))
    });
    found.collect()
}

fn layout(btf: &Btf, structure: TypeId, names: &[&str]) -> Option<StructLayout> {
    let fields = names.iter().filter_map(|name| {
        let at = btf.field(structure, name)?;
        let is_whole = at.bit_width == 0 && at.bit_offset % 8 == 0;
        let size = btf.size_of(at.ty)?;
        is_whole.then(|| ((*name).to_owned(), FieldLayout { offset: at.bit_offset / 8, size }))
    });
    Some(StructLayout { size: btf.size_of(structure)?, fields: fields.collect() })
}
