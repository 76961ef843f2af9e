//! Network decisions from YAML: sharing, order, and sizes.

use policyc_base::{OriginTable, Sink, SourceMap};
use policyc_decision::network::{NetworkDecision, decide, print};
use policyc_policy::inventory;
use policyc_policy::network::{
    Dialect, Direction, Entry, EntryVerdict, Flow, Peers, PerDirection, Ports, Reason, Rule, Tier,
    eval,
};

struct World {
    rules: Vec<Rule>,
    inventory: inventory::Inventory,
    origins: OriginTable,
}

fn world(policy: &str, who: &str) -> World {
    let mut sources = SourceMap::new();
    let files = [sources.add("policy.yaml", policy), sources.add("inventory.yaml", who)];
    let (mut origins, mut sink) = (OriginTable::new(), Sink::new());
    let dialect = Dialect::Cilium120;
    let policies = policyc_policy::load(&sources, &files[..1], dialect, &mut origins, &mut sink);
    let inventory = inventory::load(&sources, &files[1..], &mut sink);
    assert!(!sink.has_errors(), "{sink:?}");
    World { rules: policies.network, inventory, origins }
}

impl World {
    fn decide(&self) -> NetworkDecision {
        decide(&self.rules, &self.inventory, Dialect::Cilium120, false)
    }
}

fn workload(i: usize, app: &str) -> String {
    format!(
        "apiVersion: policyc.io/v1alpha1\nkind: Workload\n\
         metadata: {{name: w{i}, namespace: shop, labels: {{app: {app}}}}}\n\
         spec: {{addresses: [10.1.{}.{}]}}\n---\n",
        i / 250,
        i % 250 + 1
    )
}

