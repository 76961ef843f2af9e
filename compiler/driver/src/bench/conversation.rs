//! Connections that packets are of, or are not, when they are measured.
//!
//! What is measured is the same segment in all cases: one of a peer with data to come.
//! Does not know: how packets are run.

use policyc_policy::network::{Direction, Flow};

use crate::engine::frame::SOURCE_PORT;
use crate::witness::wire::{Segment, Wire, frame_of};

/// TCP flags.
const SYN: u8 = 2;
const SYN_ACK: u8 = 18;
const ACK: u8 = 16;

/// Whose connection a segment of a peer is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Conversation {
    /// Nobody's: policy is asked, and nothing is remembered.
    None,
    /// The peer's: policy is asked, and it is kept alive.
    Established,
    /// The subject's: it is a reply.
    Reply,
}

impl Conversation {
    pub(super) const ALL: [Self; 3] = [Self::None, Self::Established, Self::Reply];

    /// The name of its row.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::None => "no connection",
            Self::Established => "established",
            Self::Reply => "reply",
        }
    }

    /// The packets that come before it, of a flow to the subject.
    pub(super) fn before(self, flow: &Flow) -> Vec<(Direction, Vec<u8>)> {
        let opens = match self {
            Self::None => return Vec::new(),
            Self::Established => Direction::Ingress,
            Self::Reply => Direction::Egress,
        };
        let asked = match opens {
            Direction::Ingress => wire(flow),
            Direction::Egress => wire(flow).reply(),
        };
        let other = match opens {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        let steps = [
            (opens, with(asked.clone(), SYN)),
            (other, with(asked.clone().reply(), SYN_ACK)),
            (opens, with(asked, ACK)),
        ];
        steps.into_iter().map(|(direction, wire)| (direction, frame_of(&wire, direction))).collect()
    }
}

/// The segment that is measured.
pub(super) fn segment(flow: &Flow) -> Vec<u8> {
    frame_of(&with(wire(flow), ACK), Direction::Ingress)
}

fn wire(flow: &Flow) -> Wire {
    Wire { own: flow.destination, ..Wire::tcp(flow.source, SOURCE_PORT, flow.port) }
}

fn with(wire: Wire, flags: u8) -> Wire {
    Wire { segment: Segment::tcp(flags), ..wire }
}
