//! What is measured: every metric's name, type and meaning.
//!
//! A name is for good: dashboards and alerts ask for it. Conventions:
//! <https://prometheus.io/docs/practices/naming/>.

/// A metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What it says, on one line.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It grows, and begins anew with a generation or a boot.
    Counter,
    /// It goes up and down.
    Gauge,
}

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(pub(super) const $id: Family =
            Family { name: $name, kind: Kind::$kind, help: $help };)*

        /// All of them, in the order in which they are written.
        pub const FAMILIES: &[Family] = &[$($id),*];
    };
}

families! {
    BUILD: Gauge "policyc_build_info", "The command that looked: 1.";
    LIVE: Gauge "policyc_live", "Whether a generation is live: 1 or 0.";
    GENERATION: Gauge "policyc_generation", "Number of the generation that is live.";
    GENERATION_INFO: Gauge "policyc_generation_info",
        "What is live: the artifact's name and digest, and the verdict of unknown subjects: 1.";
    SINCE: Gauge "policyc_generation_start_time_seconds",
        "When the live generation was applied, in seconds since 1970; its age is time() less this.";
    PENDING: Gauge "policyc_confirmation_pending",
        "Whether the live generation goes back by itself unless it is confirmed: 1 or 0.";
    REMAINING: Gauge "policyc_confirmation_remaining_seconds",
        "How much longer a confirmation is awaited; 0 if none is.";
    IS_LOST: Gauge "policyc_generation_lost",
        "Whether a generation was live and its pins are gone, as after a boot: 1 or 0.";
    CLOSED: Gauge "policyc_denies_everything",
        "Whether everything is denied because a generation could not be restored: 1 or 0.";
    UNTIDY: Gauge "policyc_interrupted",
        "Whether a command was interrupted and the next one has to tidy up: 1 or 0.";
    POINTS: Gauge "policyc_attach_points", "Attach points at which the live generation judges.";
    DRIFTED: Gauge "policyc_attach_points_drifted",
        "Attach points that are not as they were put.";
    UNJUDGED: Gauge "policyc_attach_points_unjudged",
        "Places that are bound and not judged, because they came later.";
    DRIFT: Gauge "policyc_attach_point_drifted",
        "Whether an attach point is not as it was put: 1 or 0.";
    AUDITS: Gauge "policyc_audits",
        "Policies and rules that are reported instead of enforced for a time.";
    PACKETS: Counter "policyc_packets_total",
        "Packets by the rule that decided, since its generation went live; while a rule is audited live, its denials are counted as DROPPED though they pass.";
    BYTES: Counter "policyc_packet_bytes_total", "Bytes of the packets of policyc_packets_total.";
    DROPS: Counter "policyc_drops_total", "Packets of policyc_packets_total that were denied, by reason.";
    EVENTS: Counter "policyc_hook_events_total",
        "Events of hooks by the rule that decided, since its generation went live.";
    EVENTS_LOST: Counter "policyc_events_lost_total",
        "Records that the ring of events had no room for; verdicts are unaffected.";
    CONNECTIONS: Gauge "policyc_conntrack_connections", "Connections that are known, by stage.";
    ENTRIES: Gauge "policyc_conntrack_entries",
        "Places taken in a table of connections, those of connections that are gone and not reclaimed too.";
    CAPACITY: Gauge "policyc_conntrack_capacity", "Places of a table of connections.";
    GROUPS: Gauge "policyc_group_members",
        "Addresses and prefixes of a group or workload that changes while policy is live.";
    MAP_ENTRIES: Gauge "policyc_map_max_entries", "Places of a map of the live generation.";
    MAP_BYTES: Gauge "policyc_map_bytes",
        "Bytes of keys and values of a map of the live generation, without the kernel's overhead; a per-CPU value counts once.";
    INSNS: Gauge "policyc_program_instructions", "Length of a program of the live generation.";
}
