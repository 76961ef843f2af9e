use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let one = |(key, value): &(&str, &str)| {
        let (source, key) = key.split_once(':').unwrap_or((K8S, key));
        Label { source: source.into(), key: key.into(), value: (*value).into() }
    };
    pairs.iter().map(one).collect()
}

#[test]
fn requirements_match_by_source_key_and_value() {
    let pod = labels(&[("app", "web"), ("env", ""), (NAMESPACE, "shop")]);
    let host = labels(&[("reserved:host", "")]);
    let values = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let cases = [
        ("app", Operator::In(values(&["web", "api"])), true, false),
        ("k8s:app", Operator::In(values(&["web"])), true, false),
        ("any:app", Operator::In(values(&["web"])), true, false),
        ("container:app", Operator::In(values(&["web"])), false, false),
        ("app", Operator::NotIn(values(&["web"])), false, true),
        ("app", Operator::NotIn(values(&["api"])), true, true),
        ("env", Operator::In(values(&[""])), true, false),
        ("env", Operator::Exists, true, false),
        ("nope", Operator::Exists, false, false),
        ("nope", Operator::DoesNotExist, true, true),
        ("reserved:host", Operator::In(values(&[""])), false, true),
        ("k8s:host", Operator::Exists, false, false),
    ];
    for (key, operator, on_pod, on_host) in cases {
        let requirement = Requirement::new(key, operator);
        let found = (requirement.matches(&pod), requirement.matches(&host));
        assert_eq!(found, (on_pod, on_host), "{requirement}");
    }
}

#[test]
fn a_selector_without_requirements_selects_everything() {
    let selector = LabelSelector::default();
    assert!(selector.matches(&Labels::default()));
    assert_eq!(selector.to_string(), "everything");
}

#[test]
fn labels_are_sorted_and_appear_once() {
    let labels = labels(&[("b", "1"), ("a", "2"), ("b", "1")]);
    let shown: Vec<_> = labels.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["k8s:a=2", "k8s:b=1"]);
}
