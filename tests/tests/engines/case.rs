//! A case of a corpus: policies, who there is, and verdicts somebody else gave.

use policyc_policy::network::{Dialect, Flow};
use serde_json::{Value, json};

/// One case.
pub(crate) struct Case {
    /// Its name in the corpus.
    pub(crate) id: String,
    /// The policies as YAML.
    pub(crate) policies: String,
    /// The inventory as YAML.
    pub(crate) inventory: String,
    /// Whose reading the verdicts are.
    pub(crate) dialect: Dialect,
    /// Whether nodes are subjects there: without a host firewall they are not.
    pub(crate) nodes_are_subjects: bool,
    /// The verdicts.
    pub(crate) claims: Vec<Claim>,
}

/// One flow with its verdict.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) flow: Flow,
    pub(crate) allowed: bool,
}

/// JSON documents are YAML ones.
pub(crate) fn yaml(documents: &[Value]) -> String {
    documents.iter().map(|document| format!("---\n{document}\n")).collect()
}

/// Namespaces with their labels, as a corpus lists them.
pub(crate) fn namespaces(listed: &Value) -> Vec<Value> {
    let listed = listed.as_object().into_iter().flatten();
    let document = |(name, labels): (&String, &Value)| {
        let metadata = json!({"name": name, "labels": labels});
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    };
    listed.map(document).collect()
}

/// The text of a field; empty when there is none.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The number of a protocol name of a corpus.
pub(crate) fn protocol(name: &str) -> u8 {
    use policyc_policy::network::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};
    match name {
        "TCP" => TCP,
        "UDP" => UDP,
        "SCTP" => SCTP,
        "ICMP" => ICMP,
        "ICMPv6" => ICMPV6,
        other => panic!("protocol {other}"),
    }
}

/// The port of a flow of a corpus.
pub(crate) fn port(flow: &Value) -> u16 {
    u16::try_from(flow["port"].as_u64().unwrap()).unwrap()
}
