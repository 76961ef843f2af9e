//! Network policy that cannot be wrong: selectors resolved to their namespace,
//! numbers parsed, lists told apart from their absence.
//!
//! The vocabulary is Cilium's (`pkg/policy/types/policyentry.go`,
//! `pkg/policy/api`): a rule has a subject and entries; an entry has a tier, a
//! priority, a verdict, peers and ports.

use std::net::IpAddr;

use ipnet::IpNet;
use policyc_base::Origin;

use crate::labels::LabelSelector;

/// Whose reading of a policy is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Dialect {
    /// Cilium 1.20.
    #[default]
    Cilium120,
    /// Cilium 1.19: a bare address is a CIDR.
    Cilium119,
    /// Kubernetes: an `ipBlock` may select pods.
    Kubernetes,
}

/// Which way, seen from the subject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// Packets the subject receives; the peer is the source.
    Ingress,
    /// Packets the subject sends; the peer is the destination.
    Egress,
}

impl Direction {
    /// Both, ingress first.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];
}

/// One value for each direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PerDirection<T> {
    /// For received packets.
    pub ingress: T,
    /// For sent packets.
    pub egress: T,
}

impl<T> PerDirection<T> {
    /// The value for `direction`.
    pub fn get(&self, direction: Direction) -> &T {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// The value for `direction`, to be changed.
    pub fn get_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }
}

/// What an entry says about the flows it matches. The order is the order in
/// which verdicts of one priority win: deny, allow, pass.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryVerdict {
    /// The flow is dropped.
    Deny,
    /// The flow is forwarded in this direction.
    Allow,
    /// The rest of this tier has no say.
    Pass,
}

/// A tier of entries; lower is asked first (`pkg/policy/types/policyentry.go`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tier(pub u8);

impl Tier {
    /// ClusterNetworkPolicy of tier Admin.
    pub const ADMIN: Self = Self(100);
    /// CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, NetworkPolicy.
    pub const NORMAL: Self = Self(200);
    /// ClusterNetworkPolicy of tier Baseline.
    pub const BASELINE: Self = Self(250);
    /// What the engine adds itself, such as allow-localhost.
    pub const DEFAULT: Self = Self(255);
}

/// Whom a rule is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// Workloads with these labels (`endpointSelector`, `podSelector`).
    Endpoints(LabelSelector),
    /// Hosts with these labels (`nodeSelector`).
    Nodes(LabelSelector),
}

/// A group of peers with a fixed meaning (`pkg/policy/api/entity.go`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "Cilium's names, reference in docs/coverage.md")]
pub enum Entity {
    All,
    World,
    WorldIpv4,
    WorldIpv6,
    Cluster,
    ClusterMesh,
    Host,
    RemoteNode,
    KubeApiserver,
    Init,
    Ingress,
    Health,
    Unmanaged,
    None,
}

impl Entity {
    /// Every entity with its name in a policy.
    pub const NAMES: &[(&'static str, Self)] = &[
        ("all", Self::All),
        ("world", Self::World),
        ("world-ipv4", Self::WorldIpv4),
        ("world-ipv6", Self::WorldIpv6),
        ("cluster", Self::Cluster),
        ("cluster-mesh", Self::ClusterMesh),
        ("host", Self::Host),
        ("remote-node", Self::RemoteNode),
        ("kube-apiserver", Self::KubeApiserver),
        ("init", Self::Init),
        ("ingress", Self::Ingress),
        ("health", Self::Health),
        ("unmanaged", Self::Unmanaged),
        ("none", Self::None),
    ];
}

/// One peer of an entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// Workloads, and reserved identities where the selector names `reserved:`.
    Endpoints(LabelSelector),
    /// Addresses of a prefix, but for the exceptions. Whether workloads are among
    /// them is the dialect's word.
    Cidr {
        /// The prefix; no host bits are set.
        net: IpNet,
        /// Prefixes inside it that are left out.
        except: Vec<IpNet>,
    },
    /// A fixed group.
    Entity(Entity),
    /// Nodes, by their labels.
    Nodes {
        /// Which.
        selector: LabelSelector,
        /// Whether the subject's own can be among them.
        own: bool,
    },
    /// Whoever the labels of CIDR groups speak of.
    CidrGroups {
        /// A selector of labels of the source `cidrgroup`. An address has those of the
        /// groups it is in; whoever is in none satisfies what asks for absence.
        selector: LabelSelector,
        /// Prefixes that are left out.
        except: Vec<IpNet>,
    },
    /// The backends of services.
    Services(ServiceSelector),
}

