//! What a binding names, as places that exist on this host now.

use std::path::{Path, PathBuf};

use policyc_bpf::{Direction, Judges};
use policyc_sys::net::{Hardware, Interface, Netns};
use policyc_sys::{Kernel, SysError, errno};

use super::units;
use crate::bindings::{Attach, Port, Side};
use crate::error::{Error, OrDoing};
use crate::host::Host;
use crate::point::{InterfaceId, Mechanism, Point};

/// A place, and what a program judges there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) point: Point,
    /// The mechanism, if the binding insists on one.
    pub(super) mechanism: Option<Mechanism>,
    pub(super) judges: Judges,
}

const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// The places of one way to attach; `subject` is for errors.
pub(super) fn of<K: Kernel>(
    host: &Host<'_, K>,
    subject: &str,
    attach: &Attach,
) -> Result<Vec<Place>, Error> {
    match attach {
        Attach::Tc(port) => Ok(tc(&interface(host, subject, port)?, port.side, None)),
        Attach::Clsact(port) => {
            Ok(tc(&interface(host, subject, port)?, port.side, Some(Mechanism::Clsact)))
        }
        Attach::Xdp(port) => {
            let point = Point::Xdp { interface: interface(host, subject, port)? };
            let judges = judges(port.side, Direction::Ingress);
            Ok(vec![Place { point, mechanism: None, judges }])
        }
        Attach::Cgroup { path, at: None } => {
            let id = cgroup_id(host, subject, path)?;
            let point = |direction| Point::CgroupSkb { path: path.clone(), id, direction };
            Ok(BOTH.map(|direction| own(point(direction), direction)).into())
        }
        Attach::Cgroup { path, at: Some(at) } => followed(host, subject, path, at),
        Attach::Unit { name } => {
            let (path, at) = units::find(host, subject, name)?;
            followed(host, subject, &path, &at)
        }
        Attach::Netns { path } => netns(host, subject, path),
        Attach::Host { interfaces } => of_host(host, subject, interfaces),
    }
}

/// On the host's end of a pair the hook's ingress is the subject's egress.
const fn judges(side: Side, hook: Direction) -> Judges {
    match (side, hook) {
        (Side::Own, Direction::Ingress) | (Side::Host, Direction::Egress) => Judges::Ingress,
        (Side::Own, Direction::Egress) | (Side::Host, Direction::Ingress) => Judges::Egress,
    }
}

/// A place that is the subject's own.
const fn own(point: Point, direction: Direction) -> Place {
    Place { point, mechanism: None, judges: judges(Side::Own, direction) }
}

fn tc(interface: &InterfaceId, side: Side, mechanism: Option<Mechanism>) -> Vec<Place> {
    let place = |direction| Place {
        point: Point::Tc { interface: interface.clone(), direction },
        mechanism,
        judges: judges(side, direction),
    };
    BOTH.map(place).into()
}

/// The interface that a port names.
fn interface<K: Kernel>(
    host: &Host<'_, K>,
    subject: &str,
    port: &Port,
) -> Result<InterfaceId, Error> {
    let failed = |error| Error::NoInterface {
        subject: subject.to_owned(),
        interface: port.interface.clone(),
        netns: port.netns.clone(),
        error: Box::new(error),
    };
    let netns = open_netns(host, port.netns.as_deref()).map_err(failed)?;
    let found = host.kernel.interface(&netns, &port.interface).map_err(failed)?;
    check(subject, &found)?;
    Ok(id_of(&netns, found))
}

fn open_netns<K: Kernel>(host: &Host<'_, K>, path: Option<&Path>) -> Result<Netns, SysError> {
    Ok(Netns { id: host.kernel.netns(path)?, path: path.map(Path::to_owned) })
}

/// Refuses an interface that the hooks do not see as they should.
fn check(subject: &str, interface: &Interface) -> Result<(), Error> {
    let (subject, name) = (subject.to_owned(), interface.name.clone());
    // netkit runs its own programs and may redirect to the peer before tcx.
    if let Some(kind) = interface.kind.clone().filter(|kind| kind == "netkit") {
        return Err(Error::Bypassed { subject, interface: name, kind });
    }
    if ![Hardware::ETHER, Hardware::LOOPBACK].contains(&interface.hardware) {
        let hardware = interface.hardware.0;
        return Err(Error::NotEthernet { subject, interface: name, hardware });
    }
    Ok(())
}

fn id_of(netns: &Netns, interface: Interface) -> InterfaceId {
    InterfaceId {
        namespace: (netns.id.dev, netns.id.ino),
        index: interface.index,
        name: interface.name,
        netns: netns.path.clone(),
    }
}

