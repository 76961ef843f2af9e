//! Findings by table: what is written, and what is said about it.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod common;

use common::{load_texts, show};
use policyc_base::{OriginTable, Sink, SourceMap};
use policyc_policy::network::{Dialect, Reading, lint};
use policyc_policy::{inventory, load_as};

fn policy(dialect: Dialect, text: &str) -> Vec<String> {
    let loaded = load_texts(text, "", dialect);
    let sorted = loaded.sink.clone().into_sorted();
    sorted.iter().map(|d| show(d, &loaded.sources)).collect()
}

/// A CiliumNetworkPolicy whose rule, from line 5 on, has these lines.
fn rule(lines: &str) -> String {
    let indented: String = lines.lines().map(|l| format!("  {l}\n")).collect();
    "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: a}\nspec:\n"
        .to_owned()
        + &indented
}

/// A NetworkPolicy whose `spec`, from line 5 on, has these lines.
fn kubernetes(lines: &str) -> String {
    let head =
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n";
    head.to_owned() + &lines.lines().map(|l| format!("  {l}\n")).collect::<String>()
}

fn check(cases: &[(String, &[&str])], dialect: Dialect) {
    let found: Vec<_> = cases.iter().map(|(text, _)| policy(dialect, text)).collect();
    for ((text, expected), found) in cases.iter().zip(&found) {
        if found != expected {
            println!("{text}");
            found.iter().for_each(|line| println!("  found    {line}"));
            expected.iter().for_each(|line| println!("  expected {line}"));
        }
    }
    assert!(cases.iter().zip(&found).all(|((_, expected), found)| found == expected));
}

const ANY: &str = "endpointSelector: {}\n";

#[test]
fn kinds_and_fields() {
    let cases: Vec<(String, &[&str])> = vec![
        ("just text".into(), &["P0207 1:1 a document must be a map, not the string `just text`"]),
        (
            "kind: Pod\n".into(),
            &["P0206 1:1 a document needs `apiVersion`"],
        ),
        (
            "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolcy}".into(),
            &["P0201 1:34 the kind `CiliumNetworkPolcy` is not known | did you mean `CiliumNetworkPolicy`?"],
        ),
        (
            "{apiVersion: cilium.io/v1, kind: CiliumNetworkPolicy}".into(),
            &["P0204 1:14 `CiliumNetworkPolicy` is not in `cilium.io/v1` | write `cilium.io/v2`"],
        ),
        (
            "{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup}".into(),
            &["P0206 1:1 a CIDR group needs `metadata`", "P0206 1:1 a CIDR group needs `spec`"],
        ),
        (
            "{apiVersion: apps/v1, kind: ReplicaSet}".into(),
            &["P0202 1:29 `ReplicaSet` is not supported yet"],
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: x}}".into(),
            &["P0203 1:24 `Pod` belongs into the inventory, not among the policies | give its file with `-i` too"],
        ),
        (
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Noode}\n- {}\n".into(),
            &[
                "P0201 4:26 the kind `Noode` is not known | did you mean `Node`?",
                "P0206 5:3 a document needs `apiVersion`",
                "P0206 5:3 a document needs `kind`",
            ],
        ),
        (
            "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p}}".into(),
            &["P0304 1:1 a policy needs `spec` or `specs`"],
        ),
        (
            "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, spec: {endpointSelector: {}, ingress: [{}]}}"
                .into(),
            &["P0206 1:1 a policy needs `metadata`"],
        ),
        (
            "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {}, spec: {ingress: [{fromCIDR: [x]}]}}"
                .into(),
            &[
                "P0206 1:65 `metadata` needs `name`",
                "P0301 1:75 a rule needs `endpointSelector` or `nodeSelector` | `endpointSelector: {}` selects every endpoint",
                "P0314 1:98 `x` is not a prefix like `10.0.0.0/8`",
            ],
        ),
        (
            rule("endpointSelector: {}\ningress:\n- fromEndpoint: [{}]\nspecc: 1\n"),
            &[
                "P0205 7:5 an ingress rule has no field `fromEndpoint` | did you mean `fromEndpoints`?",
                "P0205 8:3 a rule has no field `specc`",
            ],
        ),
        (
            rule("endpointSelector: {}\ningress: {}\negress: [{toPorts: [{ports: [{port: 80}]}]}]\n"),
            &[
                "P0207 6:12 `ingress` must be a list, not a map",
                "P0207 7:39 `port` must be a string, not the number `80` | write `\"80\"`",
            ],
        ),
        (
            rule("endpointSelector: {}\nendpointSelector: {}\ningress: [{}]\n"),
            &["P0105 6:3 `endpointSelector` is given twice"],
        ),
    ];
    check(&cases, Dialect::Cilium120);
}

