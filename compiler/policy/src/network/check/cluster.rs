//! ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy.
//!
//! Source: `pkg/k8s/cluster_network_policy.go` in Cilium for the first, the API's
//! own words (`network-policy-api`) where Cilium has none.

use policyc_base::{Diagnostic, Span, Spanned};

use super::{Context, cidr, kubernetes, ports};
use crate::codes;
use crate::labels::LabelSelector;
use crate::network::doc::{
    ClusterDoc, ClusterKind, ClusterPeerDoc, ClusterPortDoc, ClusterRuleDoc, ListDoc, PodsDoc,
};
use crate::network::types::{
    Dialect, Direction, Entry, EntryVerdict, Manner, Peer, Peers, PerDirection, Ports, Rule,
    Subject, Tier,
};
use crate::selector::SelectorDoc;
use crate::yaml::{closest, shorten};

/// What a kind is called, takes and allows.
struct Words {
    /// What its rules can do.
    actions: &'static [(&'static str, EntryVerdict)],
    /// Most rules in one direction.
    rules: usize,
    /// Most peers, and most ports, of one rule.
    elements: usize,
}

const CLUSTER: Words = Words {
    actions: &[
        ("Accept", EntryVerdict::Allow),
        ("Deny", EntryVerdict::Deny),
        ("Pass", EntryVerdict::Pass),
    ],
    rules: 25,
    elements: 25,
};
const ADMIN: Words = Words {
    actions: &[
        ("Allow", EntryVerdict::Allow),
        ("Deny", EntryVerdict::Deny),
        ("Pass", EntryVerdict::Pass),
    ],
    rules: 100,
    elements: 100,
};
const BASELINE: Words =
    Words { actions: &[("Allow", EntryVerdict::Allow), ("Deny", EntryVerdict::Deny)], ..ADMIN };

/// The rule of a policy.
pub(in crate::network) fn check(
    doc: &ClusterDoc,
    kind: ClusterKind,
    cx: &mut Context<'_>,
) -> Option<Rule> {
    let words = match kind {
        ClusterKind::Cluster => &CLUSTER,
        ClusterKind::Admin => &ADMIN,
        ClusterKind::Baseline => &BASELINE,
    };
    check_name(doc, kind, cx);
    let tier = tier(doc, kind, cx);
    let subject = subject(doc, cx);
    let name = doc.meta.name.value.as_str();
    let origin = cx.origin(name, "spec", doc.span);
    let first = doc.priority.map_or(0, |p| p.value * 100);
    let mut entries = Vec::new();
    for direction in Direction::BOTH {
        let Some(rules) = doc.rules.get(direction) else { continue };
        check_count(rules, words.rules, kind, cx);
        for (index, rule) in (0u32..).zip(&rules.items) {
            let path = format!("spec.{}[{index}]", rules.name);
            let place = Place { policy: name, path, direction, tier, priority: first + index };
            entries.extend(entries_of(rule, &place, kind, words, cx));
        }
    }
    let default_deny = PerDirection::default();
    let manner = Manner::default();
    Some(Rule { subject: subject?, default_deny, entries, manner, origin })
}

/// There is one policy of this kind in a cluster.
fn check_name(doc: &ClusterDoc, kind: ClusterKind, cx: &mut Context<'_>) {
    let name = &doc.meta.name;
    if kind == ClusterKind::Baseline && name.value != "default" && !name.value.is_empty() {
        let message = format!("`{}` is not `default`", shorten(&name.value));
        let finding = Diagnostic::error(codes::BASELINE_NAME, name.span, message);
        cx.sink.push(finding.with_help("a BaselineAdminNetworkPolicy is called `default`"));
    }
}

/// A tier that is not known is reported and read as the first one; the policy is
/// refused all the same.
fn tier(doc: &ClusterDoc, kind: ClusterKind, cx: &mut Context<'_>) -> Tier {
    match (kind, &doc.tier) {
        (ClusterKind::Baseline, _) => Tier::BASELINE,
        (ClusterKind::Cluster, Some(text)) => match text.value.as_str() {
            "Admin" => Tier::ADMIN,
            "Baseline" => Tier::BASELINE,
            other => {
                let message = format!("`{}` is no tier", shorten(other));
                unknown(codes::TIER_UNKNOWN, text, message, &["Admin", "Baseline"], cx);
                Tier::ADMIN
            }
        },
        _ => Tier::ADMIN,
    }
}

