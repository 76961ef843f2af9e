//! Groups whose prefixes change while policy is live: the verdict follows, no program is
//! loaded, and what was changed survives a swap.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use crate::build::{artifact, bindings_text, save};
use crate::lab::{Lab, run};

const INVENTORY: &str = "
apiVersion: policyc.io/v1alpha1
kind: Workload
metadata: {name: right, namespace: demo, labels: {app: right}}
spec: {addresses: [10.77.0.2, 'fd77::2']}
";

const POLICY: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: hears-friends, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: right}}
  enableDefaultDeny: {egress: false}
  ingress:
  - fromCIDRSet: [{cidrGroupRef: friends}]
    icmps: [{fields: [{type: EchoRequest}, {family: IPv6, type: EchoRequest}]}]
  ingressDeny:
  - fromCIDRSet: [{cidrGroupRef: foes, except: [10.77.0.0/31]}]
";

/// A group as it is written.
fn group(name: &str, prefixes: &str) -> String {
    format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata:\n  name: {name}\n  \
         annotations: {{policyc.io/dynamic: \"true\"}}\nspec: {{externalCIDRs: [{prefixes}]}}\n"
    )
}

fn apply(lab: &Lab, more: &str, friends: &str) {
    apply_policies(lab, &[POLICY, more].concat(), friends);
}

fn apply_policies(lab: &Lab, policies: &str, friends: &str) {
    let (file, to) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
    let policies = [policies, &group("friends", friends), &group("foes", "")].concat();
    save(&artifact("a", &policies, INVENTORY), &file);
    let bindings = "- subject: demo/right\n  attach: {netns: {path: RIGHT}}\n";
    fs::write(&to, bindings_text(lab, bindings)).expect("a file");
    lab.says(["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()]);
}

/// Gives groups other prefixes. Returns what was said.
fn patch(lab: &Lab, groups: &str) -> String {
    let file = lab.file("groups.yaml");
    fs::write(&file, groups).expect("a file");
    lab.says(["patch".as_ref(), "-i".as_ref(), file.as_os_str()])
}

/// Whether the right end answers, by IPv4 and by IPv6.
fn answers(lab: &Lab) -> [bool; 2] {
    ["10.77.0.2", "fd77::2"].map(|to| {
        let ping = format!("ip netns exec {} ping -q -c 2 -i 0.02 -W 1 {to}", lab.left);
        run(&ping).status.success()
    })
}

/// The ids of the programs that judge.
fn programs(lab: &Lab) -> Vec<String> {
    let pins = lab.dirs.pins().join("generations");
    let show = |pin: String| {
        let shown = run(&format!("bpftool -j prog show pinned {pin}"));
        String::from_utf8_lossy(&shown.stdout).split(',').next().unwrap_or_default().to_owned()
    };
    let found = run(&format!("find {} -path '*/programs/*' -type f", pins.display()));
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut programs: Vec<_> = found.lines().map(|pin| show(pin.to_owned())).collect();
    programs.sort();
    programs
}

#[test]
fn the_verdict_follows_without_another_program() {
    let Some(lab) = Lab::new("members::the_verdict_follows_without_another_program") else {
        return;
    };
    apply(&lab, "", "192.0.2.0/24");
    assert_eq!(answers(&lab), [false, false]);
    let before = programs(&lab);
    assert!(!before.is_empty());

    let said = patch(&lab, &group("friends", "10.77.0.0/24, 'fd77::/64'"));
    assert_eq!(said, "generation 1\n  friends: 2 members, 1 before\n");
    assert_eq!(answers(&lab), [true, true]);
    // A deny wins over an allow, whichever prefix is longer; 10.77.0.1 is excepted.
    patch(&lab, &group("foes", "10.0.0.0/8, '::/0'"));
    assert_eq!(answers(&lab), [true, false]);
    let both = [group("friends", "'fd77::/64'"), group("foes", "")].concat();
    patch(&lab, &both);
    assert_eq!(answers(&lab), [false, true]);
    assert_eq!(programs(&lab), before, "no program was loaded");
    assert_eq!(lab.live().generation, 1);

    // A swap keeps them, unless the artifact says something else than the last.
    let more = format!("---{}", POLICY.replace("hears-friends", "hears-friends-too"));
    apply(&lab, &more, "192.0.2.0/24");
    assert_eq!(lab.live().generation, 2);
    assert_eq!(answers(&lab), [false, true]);
    assert_ne!(programs(&lab), before);
    apply(&lab, &more, "10.77.0.1/32");
    assert_eq!(answers(&lab), [true, false]);
}

#[test]
fn what_was_patched_outlives_other_exceptions_and_is_shown() {
    let name = "members::what_was_patched_outlives_other_exceptions_and_is_shown";
    let Some(lab) = Lab::new(name) else { return };
    let apply_but = |except: &str| {
        let (file, to) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
        let policy = POLICY.replace("[10.77.0.0/31]", except);
        let policies = [policy, group("friends", "'::/0', 0.0.0.0/0"), group("foes", "")].concat();
        save(&artifact("a", &policies, INVENTORY), &file);
        let bindings = "- subject: demo/right\n  attach: {netns: {path: RIGHT}}\n";
        fs::write(&to, bindings_text(&lab, bindings)).expect("a file");
        lab.says(["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()])
    };
    apply_but("[10.77.0.0/31]");
    let file = lab.file("groups.yaml");
    fs::write(&file, group("foes", "10.0.0.0/8, '::/0'")).expect("a file");
    let given = ["patch".as_ref(), "-i".as_ref(), file.as_os_str()];
    let dry = lab.says([&given[..], &["--dry-run".as_ref()]].concat());
    let expected = "generation 1, where nothing was changed\n  foes: 2 members, 0 before\n    \
                    + 10.0.0.0/8\n    + ::/0\n";
    assert_eq!(dry, expected);
    assert_eq!(answers(&lab), [true, true]);
    let status = || lab.says(["status"]);
    assert!(status().contains("groups that change\n  foes: 0 members, as built\n"), "{}", status());

    let json = lab.says([&given[..], &["-o".as_ref(), "json".as_ref()]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("a document");
    assert_eq!((&json["dry_run"], &json["groups"][0]["name"]), (&false.into(), &"foes".into()));
    assert_eq!(json["groups"][0]["added"], serde_json::json!(["10.0.0.0/8", "::/0"]));
    assert_eq!(answers(&lab), [true, false]);
    assert!(status().contains("  foes: 2 members, patched 2"), "{}", status());
    let json = lab.says(["status", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("a document");
    assert_eq!(json["live"]["groups"][0]["members"], 2);

    apply_but("['fd77::/64']");
    assert_eq!(answers(&lab), [false, true]);
    let said = apply_but("['fd77::/64', 10.77.0.1/32]");
    assert_eq!((answers(&lab), said.contains("members of the build")), ([true, true], false));
    patch(&lab, &group("friends", ""));
    assert_eq!(answers(&lab), [false, false]);
}

#[test]
fn of_a_patch_that_is_killed_the_next_command_makes_a_whole() {
    const KILLS: u32 = 12;
    let name = "members::of_a_patch_that_is_killed_the_next_command_makes_a_whole";
    let Some(lab) = Lab::new(name) else { return };
    apply(&lab, "", "192.0.2.0/24");
    let start = Instant::now();
    patch(&lab, &group("friends", "198.51.100.0/24"));
    let whole = start.elapsed();
    let file = lab.file("killed.yaml");
    for round in 0..KILLS {
        let members = ["0.0.0.0/0, '::/0'", "192.0.2.0/24"][round as usize % 2];
        fs::write(&file, group("friends", members)).expect("a file");
        let mut command = lab.policyc(["patch".as_ref(), "-i".as_ref(), file.as_os_str()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        // Spread evenly over the time that a patch takes, in an order that jumps.
        thread::sleep(whole * (round * 5 % KILLS + 1) / KILLS);
        child.kill().expect("kills");
        child.wait().expect("ends");
        patch(&lab, &group("foes", ""));
        let [v4, v6] = answers(&lab);
        assert_eq!(v4, v6, "round {round}: of one group or not");
        let said = lab.says(["status"]);
        assert!(!said.contains("interrupted"), "{said}");
    }
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let Some(lab) = Lab::new("members::what_cannot_be_followed_is_refused") else { return };
    let file = lab.file("groups.yaml");
    fs::write(&file, group("friends", "")).expect("a file");
    let patch = || lab.refuses(["patch".as_ref(), "-i".as_ref(), file.as_os_str()]).err;
    assert!(patch().contains("nothing is live"), "{}", patch());
    apply(&lab, "", "10.77.0.0/24");
    fs::write(&file, group("strangers", "10.77.0.0/24")).expect("a file");
    let said = patch();
    assert!(said.contains("follows nothing of what is given"), "{said}");
    assert!(said.contains("it follows `foes`, `friends`"), "{said}");
    assert_eq!(answers(&lab), [true, false]);
}

#[test]
fn a_pod_that_comes_joins_its_workload() {
    let Some(lab) = Lab::new("members::a_pod_that_comes_joins_its_workload") else { return };
    lab.without_ipv6();
    let deployment = |app: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}, namespace: demo, \
             annotations: {{policyc.io/dynamic: \"true\"}}}}\nspec:\n  template:\n    \
             metadata: {{labels: {{app: {app}}}}}\n    spec: {{containers: []}}\n"
        )
    };
    let pod = |app: &str, address: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {app}-1, namespace: demo, labels: \
             {{app: {app}}}}}\nspec: {{containers: []}}\nstatus: {{phase: Running, podIP: {address}}}\n"
        )
    };
    let policy = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: hears-friends, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: right}}
  ingress: [{fromEndpoints: [{matchLabels: {app: friend}}]}]
";
    let both = [deployment("friend"), deployment("right"), deployment("foe")].concat();
    let (file, to) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
    save(&artifact("a", policy, &both), &file);
    fs::write(&to, bindings_text(&lab, "[]\n").replace("bindings:\n[]", "bindings: []"))
        .expect("a file");
    lab.says(["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()]);
    // The subject comes: it is bound by the name of its workload.
    lab.says(["attach", "--netns", &lab.right, "--subject", "demo/right"]);
    let ping = || {
        let ping = format!("ip netns exec {} ping -q -c 2 -i 0.02 -W 1 10.77.0.2", lab.left);
        run(&ping).status.success()
    };
    assert!(!ping(), "the left end is nobody yet");
    let before = programs(&lab);
    let said = patch(&lab, &[both.clone(), pod("friend", "10.77.0.1")].concat());
    assert!(said.contains("demo/friend: 1 member, 0 before"), "{said}");
    assert!(ping());
    // Its address is another's, and then nobody's.
    patch(&lab, &[both.clone(), pod("foe", "10.77.0.1")].concat());
    assert!(!ping());
    patch(&lab, &[both.clone(), pod("friend", "10.77.0.1")].concat());
    assert!(ping());
    patch(&lab, &both);
    assert!(!ping());
    assert_eq!(programs(&lab), before, "no program was loaded");

    let other = both.replace("app: friend}", "app: friend, more: labels}");
    let groups = lab.file("other.yaml");
    fs::write(&groups, other).expect("a file");
    let refused = lab.refuses(["patch".as_ref(), "-i".as_ref(), groups.as_os_str()]).err;
    assert!(refused.contains("`demo/friend` has other labels or ports"), "{refused}");
}

#[test]
fn a_policy_about_them_is_audited_by_annotation_and_not_while_live() {
    let test = "members::a_policy_about_them_is_audited_by_annotation_and_not_while_live";
    let Some(lab) = Lab::new(test) else { return };
    let name = "name: hears-friends, namespace: demo";
    let audited = format!("{name}, annotations: {{policyc.io/audit: \"true\"}}");
    apply_policies(&lab, &POLICY.replace(name, &audited), "192.0.2.0/24");
    assert_eq!(answers(&lab), [true, true], "who is no friend is told of");
    patch(&lab, &group("foes", "10.0.0.0/8, '::/0'"));
    assert_eq!(answers(&lab), [true, true], "nor does a foe");
    let status = lab.says(["status"]);
    assert!(status.contains("audit by default of demo/hears-friends spec"), "{status}");
    assert!(status.contains("audit demo/hears-friends spec.ingressDeny[0]"), "{status}");

    patch(&lab, &group("foes", ""));
    apply(&lab, "", "192.0.2.0/24");
    assert_eq!(answers(&lab), [false, false]);
    let said = lab.says(["audit", "demo/hears-friends", "--for", "10m"]);
    let denied = "  what these have a say in stays denied, unless it is audited at the build: \
                  foes, friends\n";
    assert!(said.ends_with(denied), "{said}");
    assert_eq!(answers(&lab), [true, true], "of nobody in a group");
    // 10.77.0.1 is excepted.
    patch(&lab, &group("foes", "10.0.0.0/8, '::/0'"));
    assert_eq!(answers(&lab), [true, false]);
}
