//! `kill -9` at any moment leaves the old generation or the new one, and the next
//! command tidies up.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use policyc_bpf::Digest;

use crate::build::{bindings_text, ping_artifact, save};
use crate::lab::{Lab, must};
use crate::traffic::{Background, PAUSE, Stream};

/// One port is allowed by both, one by none: whichever is live, a packet to the
/// second that arrives was judged by nobody, and one to the first that does not
/// arrive met no program.
const POLICY: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: NAME, namespace: demo}
spec:
  endpointSelector: {matchLabels: {app: right}}
  ingress:
  - toPorts: [{ports: [{port: '7001', protocol: UDP}]}]
";

const TC: &str = "- subject: demo/right
  attach: {tc: {interface: veth-right, netns: RIGHT}}
";
const CLSACT: &str = "- subject: demo/right
  attach: {clsact: {interface: veth-right, netns: RIGHT}}
";

/// Two artifacts, and bindings by which gates come and go with every `apply`.
struct Files {
    artifacts: [PathBuf; 2],
    hashes: [Digest; 2],
    bindings: [PathBuf; 2],
}

impl Files {
    fn new(lab: &Lab) -> Self {
        let names = ["one", "two"];
        let built = names.map(|name| ping_artifact(name, &POLICY.replace("NAME", name)));
        let artifacts = names.map(|name| lab.file(name));
        for (artifact, file) in built.iter().zip(&artifacts) {
            save(artifact, file);
        }
        let hashes = built.map(|artifact| artifact.hash());
        let bindings = [("tc", TC), ("clsact", CLSACT)].map(|(name, text)| {
            let file = lab.file(name);
            std::fs::write(&file, bindings_text(lab, text)).expect("a file");
            file
        });
        Self { artifacts, hashes, bindings }
    }

    fn apply(&self, round: usize) -> [&std::ffi::OsStr; 4] {
        // The bindings change half as often as the artifact.
        let (artifact, bindings) = (&self.artifacts[round % 2], &self.bindings[round / 2 % 2]);
        ["apply".as_ref(), artifact.as_ref(), "--bindings".as_ref(), bindings.as_ref()]
    }
}

/// Starts `apply` and kills it after a time. Whether it had ended by itself.
fn apply_and_kill(lab: &Lab, files: &Files, round: usize, after: Duration) -> bool {
    let mut command = lab.policyc(files.apply(round));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    thread::sleep(after);
    let had_ended = child.try_wait().expect("waits").is_some();
    child.kill().expect("kills");
    child.wait().expect("ends");
    had_ended
}

/// How long an undisturbed `apply` takes here and now.
fn duration_of_apply(lab: &Lab, files: &Files) -> Duration {
    let start = Instant::now();
    lab.says(files.apply(0));
    start.elapsed()
}

#[test]
fn old_or_new_is_live_at_any_moment() {
    const KILLS: usize = 50;
    let Some(lab) = Lab::new("killed::old_or_new_is_live_at_any_moment") else { return };
    let files = Files::new(&lab);
    lab.says(files.apply(0));
    let whole = duration_of_apply(&lab, &files);
    let allowed = Stream::start(&lab, 7001);
    let (sender, receiver) = lab.udp(7009);
    let forbidden = Background::start(move |stop| {
        while !stop.load(Ordering::Relaxed) {
            sender.send(b"forbidden").expect("sends");
            thread::sleep(PAUSE);
        }
    });
    let mut killed = 0;
    for round in 0..KILLS {
        // Spread evenly over the time that `apply` takes, in an order that jumps.
        let after = whole * ((round * 17 % KILLS) as u32 + 1) / KILLS as u32;
        killed += usize::from(!apply_and_kill(&lab, &files, round, after));
        let live = lab.live();
        assert!(files.hashes.contains(&live.hash), "{live:?}");
    }
    forbidden.end();
    let (sent, arrived) = allowed.end();
    assert_eq!(arrived, sent, "a packet met a gate without a program");
    assert!(receiver.recv(&mut [0; 16]).is_err(), "a packet was judged by nobody");

    lab.says(files.apply(1));
    let said = lab.says(["status"]);
    assert!(!said.contains("interrupted") && !said.contains("DRIFT"), "{said}");
    assert_eq!(lab.live().hash, files.hashes[1]);
    let generations = lab.dirs.pins().join("generations");
    let kept = std::fs::read_dir(generations).expect("pins").count();
    assert_eq!(kept, 1, "only the live generation is left");
    let live = lab.live();
    let gates = std::fs::read_dir(lab.dirs.pins().join("gates")).expect("pins").count();
    assert_eq!(gates, live.gates.len(), "only its gates are left");
    nothing_is_left(&lab);
    println!("{killed} of {KILLS} killed while they were at work, each within {whole:?}");
}

#[test]
fn a_first_apply_is_undone() {
    const KILLS: usize = 12;
    let Some(lab) = Lab::new("killed::a_first_apply_is_undone") else { return };
    let files = Files::new(&lab);
    lab.says(files.apply(0));
    lab.says(["remove", "--all"]);
    let whole = duration_of_apply(&lab, &files);
    lab.says(["remove", "--all"]);
    for round in 0..KILLS {
        apply_and_kill(&lab, &files, round, whole * (round as u32 + 1) / KILLS as u32);
        if round % 3 == 0 {
            // The other way to tidy up: the same command again.
            lab.says(files.apply(round));
            lab.says(["status"]);
        }
        nothing_is_left(&lab);
    }
}

/// `remove --all` leaves nothing.
fn nothing_is_left(lab: &Lab) {
    lab.says(["remove", "--all"]);
    assert!(!lab.dirs.pins().exists(), "pins are left");
    assert!(!lab.dirs.state.exists(), "files are left");
    let attached = must(&format!("ip netns exec {} bpftool -j net list", lab.right));
    assert!(!attached.contains("gate_") && !attached.contains("policyc"), "{attached}");
    let qdiscs = must(&format!("tc -n {} qdisc show dev veth-right", lab.right));
    assert!(!qdiscs.contains("clsact"), "{qdiscs}");
}