#[test]
fn what_is_known_and_not_supported_yet() {
    for (lines, finding) in [
        ("egress: [{toFQDNs: [{matchName: a.b}]}]", "P0220 6:13 `toFQDNs` is not supported yet"),
        (
            "ingress: [{authentication: {mode: required}}]",
            "P0227 6:14 `authentication` is not supported yet",
        ),
        ("ingress: [{toPorts: [{rules: {http: []}}]}]", "P0221 6:25 `rules` is not supported yet"),
        (
            "ingress: [{toPorts: [{serverNames: [a]}]}]",
            "P0229 6:25 `serverNames` is not supported yet",
        ),
        ("ingress: [{toPorts: [{listener: {}}]}]", "P0230 6:25 `listener` is not supported yet"),
        (
            "ingress: [{toPorts: [{terminatingTLS: {}}]}]",
            "P0231 6:25 `terminatingTLS` is not supported yet",
        ),
        ("ingress: [{fromRequires: [{}]}]", "P0234 6:14 `fromRequires` was removed in Cilium 1.19"),
    ] {
        let found = policy(Dialect::Cilium120, &rule(&format!("{ANY}{lines}")));
        assert!(found.contains(&finding.to_owned()), "{lines}: {found:#?}");
    }
}

#[test]
fn rules_that_cannot_be() {
    let many: String = (1..=41).map(|p| format!("{{port: \"{p}\"}}, ")).collect();
    let many = format!("{ANY}ingress: [{{toPorts: [{{ports: [{many}]}}]}}]");
    let cases: Vec<(String, &[&str])> = vec![
        (
            rule("ingress: [{}]"),
            &[
                "P0301 5:3 a rule needs `endpointSelector` or `nodeSelector` | `endpointSelector: {}` selects every endpoint",
            ],
        ),
        (
            rule("nodeSelector: {}\ningress: [{}]"),
            &[
                "P0303 5:17 a policy in a namespace cannot be about nodes | use a CiliumClusterwideNetworkPolicy",
            ],
        ),
        (
            rule("nodeSelector: {}\nendpointSelector: {}\ningress: [{}]"),
            &["P0302 5:17 a rule is about endpoints or about nodes, not both"],
        ),
        (
            rule("endpointSelector: {}\ningress: []"),
            &["P0304 5:3 a rule needs one of `ingress`, `ingressDeny`, `egress` and `egressDeny`"],
        ),
        (
            rule("endpointSelector: {}\ningress: [{fromCIDR: [10.0.0.0/8], fromEntities: [all]}]"),
            &[
                "P0305 6:38 `fromCIDR` and `fromEntities` cannot stand in one rule | write two rules: a flow needs one that matches",
            ],
        ),
        (rule(&many), &["P0306 6:24 41 elements of `ports`, and at most 40 are allowed"]),
        (
            rule(
                "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"1\"}]}], icmps: [{fields: [{type: 8}]}]}]",
            ),
            &["P0307 6:49 `toPorts` and `icmps` cannot stand in one rule | write two rules"],
        ),
        (
            rule(
                "endpointSelector: {}\ningress: [{icmps: [{fields: [{type: 256}, {type: Ecko}, {type: 8, family: IPv5}]}]}]",
            ),
            &[
                "P0311 6:39 `256` is no ICMP type of this family",
                "P0311 6:52 `Ecko` is no ICMP type of this family | did you mean `Echo`?",
                "P0312 6:77 `IPv5` is neither `IPv4` nor `IPv6`",
            ],
        ),
        (
            rule("endpointSelector: {}\ningress: [{fromEntities: [word, cluster-mesh]}]"),
            &["P0313 6:29 `word` is no entity | did you mean `world`?"],
        ),
        (
            rule(
                "endpointSelector: {}\negress: [{toServices: [{}, {k8sService: {namespace: a}}]}]",
            ),
            &[
                "P0325 6:26 a service is meant by `k8sService` with `serviceName`, or by `k8sServiceSelector`",
                "P0325 6:30 a service is meant by `k8sService` with `serviceName`, or by `k8sServiceSelector`",
            ],
        ),
        (
            rule("endpointSelector: {}\negress: [{toGroups: [{}, {aws: {region: x}}]}]"),
            &[
                "P0206 6:24 a group needs `aws`",
                "P0324 6:28 `aws` needs one of `labels`, `securityGroupsIds`, `securityGroupsNames`",
            ],
        ),
    ];
    check(&cases, Dialect::Cilium120);
}

