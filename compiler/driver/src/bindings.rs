//! Which subjects are local, and where each is attached: from a file, or from
//! what the inventory said about attaching.

use std::path::{Path, PathBuf};

use policyc_bpf::{AttachHint, Manifest, Subject};
use policyc_runtime::{Attach, Binding, Bindings, Port, Side};
use policyc_sys::net::{in_netns, interface_by_name, interfaces};

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

/// The bindings that an artifact's inventory hints at, for what is there on this
/// host. What is not there is not local.
///
/// # Errors
/// In words, when the host cannot be looked at.
pub fn from_hints(manifest: &Manifest) -> Result<Bindings, String> {
    let mut bindings = Vec::new();
    for subject in &manifest.subjects {
        let Some(hint) = &subject.attach else { continue };
        bindings.extend(local(subject, hint)?);
    }
    Ok(Bindings { bindings })
}

fn local(subject: &Subject, hint: &AttachHint) -> Result<Vec<Binding>, String> {
    let bind = |attach| Binding { subject: subject.name.clone(), attach };
    let cgroup =
        |path: PathBuf| if path.is_dir() { vec![bind(Attach::Cgroup { path })] } else { vec![] };
    Ok(match hint {
        // The interface by which the host reaches the workload.
        AttachHint::Interface(name) => match interface_by_name(name) {
            Ok(_) => {
                let port = Port { interface: name.clone(), netns: None, side: Side::Host };
                vec![bind(Attach::Tc(port))]
            }
            Err(_) => Vec::new(),
        },
        AttachHint::Netns(netns) => {
            let path = netns_path(netns);
            let found = interfaces_of(&path)?;
            let port = |interface| Port { interface, netns: Some(path.clone()), side: Side::Own };
            found.into_iter().map(|name| bind(Attach::Tc(port(name)))).collect()
        }
        AttachHint::Cgroup(path) => cgroup(cgroup_path(path)?),
        AttachHint::SystemdUnit(unit) => cgroup(cgroup_path(&format!("system.slice/{unit}"))?),
    })
}

/// A name is one of `ip netns`.
fn netns_path(netns: &str) -> PathBuf {
    if netns.contains('/') { PathBuf::from(netns) } else { Path::new("/run/netns").join(netns) }
}

/// The interfaces of a namespace but the loopback; none if there is no such
/// namespace.
fn interfaces_of(netns: &Path) -> Result<Vec<String>, String> {
    if !netns.exists() {
        return Ok(Vec::new());
    }
    let found = in_netns(Some(netns), interfaces).map_err(|error| error.to_string())?;
    Ok(found.into_iter().map(|i| i.name).filter(|name| name != "lo").collect())
}

fn cgroup_path(path: &str) -> Result<PathBuf, String> {
    if path.starts_with("/sys/fs/cgroup") {
        return Ok(PathBuf::from(path));
    }
    let mount = policyc_sys::host::cgroup2_mount().map_err(|error| error.to_string())?;
    Ok(mount.join(path.trim_start_matches('/')))
}