/// Every interface that can carry packets of a namespace other than by its
/// loopback. One that is down and cannot be judged has no packets yet.
fn carriers<K: Kernel>(
    host: &Host<'_, K>,
    subject: &str,
    netns: &Netns,
) -> Result<Vec<Interface>, Error> {
    let all = host.kernel.interfaces(netns).or_doing("list interfaces")?;
    let mut carriers = Vec::new();
    for interface in all {
        if interface.hardware == Hardware::LOOPBACK {
            continue;
        }
        match check(subject, &interface) {
            Ok(()) => carriers.push(interface),
            Err(error) if interface.is_up => return Err(error),
            Err(_) => {}
        }
    }
    Ok(carriers)
}

/// Both directions of all interfaces of a namespace. The ports of a bridge or bond
/// are left to that.
fn netns<K: Kernel>(host: &Host<'_, K>, subject: &str, path: &Path) -> Result<Vec<Place>, Error> {
    let failed = |error| Error::NoNetns {
        subject: subject.to_owned(),
        path: path.to_owned(),
        error: Box::new(error),
    };
    let netns = open_netns(host, Some(path)).map_err(failed)?;
    let carriers = carriers(host, subject, &netns)?;
    let whole = carriers.into_iter().filter(|interface| interface.master.is_none());
    let places: Vec<_> =
        whole.flat_map(|interface| tc(&id_of(&netns, interface), Side::Own, None)).collect();
    if places.is_empty() {
        let place = format!("network namespace `{}`", path.display());
        return Err(Error::NoInterfaces { subject: subject.to_owned(), place });
    }
    Ok(places)
}

/// What the host takes and sends by interfaces of its own namespace.
fn of_host<K: Kernel>(
    host: &Host<'_, K>,
    subject: &str,
    names: &[String],
) -> Result<Vec<Place>, Error> {
    let netns = open_netns(host, None).or_doing("look at the host's network namespace")?;
    let found = if names.is_empty() {
        let carriers = carriers(host, subject, &netns)?.into_iter();
        carriers.filter(|interface| interface.master.is_none()).map(|i| id_of(&netns, i)).collect()
    } else {
        let port = |name: &String| Port { interface: name.clone(), netns: None, side: Side::Own };
        let found = names.iter().map(|name| interface(host, subject, &port(name)));
        found.collect::<Result<Vec<_>, _>>()?
    };
    if found.is_empty() {
        return Err(Error::NoInterfaces { subject: subject.to_owned(), place: "the host".into() });
    }
    let point = |interface: &InterfaceId, direction| Point::Host {
        interface: interface.clone(),
        direction,
    };
    let both = |interface: &InterfaceId| BOTH.map(|d| own(point(interface, d), d));
    Ok(found.iter().flat_map(both).collect())
}

fn cgroup_id<K: Kernel>(host: &Host<'_, K>, subject: &str, path: &Path) -> Result<u64, Error> {
    host.kernel.cgroup_id(path).map_err(|error| Error::NoCgroup {
        subject: subject.to_owned(),
        path: path.to_owned(),
        error,
    })
}

/// Whatever is at a path, judged at a directory above.
fn followed<K: Kernel>(
    host: &Host<'_, K>,
    subject: &str,
    path: &Path,
    at: &Path,
) -> Result<Vec<Place>, Error> {
    let mount = mount(host, subject, path)?;
    let inside = path.strip_prefix(at).ok().filter(|below| below.components().next().is_some());
    let levels = path.strip_prefix(&mount).ok().map(|below| below.components().count());
    let (Some(_), Some(level)) = (inside, levels) else {
        let (path, at) = (path.to_owned(), at.to_owned());
        return Err(Error::NotBelow { subject: subject.to_owned(), path, at });
    };
    let id = cgroup_id(host, subject, at)?;
    let point = |direction| Point::Followed {
        path: path.to_owned(),
        at: at.to_owned(),
        id,
        mount: mount.clone(),
        level: level as u32,
        direction,
    };
    Ok(BOTH.map(|direction| own(point(direction), direction)).into())
}

/// Where the hierarchy is mounted that a cgroup is in.
pub(super) fn mount<K: Kernel>(
    host: &Host<'_, K>,
    subject: &str,
    path: &Path,
) -> Result<PathBuf, Error> {
    host.kernel.cgroup_mount().map_err(|error| match error {
        error if error.is(errno::ENOENT) => {
            Error::NoCgroup { subject: subject.to_owned(), path: path.to_owned(), error }
        }
        error => Error::sys("find the cgroup hierarchy", error),
    })
}
