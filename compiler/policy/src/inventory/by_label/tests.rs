use std::collections::BTreeSet;

use policyc_base::{Sink, SourceMap};

use super::ByLabel;
use crate::inventory::{WorkloadId, load};
use crate::labels::{LabelSelector, Operator, Requirement};

const PODS: [(&str, &str); 4] =
    [("a", "app: web"), ("b", "app: web, env: dev"), ("c", "app: db, env: prod"), ("d", "")];

fn requirement(key: &str, operator: Operator) -> Requirement {
    Requirement::new(key, operator)
}

#[test]
fn candidates_are_few_and_leave_nobody_out() {
    let pods = PODS.map(|(name, labels)| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}}}\n"
        )
    });
    let mut sources = SourceMap::new();
    let file = sources.add("pods.yaml", pods.concat());
    let mut sink = Sink::new();
    let inventory = load(&sources, &[file], &mut sink);
    assert!(!sink.has_errors(), "{sink:?}");
    let index = ByLabel::new(&inventory);

    let among = |values: &[&str]| Operator::In(values.iter().map(|v| (*v).to_owned()).collect());
    let cases: &[(Vec<Requirement>, usize)] = &[
        (vec![], 4),
        (vec![requirement("app", among(&["web"]))], 2),
        (vec![requirement("k8s:app", among(&["web", "db"]))], 3),
        (vec![requirement("app", among(&["web"])), requirement("env", among(&["dev"]))], 1),
        (vec![requirement("app", among(&["none"]))], 0),
        (vec![requirement("app", among(&[]))], 0),
        (vec![requirement("env", Operator::Exists)], 4),
        (vec![requirement("env", Operator::NotIn(vec!["dev".to_owned()]))], 4),
    ];
    for (requirements, most) in cases {
        let selector = LabelSelector { requirements: requirements.clone() };
        let matched = |ids: &mut dyn Iterator<Item = WorkloadId>| -> BTreeSet<WorkloadId> {
            ids.filter(|id| selector.matches(&inventory.workloads[*id].labels)).collect()
        };
        let candidates = index.candidates(&selector);
        assert_eq!(candidates.len(), *most, "{selector}");
        let found = matched(&mut candidates.into_iter());
        assert_eq!(found, matched(&mut inventory.workloads.ids()), "{selector}");
    }
}