#[test]
fn ports() {
    let ports = |port: &str| rule(&format!("{ANY}ingress: [{{toPorts: [{{ports: [{port}]}}]}}]"));
    let cases: Vec<(String, &[&str])> = vec![
        (ports("{port: \"80\", endPort: 90}"), &[]),
        (
            ports("{port: \"90\", endPort: 80}"),
            &[
                "P0501 6:55 warning the range ends before it begins: this is port 90 only | leave out `endPort`, or write the smaller port first",
            ],
        ),
        (
            ports("{port: \"0\", endPort: 80}"),
            &[
                "P0502 6:40 warning port 0 stands for every port, not for 0 to 80 | write the first port of the range, or leave out `endPort`",
            ],
        ),
        (
            ports("{port: \"0443\"}"),
            &["P0503 6:40 warning `0443` is octal and means port 291 | write `\"291\"`"],
        ),
        (ports("{port: \"\"}"), &["P0308 6:40 `` is no port from 0 to 65535"]),
        (ports("{port: \"089\"}"), &["P0308 6:40 `089` is no port from 0 to 65535"]),
        (ports("{port: \"65536\"}"), &["P0308 6:40 `65536` is no port from 0 to 65535"]),
        (ports("{port: \"1_000\"}"), &["P0308 6:40 `1_000` is no port from 0 to 65535"]),
        (ports("{port: \"6581-6586\"}"), &["P0308 6:40 `6581-6586` is no port from 0 to 65535"]),
        (
            ports("{port: \"80\", endPort: 70000}"),
            &["P0208 6:55 `endPort` must be from 0 to 65535, not 70000"],
        ),
        (
            ports("{port: \"80\", protocol: tcp}"),
            &["P0309 6:56 `tcp` is no protocol with ports | did you mean `TCP`?"],
        ),
        (
            ports("{port: \"8\", protocol: ICMP}"),
            &["P0309 6:55 `ICMP` has no ports | write a rule with `icmps`"],
        ),
        (ports("{port: http}, {protocol: GRE}, {port: \"0\", protocol: AH}"), &[]),
        (
            ports("{port: \"47\", protocol: GRE}"),
            &["P0327 6:40 a protocol without ports cannot have one | leave out `port`"],
        ),
        (
            ports("{port: http, endPort: 90}"),
            &[
                "P0517 6:55 warning where the range begins depends on whose port `http` is | write a number, or leave out `endPort`",
            ],
        ),
        (
            ports(""),
            &[
                "P0505 6:24 warning an element without `ports` matches nothing | leave the element out",
            ],
        ),
    ];
    check(&cases, Dialect::Cilium120);
}

