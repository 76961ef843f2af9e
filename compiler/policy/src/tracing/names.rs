//! The words of Tetragon's language: those with a meaning here, and those that are
//! known but not supported yet.

use policyc_target::IntType;

use super::doc::{ArgType, Operator};
use super::types::Action;

/// Sections of `spec` that are not supported yet.
pub(super) const SPEC: &[&str] = &[
    "containerSelector",
    "enforcers",
    "fentries",
    "hostSelector",
    "kprobes",
    "lists",
    "loader",
    "lsmhooks",
    "nodeSelector",
    "options",
    "podSelector",
    "selectorsMacros",
    "uprobes",
    "usdts",
];

/// Fields of an argument that are not supported yet.
pub(super) const ARG: &[&str] =
    &["btfType", "btfTypeModule", "maxData", "resolve", "returnCopy", "sizeArgIndex", "source"];

/// Fields of a selector that are not supported yet.
pub(super) const SELECTOR: &[&str] = &[
    "label",
    "macros",
    "matchBinaries",
    "matchCapabilities",
    "matchCapabilityChanges",
    "matchCmdArgs",
    "matchData",
    "matchNamespaceChanges",
    "matchNamespaces",
    "matchPIDs",
    "matchParentBinaries",
    "matchReturnActions",
    "matchReturnArgs",
    "matchWorkloads",
];

/// Fields that belong into a selector, with those that it supports.
pub(super) const OF_SELECTOR: &[&str] = &[
    "matchActions",
    "matchArgs",
    "matchBinaries",
    "matchCapabilities",
    "matchCapabilityChanges",
    "matchCmdArgs",
    "matchData",
    "matchNamespaceChanges",
    "matchNamespaces",
    "matchPIDs",
    "matchParentBinaries",
    "matchReturnActions",
    "matchReturnArgs",
    "matchWorkloads",
];

/// Fields of an action that are not supported yet.
pub(super) const ACTION: &[&str] = &[
    "argError",
    "argFqdn",
    "argIndex",
    "argNewAddr",
    "argNewOffset",
    "argNewSymbol",
    "argRegs",
    "argSig",
    "argSock",
    "argUrl",
    "argValue",
    "imaHash",
    "kernelStackTrace",
    "rateLimit",
    "rateLimitScope",
    "userStackTrace",
];

/// Words of one list: what is supported with its meaning, and what is not yet.
pub(super) struct Words<T: 'static> {
    /// With their meanings.
    pub(super) supported: &'static [(&'static str, T)],
    /// Known, without a meaning here.
    pub(super) unsupported: &'static [&'static str],
}

/// `action`.
pub(super) const ACTIONS: Words<Action> = Words {
    supported: &[("Post", Action::Post), ("NoPost", Action::NoPost)],
    unsupported: &[
        "CleanupEnforcerNotification",
        "DnsLookup",
        "GetUrl",
        "NotifyEnforcer",
        "Override",
        "Set",
        "Sigkill",
        "Signal",
        "TrackSock",
        "UntrackSock",
    ],
};

/// `operator` of `matchArgs`.
pub(super) const OPERATORS: Words<Operator> = Words {
    supported: &[
        ("Equal", Operator::Equal),
        ("NotEqual", Operator::NotEqual),
        ("eq", Operator::Equal),
        ("neq", Operator::NotEqual),
        ("Prefix", Operator::Prefix),
        ("NotPrefix", Operator::NotPrefix),
        ("Postfix", Operator::Postfix),
        ("NotPostfix", Operator::NotPostfix),
        ("GreaterThan", Operator::GreaterThan),
        ("GT", Operator::GreaterThan),
        ("gt", Operator::GreaterThan),
        ("LessThan", Operator::LessThan),
        ("LT", Operator::LessThan),
        ("lt", Operator::LessThan),
        ("InRange", Operator::InRange),
        ("NotInRange", Operator::NotInRange),
        ("Mask", Operator::Mask),
    ],
    unsupported: &[
        "CapabilitiesGained",
        "CelExpr",
        "DAddr",
        "DPort",
        "DPortPriv",
        "Family",
        "FileType",
        "In",
        "InMap",
        "NotDAddr",
        "NotDPort",
        "NotDPortPriv",
        "NotFileType",
        "NotIn",
        "NotInMap",
        "NotSAddr",
        "NotSPort",
        "NotSPortPriv",
        "Protocol",
        "SAddr",
        "SPort",
        "SPortPriv",
        "State",
        "SubString",
        "SubStringIgnCase",
    ],
};

const INT8: ArgType = ArgType::Int(IntType::signed(1));
const INT16: ArgType = ArgType::Int(IntType::signed(2));
const INT32: ArgType = ArgType::Int(IntType::signed(4));
const INT64: ArgType = ArgType::Int(IntType::signed(8));
const UINT8: ArgType = ArgType::Int(IntType::unsigned(1));
const UINT16: ArgType = ArgType::Int(IntType::unsigned(2));
const UINT32: ArgType = ArgType::Int(IntType::unsigned(4));
const UINT64: ArgType = ArgType::Int(IntType::unsigned(8));

/// `type` of an argument.
pub(super) const TYPES: Words<ArgType> = Words {
    supported: &[
        ("auto", ArgType::Auto),
        ("int", INT32),
        ("int8", INT8),
        ("int16", INT16),
        ("int32", INT32),
        ("int64", INT64),
        ("sint8", INT8),
        ("sint16", INT16),
        ("sint32", INT32),
        ("sint64", INT64),
        ("long", INT64),
        ("uint8", UINT8),
        ("uint16", UINT16),
        ("uint32", UINT32),
        ("uint64", UINT64),
        ("ulong", UINT64),
        ("unsigned long", UINT64),
        ("size_t", UINT64),
        ("string", ArgType::String),
        ("data_loc", ArgType::DataLoc),
    ],
    unsupported: &[
        "bpf_attr",
        "bpf_cmd",
        "bpf_map",
        "bpf_prog",
        "cap_effective",
        "cap_inheritable",
        "cap_permitted",
        "capability",
        "char_buf",
        "char_iovec",
        "const_buf",
        "cred",
        "dentry",
        "fd",
        "file",
        "filename",
        "iov_iter",
        "kernel_cap_t",
        "kiocb",
        "linux_binprm",
        "load_info",
        "module",
        "net_device",
        "nop",
        "path",
        "perf_event",
        "skb",
        "sock",
        "sockaddr",
        "sockaddr_un",
        "socket",
        "syscall64",
        "user_namespace",
    ],
};
