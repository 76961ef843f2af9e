//! Whether some place lets pass unjudged what its subject's policy restricts.
//!
//! XDP sees only what an interface receives. Where the policy of whoever is bound
//! there also denies packets of the other direction, a binding by XDP alone would
//! leave those packets alone without a word. And where it denies by default what is
//! received, answers to what was sent are strangers to who does not see it sent.

use std::collections::BTreeMap;
use std::path::Path;

use policyc_bpf::{Artifact, Direction, Judges, Subject};

use super::resolve::Wanted;
use crate::error::Error;
use crate::point::Point;

/// An interface or a cgroup, whatever the direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole<'a> {
    Interface { namespace: (u64, u64), index: u32 },
    Cgroup(u64),
    Followed(&'a Path),
}

/// Refuses the first place at which a direction that its subject's policy restricts
/// is judged by nobody, or at which nobody sees what is answered.
pub(super) fn refuse_unjudged(artifact: &Artifact, wanted: &[Wanted]) -> Result<(), Error> {
    let subjects = artifact.manifest().subjects.iter();
    let subjects: BTreeMap<&str, &Subject> = subjects.map(|s| (s.name.as_str(), s)).collect();
    for place in wanted {
        let Some((name, _)) = &place.subject else { continue };
        let Some(subject) = subjects.get(name.as_str()) else { continue };
        let judges_here = |other: &Wanted| artifact.object().programs[other.program].judges;
        let is_judged = |direction| {
            wanted.iter().any(|other| {
                other.subject == place.subject
                    && whole(&other.point) == whole(&place.point)
                    && judges_here(other) == judges(direction)
            })
        };
        let (name, point) = (name.clone(), place.point.to_string());
        if let Some(direction) = subject.restricts.iter().find(|way| !is_judged(**way)) {
            return Err(Error::Unjudged { subject: name, point, direction: *direction });
        }
        let mut closed = subject.denies_by_default.iter();
        if let Some(direction) =
            closed.find(|way| judges_here(place) == judges(**way) && !is_judged(opposite(**way)))
        {
            let unseen = opposite(*direction);
            return Err(Error::Unanswered { subject: name, point, unseen });
        }
    }
    Ok(())
}

/// `None` for hooks of tracing.
fn whole(point: &Point) -> Option<Whole<'_>> {
    match point {
        Point::Tc { interface, .. } | Point::Host { interface, .. } | Point::Xdp { interface } => {
            Some(Whole::Interface { namespace: interface.namespace, index: interface.index })
        }
        Point::CgroupSkb { id, .. } => Some(Whole::Cgroup(*id)),
        Point::Followed { path, .. } => Some(Whole::Followed(path)),
        Point::RawTracepoint { .. } | Point::Tracepoint { .. } => None,
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

const fn judges(direction: Direction) -> Judges {
    match direction {
        Direction::Ingress => Judges::Ingress,
        Direction::Egress => Judges::Egress,
    }
}
