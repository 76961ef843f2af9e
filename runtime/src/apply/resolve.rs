//! Bindings to attach points that exist.

use policyc_bpf::{Artifact, Judges, ProgramKind, Subject};
use policyc_sys::{Kernel, errno};

use super::places::{self, Place};
use super::unjudged::refuse_unjudged;
use crate::bindings::{Attach, Bindings};
use crate::error::Error;
use crate::host::Host;
use crate::point::{Mechanism, Point};

/// A place to judge, and who is judged there by which program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) point: Point,
    /// The mechanism, if the binding insists on one.
    pub(crate) mechanism: Option<Mechanism>,
    /// Name and behaviour row of the subject; none for tracing, and where nobody in
    /// particular is met.
    pub(crate) subject: Option<(String, u32)>,
    /// Index of the program in the object.
    pub(crate) program: usize,
}

/// Finds every place that the bindings and the tracing programs name.
pub(crate) fn resolve<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: &Bindings,
) -> Result<Vec<Wanted>, Error> {
    let mut wanted = more(host, artifact, bindings, Vec::new())?;
    wanted.extend(tracing(artifact));
    Ok(wanted)
}

/// Finds every place that the bindings name and that is not judged yet. One that is
/// judged for the same subject is no other place.
pub(crate) fn more<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: &Bindings,
    judged: Vec<Wanted>,
) -> Result<Vec<Wanted>, Error> {
    find(host, artifact, bindings.places(), judged, Err)
}

/// Finds the places that the bindings name, that are not judged yet, and that are there.
/// Why the others are not, if `leaves_out` takes that for a reason.
pub(crate) fn present<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: &Bindings,
    judged: Vec<Wanted>,
    leaves_out: impl Fn(&Error) -> bool,
) -> Result<(Vec<Wanted>, Vec<Error>), Error> {
    let is_first = judged.is_empty();
    let mut left_out = Vec::new();
    let one_by_one = bindings.one_by_one();
    let places = one_by_one.iter().map(|(subject, attach)| (*subject, attach));
    let mut wanted = find(host, artifact, places, judged, |error| {
        if leaves_out(&error) {
            left_out.push(error);
            return Ok(());
        }
        Err(error)
    })?;
    if is_first {
        wanted.extend(tracing(artifact));
    }
    Ok((wanted, left_out))
}

fn find<'a, K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: impl Iterator<Item = (Option<&'a str>, &'a Attach)>,
    judged: Vec<Wanted>,
    mut not_found: impl FnMut(Error) -> Result<(), Error>,
) -> Result<Vec<Wanted>, Error> {
    let known = judged.len();
    let mut wanted = judged;
    for (subject, attach) in bindings {
        let found = match places(host, artifact, subject, attach) {
            Ok(found) => found,
            Err(error) => {
                not_found(error)?;
                continue;
            }
        };
        for found in found {
            match wanted.iter().position(|other| other.point == found.point) {
                Some(at) if at < known && wanted[at].subject == found.subject => {}
                Some(at) => return Err(same_point(&wanted[at], &found)),
                None => wanted.push(found),
            }
        }
    }
    refuse_unjudged(artifact, &wanted)?;
    Ok(wanted.split_off(known))
}

/// The places that bindings name now and a generation does not judge.
pub(crate) fn unjudged<K: Kernel>(
    host: &Host<'_, K>,
    artifact: &Artifact,
    bindings: &Bindings,
    judged: &[&Point],
) -> Vec<(Point, Option<String>)> {
    let mut unjudged = Vec::new();
    for (subject, attach) in bindings.places() {
        // What a binding names may be gone: then its gate says so.
        let found = places(host, artifact, subject, attach).unwrap_or_default();
        let is_judged = |place: &Wanted| {
            judged.contains(&&place.point) || is_elsewhere(host, attach, &place.point, judged)
        };
        let new = found.into_iter().filter(|place| !is_judged(place));
        unjudged.extend(new.map(|place| (place.point, place.subject.map(|(name, _)| name))));
    }
    unjudged
}

/// Whether the point is the usual place of a unit that does not run, and that is followed
/// where it ran.
fn is_elsewhere<K: Kernel>(
    host: &Host<'_, K>,
    attach: &Attach,
    point: &Point,
    judged: &[&Point],
) -> bool {
    let (Attach::Unit { name }, Point::Followed { path, direction: way, .. }) = (attach, point)
    else {
        return false;
    };
    let is_of_unit = |other: &&Point| match other {
        Point::Followed { path, direction, .. } => {
            direction == way && path.file_name() == Some(name.as_ref())
        }
        _ => false,
    };
    let is_absent = host.kernel.cgroup_id(path).is_err_and(|error| error.is(errno::ENOENT));
    is_absent && judged.iter().any(is_of_unit)
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
    for Place { point, mechanism, judges } in places::of(host, name, attach)? {
        if let Some(program) = program(&point.kind(), judges) {
            let subject = subject.map(|subject| (subject.name.clone(), subject.row));
            found.push(Wanted { point, mechanism, subject, program });
        }
    }
    if found.is_empty() {
        let kind = match attach {
            Attach::Tc(_) | Attach::Clsact(_) | Attach::Netns { .. } | Attach::Host { .. } => "tc",
            Attach::Xdp(_) => "xdp",
            Attach::Cgroup { .. } | Attach::Unit { .. } => "cgroup_skb",
        };
        return Err(Error::NoProgram { subject: name.to_owned(), kind });
    }
    Ok(found)
}

fn subject<'a>(artifact: &'a Artifact, name: &str) -> Result<&'a Subject, Error> {
    artifact
        .manifest()
        .subjects
        .iter()
        .find(|subject| subject.name == name)
        .ok_or_else(|| Error::UnknownSubject { subject: name.to_owned() })
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
