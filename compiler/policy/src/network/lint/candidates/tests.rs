use policyc_base::{OriginTable, Sink, SourceMap};

use super::Candidates;
use crate::network::lint::cover;
use crate::network::lint::shadow::Placed;
use crate::network::{Dialect, Rule};

const SUBJECTS: &[&str] = &[
    "{}",
    "{matchLabels: {app: web}}",
    "{matchLabels: {app: web, tier: front}}",
    "{matchExpressions: [{key: app, operator: In, values: [web, api]}]}",
    "{matchExpressions: [{key: app, operator: In, values: [web, web]}]}",
    "{matchExpressions: [{key: app, operator: Exists}]}",
    "{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}",
    "{matchExpressions: [{key: app, operator: NotIn, values: [web, api]}]}",
    "{matchExpressions: [{key: app, operator: DoesNotExist}]}",
    "{matchLabels: {\"k8s:app\": web}}",
];

const RULES: &[&str] = &[
    "fromEntities: [all]",
    "fromEntities: [world]",
    "fromEndpoints: [{}]",
    "fromEndpoints: [{matchLabels: {app: api}}]",
    "fromCIDR: [0.0.0.0/0]",
    "fromCIDR: [10.0.0.0/8]",
    "fromCIDR: [10.1.0.0/16, 192.0.2.0/24]",
    "fromCIDR: [192.0.2.0/24, 10.1.0.0/16]",
    "fromCIDR: [10.1.2.3/32]",
    "fromCIDR: [\"fd00::/8\", 10.1.0.0/16]",
    "fromCIDR: [\"fd00::1/128\"]",
    "fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]",
    "fromCIDRSet: [{cidr: 10.1.0.0/16}, {cidrGroupRef: g}]",
    "toPorts: [{ports: [{port: \"80\", protocol: TCP}]}]",
];

/// Every rule about every kind of subject.
fn rules() -> Vec<Rule> {
    let kinds = [
        ("CiliumClusterwideNetworkPolicy", "endpointSelector"),
        ("CiliumClusterwideNetworkPolicy", "nodeSelector"),
    ];
    let mut text = String::new();
    for (kind, field) in kinds {
        for (number, subject) in SUBJECTS.iter().enumerate() {
            let rules = RULES.iter().map(|rule| format!("{{{rule}}}, ")).collect::<String>();
            text.push_str(&format!(
                "---\napiVersion: cilium.io/v2\nkind: {kind}\nmetadata: {{name: {field}{number}}}\n\
                 spec: {{{field}: {subject}, ingress: [{rules}]}}\n"
            ));
        }
    }
    let mut sources = SourceMap::new();
    let file = sources.add("policy.yaml", text);
    let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
    let policies = crate::load(&sources, &[file], Dialect::Cilium120, &mut origins, &mut sink);
    assert!(!sink.has_errors(), "{:?}", sink.into_sorted());
    policies.network
}

#[test]
fn whatever_includes_a_rule_is_among_its_candidates() {
    let rules = rules();
    let all: Vec<Placed<'_>> = rules
        .iter()
        .flat_map(|rule| rule.entries.iter().map(move |entry| Placed { rule, entry }))
        .collect();
    let candidates = Candidates::new(&all);
    let (mut included, mut looked_at) = (0, 0);
    for narrow in &all {
        let lists: Vec<usize> = candidates.of(narrow).flatten().copied().collect();
        looked_at += lists.len();
        for (index, broad) in all.iter().enumerate() {
            let includes =
                cover::peers(&broad.entry.peers, &narrow.entry.peers, Dialect::Cilium120)
                    && cover::subject(&broad.rule.subject, &narrow.rule.subject);
            included += usize::from(includes);
            let names = (&broad.entry.peers, &narrow.entry.peers);
            assert!(!includes || lists.contains(&index), "{names:?}");
        }
    }
    assert!(included > all.len() * 4, "{included}");
    assert!(looked_at < all.len() * all.len() / 3, "{looked_at} of {}", all.len().pow(2));
}