/// Which services a policy names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServiceSelector {
    /// The namespace; any if there is none.
    pub namespace: Option<String>,
    /// Which services of it.
    pub services: ServiceMatch,
}

/// How a policy names services.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ServiceMatch {
    /// By name.
    Name(String),
    /// By their labels.
    Labels(LabelSelector),
}

/// The peers of an entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Peers {
    /// No peer field was written: every peer.
    Any,
    /// One of these; an empty list matches nobody.
    OneOf(Vec<Peer>),
}

/// IP protocol numbers that policies can name.
pub mod protocol {
    /// ICMP, RFC 792.
    pub const ICMP: u8 = 1;
    /// IGMP, RFC 9776.
    pub const IGMP: u8 = 2;
    /// IPv4 in IPv4, RFC 2003.
    pub const IPIP: u8 = 4;
    /// TCP, RFC 9293.
    pub const TCP: u8 = 6;
    /// UDP, RFC 768.
    pub const UDP: u8 = 17;
    /// IPv6 in IPv4 or IPv6, RFC 2473.
    pub const IPV6: u8 = 41;
    /// Generic routing encapsulation, RFC 2784.
    pub const GRE: u8 = 47;
    /// Encapsulating security payload, RFC 4303.
    pub const ESP: u8 = 50;
    /// Authentication header, RFC 4302.
    pub const AH: u8 = 51;
    /// ICMPv6, RFC 4443.
    pub const ICMPV6: u8 = 58;
    /// VRRP, RFC 9568.
    pub const VRRP: u8 = 112;
    /// SCTP, RFC 9260.
    pub const SCTP: u8 = 132;
}

/// One protocol with a range of ports, or of types for ICMP and ICMPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortMatch {
    /// IP protocol number.
    pub protocol: u8,
    /// First destination port or ICMP type, host byte order.
    pub first: u16,
    /// Last destination port or ICMP type, inclusive.
    pub last: u16,
}

/// The ports of an entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Ports {
    /// No port field was written: every protocol and port.
    Any,
    /// One of these; an empty list matches nothing.
    OneOf(Vec<PortMatch>),
    /// One of these, some of which have names: what a name means depends on whose
    /// port it is.
    Named {
        /// Those that are numbers.
        numbers: Vec<PortMatch>,
        /// The others; not empty.
        names: Vec<NamedRange>,
    },
}

impl Ports {
    /// One of these numbers and names.
    pub fn of(numbers: Vec<PortMatch>, names: Vec<NamedRange>) -> Self {
        if names.is_empty() { Self::OneOf(numbers) } else { Self::Named { numbers, names } }
    }

    /// Those that are numbers; none where every port is meant.
    pub fn numbers(&self) -> &[PortMatch] {
        match self {
            Self::Any => &[],
            Self::OneOf(numbers) | Self::Named { numbers, .. } => numbers,
        }
    }

    /// Those that are names.
    pub fn names(&self) -> &[NamedRange] {
        match self {
            Self::Any | Self::OneOf(_) => &[],
            Self::Named { names, .. } => names,
        }
    }
}

/// Ports from one with a name on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamedRange {
    /// The first.
    pub port: PortName,
    /// The last, host byte order; if the first is not below, only the first is meant.
    pub end: u16,
}

impl NamedRange {
    /// What is meant where the name stands for a number, host byte order.
    pub fn from(&self, number: u16) -> PortMatch {
        PortMatch { protocol: self.port.protocol, first: number, last: self.end.max(number) }
    }
}

/// A port by name: what it means, the destination's own ports say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortName {
    /// IP protocol number.
    pub protocol: u8,
    /// The name, in lower case.
    pub name: String,
}

