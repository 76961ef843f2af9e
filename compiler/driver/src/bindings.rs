//! Which subjects are local, and where each is attached: from a file, or from
//! what the inventory said about attaching.

use std::path::{Path, PathBuf};

use policyc_bpf::{AttachHint, Manifest, Subject};
use policyc_runtime::{Attach, Binding, Bindings, Port, Side};
use policyc_sys::host::{cgroup_id, cgroup2_mount};
use policyc_sys::net::{in_netns, interface_by_name, interfaces};
use policyc_sys::{SysError, errno};

/// Reads a bindings file: `kind: Bindings` of `policyc.io/v1alpha1`.
///
/// # Errors
/// In words, when it is something else.
pub fn read(text: &str) -> Result<Bindings, String> {
    // By way of JSON, in which `{tc: …}` is how an alternative is written.
    let document: serde_json::Value =
        serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let serde_json::Value::Object(mut document) = document else {
        return Err("a bindings file is a map".to_owned());
    };
    for (key, expected) in [("apiVersion", "policyc.io/v1alpha1"), ("kind", "Bindings")] {
        let found = document.remove(key);
        if found.as_ref().and_then(|v| v.as_str()) != Some(expected) {
            return Err(format!("`{key}` must be `{expected}`"));
        }
    }
    serde_json::from_value(document.into()).map_err(|error| error.to_string())
}

/// What an artifact's inventory hints at, on this host.
#[derive(Debug, Default)]
pub struct Hinted {
    /// Where the local subjects are attached.
    pub bindings: Bindings,
    /// Subjects whose hint names nothing that is here: they are not local, or
    /// not here yet.
    pub not_local: Vec<String>,
}

/// The bindings that an artifact's inventory hints at, for what is there on this
/// host.
///
/// # Errors
/// In words, when the host cannot be looked at.
pub fn from_hints(manifest: &Manifest) -> Result<Hinted, String> {
    let mut hinted = Hinted::default();
    for subject in &manifest.subjects {
        let Some(hint) = &subject.attach else { continue };
        let found = local(subject, hint).map_err(|error| format!("`{}`: {error}", subject.name))?;
        if found.is_empty() {
            hinted.not_local.push(subject.name.clone());
        }
        hinted.bindings.bindings.extend(found);
    }
    Ok(hinted)
}

/// Where a subject is attached; nowhere if it is not local.
fn local(subject: &Subject, hint: &AttachHint) -> Result<Vec<Binding>, SysError> {
    let bind = |attach| Binding { subject: subject.name.clone(), attach };
    let attaches: Vec<Attach> = match hint {
        // The interface by which the host reaches the workload.
        AttachHint::Interface(name) => {
            let port = Port { interface: name.clone(), netns: None, side: Side::Host };
            if_there(interface_by_name(name))?.map(|_| Attach::Tc(port)).into_iter().collect()
        }
        AttachHint::Netns(netns) => {
            let path = netns_path(netns);
            let found = if_there(in_netns(Some(&path), interfaces))?.unwrap_or_default();
            let names = found.into_iter().map(|i| i.name).filter(|name| name != "lo");
            let port = |interface| Port { interface, netns: Some(path.clone()), side: Side::Own };
            names.map(|name| Attach::Tc(port(name))).collect()
        }
        AttachHint::Cgroup(path) => cgroup(Path::new(path))?,
        AttachHint::SystemdUnit(unit) => cgroup(&Path::new("system.slice").join(unit))?,
    };
    Ok(attaches.into_iter().map(bind).collect())
}

/// `None` when what was looked for is not there; other errors stay.
fn if_there<T>(found: Result<T, SysError>) -> Result<Option<T>, SysError> {
    match found {
        Err(error) if error.is(errno::ENODEV) || error.is(errno::ENOENT) => Ok(None),
        other => other.map(Some),
    }
}

/// A name is one of `ip netns`.
fn netns_path(netns: &str) -> PathBuf {
    if netns.contains('/') { PathBuf::from(netns) } else { Path::new("/run/netns").join(netns) }
}

/// A control group by its path in the hierarchy, or below where that is mounted.
fn cgroup(path: &Path) -> Result<Vec<Attach>, SysError> {
    let path = if path.starts_with("/sys/fs/cgroup") {
        path.to_owned()
    } else {
        let Some(mount) = if_there(cgroup2_mount())? else { return Ok(Vec::new()) };
        mount.join(path.strip_prefix("/").unwrap_or(path))
    };
    let found = if_there(cgroup_id(&path))?;
    Ok(found.map(|_| Attach::Cgroup { path, at: None }).into_iter().collect())
}

#[cfg(test)]
mod tests;
