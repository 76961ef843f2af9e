//! Bindings to attach points that exist.

use policyc_bpf::{Artifact, Direction, Judges, ProgramKind, Subject};
use policyc_sys::Kernel;
use policyc_sys::net::{Hardware, Netns};

use super::unjudged::refuse_unjudged;
use crate::bindings::{Attach, Bindings, Port, Side};
use crate::error::Error;
use crate::host::Host;
use crate::point::{InterfaceId, Mechanism, Point};

/// A place to judge, and who is judged there by which program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) point: Point,
    /// The mechanism, if the binding insists on one.
    pub(super) mechanism: Option<Mechanism>,
    /// Name and behaviour row of the subject; none for tracing, and where nobody in
    /// particular is met.
    pub(super) subject: Option<(String, u32)>,
    /// Index of the program in the object.
    pub(super) program: usize,
}

/// Finds every place that the bindings and the tracing programs name.
pub(super) fn resolve<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: &Bindings,
) -> Result<Vec<Wanted>, Error> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for (subject, attach) in bindings.places() {
        for found in places(host, artifact, subject, attach)? {
            if let Some(other) = wanted.iter().find(|other| other.point == found.point) {
                return Err(same_point(other, &found));
            }
            wanted.push(found);
        }
    }
    refuse_unjudged(artifact, &wanted)?;
    wanted.extend(tracing(artifact));
    Ok(wanted)
}

/// What errors call the subject of a place that has none.
const NOBODY: &str = "unknownSubjects";

/// The places of one binding.
fn places<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    subject_name: Option<&str>,
    attach: &Attach,
) -> Result<Vec<Wanted>, Error> {
    let subject = subject_name.map(|name| subject(artifact, name)).transpose()?;
    let name = subject_name.unwrap_or(NOBODY);
    let program = |kind: &ProgramKind, judges: Judges| {
        artifact.object().programs.iter().position(|p| p.kind == *kind && p.judges == judges)
    };
    let mut found = Vec::new();
    let mut add = |point: Point, mechanism, judges| {
        if let Some(program) = program(&point.kind(), judges) {
            let subject = subject.map(|subject| (subject.name.clone(), subject.row));
            found.push(Wanted { point, mechanism, subject, program });
        }
    };
    match attach {
        Attach::Tc(port) | Attach::Clsact(port) => {
            let forced = matches!(attach, Attach::Clsact(_)).then_some(Mechanism::Clsact);
            let interface = interface(host, name, port)?;
            for direction in [Direction::Ingress, Direction::Egress] {
                let point = Point::Tc { interface: interface.clone(), direction };
                add(point, forced, judges(port.side, direction));
            }
        }
        Attach::Xdp(port) => {
            let interface = interface(host, name, port)?;
            add(Point::Xdp { interface }, None, judges(port.side, Direction::Ingress));
        }
        Attach::Cgroup { path } => {
            let id = host.kernel.cgroup_id(path).map_err(|error| Error::NoCgroup {
                subject: name.to_owned(),
                path: path.clone(),
                error,
            })?;
            for direction in [Direction::Ingress, Direction::Egress] {
                let point = Point::CgroupSkb { path: path.clone(), id, direction };
                add(point, None, judges(Side::Own, direction));
            }
        }
    }
    if found.is_empty() {
        let kind = match attach {
            Attach::Tc(_) | Attach::Clsact(_) => "tc",
            Attach::Xdp(_) => "xdp",
            Attach::Cgroup { .. } => "cgroup_skb",
        };
        return Err(Error::NoProgram { subject: name.to_owned(), kind });
    }
    Ok(found)
}

/// On the host's end of a pair the hook's ingress is the subject's egress.
const fn judges(side: Side, hook: Direction) -> Judges {
    match (side, hook) {
        (Side::Own, Direction::Ingress) | (Side::Host, Direction::Egress) => Judges::Ingress,
        (Side::Own, Direction::Egress) | (Side::Host, Direction::Ingress) => Judges::Egress,
    }
}

fn subject<'a>(artifact: &'a Artifact, name: &str) -> Result<&'a Subject, Error> {
    artifact
        .manifest()
        .subjects
        .iter()
        .find(|subject| subject.name == name)
        .ok_or_else(|| Error::UnknownSubject { subject: name.to_owned() })
}

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
    let id = host.kernel.netns(port.netns.as_deref()).map_err(failed)?;
    let netns = Netns { id, path: port.netns.clone() };
    let found = host.kernel.interface(&netns, &port.interface).map_err(failed)?;
    // netkit runs its own programs and may redirect to the peer before tcx.
    if let Some(kind) = found.kind.filter(|kind| kind == "netkit") {
        let (subject, interface) = (subject.to_owned(), port.interface.clone());
        return Err(Error::Bypassed { subject, interface, kind });
    }
    if ![Hardware::ETHER, Hardware::LOOPBACK].contains(&found.hardware) {
        let (subject, interface) = (subject.to_owned(), port.interface.clone());
        return Err(Error::NotEthernet { subject, interface, hardware: found.hardware.0 });
    }
    Ok(InterfaceId {
        namespace: (id.dev, id.ino),
        index: found.index,
        name: found.name,
        netns: port.netns.clone(),
    })
}

/// Tracing programs are attached wherever the artifact is applied.
fn tracing(artifact: &Artifact) -> impl Iterator<Item = Wanted> {
    artifact.object().programs.iter().enumerate().filter_map(|(program, p)| {
        let point = match p.kind.clone() {
            ProgramKind::RawTracepoint(name) => Point::RawTracepoint { name },
            ProgramKind::Tracepoint { category, event } => Point::Tracepoint { category, event },
            ProgramKind::Tc | ProgramKind::Xdp | ProgramKind::CgroupSkb(_) => return None,
        };
        Some(Wanted { point, mechanism: None, subject: None, program })
    })
}

fn same_point(first: &Wanted, second: &Wanted) -> Error {
    let name = |wanted: &Wanted| wanted.subject.as_ref().map_or(NOBODY, |(n, _)| n).to_owned();
    Error::SamePoint {
        first: name(first),
        second: name(second),
        point: Box::new(first.point.clone()),
    }
}
