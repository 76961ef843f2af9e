//! What host and guest say to each other.
//!
//! The host packs a list of steps ([`PLAN`]), artifacts and kernel modules. The
//! guest does the steps and says what it saw, a message of JSON for each; it
//! judges nothing. The tests of virtual machines read this file too.

use serde::{Deserialize, Serialize};

/// Name of the file with the steps.
pub(crate) const PLAN: &str = "plan.json";
/// Name of the file with what was in the state directory of another machine: [`Kept`].
pub(crate) const STATE: &str = "state.json";

/// One thing to do. Whatever goes live is removed at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Step {
    /// What `policyc profile` finds out.
    Profile,
    /// `deny-echo` and `allow-all` in turns, by `tc`.
    Tc,
    /// The same by `clsact`, whatever else the kernel has.
    Clsact,
    /// `packet-of-death` by XDP on an interface whose driver has it.
    Xdp,
    /// The same on one whose driver has not.
    XdpGeneric,
    /// The same on a cgroup.
    Cgroup,
    /// The same on a cgroup that is followed by its path.
    Followed,
    /// The same on what the right takes for itself.
    Host,
    /// `deny-echo` by `tc`, which stays live until the machine ends.
    BeforeBoot,
    /// What stayed is restored on the next machine.
    Restore,
    /// The same with a copy that cannot be read, closed then.
    RestoreSpoilt,
    /// `exec`, by the tracepoint.
    Exec,
    /// `exec-raw`, by the raw tracepoint.
    ExecRaw,
}

/// What came of a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// Of [`Step::Profile`].
    Profile {
        /// The profile, with the tracepoints that the tests use.
        profile: String,
        /// What could not be attached, and why.
        missing: Vec<String>,
    },
    /// Of [`Step::Tc`] and [`Step::Clsact`].
    Swapped(Swapped),
    /// Of [`Step::Xdp`], [`Step::XdpGeneric`], [`Step::Cgroup`], [`Step::Followed`] and [`Step::Host`].
    Filtered(Filtered),
    /// Of [`Step::Exec`] and [`Step::ExecRaw`].
    Reported {
        /// The program that was run and its arguments.
        ran: Vec<String>,
        /// Its process id.
        pid: u32,
        /// The records of the ring, in hexadecimal digits.
        records: Vec<String>,
        /// What was left after `remove`.
        left: Vec<String>,
    },
    /// Of [`Step::BeforeBoot`].
    Kept {
        /// Whether pings were answered before, and not any more when it was live.
        enforced: bool,
        /// What is in the state directory.
        state: Vec<Kept>,
    },
    /// Of [`Step::Restore`] and [`Step::RestoreSpoilt`].
    AfterBoot(AfterBoot),
    /// A step could not be done.
    Failed(String),
}

/// A file of the state directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// From the directory on.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) contents: Vec<u8>,
}

/// A generation after a boot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AfterBoot {
    /// What came of the first `restore`.
    pub(crate) first: String,
    /// What came of it once more, when the network was there; empty if it was before.
    pub(crate) again: String,
    /// Whether a ping and a datagram are answered then.
    pub(crate) answers: (bool, bool),
    /// Whether something is not as it was put.
    pub(crate) drift: bool,
    /// The generation that could not be restored.
    pub(crate) stands_for: Option<u64>,
    /// Whether pings are answered after `remove`.
    pub(crate) open: bool,
    /// What was left after `remove`.
    pub(crate) left: Vec<String>,
}

/// Two policies in turns, under traffic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Swapped {
    /// How each gate was attached, each once: `tcx`, `clsact`.
    pub(crate) mechanisms: Vec<String>,
    /// Generations that went live.
    pub(crate) generations: u32,
    /// Generations under which a ping was not what its policy says.
    pub(crate) wrong: Vec<String>,
    /// Numbered datagrams that were sent all along, and should pass.
    pub(crate) sent: u64,
    /// Of those that did not come back, what was going on: the generation that came
    /// or was live; one more than there are at `remove`.
    pub(crate) lost: Vec<u32>,
    /// Whether the last generation was not as it had been put.
    pub(crate) drift: bool,
    /// Whether pings are answered before anything is live, and after `remove`.
    pub(crate) outside: (bool, bool),
    /// What was left after `remove`.
    pub(crate) left: Vec<String>,
    /// How long the median `apply` took, in milliseconds.
    pub(crate) apply_ms: u64,
}

/// A policy that drops one port, seen at that port and its neighbour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Filtered {
    /// How XDP is attached: `driver`, `generic`; empty elsewhere.
    pub(crate) mode: String,
    /// Answers of the port and its neighbour before anything is live.
    pub(crate) before: (bool, bool),
    /// While the policy is live.
    pub(crate) live: (bool, bool),
    /// After `remove`.
    pub(crate) after: (bool, bool),
    /// Whether the generation was not as it had been put.
    pub(crate) drift: bool,
    /// What was left after `remove`.
    pub(crate) left: Vec<String>,
}