fn unknown(
    code: policyc_base::Code,
    text: &Spanned<String>,
    message: String,
    known: &[&str],
    cx: &mut Context<'_>,
) {
    let near = closest(&text.value, known.iter().copied());
    let help = near.map_or(format!("write one of {}", known.join(", ")), |near| {
        format!("did you mean `{near}`?")
    });
    cx.sink.push(Diagnostic::error(code, text.span, message).with_help(help));
}

fn subject(doc: &ClusterDoc, cx: &mut Context<'_>) -> Option<Subject> {
    let subject = doc.subject.as_ref()?;
    let selector = match (&subject.namespaces, &subject.pods) {
        (Some(namespaces), None) => Some(kubernetes::namespaced(None, Some(namespaces), cx)),
        (None, Some(pods)) => Some(pods_of(pods, doc.span, cx)),
        _ => {
            let message = "`subject` needs exactly one of `namespaces` and `pods`";
            cx.error(codes::NOT_EXACTLY_ONE, subject.span, message);
            None
        }
    };
    selector.map(Subject::Endpoints)
}

/// Pods of namespaces; of all of them if none are named.
fn pods_of(doc: &PodsDoc, span: Span, cx: &mut Context<'_>) -> LabelSelector {
    let everywhere = SelectorDoc::everything(span);
    let namespaces = doc.namespaces.as_ref().unwrap_or(&everywhere);
    kubernetes::namespaced(doc.pods.as_ref(), Some(namespaces), cx)
}

/// Where the entries of a rule stand.
struct Place<'a> {
    policy: &'a str,
    path: String,
    direction: Direction,
    tier: Tier,
    priority: u32,
}

impl Place<'_> {
    fn entry(
        &self,
        verdict: EntryVerdict,
        peers: Peers,
        ports: Ports,
        (path, span): (String, Span),
        cx: &mut Context<'_>,
    ) -> Entry {
        let Self { direction, tier, priority, .. } = *self;
        let origin = cx.origin(self.policy, path, span);
        Entry { direction, tier, priority, verdict, peers, ports, audit: false, origin }
    }
}

fn entries_of(
    doc: &ClusterRuleDoc,
    place: &Place<'_>,
    kind: ClusterKind,
    words: &Words,
    cx: &mut Context<'_>,
) -> Vec<Entry> {
    let verdict = doc.action.as_ref().and_then(|text| action(text, words, cx));
    let ports = ports_of(doc, words, kind, cx);
    let peers = peers_of(doc, words, kind, cx);
    let Some(verdict) = verdict else { return Vec::new() };
    let here = (place.path.clone(), doc.span);
    let mut entries = vec![place.entry(verdict, peers, ports.clone(), here, cx)];
    let Some(list) = &doc.peers else { return entries };
    for (index, peer) in list.items.iter().enumerate().filter(|(_, peer)| is_empty(peer)) {
        let fate = if verdict == EntryVerdict::Allow {
            "it matches nobody"
        } else {
            "the rule denies everybody"
        };
        let message = format!("a peer that names nobody may be one of a newer release: {fate}");
        cx.warn(codes::PEER_EMPTY, peer.span, message, "name the peer, or leave the element out");
        if verdict != EntryVerdict::Allow {
            let here = (format!("{}.{}[{index}]", place.path, list.name), peer.span);
            let ports = ports.clone();
            entries.push(place.entry(EntryVerdict::Deny, Peers::Any, ports, here, cx));
        }
    }
    entries
}

fn action(text: &Spanned<String>, words: &Words, cx: &mut Context<'_>) -> Option<EntryVerdict> {
    let known = words.actions.iter().find(|(name, _)| *name == text.value);
    if known.is_none() {
        let message = format!("`{}` is no action here", shorten(&text.value));
        let names: Vec<_> = words.actions.iter().map(|(name, _)| *name).collect();
        unknown(codes::ACTION_UNKNOWN, text, message, &names, cx);
    }
    known.map(|(_, verdict)| *verdict)
}

const fn is_empty(peer: &ClusterPeerDoc) -> bool {
    peer.namespaces.is_none()
        && peer.pods.is_none()
        && peer.nodes.is_none()
        && peer.networks.is_none()
}

