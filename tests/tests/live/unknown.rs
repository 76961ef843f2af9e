//! Where nobody in particular is met, the verdict is the one that was stated.

use policyc::pipeline::Input;

use crate::build::{self, artifact_with, example};
use crate::lab::{Lab, ping};

/// The lab's right end is nobody's.
fn apply(lab: &Lab, unknown_subject_allowed: bool) -> String {
    let options = Input { unknown_subject_allowed, ..Input::default() };
    let (policy, inventory) = (example("ping/allow-all.yaml"), example("ping/inventory.yaml"));
    let nobody = " []\nunknownSubjects: [{tc: {interface: veth-right, netns: RIGHT}}]\n";
    build::apply(lab, &artifact_with("allow", &policy, &inventory, options), nobody)
}

#[test]
fn the_verdict_of_an_unknown_subject_is_the_one_that_was_built() {
    let test = "unknown::the_verdict_of_an_unknown_subject_is_the_one_that_was_built";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let passes = || ping(&lab.left, "10.77.0.2");
    assert!(passes());
    for (is_allowed, word) in [(false, "deny"), (true, "allow")] {
        let said = apply(&lab, is_allowed);
        assert!(said.contains("tc ingress of veth-right"), "{said}");
        assert!(said.contains(": unknown subjects\n"), "{said}");
        assert_eq!(passes(), is_allowed, "{word}");
        let status = lab.says(["status"]);
        assert!(status.contains(&format!("\n  unknown subjects: {word}\n")), "{status}");
        assert!(status.contains(": unknown subjects by "), "{status}");
        assert!(status.contains(&format!("{word} (unknown subject)")), "{status}");
        let json = lab.says(["status", "-o", "json"]);
        assert!(json.contains(&format!("\"unknown_subject\": \"{word}\"")), "{json}");
    }
}
