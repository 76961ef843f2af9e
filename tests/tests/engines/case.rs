//! A case of a corpus: policies, who there is, and verdicts somebody else gave.

use policyc_policy::network::{Dialect, Flow};
use serde_json::{Value, json};

/// One case.
pub(crate) struct Case {
    /// Its name in the corpus.
    pub(crate) id: String,
    /// The policies as YAML.
    pub(crate) policies: String,
    /// The policies as their engine reads them where it fails open: an empty list of
    /// groups or services, and a service that does not exist, is every peer.
    pub(crate) opened: String,
    /// The inventory as YAML.
    pub(crate) inventory: String,
    /// Whose reading the verdicts are.
    pub(crate) dialect: Dialect,
    /// Whether all are subjects there: without a host firewall nodes are not, nor is
    /// whom an engine reserves an identity for.
    pub(crate) all_are_subjects: bool,
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

/// Policies without the peer fields that fail open beside ports. There is no service
/// in any case, so all of `toServices` match nothing.
pub(crate) fn opened(policies: &[Value]) -> Vec<Value> {
    let mut policies = policies.to_vec();
    for policy in &mut policies {
        policy
            .get_mut("specs")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(open_rule);
        policy.get_mut("spec").into_iter().for_each(open_rule);
    }
    policies
}

fn open_rule(spec: &mut Value) {
    for section in ["ingress", "egress", "ingressDeny", "egressDeny"] {
        let entries = spec.get_mut(section).and_then(Value::as_array_mut);
        entries.into_iter().flatten().for_each(open);
    }
}

fn open(entry: &mut Value) {
    let Some(fields) = entry.as_object_mut().filter(|fields| fields.contains_key("toPorts")) else {
        return;
    };
    fields.retain(|name, value| match name.as_str() {
        "toServices" => false,
        "toGroups" | "fromGroups" => value.as_array().is_none_or(|list| !list.is_empty()),
        _ => true,
    });
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