/// The peers that are named. Without a list, and with an empty one, a
/// ClusterNetworkPolicy means everybody; the older kinds do not say, and are refused.
fn peers_of(doc: &ClusterRuleDoc, words: &Words, kind: ClusterKind, cx: &mut Context<'_>) -> Peers {
    let Some(list) = doc.peers.as_ref().filter(|list| !list.is_empty) else {
        let span = doc.peers.as_ref().map_or(doc.span, |list| list.key);
        let start = Span { end: span.start, ..span };
        if kind == ClusterKind::Cluster {
            let message = "a rule without peers is about everybody";
            let help = "name the peers: `namespaces: {}` is every pod";
            cx.warn(codes::PEERS_IMPLICIT, start, message, help);
        } else {
            cx.error(codes::FIELD_MISSING, start, "a rule needs at least one peer");
        }
        return Peers::Any;
    };
    check_count(list, words.elements, kind, cx);
    let peers = list.items.iter().filter(|peer| !is_empty(peer));
    Peers::OneOf(peers.flat_map(|doc| peer(doc, cx)).collect())
}

fn peer(doc: &ClusterPeerDoc, cx: &mut Context<'_>) -> Vec<Peer> {
    match (&doc.namespaces, &doc.pods, &doc.nodes, &doc.networks) {
        (Some(namespaces), None, None, None) => {
            vec![Peer::Endpoints(namespaces_of(namespaces, cx))]
        }
        (None, Some(pods), None, None) => vec![Peer::Endpoints(pods_of(pods, doc.span, cx))],
        (None, None, Some(nodes), None) => {
            vec![Peer::Nodes { selector: kubernetes::pods(nodes, cx), own: true }]
        }
        (None, None, None, Some(networks)) => {
            if networks.is_empty {
                cx.warn(
                    codes::LIST_EMPTY,
                    networks.key,
                    "`networks: []` matches nobody",
                    "name prefixes, or leave the element out",
                );
            }
            let nets = networks.items.iter().filter_map(|text| cidr::prefix(text, cx));
            nets.map(|net| Peer::Cidr { net, except: Vec::new() }).collect()
        }
        _ => {
            let message = "a peer is named in exactly one way";
            let finding = Diagnostic::error(codes::PEER_INVALID, doc.span, message);
            cx.sink.push(finding.with_help("write an element for each"));
            Vec::new()
        }
    }
}

/// Everybody of namespaces. In Cilium whoever is in no namespace, such as the world,
/// has no labels of one and satisfies what asks for absence.
fn namespaces_of(doc: &SelectorDoc, cx: &mut Context<'_>) -> LabelSelector {
    let mut selector = kubernetes::namespaced(None, Some(doc), cx);
    if cx.dialect == Dialect::Kubernetes || doc.requirements.is_empty() {
        return selector;
    }
    selector.requirements.pop();
    if selector.asks_for_absence_only() {
        let message = "whoever is in no namespace is among these: hosts and the world";
        let help = "add a label that the namespaces have";
        cx.warn(codes::NAMESPACES_ABSENT, doc.span, message, help);
    }
    selector
}

fn ports_of(doc: &ClusterRuleDoc, words: &Words, kind: ClusterKind, cx: &mut Context<'_>) -> Ports {
    let Some(list) = doc.ports.as_ref().filter(|list| !list.is_empty) else { return Ports::Any };
    check_count(list, words.elements, kind, cx);
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    for port in &list.items {
        let found = matches_of(port, cx);
        numbers.extend(found.numbers);
        names.extend(found.names);
    }
    Ports::of(numbers, names)
}

fn matches_of(doc: &ClusterPortDoc, cx: &mut Context<'_>) -> ports::Found {
    match doc {
        ClusterPortDoc::Numbers { protocol, range } => {
            let range = range.map_or((0, u16::MAX), |(first, last)| (first.value, last));
            ports::numbers(protocol, range, cx)
        }
        ClusterPortDoc::Named(name) => ports::any_named(name, cx),
    }
}

/// More than the API takes. Cilium's engine reads a ClusterNetworkPolicy of any
/// length, so that is a warning.
fn check_count<T>(list: &ListDoc<T>, most: usize, kind: ClusterKind, cx: &mut Context<'_>) {
    let count = list.items.len();
    if count <= most {
        return;
    }
    let message = format!("{count} elements of `{}`, and the API takes at most {most}", list.name);
    if kind == ClusterKind::Cluster {
        let help = "write several policies";
        cx.warn(codes::TOO_MANY, list.key, message, help);
    } else {
        cx.error(codes::TOO_MANY, list.key, message);
    }
}