#[test]
fn prefixes() {
    let cidr = |cidr: &str| rule(&format!("{ANY}egress: [{{toCIDR: [{cidr}]}}]"));
    let set = |set: &str| rule(&format!("{ANY}egress: [{{toCIDRSet: [{set}]}}]"));
    let cases: Vec<(String, &[&str])> = vec![
        (cidr("10.0.0.0/8, \"fd00::/8\""), &[]),
        (
            cidr("10.1.2.3/16"),
            &["P0504 6:22 warning `10.1.2.3/16` has host bits set | write `10.1.0.0/16`"],
        ),
        (
            cidr("10.1.2.3"),
            &["P0315 6:22 the prefix `10.1.2.3` has no length | write `10.1.2.3/32`"],
        ),
        (cidr("\"\""), &["P0314 6:22 `` is not a prefix like `10.0.0.0/8`"]),
        (cidr("10.0.0.0/33"), &["P0314 6:22 `10.0.0.0/33` is not a prefix like `10.0.0.0/8`"]),
        (
            cidr("10.0.0.0/255.0.255.0"),
            &["P0314 6:22 `10.0.0.0/255.0.255.0` is not a prefix like `10.0.0.0/8`"],
        ),
        (
            cidr("\"::ffff:10.0.0.0/104\""),
            &[
                "P0314 6:22 `::ffff:10.0.0.0/104` is an IPv4 prefix written as IPv6 | write `10.0.0.0/8`",
            ],
        ),
        (
            cidr(""),
            &[
                "P0505 6:13 warning `toCIDR: []` matches nobody | leave out `toCIDR` to match every peer",
            ],
        ),
        (
            set("{}"),
            &[
                "P0317 6:25 a CIDR set element needs one of `cidr`, `cidrGroupRef` and `cidrGroupSelector`",
            ],
        ),
        (
            set("{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/8, \"fd00::/8\"]}"),
            &[
                "P0316 6:66 the exception `11.0.0.0/8` lies outside `10.0.0.0/8`",
                "P0316 6:78 the exception `fd00::/8` lies outside `10.0.0.0/8`",
            ],
        ),
    ];
    check(&cases, Dialect::Cilium120);
    check(&[(cidr("10.1.2.3"), &[])], Dialect::Cilium119);
}

#[test]
fn selectors() {
    let of = |selector: &str| rule(&format!("endpointSelector: {selector}\ningress: [{{}}]"));
    let peer = |selector: &str| rule(&format!("{ANY}ingress: [{{fromEndpoints: [{selector}]}}]"));
    let cases: Vec<(String, &[&str])> = vec![
        (of("{matchLabels: {\"k8s:app.kubernetes.io/name\": web}}"), &[]),
        (
            of("{matchExpressions: [{key: a, operator: Is, values: [b]}]}"),
            &["P0318 5:60 `Is` is no operator | did you mean `In`?"],
        ),
        (
            of("{matchExpressions: [{key: a, operator: Exists, values: [b]}]}"),
            &["P0319 5:60 the operator `Exists` takes no values"],
        ),
        (
            of("{matchExpressions: [{key: a, operator: In}]}"),
            &["P0319 5:60 the operator `In` needs values"],
        ),
        (of("{matchLabels: {a: b c}}"), &["P0320 5:39 `b c` is no label value"]),
        (of("{matchLabels: {a b: c}}"), &["P0320 5:36 `a b` is no label key"]),
        (
            of("{matchLabels: {a: yes, b: 80}}"),
            &[
                "P0207 5:39 `a` must be a string, not the boolean `yes` | write `\"yes\"`",
                "P0207 5:47 `b` must be a string, not the number `80` | write `\"80\"`",
            ],
        ),
        (
            of("{matchLabels: {\"k8s:io.kubernetes.pod.namespace\": b}}"),
            &[
                "P0511 5:36 warning the policy is about its own namespace `a` only | leave out the namespace, or move the policy there",
            ],
        ),
        (
            peer("{matchLabels: {\"cidr:10.0.0.0/8\": \"\"}}"),
            &[
                "P0321 6:45 labels of the source `cidr` cannot be selected here | use the fields for addresses and names",
            ],
        ),
        (
            peer("{matchLabels: {\"reserved:world\": \"\"}}"),
            &[
                "P0515 6:45 warning no address has the label `reserved:world` where both families are on | use the entity `world`",
            ],
        ),
        (peer("null"), &["P0207 6:30 `fromEndpoints` must be a map, not nothing"]),
    ];
    check(&cases, Dialect::Cilium120);
}

