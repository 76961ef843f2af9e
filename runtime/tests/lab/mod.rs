//! Two network namespaces, a veth pair between them, a BPF file system and a
//! state directory of their own; all gone with the value.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use policyc_bpf::Artifact;
use policyc_runtime::{
    Attach, Binding, Bindings, Dirs, Error, Host, Options, Outcome, Port, Side, Status, apply,
    remove, status,
};
use policyc_sys::RealKernel;
use policyc_sys::bpf::{ProgLoad, ProgType, prog_load};

/// The test's place. `a` pings, `b` has the subject's interface.
pub(crate) struct Lab {
    pub(crate) dirs: Dirs,
    pub(crate) a: String,
    pub(crate) b: String,
    root: PathBuf,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// `None`, loudly, where it cannot be built.
    pub(crate) fn new(test: &str) -> Option<Self> {
        const RETURN_0: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
        let can_load = prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "MIT", &RETURN_0));
        let missing = match &can_load {
            Err(error) => Some(error.to_string()),
            Ok(_) => ["ip -V", "ping -V", "unshare -V"]
                .into_iter()
                .find(|tool| !run(tool).status.success())
                .map(|tool| format!("`{tool}` does not work")),
        };
        if let Some(missing) = missing {
            let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
            assert!(!required, "{test}: {missing}");
            eprintln!("SKIPPED {test}: {missing}");
            return None;
        }
        Some(Self::build())
    }

    fn build() -> Self {
        let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(format!("policyc-lab-{id}"));
        let lab = Self {
            dirs: Dirs {
                bpffs: root.join("bpf"),
                name: "policyc".to_owned(),
                state: root.join("state"),
            },
            a: format!("pl-{id}-a"),
            b: format!("pl-{id}-b"),
            root,
        };
        let (a, b, bpf) = (&lab.a, &lab.b, lab.dirs.bpffs.display());
        for command in [
            format!("mkdir -p {bpf}"),
            format!("mount -t bpf bpf {bpf}"),
            format!("ip netns add {a}"),
            format!("ip netns add {b}"),
            format!(
                "ip link add va netns {a} address 02:00:00:00:00:01 type veth \
                 peer name vb netns {b} address 02:00:00:00:00:02"
            ),
            format!("ip -n {a} addr add 192.0.2.1/24 dev va"),
            format!("ip -n {b} addr add 192.0.2.2/24 dev vb"),
            format!("ip -n {a} link set va up"),
            format!("ip -n {b} link set vb up"),
            format!("ip -n {a} neigh add 192.0.2.2 dev va lladdr 02:00:00:00:00:02"),
            format!("ip -n {b} neigh add 192.0.2.1 dev vb lladdr 02:00:00:00:00:01"),
        ] {
            must(&command);
        }
        lab
    }

    /// The interface in `b`, as the subject's own.
    pub(crate) fn port(&self) -> Port {
        Port { interface: "vb".to_owned(), netns: Some(self.netns_b()), side: Side::Own }
    }

    pub(crate) fn netns_b(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.b)
    }

    pub(crate) fn host(&self) -> Host<'_, RealKernel> {
        Host { kernel: &RealKernel, dirs: &self.dirs }
    }

    pub(crate) fn apply(&self, artifact: &Artifact, attach: Attach) -> Result<Outcome, Error> {
        self.apply_with(artifact, attach, Options::default())
    }

    pub(crate) fn apply_with(
        &self,
        artifact: &Artifact,
        attach: Attach,
        options: Options,
    ) -> Result<Outcome, Error> {
        let bindings = vec![Binding { subject: "shop/web".to_owned(), attach }];
        apply(&self.host(), artifact, &Bindings::from(bindings), options)
    }

    pub(crate) fn status(&self) -> Status {
        status(&self.host()).expect("status")
    }

    pub(crate) fn remove(&self) -> bool {
        remove(&self.host(), true).expect("removes")
    }

    /// Whether one of two pings is answered.
    pub(crate) fn pings(&self) -> bool {
        run(&format!("ip netns exec {} ping -q -c 2 -i 0.2 -W 1 192.0.2.2", self.a))
            .status
            .success()
    }

    /// Packets that the live generation counted under an index.
    pub(crate) fn counted(&self, index: usize) -> u64 {
        let live = self.status().live.expect("live");
        live.counters.get(index).expect("in range").packets
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = remove(&self.host(), true);
        for command in [
            format!("ip netns del {}", self.a),
            format!("ip netns del {}", self.b),
            format!("umount {}", self.dirs.bpffs.display()),
        ] {
            let _ = run(&command);
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

pub(crate) fn run(command: &str) -> Output {
    Command::new("sh").args(["-c", command]).output().expect("sh")
}

pub(crate) fn must(command: &str) -> String {
    let output = run(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