fn policy(app: &str, port: usize) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
         metadata: {{name: {app}, namespace: shop}}\n\
         spec:\n  endpointSelector: {{matchLabels: {{app: {app}}}}}\n  \
         ingress: [{{fromCIDR: [192.0.2.0/24], toPorts: [{{ports: [{{port: \"{port}\", protocol: TCP}}]}}]}}]\n---\n"
    )
}

#[test]
fn a_thousand_workloads_with_ten_behaviours_cost_ten_rows() {
    let who: String = (0..1000).map(|i| workload(i, &format!("a{}", i % 10))).collect();
    let policies: String = (0..10).map(|i| policy(&format!("a{i}"), 8000 + i)).collect();
    let decision = world(&policies, &who).decide();
    assert_eq!(decision.subjects.len(), 1000);
    assert_eq!(decision.behaviours.len(), 10);
    // Each behaviour denies by its own default, which its cells name, and allows one
    // port; egress is restricted by nobody.
    assert_eq!(decision.cells.rows.len(), 2 * 10 + 1);
    // The prefix, and everything else: no rule tells two workloads apart as peers.
    assert_eq!(decision.rows.address_classes, 2);
    assert_eq!(decision.ports.count, 11);
}

#[test]
fn without_anybody_there_is_nothing_to_decide() {
    let by_label = policy("web", 80).replace("fromCIDR: [192.0.2.0/24]", "fromEndpoints: [{}]");
    let decision = world(&by_label, "").decide();
    assert_eq!((decision.subjects.len(), decision.behaviours.len()), (0, 0));
}

#[test]
fn a_thousand_peers_with_one_named_port_cost_one_class() {
    let peers = (0..1000).map(|i| {
        let ports = "ports: [{name: http, port: 8080}]";
        workload(i, "web").replace("spec: {", &format!("spec: {{{ports}, "))
    });
    let policy = "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\n\
         metadata: {name: out}\n\
         spec:\n  endpointSelector: {}\n  \
         egress: [{toPorts: [{ports: [{port: http, protocol: TCP}]}]}]\n";
    let world = world(policy, &peers.collect::<String>());
    let decision = world.decide();
    assert_eq!(decision.behaviours.len(), 1);
    // Whoever has the port, and everybody else.
    assert_eq!(decision.rows.address_classes, 2);
    assert_eq!(decision.ports.count, 2);
    for (port, allowed) in [(8080, true), (80, false)] {
        let flow = flow("10.1.0.1", "10.1.3.250", port);
        let [index, _] = decision.judge_flow(&flow);
        assert_eq!(decision.decisions[index.expect("it is there")].allowed, allowed);
        let oracle = eval(&world.rules, &world.inventory, Dialect::Cilium120, &flow);
        assert_eq!(oracle.egress.allowed, allowed);
    }
}

#[test]
fn subjects_without_a_rule_share_a_row_that_allows_everything() {
    let decision =
        world(&policy("web", 80), &(workload(1, "left") + &workload(2, "right"))).decide();
    assert_eq!(decision.behaviours.len(), 1);
    assert_eq!(decision.cells.rows.len(), 1);
    let flow = flow("10.1.0.2", "10.1.0.3", 9);
    let verdicts = decision
        .judge_flow(&flow)
        .map(|index| decision.decisions[index.expect("it is there")].allowed);
    assert_eq!(verdicts, [true, true]);
}

fn flow(source: &str, destination: &str, port: u16) -> Flow {
    let (source, destination) =
        (source.parse().expect("an address"), destination.parse().expect("an address"));
    Flow { source, destination, protocol: 6, port }
}

/// A rule for everybody with one entry for ingress from everybody.
fn rule(tier: Tier, priority: u32, verdict: EntryVerdict, origin: usize) -> Rule {
    use policyc_base::{EntityId, Origin};
    let origin = Origin::from_index(origin);
    let entry = Entry {
        direction: Direction::Ingress,
        tier,
        priority,
        verdict,
        peers: Peers::Any,
        ports: Ports::Any,
        audit: false,
        origin,
    };
    Rule {
        subject: policyc_policy::network::Subject::Endpoints(Default::default()),
        default_deny: PerDirection { ingress: tier == Tier::NORMAL, egress: false },
        entries: vec![entry],
        manner: Default::default(),
        origin,
    }
}

/// Rules as (tier, priority, verdict), and which of them decides.
type Case<'a> = (&'a [(Tier, u32, EntryVerdict)], Option<usize>);

#[test]
fn tiers_priorities_and_pass_decide_as_the_oracle_says() {
    use EntryVerdict::{Allow, Deny, Pass};
    let who = workload(1, "web");
    let World { inventory, .. } = world(&policy("web", 80), &who);
    let (admin, normal, base) = (Tier::ADMIN, Tier::NORMAL, Tier::BASELINE);
    // Rules as (tier, priority, verdict), and which of them decides; none is the default.
    let cases: &[Case<'_>] = &[
        (&[(normal, 0, Allow), (normal, 0, Deny)], Some(1)),
        (&[(normal, 1, Deny), (normal, 0, Allow)], Some(1)),
        (&[(normal, 0, Deny), (admin, 9, Allow)], Some(1)),
        (&[(admin, 0, Pass), (admin, 1, Deny), (normal, 0, Allow)], Some(2)),
        (&[(admin, 0, Pass), (admin, 0, Allow), (normal, 0, Deny)], Some(1)),
        (&[(admin, 0, Pass), (normal, 0, Pass), (base, 0, Deny)], Some(2)),
        (&[(base, 0, Allow), (normal, 0, Pass)], Some(0)),
        (&[(admin, 0, Pass)], None),
        (&[(normal, 0, Pass)], None),
    ];
    for (list, decider) in cases {
        let rules = list.iter().enumerate();
        let rules: Vec<_> = rules.map(|(i, (t, p, v))| rule(*t, *p, *v, i)).collect();
        let decision = decide(&rules, &inventory, Dialect::Cilium120, false);
        let flow = flow("203.0.113.9", "10.1.0.2", 80);
        let oracle = eval(&rules, &inventory, Dialect::Cilium120, &flow).ingress;
        let [_, index] = decision.judge_flow(&flow);
        let found = decision.decisions[index.expect("it is there")];
        let policyc_decision::network::Why::Policy(reason) = found.why else { panic!("{list:?}") };
        assert_eq!((found.allowed, reason), (oracle.allowed, oracle.reason), "{list:?}");
        let entry = match reason {
            Reason::Entry(origin) => Some(policyc_base::EntityId::index(origin)),
            _ => None,
        };
        assert_eq!(entry, *decider, "{list:?}");
    }
}

#[test]
fn the_dump_names_rules_and_is_the_same_twice() {
    let world = world(&policy("web", 80), &workload(1, "web"));
    let (first, second) = (world.decide(), world.decide());
    let text = print(&first, &world.origins);
    assert_eq!(text, print(&second, &world.origins));
    let wanted = [
        "192.0.2.0.. -> a",
        "6 80.. -> p",
        "shop/w1 -> behaviour 0",
        "allow shop/web spec.ingress[0]",
        "deny (default deny of shop/web",
    ];
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}
