//! The machine, made ready: modules, file systems, namespaces' places.

use std::fs;
use std::path::Path;

use policyc_bpf::Artifact;
use policyc_verify::vm::FILES_PATH;
use rustix::mount::{MountFlags, mount};
use rustix::system::init_module;

use crate::Doing as _;

/// Where the cgroup hierarchy is.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";

/// Loads the kernel modules that were packed, by name, and mounts what the runtime
/// expects of a host.
pub(crate) fn prepare() -> Result<(), String> {
    let folder = fs::read_dir(FILES_PATH).doing("list the packed files")?;
    let names = folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut modules: Vec<_> = names.filter(|name| name.ends_with(".ko")).collect();
    modules.sort();
    for name in modules {
        init_module(&file(&name)?, c"").doing(&format!("load {name}"))?;
    }
    mount("cgroup2", CGROUPS, "cgroup2", MountFlags::empty(), None).doing("mount cgroup2")?;
    fs::create_dir_all("/run/netns").doing("make a folder")
}

/// A file that the host has packed.
pub(crate) fn file(name: &str) -> Result<Vec<u8>, String> {
    fs::read(Path::new(FILES_PATH).join(name)).doing(name)
}

/// An artifact that the host has packed.
pub(crate) fn artifact(name: &str) -> Result<Artifact, String> {
    Artifact::from_bytes(&file(&format!("{name}.policyc"))?).doing(name)
}
