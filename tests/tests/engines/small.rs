//! A few pods and what they may do: enough to judge packets by.

/// Pods of the namespace `a`, each labelled `app` with its name: the first has 10.0.0.1
/// and fd00::1, the second 10.0.0.2 and fd00::2, and so on.
pub(crate) fn pods(names: &[&str]) -> String {
    let mut text = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n".to_owned();
    for (number, name) in (1..).zip(names) {
        text += &format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: a, labels: {{app: {name}}}}}
status: {{phase: Running, podIPs: [{{ip: 10.0.0.{number}}}, {{ip: 'fd00::{number}'}}]}}
"
        );
    }
    text
}

/// A policy of one of them, of its name: what it may receive and send, as rules.
pub(crate) fn policy(name: &str, ingress: &[&str], egress: &[&str]) -> String {
    let rules = |rules: &[&str]| rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    let [ingress, egress]: [String; 2] = [ingress, egress].map(rules);
    format!(
        "---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: {name}, namespace: a}}
spec:
  endpointSelector: {{matchLabels: {{app: {name}}}}}
  ingress:
{ingress}  egress:
{egress}"
    )
}

/// A web port of some peers, received and sent.
pub(crate) const FROM_SOME: &str = "{fromCIDR: [203.0.113.0/24, '2001:db8::/32'], \
                                    toPorts: [{ports: [{port: '443', protocol: TCP}]}]}";
pub(crate) const TO_SOME: &str =
    "{toCIDR: [203.0.113.0/24, '2001:db8::/32'], toPorts: [{ports: [{port: '443'}]}]}";
/// Questions for an echo, of both families.
pub(crate) const ECHO: &str =
    "{icmps: [{fields: [{family: IPv4, type: 8}, {family: IPv6, type: 128}]}]}";