#[test]
fn what_is_accepted_and_probably_not_meant() {
    let cases: Vec<(String, &[&str])> = vec![
        (
            rule("endpointSelector: {}\negress: [{}]\nenableDefaultDeny: {ingress: true}"),
            &[
                "P0506 7:32 warning default deny has no effect in a direction without rules | write an empty rule: `ingress: [{}]` or `egress: [{}]`",
            ],
        ),
        (
            rule("endpointSelector: {}\negress: [{icmps: [{fields: [{type: EchoReply}]}]}]"),
            &[
                "P0507 6:38 warning type 0 stands for every ICMP type of its family | that is Cilium's reading: no rule can name echo replies alone",
            ],
        ),
        (
            rule("endpointSelector: {}\ningressDeny: [{}]"),
            &[
                "P0512 6:17 warning this rule names neither peers nor ports and denies nothing | name the peers: the entity `all` is everybody",
            ],
        ),
    ];
    check(&cases, Dialect::Cilium120);
}

#[test]
fn kubernetes_policies() {
    let cases: Vec<(String, &[&str])> = vec![
        (kubernetes("podSelector: {}\npolicyTypes: [Ingress]"), &[]),
        (
            kubernetes("ingress: [{}]"),
            &[
                "P0513 5:3 warning without `podSelector` the policy is about every pod of its namespace | write `podSelector: {}`",
            ],
        ),
        (
            kubernetes("podSelector: {}\npolicyTypes: [ingress]"),
            &["P0322 6:17 `ingress` is neither `Ingress` nor `Egress` | did you mean `Ingress`?"],
        ),
        (
            kubernetes("podSelector: {}\npolicyTypes: [Ingress]\negress: [{}]"),
            &[
                "P0508 7:12 warning `egress` is not among `policyTypes`, and its rules are not enforced | add it to `policyTypes`",
            ],
        ),
        (
            kubernetes(
                "podSelector: {}\ningress: [{from: [{}, {ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]",
            ),
            &[
                "P0323 6:21 a peer needs one of `podSelector`, `namespaceSelector` and `ipBlock`",
                "P0323 6:25 a peer is an `ipBlock` or selected by labels, not both",
            ],
        ),
        (
            kubernetes(
                "podSelector: {}\ningress:\n- ports: [{port: 90, endPort: 80}, {endPort: 80}, {port: 0}]\n",
            ),
            &[
                "P0310 7:33 the range ends before it begins: 90 to 80",
                "P0310 7:48 `endPort` needs `port`",
                "P0308 7:60 a port is from 1 to 65535",
            ],
        ),
        (
            kubernetes(
                "podSelector: {}\ningress:\n- ports: [{port: \"80\"}, {port: http}, {port: 80, protocol: ANY}]\n",
            ),
            &[
                "P0514 7:20 warning the port 80 is written as a string | write `80` without quotes",
                "P0309 7:62 `ANY` is no protocol with ports | write one of TCP, UDP, SCTP",
            ],
        ),
        (
            kubernetes("podSelector: {matchLabels: {\"k8s:app\": web}}\ningress: [{}]"),
            &["P0320 5:31 `k8s:app` is no label key"],
        ),
    ];
    check(&cases, Dialect::Kubernetes);
}

#[test]
fn one_name_is_one_policy() {
    let text = rule("endpointSelector: {}\ningress: [{}]");
    let found = policy(Dialect::Cilium120, &format!("{text}---\n{text}"));
    assert_eq!(found, ["P0209 10:18 there are two policies of this kind called `a/p`"]);
}

fn inventory_findings(text: &str) -> Vec<String> {
    let mut sources = SourceMap::new();
    let file = sources.add("inventory.yaml", text);
    let mut sink = Sink::new();
    inventory::load(&sources, &[file], &mut sink);
    sink.into_sorted().iter().map(|d| show(d, &sources)).collect()
}

