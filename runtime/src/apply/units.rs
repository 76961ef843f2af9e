//! Where the cgroup of a systemd unit is, or will be.
//!
//! By the names that systemd gives (`systemd.unit(5)`, `systemd.slice(5)`): units are
//! directories called like them, in directories called like slices.

use std::path::{Path, PathBuf};

use policyc_sys::{Kernel, errno};

use super::places::mount;
use crate::error::{Error, OrDoing};
use crate::host::Host;

/// Units that have processes, or units with processes below.
const KINDS: [&str; 6] = ["service", "scope", "slice", "socket", "mount", "swap"];
/// The slice that is there as long as the system runs.
const SYSTEM: &str = "system.slice";
/// Deeper slices than anybody has.
const DEPTH: usize = 32;

/// The cgroup that a systemd unit has now.
///
/// # Errors
/// [`Error::NotAUnit`], [`Error::TwoUnits`]; what failed.
pub fn unit_cgroup<K: Kernel>(
    host: &Host<'_, K>,
    subject: &str,
    unit: &str,
) -> Result<Option<PathBuf>, Error> {
    let (path, _) = match find(host, subject, unit) {
        // There are no cgroups at all.
        Err(Error::NoCgroup { .. }) => return Ok(None),
        found => found?,
    };
    match host.kernel.cgroup_id(&path) {
        Err(error) if error.is(errno::ENOENT) => Ok(None),
        id => id.or_doing("look at a cgroup").map(|_| Some(path)),
    }
}

/// The cgroup of a unit, and a directory above it that stays.
pub(super) fn find<K: Kernel>(
    host: &Host<'_, K>,
    subject: &str,
    unit: &str,
) -> Result<(PathBuf, PathBuf), Error> {
    let stem =
        unit.rsplit_once('.').filter(|(stem, kind)| !stem.is_empty() && KINDS.contains(kind));
    let Some((stem, _)) = stem.filter(|_| !unit.contains('/')) else {
        return Err(Error::NotAUnit { subject: subject.to_owned(), unit: unit.to_owned() });
    };
    let mount = mount(host, subject, Path::new(unit))?;
    let mut found = Vec::new();
    look(host, &mount, unit, DEPTH, &mut found)?;
    let path = match found.as_slice() {
        [] => mount.join(usual(stem, unit)),
        [only] => only.clone(),
        [first, second, ..] => {
            return Err(Error::TwoUnits {
                subject: subject.to_owned(),
                unit: unit.to_owned(),
                first: first.clone(),
                second: second.clone(),
            });
        }
    };
    // Other slices are removed with the last unit in them.
    let system = mount.join(SYSTEM);
    let at = if path != system && path.starts_with(&system) { system } else { mount };
    Ok((path, at))
}

/// Where a unit is that nobody put into another slice.
fn usual(stem: &str, unit: &str) -> PathBuf {
    let slice = match stem.split_once('@') {
        // Instances of a template have a slice of their own; `-` would be a
        // directory in its name.
        Some((template, _)) => {
            format!("{SYSTEM}/system-{}.slice", template.replace('-', "\\x2d"))
        }
        None => SYSTEM.to_owned(),
    };
    Path::new(&slice).join(unit)
}

/// Finds directories called like the unit, in slices.
fn look<K: Kernel>(
    host: &Host<'_, K>,
    dir: &Path,
    unit: &str,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    for name in host.kernel.list_dir(dir).or_doing("look for a unit")? {
        if name == unit {
            found.push(dir.join(&name));
        } else if name.ends_with(".slice") && depth > 0 {
            look(host, &dir.join(name), unit, depth - 1, found)?;
        }
    }
    Ok(())
}
