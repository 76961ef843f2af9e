//! Which subjects are local, and where each is attached: from a file, or from
//! what the inventory said about attaching.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use policyc_bpf::{AttachHint, Manifest, Subject, SubjectKind};
use policyc_runtime::{self as runtime, Attach, Binding, Bindings, Host, Port, Side};
use policyc_sys::host::{cgroup_id, cgroup2_mount};
use policyc_sys::kernel::RealKernel;
use policyc_sys::net::{in_netns, interface_by_name};
use policyc_sys::{SysError, errno};

use crate::document;

/// Reads a bindings file: `kind: Bindings` of `policyc.io/v1alpha1`.
///
/// # Errors
/// In words, when it is something else.
pub fn read(text: &str) -> Result<Bindings, String> {
    // By way of JSON, in which `{tc: …}` is how an alternative is written.
    let serde_json::Value::Object(mut document) = document::read(text)? else {
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
    /// Subjects whose hint names nothing that is here. Those whose `hosts` names this
    /// host are missing, the others are not local, or not here yet.
    pub not_local: Vec<String>,
}

/// The bindings that an artifact's inventory hints at, for what is there on the host
/// that is called `node`.
///
/// # Errors
/// In words, when the host cannot be looked at, or it matters which host this is and
/// the inventory has none of this name.
pub fn from_hints(
    host: &Host<'_, RealKernel>,
    manifest: &Manifest,
    node: &str,
) -> Result<Hinted, String> {
    let mut hinted = Hinted::default();
    refuse_unknown_node(manifest, node)?;
    for subject in &manifest.subjects {
        if subject.kind == SubjectKind::Node {
            // Its own hosts' traffic is where the host is.
            if subject.name == node && !subject.restricts.is_empty() {
                let attach = Attach::Host { interfaces: Vec::new() };
                hinted.bindings.bindings.push(Binding { subject: subject.name.clone(), attach });
            }
            continue;
        }
        let Some(hint) = &subject.attach else { continue };
        let is_here = subject.hosts.as_ref().map(|hosts| hosts.iter().any(|host| host == node));
        if is_here == Some(false) {
            continue;
        }
        let found = local(host, subject, hint, is_here == Some(true));
        match found.map_err(|error| format!("`{}`: {error}", subject.name))? {
            Some(attach) => {
                hinted.bindings.bindings.push(Binding { subject: subject.name.clone(), attach });
            }
            None => hinted.not_local.push(subject.name.clone()),
        }
    }
    Ok(hinted)
}

/// The name that this host has in an inventory, if nobody says another.
///
/// # Errors
/// When the kernel does not say it.
pub fn host_name() -> Result<String, String> {
    const PATH: &str = "/proc/sys/kernel/hostname";
    let name = std::fs::read_to_string(PATH).map_err(|error| format!("`{PATH}`: {error}"))?;
    Ok(name.trim().to_owned())
}

/// A host that the inventory does not know has none of the subjects that it places on
/// hosts: more likely its name is another.
fn refuse_unknown_node(manifest: &Manifest, node: &str) -> Result<(), String> {
    let subjects = &manifest.subjects;
    let is_node = |subject: &&Subject| subject.kind == SubjectKind::Node;
    let nodes: BTreeSet<&str> =
        subjects.iter().filter(is_node).map(|subject| subject.name.as_str()).collect();
    let placed = subjects.iter().find(|s| s.attach.is_some() && s.hosts.is_some());
    match placed {
        Some(placed) if !nodes.contains(node) => Err(format!(
            "`hosts` of `{}` says where it is, and the inventory has no node `{node}`\n  \
             help: say with `--node` which node this host is, or with `--bindings` where \
             subjects are attached",
            placed.name
        )),
        _ => Ok(()),
    }
}

/// Where a subject is attached; nowhere if it is not local.
fn local(
    host: &Host<'_, RealKernel>,
    subject: &Subject,
    hint: &AttachHint,
    is_here: bool,
) -> Result<Option<Attach>, String> {
    let say = |error: SysError| error.to_string();
    Ok(match hint {
        // The interface by which the host reaches the workload.
        AttachHint::Interface(name) => {
            let port = Port { interface: name.clone(), netns: None, side: Side::Host };
            if_there(interface_by_name(name)).map_err(say)?.map(|_| Attach::Tc(port))
        }
        AttachHint::Netns(netns) => {
            let path = netns_path(netns);
            let found = if_there(in_netns(Some(&path), || Ok(()))).map_err(say)?;
            found.map(|()| Attach::Netns { path })
        }
        AttachHint::Cgroup(path) => cgroup(Path::new(path)).map_err(say)?,
        AttachHint::SystemdUnit(unit) => {
            let attach = Attach::Unit { name: unit.clone() };
            let found = runtime::unit_cgroup(host, &subject.name, unit);
            let found = found.map_err(|error| format!("{error}\n  help: {}", error.help()))?;
            // One that is of this host is judged from its first packet on.
            (is_here || found.is_some()).then_some(attach)
        }
    })
}

/// `None` when what was looked for is not there; other errors stay.
fn if_there<T>(found: Result<T, SysError>) -> Result<Option<T>, SysError> {
    match found {
        Err(error) if error.is(errno::ENODEV) || error.is(errno::ENOENT) => Ok(None),
        other => other.map(Some),
    }
}

/// A name is one of `ip netns`.
pub fn netns_path(netns: &str) -> PathBuf {
    if netns.contains('/') { PathBuf::from(netns) } else { Path::new("/run/netns").join(netns) }
}

/// A control group by its path in the hierarchy, or below where that is mounted.
fn cgroup(path: &Path) -> Result<Option<Attach>, SysError> {
    let path = if path.starts_with("/sys/fs/cgroup") {
        path.to_owned()
    } else {
        let Some(mount) = if_there(cgroup2_mount())? else { return Ok(None) };
        mount.join(path.strip_prefix("/").unwrap_or(path))
    };
    let found = if_there(cgroup_id(&path))?;
    Ok(found.map(|_| Attach::Cgroup { path, at: None }))
}

#[cfg(test)]
mod tests;