#[test]
fn inventories() {
    let workload = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: policyc.io/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let cases: Vec<(String, &[&str])> = vec![
        (workload("a", "{addresses: [10.0.0.1, \"fd00::1\"], attach: {interface: eth1}}"), &[]),
        (
            workload("a", "{addresses: [10.0.0.300], adresses: []}"),
            &[
                "P0403 5:20 `10.0.0.300` is no address",
                "P0205 5:33 a workload's `spec` has no field `adresses` | did you mean `addresses`?",
            ],
        ),
        (
            workload("a", "{attach: {interface: eth1, netns: /x}}"),
            &[
                "P0404 5:16 `attach` needs exactly one of `systemdUnit`, `interface`, `netns`, `cgroup`",
            ],
        ),
        (
            workload("a", "{addresses: [10.0.0.1]}") + &workload("b", "{addresses: [10.0.0.1]}"),
            &["P0402 10:20 `10.0.0.1` is the address of `default/a` already"],
        ),
        (
            workload("a", "{}") + &workload("a", "{}"),
            &["P0401 9:18 there are two workloads called `default/a`"],
        ),
        (
            "{apiVersion: policyc.io/v1alpha1, kind: Inventory, complete: true, more: 1}".into(),
            &["P0205 1:68 an inventory has no field `more`"],
        ),
        (
            "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy}".into(),
            &[
                "P0203 1:34 `CiliumNetworkPolicy` says nothing about who there is | give its file with `-f` too",
            ],
        ),
        (
            "apiVersion: policyc.io/v1alpha1\nkind: Inventory\ncomplete: true\n---\n{apiVersion: policyc.io/v1alpha1, kind: Inventory, complete: false}"
                .into(),
            &["P0405 5:62 it is said twice whether the inventory is complete"],
        ),
        (
            "apiVersion: v1\nkind: NodeList\nitems: [{metadata: {name: n1}}, {metadata: {name: n1}}]\n".into(),
            &["P0406 3:51 there are two nodes called `n1`"],
        ),
        ("{apiVersion: v1, kind: ConfigMap, whatever: 1}".into(), &[]),
        (
            "{apiVersion: policyc.io/v1alpha1, kind: Inventory, complete: true, cluster: Prod_1}".into(),
            &["P0320 1:77 `Prod_1` is no name of a cluster | write at most 32 lower-case letters, digits and `-`"],
        ),
        (
            "apiVersion: policyc.io/v1alpha1\nkind: Inventory\ncomplete: true\ncluster: prod\n---\n{apiVersion: policyc.io/v1alpha1, kind: Inventory, complete: true, cluster: test}"
                .into(),
            &[
                "P0405 6:62 it is said twice whether the inventory is complete",
            ],
        ),
        (
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: billing, namespace: default}}\n".to_owned()
                + &workload("a", "{serviceAccount: biling}") + &workload("b", "{serviceAccount: billing}"),
            &["P0412 5:18 warning `default/a` has the service account `biling`, which is not there | did you mean `billing`?"],
        ),
        (
            "a: [1\n---\nb: \"x".into(),
            &[
                "P0101 2:1 not YAML: while parsing a flow sequence, expected ',' or ']'",
                "P0101 3:4 not YAML: while scanning a quoted scalar, found unexpected end of stream",
            ],
        ),
    ];
    for (text, expected) in &cases {
        assert_eq!(inventory_findings(text), *expected, "{text}");
    }
}

#[test]
fn selectors_that_match_nobody_are_reported() {
    let policy = rule(
        "endpointSelector: {matchLabels: {app: web}}\ningress:\n- fromEndpoints: [{matchLabels: {app: nobody}}]\n",
    );
    let who =
        "{apiVersion: v1, kind: Pod, metadata: {name: w, namespace: a, labels: {app: web}}}\n";
    let complete = "---\n{apiVersion: policyc.io/v1alpha1, kind: Inventory, complete: true}\n";
    let message = "a peer is nobody: no workload or node has `app=nobody, \
                   k8s:io.kubernetes.pod.namespace=a, k8s:io.cilium.k8s.policy.cluster=default`";
    for (who, severity) in [(who.to_owned(), "warning "), (format!("{who}{complete}"), "")] {
        let loaded = load_texts(&policy, &who, Dialect::Cilium120);
        assert!(loaded.sink.is_empty(), "{:?}", loaded.sink);
        let mut sink = Sink::new();
        lint::unmatched(&loaded.policies.network, &loaded.inventory, &loaded.origins, &mut sink);
        let found: Vec<_> = sink.iter().map(|d| show(d, &loaded.sources)).collect();
        assert_eq!(found, [format!("P0509 7:5 {severity}{message}")]);
    }
}

