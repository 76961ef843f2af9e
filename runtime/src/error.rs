//! Why a command did not do what it was asked, and what helps.
//!
//! Guarantees: unless it is [`Error::AfterFlip`] or [`Error::HalfPatched`], what was live
//! stays live and nothing of the command is left.

use std::net::IpAddr;
use std::path::PathBuf;

use policyc_bpf::Direction;
use policyc_bpf::sets::{Prefix, TooManySets};
use policyc_sys::host::Capability;
use policyc_sys::{SysError, errno};

use crate::point::Point;

/// Why a command failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process lacks privileges.
    #[error("missing privilege: {}", names(.0))]
    Privileges(Vec<Capability>),
    /// Another command is at work.
    #[error("another command is at work: {holder}")]
    Locked {
        /// What it wrote into the lock.
        holder: String,
    },
    /// There is no BPF file system to pin in.
    #[error("no BPF file system at `{}`: {error}", .path.display())]
    NoBpffs {
        /// Where it was looked for.
        path: PathBuf,
        /// Why it could not be mounted.
        error: SysError,
    },
    /// A binding names a subject the artifact has no policy for.
    #[error("the artifact has no subject `{subject}`")]
    UnknownSubject {
        /// Its name in the bindings.
        subject: String,
    },
    /// A binding names an interface that is not there.
    #[error("no interface `{interface}`{} for `{subject}`: {error}", in_netns(.netns.as_ref()))]
    NoInterface {
        /// Who is bound to it.
        subject: String,
        /// Its name.
        interface: String,
        /// Its network namespace.
        netns: Option<PathBuf>,
        /// What the kernel said.
        error: Box<SysError>,
    },
    /// A place where answers would be dropped, because nobody sees what they answer.
    #[error(
        "{point} sees no {} of `{subject}`, whose policy denies by default: answers to it \
         would be dropped",
        match unseen { Direction::Ingress => "ingress", Direction::Egress => "egress" }
    )]
    Unanswered {
        /// Whose policy.
        subject: String,
        /// Where it is bound, in words.
        point: String,
        /// The direction that nobody sees there.
        unseen: Direction,
    },
    /// A place where a direction that the policy restricts would pass unjudged.
    #[error(
        "{point} judges no {} of `{subject}`, which its policy restricts",
        match direction { Direction::Ingress => "ingress", Direction::Egress => "egress" }
    )]
    Unjudged {
        /// Who is bound there.
        subject: String,
        /// The place.
        point: String,
        /// The direction, seen from the subject.
        direction: Direction,
    },
    /// A binding names an interface whose packets go past the hooks.
    #[error("interface `{interface}` of `{subject}` is a {kind} device, which bypasses tc and xdp")]
    Bypassed {
        /// Who is bound to it.
        subject: String,
        /// Its name.
        interface: String,
        /// Its kind.
        kind: String,
    },
    /// A binding names an interface whose packets do not begin with an Ethernet
    /// header, which the programs read.
    #[error("interface `{interface}` of `{subject}` has no Ethernet headers (ARPHRD {hardware})")]
    NotEthernet {
        /// Who is bound to it.
        subject: String,
        /// Its name.
        interface: String,
        /// `ARPHRD_*`
        hardware: u16,
    },
    /// A binding names a cgroup that is not there.
    #[error("no cgroup `{}` for `{subject}`: {error}", .path.display())]
    NoCgroup {
        /// Who is bound to it.
        subject: String,
        /// Its directory.
        path: PathBuf,
        /// What the kernel said.
        error: SysError,
    },
    /// A path of a cgroup is too long to be followed.
    #[error("the path of cgroup `{}` is too long to be followed", .path.display())]
    LongPath {
        /// The path.
        path: PathBuf,
    },
    /// A binding names a network namespace that is not there.
    #[error("no network namespace `{}` for `{subject}`: {error}", .path.display())]
    NoNetns {
        /// Who is bound to it.
        subject: String,
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        error: Box<SysError>,
    },
    /// A cgroup cannot be followed.
    #[error("cgroups cannot be followed by their paths: {error}")]
    CannotFollow {
        /// What the kernel said.
        error: SysError,
    },
    /// A binding names what is not the name of a systemd unit.
    #[error("`{unit}` of `{subject}` is not the name of a unit that has a cgroup")]
    NotAUnit {
        /// Who is bound to it.
        subject: String,
        /// What it says.
        unit: String,
    },
    /// A binding names a unit that has several cgroups.
    #[error("unit `{unit}` of `{subject}` is at {} and at {}", .first.display(), .second.display())]
    TwoUnits {
        /// Who is bound to it.
        subject: String,
        /// Its name.
        unit: String,
        /// A cgroup of that name.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// A cgroup is to be judged at one that is not above it.
    #[error("cgroup `{}` of `{subject}` is not below `{}`", .path.display(), .at.display())]
    NotBelow {
        /// Who is bound.
        subject: String,
        /// The cgroup.
        path: PathBuf,
        /// Where it is to be judged.
        at: PathBuf,
    },
    /// Nothing to attach to.
    #[error("{place} has no interface to judge `{subject}` at")]
    NoInterfaces {
        /// Who is bound.
        subject: String,
        /// Where: a network namespace, or the host.
        place: String,
    },
    /// The artifact has no program for the way a binding attaches.
    #[error("the artifact has no {kind} program, which the binding of `{subject}` needs")]
    NoProgram {
        /// Who is bound.
        subject: String,
        /// `tc`, `xdp`, `cgroup_skb`.
        kind: &'static str,
    },
    /// Two bindings meet in one place.
    #[error("`{first}` and `{second}` are both bound to {point}")]
    SamePoint {
        /// One subject.
        first: String,
        /// The other.
        second: String,
        /// The place.
        point: Box<Point>,
    },
    /// There are more attach points than the artifact has room for.
    #[error("{points} attach points do not fit: the artifact has room for {room}")]
    TooManyPoints {
        /// How many there are, with those of the generation before.
        points: u32,
        /// Entries of the artifact's `subjects`.
        room: u32,
    },
    /// The artifact has a map that this release cannot fill or make.
    #[error("map `{map}` of the artifact {reason}")]
    Map {
        /// Its name.
        map: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A map that is kept across generations has another shape.
    #[error("map `{map}` at `{}` is kept across generations and differs: {difference}", .path.display())]
    SharedMap {
        /// Its name.
        map: String,
        /// Where it is pinned.
        path: PathBuf,
        /// In what.
        difference: String,
    },
    /// Types and lines for the kernel could not be written.
    #[error("the artifact's debug information cannot be written: {0}")]
    DebugInfo(String),
    /// The kernel refused a program.
    #[error("program `{program}` was refused: {error}")]
    Load {
        /// Its name.
        program: String,
        /// With the verifier's log.
        error: SysError,
    },
    /// A program returned in its dry run what no program of its kind may.
    #[error("program `{program}` returned {retval} in its dry run, which is no verdict")]
    DryRun {
        /// Its name.
        program: String,
        /// What it returned.
        retval: u32,
    },
    /// A gate could not be attached.
    #[error("cannot attach to {point}: {error}")]
    Attach {
        /// Where.
        point: Box<Point>,
        /// What the kernel said.
        error: SysError,
    },
    /// The last generation waits for its confirmation.
    #[error("generation {generation} waits for its confirmation, {seconds} s more")]
    Pending {
        /// Its number.
        generation: u64,
        /// Seconds until it is rolled back.
        seconds: u64,
    },
    /// A generation cannot be brought back without its copy.
    #[error("the copy of generation {generation} is gone")]
    NoCopy {
        /// Its number.
        generation: u64,
    },
    /// A generation cannot be gone back to.
    #[error(
        "generation {generation} {}",
        if *is_live { "is live" } else { "cannot be gone back to: no copy of it is kept" }
    )]
    NotKept {
        /// Its number.
        generation: u64,
        /// Whether it is the one that is live.
        is_live: bool,
        /// Those that can be gone back to, newest first.
        kept: Vec<u64>,
    },
    /// A generation could not be brought back, and its places could not be closed.
    #[error("{reason}; and what it judged could not be closed: {error}")]
    NotClosed {
        /// Why it could not be brought back.
        reason: Box<Error>,
        /// Why it could not be closed.
        error: Box<Error>,
    },
    /// No generation is live that more could be attached to.
    #[error("nothing is live to be attached")]
    NothingLive,
    /// The live generation has no such rule that denies.
    #[error(
        "{} denies nothing in the live generation{}",
        rule_of(.policy, .rule.as_ref()), what_denies(.others)
    )]
    DeniesNothing {
        /// The policy's name.
        policy: String,
        /// The rule's path, if one was named.
        rule: Option<String>,
        /// What might have been meant: the policy's rules, or else the policies.
        others: Vec<String>,
    },
    /// Several policies have the name of the one that is to be audited.
    #[error("several policies of the live generation are called `{policy}`")]
    Namesakes {
        /// The name.
        policy: String,
    },
    /// An audit that is to end was never begun, or is over.
    #[error("{} is not audited", rule_of(.policy, .rule.as_ref()))]
    NotAudited {
        /// The policy's name.
        policy: String,
        /// The rule's path, if one was named.
        rule: Option<String>,
    },
    /// There is nothing to confirm or to roll back.
    #[error("no generation waits for its confirmation")]
    NothingPending,
    /// A confirmation came after its deadline.
    #[error("the confirmation came too late: generation {generation} was rolled back")]
    TooLate {
        /// The one that was rolled back.
        generation: u64,
    },
    /// There are pins, and no journal that knows them.
    #[error("`{}` has pins that the journal in `{}` does not know", .pins.display(), .state.display())]
    ForeignPins {
        /// Where the pins are.
        pins: PathBuf,
        /// The state directory.
        state: PathBuf,
    },
    /// The journal is about pins that are not the ones here.
    #[error("the journal in `{}` is about the pins in `{}`, and those are not here", .state.display(), .pins.display())]
    OtherPins {
        /// Where the journal's pins are.
        pins: PathBuf,
        /// The state directory.
        state: PathBuf,
    },
    /// Gates are attached where they cannot be found any more.
    #[error("cannot find {}: it passes everything now, and its slots are kept", .gates.join(", "))]
    Unseen {
        /// Where they are, or which pins.
        gates: Vec<String>,
    },
    /// The journal cannot be read.
    #[error("the journal `{}` cannot be read: {reason}", .path.display())]
    Journal {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What is known of groups that change cannot be read.
    #[error("`{}` cannot be read: {reason}", path.display())]
    Members {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Members were being changed, and what was done could not be undone.
    #[error("some members are changed and others not: {error}")]
    HalfPatched {
        /// What failed.
        error: Box<Error>,
    },
    /// The artifact could not be copied into the state directory.
    #[error("the artifact cannot be stored: {0}")]
    Artifact(String),
    /// The kernel has no event ring to read.
    #[error("nothing to observe: {0}")]
    NoEvents(&'static str),
    /// What is live follows no group of this kind.
    #[error("what is live has no run-time set of this id")]
    NoSet,
    /// An address would be in more sets than a packet is judged by.
    #[error("{0}")]
    TooManySets(TooManySets),
    /// Sets would have more members than there is room for.
    #[error("run-time sets would have {members} members, and {room} is the most")]
    TooManyMembers {
        /// How many.
        members: usize,
        /// Room for them.
        room: u32,
    },
    /// An address would be two workloads'.
    #[error("`{address}` would be the address of `{first}` and of `{second}`")]
    TwoWorkloads {
        /// The address.
        address: Prefix,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// What is said of an address is in the tables.
    #[error("`{address}` cannot be of `{group}`: it is the backend of a service")]
    Barred {
        /// The group or workload.
        group: String,
        /// The address.
        address: IpAddr,
    },
    /// There is no table of connections.
    #[error("no connections are kept: {0}")]
    NoConnections(&'static str),
    /// Another process reads the events.
    #[error("somebody observes already: each event can be read once")]
    Observed,
    /// A system call failed.
    #[error("cannot {doing}: {error}")]
    Sys {
        /// What for.
        doing: &'static str,
        /// What failed.
        error: SysError,
    },
    /// The new generation is live, and something failed after that.
    #[error("generation {generation} is live, but cleaning up failed: {error}")]
    AfterFlip {
        /// Its number.
        generation: u64,
        /// What failed.
        error: Box<Error>,
    },
}

impl Error {
    pub(crate) fn sys(doing: &'static str, error: SysError) -> Self {
        Self::Sys { doing, error }
    }

    /// The kernel's own log, where there is one.
    pub fn log(&self) -> Option<&str> {
        let error = match self {
            Self::AfterFlip { error, .. } | Self::HalfPatched { error } => return error.log(),
            Self::NotClosed { reason, .. } => return reason.log(),
            Self::NoInterface { error, .. } | Self::NoNetns { error, .. } => error,
            Self::NoBpffs { error, .. }
            | Self::NoCgroup { error, .. }
            | Self::CannotFollow { error }
            | Self::Load { error, .. }
            | Self::Attach { error, .. }
            | Self::Sys { error, .. } => error,
            _ => return None,
        };
        (!error.log.is_empty()).then_some(error.log.as_str())
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Privileges(_) => "run as root, or grant the capability to the process",
            Self::Locked { .. } => "wait for it to end",
            Self::NoBpffs { .. } => "mount it: `mount -t bpf bpf /sys/fs/bpf`",
            Self::UnknownSubject { .. } => {
                "name a subject of the artifact (`policyc dump` lists them), or build with an \
                 inventory that has it"
            }
            Self::NoInterface { error, .. } | Self::NoNetns { error, .. }
                if error.is(errno::EPERM) =>
            {
                "run as root, or grant CAP_SYS_ADMIN: entering a network namespace needs it"
            }
            Self::NoInterface { .. } => "correct the binding, or bring the interface up first",
            Self::Unjudged { .. } | Self::Unanswered { .. } => {
                "bind the interface by `tc`, beside or instead of `xdp`: XDP sees only what an \
                 interface receives"
            }
            Self::Bypassed { .. } => "bind the subject by its cgroup, or use a veth pair",
            Self::NotEthernet { .. } => {
                "bind the subject by its cgroup; tc and xdp bindings take Ethernet interfaces and \
                 the loopback"
            }
            Self::LongPath { .. } => "name one of at most 253 bytes below the mount",
            Self::CannotFollow { .. } => {
                "this needs tracefs and the host's own cgroup namespace; else bind the cgroup \
                 itself (`cgroup: {path: …}`), and apply again after each restart"
            }
            Self::NotKept { kept, .. } if kept.is_empty() => {
                "there is no other to go back to: apply an artifact"
            }
            Self::NotKept { .. } => "`policyc history` says which are kept",
            Self::NoCopy { .. } => "apply the artifact again",
            Self::NotClosed { .. } => {
                "nothing is judged: make room in the state directory if it is full, apply the \
                 artifact again, or take the network down"
            }
            Self::NotAUnit { .. } => "write its full name: `billing.service`",
            Self::TwoUnits { .. } => "bind the cgroup by its path: `cgroup: {path: …, at: …}`",
            Self::NotBelow { .. } => "name a directory above it, which stays",
            Self::NoNetns { .. } => "correct the binding, or make the namespace first",
            Self::NoInterfaces { .. } => "bring one up first, or bind interfaces by name",
            Self::NoCgroup { .. } => "name a directory of the cgroup version 2 hierarchy",
            Self::NoProgram { .. } => "build the artifact for this hook, or bind another way",
            Self::SamePoint { .. } => "give each subject an attach point of its own",
            Self::TooManyPoints { .. } => {
                "bind fewer interfaces and cgroups on this host: an interface by `tc` has two, \
                 its ingress and its egress"
            }
            Self::Map { .. } | Self::DebugInfo(_) | Self::DryRun { .. } | Self::Artifact(_) => {
                "this is a bug in policyc, or an artifact of another release: build it again"
            }
            Self::SharedMap { .. } => {
                "what is in it cannot be kept: `policyc remove`, after which nothing is judged, and apply \
                 again at once"
            }
            Self::Load { .. } => {
                "verify the artifact for this kernel: `policyc verify`; the log names the YAML line"
            }
            Self::Attach { point, error } => attach_help(point, error),
            Self::Pending { .. } => "`policyc confirm` or `policyc rollback` first",
            Self::NothingLive => "`policyc apply` first",
            Self::DeniesNothing { .. } => {
                "name a policy as `policyc observe` does, `namespace/name`, and its rule by the path \
                 behind it"
            }
            Self::Namesakes { .. } => {
                "give one of them another name and apply again, or audit one by its annotation"
            }
            Self::NotAudited { .. } => "`policyc audit` lists what is",
            Self::NothingPending => "`policyc status` shows what is live",
            Self::TooLate { .. } => "apply again, and confirm in time",
            Self::ForeignPins { .. } => {
                "name the state directory that was used, or `policyc remove --all`"
            }
            Self::OtherPins { .. } => {
                "name the journal's `--pins`, outside of `ip netns exec` and other mount \
                 namespaces; if its BPF file system was unmounted, `policyc remove --all`"
            }
            Self::Unseen { .. } => {
                "give the command again where a process or `ip netns` name leads to the network \
                 namespace, or when that is gone"
            }
            Self::Journal { .. } => "`policyc remove --all` starts afresh",
            Self::Members { .. } => {
                "remove the file: groups then begin with what the artifact says of them"
            }
            Self::HalfPatched { .. } => "`policyc patch` again finishes it, and so does `apply`",
            Self::Observed => "end the other `policyc observe`",
            Self::NoSet => "build the artifact with a policy that names the group, and apply it",
            Self::TooManySets(_) | Self::TooManyMembers { .. } => {
                "give fewer prefixes, or put groups together; nothing was changed"
            }
            Self::TwoWorkloads { .. } => "give both workloads as they are now; nothing was changed",
            Self::Barred { .. } => "leave the address out, or build with it as it is now",
            Self::NoConnections(_) => "apply an artifact with network policy first",
            Self::NoEvents(_) => "apply an artifact that reports events",
            Self::Sys { error, .. } if error.is(errno::EPERM) => {
                "run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
            }
            Self::Sys { .. } => {
                "the kernel's word is in the message; `policyc status` shows what is live, and the \
                 next command tidies"
            }
            Self::AfterFlip { .. } => "the next command tidies up; `policyc status` shows the rest",
        }
    }
}

fn rule_of(policy: &str, rule: Option<&String>) -> String {
    rule.map_or_else(|| format!("`{policy}`"), |rule| format!("`{rule}` of `{policy}`"))
}

/// What denies, as far as it fits a line.
fn what_denies(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match (shown.is_empty(), names.len() > SHOWN) {
        (true, _) => String::new(),
        (false, true) => format!("; what denies: {} and others", shown.join(", ")),
        (false, false) => format!("; what denies: {}", shown.join(", ")),
    }
}

fn attach_help(point: &Point, error: &SysError) -> &'static str {
    match error.errno {
        // The kernel says the same to who may not attach; that was checked.
        errno::EPERM if matches!(point, Point::CgroupSkb { .. }) => {
            "a program is attached to this cgroup or one above that allows no other \
             (`bpftool cgroup tree`)"
        }
        errno::EINVAL if error.call == "RTM_NEWTFILTER" => {
            "priority 1 of the clsact qdisc has filters of another kind or protocol \
             (`tc filter show`); move them behind"
        }
        errno::EBUSY | errno::EEXIST => {
            "another program is attached there that shares with nobody; policyc leaves it alone"
        }
        errno::ENODEV => "the interface went away; apply again when it is back",
        errno::EINVAL => "`policyc profile` shows what this kernel can attach",
        errno::EPERM => "run as root, or grant CAP_NET_ADMIN, and CAP_PERFMON for tracing",
        _ => "`policyc profile` shows what this host can attach",
    }
}

/// Says what a system call was for.
pub(crate) trait OrDoing<T> {
    fn or_doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> OrDoing<T> for Result<T, SysError> {
    fn or_doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::sys(doing, error))
    }
}

fn names(missing: &[Capability]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn in_netns(netns: Option<&PathBuf>) -> String {
    netns.map(|path| format!(" in `{}`", path.display())).unwrap_or_default()
}