/// One allow, deny or pass.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// Which way.
    pub direction: Direction,
    /// Tier; lower first.
    pub tier: Tier,
    /// Priority in the tier; lower first. ClusterNetworkPolicy's priority times
    /// 100 plus the rule's index; 0 for all other kinds.
    pub priority: u32,
    /// What it says.
    pub verdict: EntryVerdict,
    /// About whom.
    pub peers: Peers,
    /// About what.
    pub ports: Ports,
    /// If it denies: that is reported and not enforced.
    pub audit: bool,
    /// Where it is written.
    pub origin: Origin,
}

/// What is done about a denied packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum DenyResponse {
    /// It is dropped, and nobody is told.
    #[default]
    Drop,
    /// A TCP connection is reset.
    Reset,
    /// ICMP says that the destination is unreachable, administratively.
    Unreachable,
}

impl DenyResponse {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Drop, Self::Reset, Self::Unreachable];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reset => "reset",
            Self::Unreachable => "unreachable",
        }
    }

    /// As it is written, of what answers.
    pub fn answer(self) -> Option<&'static str> {
        (self != Self::Drop).then_some(self.name())
    }
}

/// What a policy says about a rule by annotations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Manner {
    /// Number of the policy among those read: rules with one number are of one
    /// policy.
    pub policy: u32,
    /// Its default deny is reported and not enforced.
    pub audit: bool,
    /// What is done about packets that it denies.
    pub response: DenyResponse,
}

/// One rule: a subject and what is said about it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// Whom the rule is about.
    pub subject: Subject,
    /// Whether flows of the subject that nothing matches are denied.
    pub default_deny: PerDirection<bool>,
    /// What it says, in the order written.
    pub entries: Vec<Entry>,
    /// What its policy says about it by annotations.
    pub manner: Manner,
    /// Where the rule is written.
    pub origin: Origin,
}

/// One flow: what a policy judges.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Flow {
    /// Who sends.
    pub source: IpAddr,
    /// Who receives; of the same family.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port in host byte order, or the ICMP type; 0 for other protocols.
    pub port: u16,
}

/// Why a direction was allowed or denied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// An entry decided.
    Entry(Origin),
    /// The subject's own host may always reach it (allow-localhost).
    FromHost,
    /// The subject may always reach its own host, as a pod of Kubernetes may.
    ToHost,
    /// No entry matched and a rule that selects the subject sets default deny.
    DefaultDeny(Origin),
    /// No entry matched and nothing sets default deny.
    NoPolicy,
    /// The end of the flow in question is nobody's subject: not in the inventory.
    NotASubject,
}

/// The judgement of one direction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DirectionVerdict {
    /// Forwarded, or dropped.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// Why it would be dropped if every policy were enforced; only if it is forwarded
    /// because one is audited.
    pub audited: Option<Reason>,
    /// What is done about a packet that is dropped; [`DenyResponse::Drop`] if it is not.
    pub response: DenyResponse,
}

/// What becomes of a flow, in Hubble's words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fate {
    /// Both ends forward it.
    Forwarded,
    /// One end drops it.
    Dropped,
    /// Both ends forward it, and one only because a policy is audited.
    Audited,
}

impl Fate {
    /// `FORWARDED`, `DROPPED`, `AUDIT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "FORWARDED",
            Self::Dropped => "DROPPED",
            Self::Audited => "AUDIT",
        }
    }

    /// Of what one end, or both, say: whether it forwards, and whether that is because
    /// a policy is audited.
    pub const fn of(allowed: bool, audited: bool) -> Self {
        match (allowed, audited) {
            (false, _) => Self::Dropped,
            (true, true) => Self::Audited,
            (true, false) => Self::Forwarded,
        }
    }
}

/// The judgement of a flow: both directions must allow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Verdict {
    /// Egress of the source.
    pub egress: DirectionVerdict,
    /// Ingress of the destination.
    pub ingress: DirectionVerdict,
}

impl Verdict {
    /// Whether the flow is forwarded.
    pub const fn allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }

    /// What becomes of the flow.
    pub const fn fate(&self) -> Fate {
        let audited = self.egress.audited.is_some() || self.ingress.audited.is_some();
        Fate::of(self.allowed(), audited)
    }
}
