//! Rules that report instead of enforce: by annotation, and while they are live.

use std::fs;

use serde_json::Value;

use crate::build::{bindings_text, ping_artifact, save};
use crate::lab::{Lab, run};

/// The right end hears no echo, by a rule, and nothing else by default.
fn policy(annotation: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: hears-not, namespace: demo, annotations: {{{annotation}}}}}
spec:
  endpointSelector: {{matchLabels: {{app: right}}}}
  ingress: [{{toPorts: [{{ports: [{{port: '7001'}}]}}]}}]
  ingressDeny: [{{fromEntities: [all], icmps: [{{fields: [{{type: EchoRequest}}]}}]}}]
"
    )
}

/// Applies it at the right end; nothing but IPv4 is there to be denied.
fn apply(lab: &Lab, annotation: &str) {
    let (file, to) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
    save(&ping_artifact("audit", &policy(annotation)), &file);
    let right = "- subject: demo/right\n  attach: {tc: {interface: veth-right, netns: RIGHT}}\n";
    fs::write(&to, bindings_text(lab, right)).expect("a file");
    lab.says(["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()]);
}

fn ping(lab: &Lab) -> bool {
    let ping = format!("ip netns exec {} ping -q -c 1 -W 1 10.77.0.2", lab.left);
    run(&ping).status.success()
}

/// What was reported of echo requests: the verdict, and the rule.
fn seen(lab: &Lab) -> Vec<(String, String)> {
    let lines = lab.says(["observe", "-o", "json"]);
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let echo = events.filter(|event| event["flow"]["icmp_type"] == 8);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    echo.map(|event| (text(&event["verdict"]), text(&event["by"]["rule"]))).collect()
}

fn told(verdict: &str, rule: &str) -> Vec<(String, String)> {
    vec![(verdict.to_owned(), rule.to_owned())]
}

#[test]
fn an_annotation_is_told_of_and_not_enforced() {
    let Some(lab) = Lab::new("audit::an_annotation_is_told_of_and_not_enforced") else {
        return;
    };
    lab.without_ipv6();
    apply(&lab, "policyc.io/audit: 'true'");
    assert!(ping(&lab));
    assert_eq!(seen(&lab), told("AUDIT", "spec.ingressDeny[0]"));
    // Without the rule the default denies.
    apply(&lab, "policyc.io/audit: 'spec.ingressDeny[0]'");
    assert!(!ping(&lab));
    assert_eq!(seen(&lab), told("DROPPED", "spec"));
    apply(&lab, "policyc.io/audit: 'spec.ingressDeny[0], spec'");
    assert!(ping(&lab));
    assert_eq!(seen(&lab), told("AUDIT", "spec.ingressDeny[0]"));
}

#[test]
fn what_is_live_is_audited_for_a_time_and_across_a_swap() {
    let test = "audit::what_is_live_is_audited_for_a_time_and_across_a_swap";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    apply(&lab, "");
    assert!(!ping(&lab));
    assert_eq!(seen(&lab), told("DROPPED", "spec.ingressDeny[0]"));

    let said = lab.says(["audit", "demo/hears-not", "--for", "1h"]);
    let expected = "generation 1: demo/hears-not reports for 1h and does not enforce: spec, \
                    spec.ingressDeny[0]\n";
    assert_eq!(said, expected);
    assert!(ping(&lab));
    assert_eq!(seen(&lab), told("AUDIT", "spec.ingressDeny[0]"));
    let status = lab.says(["status"]);
    assert!(status.contains("  audit: demo/hears-not reports for another "), "{status}");

    apply(&lab, "");
    assert!(ping(&lab));
    assert_eq!(seen(&lab), told("AUDIT", "spec.ingressDeny[0]"));
    let listed: Value = serde_json::from_str(&lab.says(["audit", "-o", "json"])).expect("JSON");
    assert_eq!(listed["audits"][0]["policy"], "demo/hears-not");

    let said = lab.says(["audit", "demo/hears-not", "--off"]);
    assert_eq!(said, "generation 2: demo/hears-not is enforced\n");
    assert!(!ping(&lab));
    assert_eq!(seen(&lab), told("DROPPED", "spec.ingressDeny[0]"));
    assert_eq!(lab.says(["audit"]), "nothing is audited\n");

    // Of a rule alone: what another denies stays denied.
    lab.says(["audit", "demo/hears-not", "--rule", "spec.ingressDeny[0]", "--for", "1h"]);
    assert!(!ping(&lab));
    lab.says(["audit", "demo/hears-not", "--rule", "spec", "--for", "1h"]);
    assert!(ping(&lab));

    // It ends by itself.
    lab.says(["audit", "demo/hears-not", "--off"]);
    lab.says(["audit", "demo/hears-not", "--for", "1s"]);
    crate::lab::wait_for("the audit to end", || (!ping(&lab)).then_some(()));
}

#[test]
fn what_cannot_be_audited_is_said() {
    let Some(lab) = Lab::new("audit::what_cannot_be_audited_is_said") else { return };
    let ask = |args: &[&str]| lab.refuses(["audit"].iter().chain(args)).err;
    let text = ask(&["demo/hears-not", "--for", "1m"]);
    assert!(text.contains("`policyc apply` first"), "{text}");
    apply(&lab, "");
    let text = ask(&["demo/nobody", "--for", "1m"]);
    let expected = "`demo/nobody` denies nothing in the live generation; what denies: \
                    `demo/hears-not`";
    assert!(text.contains(expected), "{text}");
    let text = ask(&["demo/hears-not", "--off"]);
    assert!(text.contains("`demo/hears-not` is not audited"), "{text}");
}
