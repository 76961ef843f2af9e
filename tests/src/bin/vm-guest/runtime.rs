//! The runtime on the machine's kernel, and what it leaves behind.

use std::time::{Duration, Instant};

use policyc_bpf::Artifact;
use policyc_runtime::{Bindings, Dirs, Error, Host, Live, Options, apply, remove, status};
use policyc_sys::RealKernel;
use policyc_sys::bpf::{self, ObjectKind};

use crate::Doing as _;

/// How long the kernel may take to free what is gone.
const PATIENCE: Duration = Duration::from_secs(5);
const KINDS: [ObjectKind; 3] = [ObjectKind::Prog, ObjectKind::Map, ObjectKind::Link];

/// The runtime, and the objects that were there before it.
pub(crate) struct Runtime {
    dirs: Dirs,
    before: Vec<Vec<u32>>,
}

impl Runtime {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self { dirs: Dirs::default(), before: objects()? })
    }

    pub(crate) fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    pub(crate) fn host(&self) -> Host<'_, RealKernel> {
        Host { kernel: &RealKernel, dirs: &self.dirs }
    }

    pub(crate) fn apply(&self, artifact: &Artifact, bindings: &Bindings) -> Result<(), String> {
        let applied = apply(&self.host(), artifact, bindings, Options::default());
        applied.map(drop).map_err(|error| words("apply", &error))
    }

    /// What is live.
    pub(crate) fn live(&self) -> Result<Live, String> {
        let status = status(&self.host()).map_err(|error| words("status", &error))?;
        status.live.ok_or_else(|| "status: nothing is live".to_owned())
    }

    /// Removes everything and returns what is still there.
    pub(crate) fn remove(self) -> Result<Vec<String>, String> {
        remove(&self.host(), true).map_err(|error| words("remove", &error))?;
        let mut left = Vec::new();
        for path in [self.dirs.pins(), self.dirs.state.clone()] {
            if path.exists() {
                left.push(path.display().to_string());
            }
        }
        // The kernel frees programs after a grace period.
        let deadline = Instant::now() + PATIENCE;
        let mut new = self.new_objects()?;
        while !new.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            new = self.new_objects()?;
        }
        left.extend(new);
        left.extend(qdiscs()?);
        Ok(left)
    }

    fn new_objects(&self) -> Result<Vec<String>, String> {
        let now = objects()?;
        let pairs = KINDS.iter().zip(now.iter().zip(&self.before));
        let new = pairs.flat_map(|(kind, (now, before))| {
            let new = now.iter().filter(|id| !before.contains(id));
            new.map(move |id| format!("{kind:?} {id}"))
        });
        Ok(new.collect())
    }
}

/// Ids by kind.
fn objects() -> Result<Vec<Vec<u32>>, String> {
    KINDS.iter().map(|kind| bpf::ids(*kind).doing("list objects")).collect()
}

/// Interfaces that have a `clsact` qdisc.
fn qdiscs() -> Result<Vec<String>, String> {
    crate::network::everywhere(|| {
        let mut found = Vec::new();
        for interface in policyc_sys::net::interfaces()? {
            if policyc_sys::net::tc::has_clsact(interface.index)? {
                found.push(format!("clsact on {}", interface.name));
            }
        }
        Ok(found)
    })
}

/// An error with the end of the kernel's log, which says why.
fn words(doing: &str, error: &Error) -> String {
    let log = error.log().unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    let end = lines[lines.len().saturating_sub(20)..].join("\n");
    format!("{doing}: {error}\n{end}")
}
