//! Where nobody in particular is met, the verdict is the one that was stated.

use policyc::pipeline::Input;

use crate::build::{artifact_with, bindings_text, example, save};
use crate::lab::{Lab, run};

/// The lab's right end is nobody's.
fn apply(lab: &Lab, unknown_subject_allowed: bool) -> String {
    let (file, bindings) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
    let options = Input { unknown_subject_allowed, ..Input::default() };
    let (policy, inventory) = (example("ping/allow-all.yaml"), example("ping/inventory.yaml"));
    save(&artifact_with("allow", &policy, &inventory, options), &file);
    let nobody = " []\nunknownSubjects: [{tc: {interface: veth-right, netns: RIGHT}}]\n";
    std::fs::write(&bindings, bindings_text(lab, nobody)).expect("a file");
    lab.says(["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), bindings.as_os_str()])
}

#[test]
fn the_verdict_of_an_unknown_subject_is_the_one_that_was_built() {
    let test = "unknown::the_verdict_of_an_unknown_subject_is_the_one_that_was_built";
    let Some(lab) = Lab::new(test) else { return };
    lab.without_ipv6();
    let ping = format!("ip netns exec {} ping -q -c 3 -i 0.02 -W 1 10.77.0.2", lab.left);
    assert!(run(&ping).status.success());
    for (is_allowed, word) in [(false, "deny"), (true, "allow")] {
        let said = apply(&lab, is_allowed);
        assert!(said.contains("tc ingress of veth-right"), "{said}");
        assert!(said.contains(": unknown subjects\n"), "{said}");
        assert_eq!(run(&ping).status.success(), is_allowed, "{word}");
        let status = lab.says(["status"]);
        assert!(status.contains(&format!("\n  unknown subjects: {word}\n")), "{status}");
        assert!(status.contains(": unknown subjects by "), "{status}");
        assert!(status.contains(&format!("{word} (unknown subject)")), "{status}");
        let json = lab.says(["status", "-o", "json"]);
        assert!(json.contains(&format!("\"unknown_subject\": \"{word}\"")), "{json}");
    }
}
