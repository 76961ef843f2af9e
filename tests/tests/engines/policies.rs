//! Random policies as YAML documents: every construct of the language that is
//! supported, in combinations that are accepted.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use crate::administrators;
use crate::universe::{GROUPS, LABELS, NAMESPACES, PORT_NAMES, PORTS, PREFIXES, SERVICES, TYPES};

/// Whether a policy is of a namespace, or of the cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Namespace,
    Cluster,
}

/// One to four policies of any kind with distinct names.
pub(crate) fn policies() -> impl Strategy<Value = Vec<Value>> {
    let policy = prop_oneof![
        4 => cilium(Scope::Namespace),
        2 => cilium(Scope::Cluster),
        2 => kubernetes(),
        3 => administrators::policy(),
    ];
    prop::collection::vec((policy, prop::bool::weighted(0.15)), 1..5).prop_map(|mut policies| {
        // There is one baseline policy, with a name of its own.
        let mut baselines = 0;
        policies.retain(|(policy, _)| {
            let is_baseline = policy["metadata"]["name"] == administrators::BASELINE_NAME;
            baselines += u32::from(is_baseline);
            !is_baseline || baselines == 1
        });
        for (number, (policy, audited)) in policies.iter_mut().enumerate() {
            if *audited {
                policy["metadata"]["annotations"] = json!({"policyc.io/audit": "true"});
            }
            if policy["metadata"]["name"] != administrators::BASELINE_NAME {
                policy["metadata"]["name"] = json!(format!("policy{number}"));
            }
        }
        policies.into_iter().map(|(policy, _)| policy).collect()
    })
}

/// An object from fields of which each may be missing.
pub(crate) fn object(
    fields: Vec<(&'static str, BoxedStrategy<Option<Value>>)>,
) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let object = values.prop_map(move |values| {
        let present = names.iter().zip(values).filter_map(|(n, v)| Some(((*n).to_owned(), v?)));
        Value::Object(present.collect::<Map<_, _>>())
    });
    object.boxed()
}

/// A field that is there with a probability.
pub(crate) fn maybe(
    probability: f64,
    value: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Option<Value>> {
    prop::option::weighted(probability, value).boxed()
}

pub(crate) fn list(
    of: impl Strategy<Value = Value> + 'static,
    size: std::ops::Range<usize>,
) -> BoxedStrategy<Value> {
    prop::collection::vec(of, size).prop_map(Value::Array).boxed()
}

fn namespace() -> impl Strategy<Value = &'static str> {
    select(NAMESPACES.map(|(name, _)| name).to_vec())
}

fn label() -> impl Strategy<Value = (&'static str, &'static str)> {
    let labels = LABELS.iter().flat_map(|(key, values)| values.iter().map(move |v| (*key, *v)));
    select(labels.collect::<Vec<_>>())
}

/// A label selector: labels and expressions about them.
pub(crate) fn selector() -> BoxedStrategy<Value> {
    let labels = label().prop_map(|(key, value)| json!({key: value}));
    let operator = select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    let expression = (label(), operator).prop_map(|((key, value), operator)| match operator {
        "In" | "NotIn" => json!({"key": key, "operator": operator, "values": [value]}),
        _ => json!({"key": key, "operator": operator}),
    });
    object(vec![
        ("matchLabels", maybe(0.4, labels)),
        ("matchExpressions", maybe(0.2, list(expression, 1..3))),
    ])
}

/// A peer selector of Cilium: also across namespaces, and reserved identities.
fn endpoints() -> BoxedStrategy<Value> {
    let namespaced = (selector(), namespace()).prop_map(|(mut selector, name)| {
        selector["matchLabels"]["k8s:io.kubernetes.pod.namespace"] = json!(name);
        selector
    });
    let team = NAMESPACES.map(|(_, team)| team).to_vec();
    let by_team = select(team)
        .prop_map(|team| json!({"matchLabels": {"k8s:io.cilium.k8s.namespace.labels.team": team}}));
    let names = vec!["host", "remote-node", "kube-apiserver", "world", "world-ipv4", "world-ipv6"];
    let reserved =
        select(names).prop_map(|name| json!({"matchLabels": {format!("reserved:{name}"): ""}}));
    let reserved = reserved.boxed();
    Union::new([selector(), namespaced.boxed(), by_team.boxed(), reserved]).boxed()
}

/// A prefix with exceptions inside it.
fn cidr_with_exceptions(cidr: &'static str, except: &'static str) -> BoxedStrategy<Value> {
    let inside = |outer: &str, inner: &str| {
        let [outer, inner] = [outer, inner].map(|text| text.parse::<ipnet::IpNet>().unwrap());
        outer != inner && outer.contains(&inner)
    };
    let block = select(PREFIXES.to_vec()).prop_flat_map(move |net| {
        let holes: Vec<_> = PREFIXES.into_iter().filter(|hole| inside(net, hole)).collect();
        let most = holes.len().min(2);
        prop::sample::subsequence(holes, 0..=most).prop_map(move |holes| {
            if holes.is_empty() { json!({cidr: net}) } else { json!({cidr: net, except: holes}) }
        })
    });
    block.boxed()
}

