//! Whether some place lets pass unjudged what its subject's policy restricts.
//!
//! XDP sees only what an interface receives. Where the policy of whoever is bound
//! there also denies packets of the other direction, a binding by XDP alone would
//! leave those packets alone without a word.

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
/// is judged by nobody.
pub(super) fn refuse_unjudged(artifact: &Artifact, wanted: &[Wanted]) -> Result<(), Error> {
    let subjects = artifact.manifest().subjects.iter();
    let subjects: BTreeMap<&str, &Subject> = subjects.map(|s| (s.name.as_str(), s)).collect();
    for place in wanted {
        let Some((name, _)) = &place.subject else { continue };
        let restricts = subjects.get(name.as_str()).map_or(&[][..], |subject| &subject.restricts);
        for direction in restricts {
            let judged = |other: &Wanted| {
                other.subject == place.subject
                    && whole(&other.point) == whole(&place.point)
                    && artifact.object().programs[other.program].judges == judges(*direction)
            };
            if !wanted.iter().any(judged) {
                let (subject, point) = (name.clone(), place.point.to_string());
                return Err(Error::Unjudged { subject, point, direction: *direction });
            }
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

const fn judges(direction: Direction) -> Judges {
    match direction {
        Direction::Ingress => Judges::Ingress,
        Direction::Egress => Judges::Egress,
    }
}
