//! The kernel's enumerations, by its names.
//!
//! Newtypes rather than enums: any number the kernel returns is a value.

macro_rules! kernel_enum {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u32);

        impl $name {
            $(
                #[allow(missing_docs, reason = "the kernel's own name")]
                pub const $variant: Self = Self($number);
            )*

            /// The kernel's name without its prefix, lower-case; `None` for a
            /// number this list does not have.
            pub fn known_name(self) -> Option<String> {
                match self.0 {
                    $($number => Some(stringify!($variant).to_ascii_lowercase()),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.known_name() {
                    Some(name) => f.write_str(&name),
                    None => write!(f, "type {}", self.0),
                }
            }
        }
    };
}

kernel_enum! {
    /// `enum bpf_map_type`
    MapType {
        HASH = 1,
        ARRAY = 2,
        PROG_ARRAY = 3,
        PERF_EVENT_ARRAY = 4,
        PERCPU_HASH = 5,
        PERCPU_ARRAY = 6,
        LRU_HASH = 9,
        LRU_PERCPU_HASH = 10,
        LPM_TRIE = 11,
        ARRAY_OF_MAPS = 12,
        HASH_OF_MAPS = 13,
        PERCPU_CGROUP_STORAGE = 21,
        RINGBUF = 27,
    }
}

kernel_enum! {
    /// `enum bpf_prog_type`
    ProgType {
        SOCKET_FILTER = 1,
        KPROBE = 2,
        SCHED_CLS = 3,
        SCHED_ACT = 4,
        TRACEPOINT = 5,
        XDP = 6,
        PERF_EVENT = 7,
        CGROUP_SKB = 8,
        CGROUP_SOCK = 9,
        SOCK_OPS = 13,
        SK_SKB = 14,
        SK_MSG = 16,
        RAW_TRACEPOINT = 17,
        CGROUP_SOCK_ADDR = 18,
        FLOW_DISSECTOR = 22,
        TRACING = 26,
        LSM = 29,
        SYSCALL = 31,
    }
}

kernel_enum! {
    /// `enum bpf_attach_type`
    AttachType {
        CGROUP_INET_INGRESS = 0,
        CGROUP_INET_EGRESS = 1,
        TRACE_RAW_TP = 23,
        TRACE_FENTRY = 24,
        TRACE_FEXIT = 25,
        MODIFY_RETURN = 26,
        LSM_MAC = 27,
        XDP = 37,
        PERF_EVENT = 41,
        TCX_INGRESS = 46,
        TCX_EGRESS = 47,
    }
}

/// Which way a packet passes a hook, seen from the network stack of the
/// interface or cgroup.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// Received.
    Ingress,
    /// Sent.
    Egress,
}

impl Direction {
    /// The tcx attach type of the direction.
    pub const fn tcx(self) -> AttachType {
        match self {
            Self::Ingress => AttachType::TCX_INGRESS,
            Self::Egress => AttachType::TCX_EGRESS,
        }
    }

    /// The cgroup attach type of the direction.
    pub const fn cgroup_skb(self) -> AttachType {
        match self {
            Self::Ingress => AttachType::CGROUP_INET_INGRESS,
            Self::Egress => AttachType::CGROUP_INET_EGRESS,
        }
    }
}

/// What an id or a pin refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectKind {
    /// A program.
    Prog,
    /// A map.
    Map,
    /// A link.
    Link,
}
