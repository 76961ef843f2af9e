//! `policyc top`: what rules decide while one looks, and those that never did.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::build::{apply, ping_artifact};
use crate::connections::{policy, ports};
use crate::lab::{Lab, wait_for};

const RIGHT: &str =
    "- {subject: demo/right, attach: {tc: {interface: veth-right, netns: RIGHT}}}\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn rules_are_told_by_what_they_decide_meanwhile() {
    let Some(lab) = Lab::new("top::rules_are_told_by_what_they_decide_meanwhile") else { return };
    lab.without_ipv6();
    let allowed = format!("{}\n{}", ports("UDP", &[7002]), ports("TCP", &[7003]));
    let artifact = ping_artifact("ct", &policy("ct", "right", &allowed, ""));
    apply(&lab, &artifact, RIGHT);
    let unused = json(&lab.says(["top", "--unused", "-o", "json"]));
    let rules: Vec<_> = unused["unused"].as_array().expect("a list").iter().collect();
    // Two allow what is received, one what is sent, and what is left is denied.
    assert_eq!(rules.len(), 4, "{unused}");
    assert!(rules.iter().all(|rule| rule["policy"] == "demo/ct" && rule["packets"] == 0));

    let (sender, receiver) = lab.udp(7002);
    sender.send(b"before").expect("sends");
    wait_for("the datagram", || receiver.recv(&mut [0; 8]).ok());
    let ends = AtomicBool::new(false);
    let round = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                let _ = sender.send(b"meanwhile");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let said = lab.says(["top", "-n", "2", "-o", "json"]);
        ends.store(true, Ordering::Relaxed);
        said
    });
    let rounds: Vec<Value> = round.lines().map(json).collect();
    assert_eq!(rounds.len(), 2, "{round}");
    for round in &rounds {
        let [row] = &round["rows"].as_array().expect("a list")[..] else { panic!("{round}") };
        assert_eq!((&row["policy"], &row["verdict"]), (&"demo/ct".into(), &"FORWARDED".into()));
        assert_eq!(row["direction"], "ingress");
        assert!(row["packets"].as_u64() > Some(1) && row["bytes"].as_u64() > Some(50), "{row}");
    }
    let text = lab.says(["top", "-n", "1"]);
    assert_eq!(text, "generation 1 (demo/ct), last 1 s\n  nothing was decided\n");
    let unused = lab.says(["top", "--unused"]);
    let mut lines = unused.lines();
    let head = lines.next().expect("a head");
    assert!(head.starts_with("3 rules decided nothing since 20"), "{unused}");
    let shown: Vec<_> = lines.collect();
    assert!(shown.iter().any(|line| line.contains("DROPPED      by default of demo/ct spec (")));
    assert!(
        shown.iter().any(|line| line.contains("FORWARDED    demo/ct spec.ingress[")),
        "{unused}"
    );
}

/// A rule of which the compiler says that it decides nothing (P0540).
#[test]
fn a_rule_that_nothing_reaches_is_unused() {
    let Some(lab) = Lab::new("top::a_rule_that_nothing_reaches_is_unused") else { return };
    let denied = policy("ct", "right", &ports("UDP", &[7002]), "");
    let denied = denied + "  ingressDeny: [{fromEntities: [all]}]\n";
    apply(&lab, &ping_artifact("ct", &denied), RIGHT);
    let unused = lab.says(["top", "--unused"]);
    let line = unused.lines().find(|line| line.contains("spec.ingress[0]")).expect("the rule");
    assert!(line.starts_with("  unreachable  demo/ct spec.ingress[0] (ct.yaml:"), "{unused}");
}

#[test]
fn where_nothing_is_live_nothing_decides() {
    let Some(lab) = Lab::new("top::where_nothing_is_live_nothing_decides") else { return };
    for more in [&["-n", "1"][..], &["--unused"]] {
        let refused = lab.refuses(["top"].iter().chain(more));
        assert!(
            refused.err.contains("nothing is live\n  help: `policyc apply`"),
            "{}",
            refused.err
        );
    }
}