/// CIDR groups by name and by label, perhaps with an exception.
fn groups() -> BoxedStrategy<Value> {
    let names = GROUPS.map(|(name, ..)| json!({"cidrGroupRef": name}));
    let operator = select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    let by_label = (select(vec!["db", "web"]), operator).prop_map(|(role, operator)| {
        let values = if operator.ends_with("In") { json!([role]) } else { json!([]) };
        json!({"cidrGroupSelector":
            {"matchExpressions": [{"key": "role", "operator": operator, "values": values}]}})
    });
    let hole = prop::option::weighted(0.3, select(PREFIXES.to_vec()));
    let group = prop_oneof![select(names.to_vec()), by_label];
    let group = (group, hole).prop_map(|(mut group, hole)| {
        if let Some(hole) = hole {
            group["except"] = json!([hole]);
        }
        group
    });
    group.boxed()
}

fn nodes() -> BoxedStrategy<Value> {
    let roles = ["n1", "n2"].map(|role| json!({"matchLabels": {"role": role}}));
    prop_oneof![1 => Just(json!({})), 2 => select(roles.to_vec())].boxed()
}

fn services() -> BoxedStrategy<Value> {
    let names = SERVICES.map(|(name, ..)| name).into_iter().chain(["outside"]);
    let named = |name| json!({"k8sService": {"serviceName": name, "namespace": "a"}});
    let by_label = SERVICES.map(
        |(name, ..)| json!({"k8sServiceSelector": {"selector": {"matchLabels": {"tier": name}}}}),
    );
    select(names.map(named).chain(by_label).collect::<Vec<_>>()).boxed()
}

/// Who a rule of Cilium is about: one kind of peers, or nobody named.
fn peers(direction: &'static str) -> BoxedStrategy<Option<(String, Value)>> {
    let cidr = select(PREFIXES.to_vec()).prop_map(|net| json!(net));
    let entities = select(vec![
        "all",
        "world",
        "world-ipv4",
        "world-ipv6",
        "cluster",
        "cluster-mesh",
        "host",
        "remote-node",
        "kube-apiserver",
        "none",
    ]);
    let entities = list(entities.prop_map(|e| json!(e)), 1..3);
    let kinds = [
        ("Endpoints", list(endpoints(), 1..3)),
        ("CIDR", list(cidr, 1..3)),
        ("CIDRSet", list(prop_oneof![cidr_with_exceptions("cidr", "except"), groups()], 1..3)),
        ("Entities", entities),
        ("Nodes", list(nodes(), 1..2)),
        // What a source cannot name: one kind more for destinations.
        if direction == "to" {
            ("Services", list(services(), 1..3))
        } else {
            ("Endpoints", list(endpoints(), 1..2))
        },
    ];
    let kinds = kinds.map(move |(kind, peers)| {
        peers.prop_map(move |peers| Some((format!("{direction}{kind}"), peers))).boxed()
    });
    let empty = Just(Some((format!("{direction}Endpoints"), json!([])))).boxed();
    let weighted = kinds.into_iter().map(|kind| (4, kind));
    Union::new_weighted(weighted.chain([(3, Just(None).boxed()), (1, empty)]).collect()).boxed()
}

/// A port or a range with its protocol.
fn port() -> BoxedStrategy<Value> {
    let numbers = prop::sample::subsequence(PORTS[1..].to_vec(), 1..=2);
    let protocol = prop::option::of(select(vec!["TCP", "UDP", "SCTP", "ANY"]));
    let port = (numbers, protocol).prop_map(|(numbers, protocol)| {
        let mut port = json!({"port": numbers[0].to_string()});
        if let Some(last) = numbers.get(1) {
            port["endPort"] = json!(last);
        }
        if let Some(protocol) = protocol {
            port["protocol"] = json!(protocol);
        }
        port
    });
    let every = select(vec!["TCP", "UDP", "ANY"]);
    let every = every.prop_map(|protocol| json!({"port": "0", "protocol": protocol}));
    let protocol = prop::option::of(select(vec!["TCP", "UDP", "ANY"]));
    let named = (select(&PORT_NAMES[..]), protocol).prop_map(|(name, protocol)| {
        let port = json!({"port": name});
        protocol.map_or(port.clone(), |p| json!({"port": port["port"], "protocol": p}))
    });
    let without = select(vec!["GRE", "ESP", "IPIP"]).prop_map(|p| json!({"protocol": p}));
    prop_oneof![9 => port, 1 => every, 4 => named, 1 => without].boxed()
}