#[test]
fn what_is_not_compared_is_told() {
    let peers: String = (0..10)
        .map(|i| format!("{{fromEntities: [world]}}, {{fromCIDR: [198.51.{i}.0/24]}}, "))
        .collect();
    let text = rule(&format!("endpointSelector: {{}}\ningress: [{peers}]"));
    let loaded = load_texts(&text, "", Dialect::Cilium120);
    let found = |pairs| {
        let mut sink = Sink::new();
        let rules = &loaded.policies.network;
        lint::shadowed_within(pairs, rules, Dialect::Cilium120, &loaded.origins, &mut sink);
        sink.iter().map(|d| show(d, &loaded.sources)).collect::<Vec<_>>()
    };
    let note = "were not held against all others | check fewer policies at once to find those that decide nothing";
    assert_eq!(found(0), [format!("P0544 6:13 note 20 rules, this one first, {note}")]);
    assert_eq!(found(usize::MAX).len(), 1);
    let cut = found(5);
    assert!(cut.iter().any(|line| line.contains(note)), "{cut:?}");
}

#[test]
fn many_policies_of_one_priority_are_not_all_compared() {
    let numbered = |i: usize| {
        format!(
            "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n\
             metadata: {{name: p{i}}}\nspec: {{tier: Admin, priority: 1, \
             subject: {{namespaces: {{matchLabels: {{n: a{i}}}}}}}, \
             ingress: [{{action: Deny, from: [{{namespaces: {{}}}}]}}]}}\n"
        )
    };
    let text = |count: usize| (0..count).map(numbered).collect::<String>();
    let of = |count: usize| policy(Dialect::Cilium120, &text(count));
    assert_eq!(of(65), [] as [String; 0]);
    assert_eq!(
        of(67),
        [
            "P0544 330:7 note 2 policies, this one first, were not held against all of their priority | give them different priorities: the lower one is asked first"
        ]
    );
}

#[test]
fn a_service_account_that_is_not_there_is_told() {
    let policy = rule(
        "endpointSelector: {}\ningress:\n- fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: biling}}]\n",
    );
    let who = "{apiVersion: v1, kind: Pod, metadata: {name: w, namespace: a}, spec: {serviceAccountName: billing}}\n---\n\
               {apiVersion: v1, kind: ServiceAccount, metadata: {name: billing, namespace: a}}\n";
    let loaded = load_texts(&policy, who, Dialect::Cilium120);
    let mut sink = Sink::new();
    lint::unmatched(&loaded.policies.network, &loaded.inventory, &loaded.origins, &mut sink);
    let help = sink.iter().map(|d| d.help.as_deref().unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(help, ["no service account is called `biling`; did you mean `billing`?"]);
}

/// What one reader leaves to the other, of a file that is given to both.
#[test]
fn a_file_may_hold_policies_and_who_there_is() {
    let text = rule("endpointSelector: {}\ningress: [{}]")
        + "---\n{apiVersion: v1, kind: Pod, metadata: {name: w, namespace: a}}\n\
           ---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n\
           ---\n{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: g}, spec: {externalCIDRs: [10.0.0.0/8]}}\n";
    let mut sources = SourceMap::new();
    let file = sources.add("both.yaml", text);
    let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
    let reading = Reading { mixed: &[file], ..Reading::default() };
    let policies = load_as(&sources, &[file], reading, &mut origins, &mut sink);
    let inventory = inventory::load_beside(&sources, &[file], &[file], &mut sink);
    assert!(sink.is_empty(), "{sink:?}");
    assert_eq!((policies.documents, policies.groups.len()), (1, 0));
    assert_eq!((inventory.workloads.len(), inventory.groups.iter().count()), (1, 1));
}

#[test]
fn the_table_of_codes_is_in_order_and_without_repetition() {
    let codes: Vec<_> = policyc_policy::codes::ALL.iter().map(|(code, _)| code.0).collect();
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
}
