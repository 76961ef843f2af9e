//! Lowering of small network decisions: what comes out is BIR that reads back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policyc_base::{EntityId, Origin, Sink, SourceMap};
use policyc_codegen::lower;
use policyc_decision::network::{NetworkDecision, SubjectKind, World, WorldSubject, build};
use policyc_policy::labels::Labels;
use policyc_policy::network::{
    Direction, Entry, EntryVerdict, Manner, Peer, Peers, PerDirection, PortMatch, Ports, Rule,
    Subject, Tier,
};

fn net(text: &str) -> Peers {
    Peers::OneOf(vec![Peer::Cidr { net: text.parse().expect("an address"), except: vec![] }])
}

fn contains(peers: &Peers, address: IpAddr) -> bool {
    match peers {
        Peers::Any => true,
        Peers::OneOf(list) => list.iter().any(|peer| match peer {
            Peer::Cidr { net, .. } => net.contains(&address),
            _ => false,
        }),
    }
}

fn decision() -> NetworkDecision {
    let entry = |n: usize, verdict, peers, protocol, port| Entry {
        direction: Direction::Ingress,
        tier: Tier::NORMAL,
        priority: 0,
        verdict,
        peers,
        ports: Ports::OneOf(vec![PortMatch { protocol, first: port, last: port }]),
        audit: false,
        origin: Origin::from_index(n),
    };
    let rule = Rule {
        subject: Subject::Endpoints(Default::default()),
        default_deny: PerDirection { ingress: true, egress: false },
        entries: vec![
            entry(1, EntryVerdict::Allow, net("10.0.0.0/8"), 6, 443),
            entry(2, EntryVerdict::Deny, net("10.1.0.0/16"), 6, 443),
            entry(3, EntryVerdict::Allow, net("2001:db8::/32"), 17, 53),
        ],
        manner: Manner::default(),
        origin: Origin::from_index(0),
    };
    let subject = WorldSubject {
        name: "shop/web".into(),
        kind: SubjectKind::Workload,
        addresses: vec!["10.9.0.1".parse().expect("an address")],
        ports: BTreeMap::new(),
        rules: vec![0],
        viewpoint: 0,
    };
    let world = World {
        subjects: vec![subject],
        viewpoints: 1,
        known: vec![],
        named_ports: BTreeMap::new(),
        services: BTreeMap::new(),
        group_nets: vec![],
        sets: vec![],
        workloads: 0,
        workload_matches: &|_, _, _| false,
        workload_port: &|_, _| None,
        workload_at: &|_| None,
        set_of: &|_| None,
        group_labels: &|_| Labels::default(),
        matches: &|_, peers, address| contains(peers, address),
        candidates: &|_| None,
        varies: &|_| false,
        varies_at: &|_| false,
        own_host: PerDirection::default(),
        reaches_itself: false,
        unknown_subject_allowed: false,
    };
    build(&[rule], &world)
}

#[test]
fn programs_check_and_read_back() {
    let lowered = lower::lower(lower::Decisions {
        network: Some(&decision()),
        ..lower::Decisions::default()
    })
    .expect("it is there");
    assert_eq!(lowered.plans.len(), 5);
    let text = lowered.module.to_string();
    let findings = policyc_ir::check(&lowered.module);
    assert!(findings.is_empty(), "{}", policyc_ir::check::render(&lowered.module, &findings));
    let mut sources = SourceMap::new();
    let file = sources.add("dump.bir", text.as_str());
    let read = policyc_ir::parse(file, &text, &mut Sink::new());
    assert_eq!(read.as_ref(), Some(&lowered.module));
}
