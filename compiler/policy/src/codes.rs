//! Every code of this crate, with its title. One table, so that the pages of
//! `docs/diagnostics/` can be held against it.
//!
//! P01xx YAML, P02xx kinds and fields, P03xx values of network policy, P04xx
//! inventory, P05xx what is accepted but probably not meant.

use policyc_base::Code;

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code($code);)*

        /// Every code with its title, in order.
        pub const ALL: &[(Code, &str)] = &[$(($name, $title)),*];
    };
}

codes! {
    YAML_SYNTAX = "P0101", "the text is not YAML";
    YAML_TOO_LARGE = "P0102", "the file is too large";
    YAML_TOO_DEEP = "P0103", "the nesting is too deep";
    YAML_TOO_MANY_NODES = "P0104", "the document has too many values";
    YAML_DUPLICATE_KEY = "P0105", "a key is given twice";
    YAML_KEY = "P0106", "a key is not a string";
    YAML_MERGE = "P0107", "a merge key has nothing to merge";
    YAML_ALIAS = "P0108", "an alias is inside what it names";
    YAML_TAG = "P0109", "a tag has no meaning here";

    KIND_UNKNOWN = "P0201", "the kind is not known";
    KIND_UNSUPPORTED = "P0202", "the kind is not supported yet";
    KIND_MISPLACED = "P0203", "the kind belongs into another kind of file";
    API_VERSION = "P0204", "the API version does not go with the kind";
    FIELD_UNKNOWN = "P0205", "the field is not known";
    FIELD_MISSING = "P0206", "a field is missing";
    FIELD_TYPE = "P0207", "the value has the wrong type";
    FIELD_RANGE = "P0208", "the number is out of range";
    POLICY_TWICE = "P0209", "two policies have the same name";

    FQDN_UNSUPPORTED = "P0220", "names (`toFQDNs`) are not supported yet";
    L7_UNSUPPORTED = "P0221", "rules above layer 4 are not supported yet";
    AUTHENTICATION_UNSUPPORTED = "P0227", "authentication is not supported yet";
    SERVER_NAMES_UNSUPPORTED = "P0229", "TLS server names are not supported yet";
    LISTENER_UNSUPPORTED = "P0230", "listeners of a proxy are not supported yet";
    TLS_UNSUPPORTED = "P0231", "TLS interception is not supported yet";
    REMOVED = "P0234", "the field was removed from Cilium";
    ANNOTATION_UNKNOWN = "P0246", "the annotation is not known";
    ANNOTATION_VALUE = "P0247", "the annotation's value is not known";

    SUBJECT_MISSING = "P0301", "the rule does not say whom it is about";
    SUBJECT_TWICE = "P0302", "the rule is about endpoints and about nodes";
    SUBJECT_NODES = "P0303", "a namespaced policy is about nodes";
    SECTION_MISSING = "P0304", "the policy or rule says nothing";
    PEERS_COMBINED = "P0305", "one rule has peers of two kinds";
    PORTS_TOO_MANY = "P0306", "one rule has too many ports or types";
    PORTS_AND_ICMPS = "P0307", "one rule has ports and ICMP types";
    PORT_INVALID = "P0308", "the port is neither a number nor a name";
    PROTOCOL_INVALID = "P0309", "the protocol is not known";
    PORT_RANGE = "P0310", "the port range is not one";
    ICMP_TYPE = "P0311", "the ICMP type is not known";
    ICMP_FAMILY = "P0312", "the ICMP family is not known";
    ENTITY_UNKNOWN = "P0313", "the entity is not known";
    CIDR_INVALID = "P0314", "the prefix is not one";
    CIDR_BARE = "P0315", "the prefix has no length";
    CIDR_EXCEPT = "P0316", "an exception lies outside its prefix";
    CIDR_SET = "P0317", "the element needs one of `cidr` and its groups";
    SELECTOR_OPERATOR = "P0318", "the operator is not known";
    SELECTOR_VALUES = "P0319", "the operator does not go with its values";
    LABEL_INVALID = "P0320", "the label's key or value is not allowed";
    SELECTOR_SOURCE = "P0321", "labels of this source cannot be selected";
    POLICY_TYPE = "P0322", "the policy type is not known";
    PEER_INVALID = "P0323", "the peer names nobody, or in two ways";
    GROUP_REFERENCE = "P0324", "the reference to a cloud provider's group names none";
    SERVICE_REFERENCE = "P0325", "the reference to a service is not exactly one";
    LOG_VALUE = "P0326", "the log value is too long or cannot be printed";
    PORT_WITHOUT_PORTS = "P0327", "the protocol has no ports";
    TIER_UNKNOWN = "P0340", "the tier is not known";
    ACTION_UNKNOWN = "P0341", "the action is not known";
    NOT_EXACTLY_ONE = "P0342", "exactly one of several fields is needed";
    BASELINE_NAME = "P0343", "the baseline policy is not called `default`";
    TOO_MANY = "P0344", "a list has more elements than the API takes";

    WORKLOAD_TWICE = "P0401", "two workloads have the same name";
    ADDRESS_TWICE = "P0402", "two workloads have the same address";
    ADDRESS_INVALID = "P0403", "the address is not one";
    ATTACH_INVALID = "P0404", "the attachment is not exactly one";
    INVENTORY_TWICE = "P0405", "it is said twice whether the inventory is complete";
    NODE_TWICE = "P0406", "two nodes have the same name";
    GROUP_TWICE = "P0407", "two CIDR groups have the same name";
    SERVICE_TWICE = "P0408", "two services have the same name";
    SERVICE_ADDRESS_TWICE = "P0409", "two services have the same address and port";
    GROUP_UNRESOLVED = "P0410", "nothing says what a cloud provider's group is";
    RESERVED_INVALID = "P0411", "no identity of this name is reserved";
    ACCOUNT_UNKNOWN = "P0412", "the service account is not there";
    GROUP_DYNAMIC = "P0420", "a rule cannot follow a group that changes while policy is live";

    PORT_REVERSED = "P0501", "the port range ends before it begins";
    PORT_ZERO = "P0502", "port 0 stands for every port";
    PORT_OCTAL = "P0503", "the port is octal";
    CIDR_HOST_BITS = "P0504", "the prefix has host bits";
    LIST_EMPTY = "P0505", "an empty list matches nothing";
    DEFAULT_DENY_WITHOUT_RULES = "P0506", "default deny has no effect without rules";
    ICMP_ZERO = "P0507", "type 0 stands for every ICMP type";
    OUTSIDE_POLICY_TYPES = "P0508", "rules stand outside the policy types";
    SELECTS_NOBODY = "P0509", "a selector matches nobody";
    ENTITY_NOBODY = "P0510", "the entity is nobody that the inventory knows";
    NAMESPACE_CONFLICT = "P0511", "the policy is about its own namespace only";
    RULE_EMPTY = "P0512", "the rule matches nothing";
    SUBJECT_IMPLICIT = "P0513", "the policy is about every pod of its namespace";
    PORT_STRING = "P0514", "the port number is a string";
    WORLD_BY_LABEL = "P0515", "the label `reserved:world` is nobody's";
    PORT_NAME_NOBODY = "P0516", "nobody has a port of this name";
    PORT_RANGE_NAMED = "P0517", "the port range begins at a name";
    NAMESPACES_ABSENT = "P0518", "namespaces without a label are also no namespace";
    PORT_LOOKS_NUMERIC = "P0519", "the port's name looks like a number";
    PORTS_NOT_ICMP = "P0520", "every port is not every protocol";
    GROUPS_ABSENT = "P0521", "addresses without CIDR groups are also meant";
    CIDR_OF_SOMEBODY = "P0522", "the prefix is the address of somebody it does not select";
    PORT_NAME_SEVERAL = "P0523", "a port's name has several numbers";
    PEER_EMPTY = "P0530", "a peer names nobody";
    PEERS_IMPLICIT = "P0531", "a rule without peers is about everybody";
    PRIORITY_TWICE = "P0532", "two policies of one priority disagree";
    SHADOWED = "P0540", "the rule is never asked";
    USELESS = "P0541", "a broader rule makes a narrower one useless";
    LOCKOUT = "P0542", "a host could not be reached any more";
    IDLE = "P0543", "the rule decides nothing for anybody there is";
    NOT_COMPARED = "P0544", "not every rule was held against every other";
}