/// What a rule of Cilium is about: ports, ICMP types, or everything.
fn ports() -> BoxedStrategy<Option<(String, Value)>> {
    let ports = list(port(), 1..4).prop_map(|ports| json!({"ports": ports}));
    let ports = list(ports, 1..3).prop_map(|ports| Some(("toPorts".to_owned(), ports)));
    let named = |family: &'static str, ty: Value| json!({"family": family, "type": ty});
    let by_number = (select(vec!["IPv4", "IPv6"]), select(TYPES.to_vec()))
        .prop_map(move |(family, ty)| named(family, json!(ty)));
    let by_name = select(vec!["IPv4", "IPv6"]).prop_map(move |f| named(f, json!("EchoRequest")));
    let field = prop_oneof![4 => by_number, 1 => by_name];
    let icmps = list(field, 1..4).prop_map(|fields| json!({"fields": fields}));
    let icmps = list(icmps, 1..2).prop_map(|icmps| Some(("icmps".to_owned(), icmps)));
    prop_oneof![5 => ports, 2 => icmps, 3 => Just(None)].boxed()
}

/// A rule of Cilium in one direction.
fn rule(direction: &'static str) -> BoxedStrategy<Value> {
    let fields = (peers(direction), ports());
    let rule = fields.prop_map(|(peers, ports)| peers.into_iter().chain(ports).collect());
    rule.prop_map(Value::Object).boxed()
}

fn cilium(scope: Scope) -> BoxedStrategy<Value> {
    let default_deny = object(vec![
        ("ingress", maybe(0.6, any::<bool>().prop_map(Value::from))),
        ("egress", maybe(0.6, any::<bool>().prop_map(Value::from))),
    ]);
    let subject = match scope {
        Scope::Namespace => selector().prop_map(|s| ("endpointSelector", s)).boxed(),
        Scope::Cluster => {
            let node = select(vec![json!({}), json!({"matchLabels": {"role": "n1"}})]);
            let node = node.prop_map(|s| ("nodeSelector", s));
            prop_oneof![3 => selector().prop_map(|s| ("endpointSelector", s)), 1 => node].boxed()
        }
    };
    let rules = object(vec![
        ("ingress", maybe(0.6, list(rule("from"), 0..3))),
        ("egress", maybe(0.6, list(rule("to"), 0..3))),
        ("ingressDeny", maybe(0.3, list(rule("from"), 1..3))),
        ("egressDeny", maybe(0.3, list(rule("to"), 1..3))),
        ("enableDefaultDeny", maybe(0.3, default_deny)),
    ]);
    let policy = (subject, rules, namespace()).prop_map(move |((name, subject), mut spec, ns)| {
        spec[name] = subject;
        let says = ["ingress", "egress", "ingressDeny", "egressDeny"];
        let is_empty = |field: &&str| spec[*field].as_array().is_none_or(Vec::is_empty);
        if says.iter().all(is_empty) {
            spec["ingress"] = json!([{}]);
        }
        let (kind, metadata) = match scope {
            Scope::Namespace => ("CiliumNetworkPolicy", json!({"name": "", "namespace": ns})),
            Scope::Cluster => ("CiliumClusterwideNetworkPolicy", json!({"name": ""})),
        };
        json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": metadata, "spec": spec})
    });
    policy.boxed()
}

/// A rule of NetworkPolicy in one direction.
fn kubernetes_rule(direction: &'static str) -> BoxedStrategy<Value> {
    let team = select(NAMESPACES.map(|(_, team)| team).to_vec());
    let by_team = team.prop_map(|team| json!({"matchLabels": {"team": team}}));
    let pods = object(vec![
        ("podSelector", selector().prop_map(Some).boxed()),
        ("namespaceSelector", maybe(0.4, by_team)),
    ]);
    let block = cidr_with_exceptions("cidr", "except").prop_map(|block| json!({"ipBlock": block}));
    let numbers = prop::sample::subsequence(PORTS[1..].to_vec(), 1..=2);
    let protocol = select(vec!["TCP", "UDP", "SCTP"]);
    let port = (numbers, protocol).prop_map(|(numbers, protocol)| {
        let mut port = json!({"port": numbers[0], "protocol": protocol});
        if let Some(last) = numbers.get(1) {
            port["endPort"] = json!(last);
        }
        port
    });
    object(vec![
        (direction, maybe(0.8, list(prop_oneof![pods, block], 1..3))),
        ("ports", maybe(0.5, list(port, 1..3))),
    ])
}

fn kubernetes() -> BoxedStrategy<Value> {
    let types = vec![json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"])];
    let spec = object(vec![
        ("podSelector", selector().prop_map(Some).boxed()),
        ("policyTypes", maybe(0.7, select(types))),
        ("ingress", maybe(0.6, list(kubernetes_rule("from"), 0..3))),
        ("egress", maybe(0.6, list(kubernetes_rule("to"), 0..3))),
    ]);
    let policy = (spec, namespace()).prop_map(|(spec, namespace)| {
        let metadata = json!({"name": "", "namespace": namespace});
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": metadata, "spec": spec})
    });
    policy.boxed()
}
