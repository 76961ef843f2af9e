//! Two network namespaces with a wire between them, and pins and state of their
//! own; all gone with the value.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use policyc_bpf::Artifact;
use policyc_runtime::{self as runtime, Bindings, Dirs, Error, Host, Live, Options, Outcome};
use policyc_sys::RealKernel;
use policyc_sys::bpf::{Map, ProgLoad, ProgType, obj_get, prog_load};
use policyc_sys::host::{cgroup2_mount, is_bpffs};
use tempfile::TempDir;

use crate::tool::{self, Ended};

/// Where pins are.
const BPFFS: &str = "/sys/fs/bpf";
/// What the tests ask for help: iproute2, iputils-ping, bpftool and util-linux.
const TOOLS: [&str; 6] =
    ["ip netns list", "tc -V", "ping -V", "bpftool version", "nsenter -V", "setpriv -V"];
/// How long a test waits for what must happen. Nothing depends on it unless the
/// test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the two ends are called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    /// Interface in the left namespace; its addresses end in 1.
    pub(crate) left: &'static str,
    /// Interface in the right namespace; its addresses end in 2.
    pub(crate) right: &'static str,
    /// The first three octets of the IPv4 addresses.
    pub(crate) net4: &'static str,
    /// What stands before the last number of the IPv6 addresses.
    pub(crate) net6: &'static str,
}

/// As in `examples/ping`.
pub(crate) const PING: Wire =
    Wire { left: "veth-left", right: "veth-right", net4: "10.77.0", net6: "fd77::" };

/// As in `examples/packet-of-death`.
pub(crate) const DEATH: Wire =
    Wire { left: "veth-client", right: "veth-server", net4: "10.78.0", net6: "fd78::" };

/// A test's place.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) wire: Wire,
    /// Name of the left namespace.
    pub(crate) left: String,
    /// Name of the right namespace.
    pub(crate) right: String,
    pub(crate) dirs: Dirs,
    cgroup: Option<PathBuf>,
    folder: TempDir,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// `None`, loudly, where it cannot be built.
    pub(crate) fn new(test: &str) -> Option<Self> {
        Self::with(test, PING)
    }

    /// With other names and addresses.
    pub(crate) fn with(test: &str, wire: Wire) -> Option<Self> {
        can_run(test).then(|| Self::build(wire))
    }

    fn build(wire: Wire) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (id, dirs) = place(&folder);
        let (left, right) = (format!("pc-{id}-l"), format!("pc-{id}-r"));
        let lab = Self { wire, left, right, dirs, cgroup: None, folder };
        lab.lay_wire();
        lab
    }

    /// Both namespaces are quiet: nobody asks for neighbours or routers.
    fn lay_wire(&self) {
        let (left, right) = (&self.left, &self.right);
        let Wire { left: left_dev, right: right_dev, net4, net6 } = self.wire;
        must(&format!("ip netns add {left}"));
        must(&format!("ip netns add {right}"));
        must(&format!(
            "ip link add {left_dev} netns {left} address 02:00:00:00:00:01 type veth \
             peer name {right_dev} netns {right} address 02:00:00:00:00:02"
        ));
        for (netns, dev, own, other) in [(left, left_dev, 1, 2), (right, right_dev, 2, 1)] {
            for command in [
                format!("link set dev {dev} addrgenmode none"),
                "link set lo up".to_owned(),
                format!("link set {dev} up"),
                format!("addr add {net4}.{own}/24 dev {dev}"),
                format!("addr add {net6}{own}/64 dev {dev} nodad"),
                format!("neigh add {net4}.{other} dev {dev} lladdr 02:00:00:00:00:0{other}"),
                format!("neigh add {net6}{other} dev {dev} lladdr 02:00:00:00:00:0{other}"),
            ] {
                must(&format!("ip -n {netns} {command}"));
            }
        }
    }

    /// Takes IPv6 away, and with it the packets that the kernel sends by itself.
    pub(crate) fn without_ipv6(&self) {
        for netns in [&self.left, &self.right] {
            let disable = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
            must(&format!("ip netns exec {netns} sh -c '{disable}'"));
        }
    }

    /// A file in the test's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a namespace, for bindings.
    pub(crate) fn netns(name: &str) -> PathBuf {
        Path::new("/run/netns").join(name)
    }

    /// A cgroup of the test's own; it goes with the lab.
    pub(crate) fn cgroup(&mut self) -> PathBuf {
        let mount = cgroup2_mount().expect("a cgroup version 2 hierarchy");
        let path = mount.join(&self.dirs.name);
        std::fs::create_dir(&path).expect("a cgroup");
        self.cgroup = Some(path.clone());
        path
    }

    /// The command, with this lab's places.
    pub(crate) fn policyc<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = tool::policyc(args);
        command.arg("--pins").arg(self.dirs.pins()).arg("--state").arg(&self.dirs.state);
        command
    }

    /// Runs the command, which must end well.
    pub(crate) fn says<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        let mut command = self.policyc(args);
        let ended = tool::run(&mut command);
        assert_eq!(ended.status, Some(0), "{command:?}\n{}{}", ended.out, ended.err);
        ended.out
    }

    /// Runs the command, which must fail with status 2.
    pub(crate) fn refuses<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        let mut command = self.policyc(args);
        let ended = tool::run(&mut command);
        assert_eq!(ended.status, Some(2), "{command:?}\n{}{}", ended.out, ended.err);
        ended
    }

    pub(crate) fn host(&self) -> Host<'_, RealKernel> {
        Host { kernel: &RealKernel, dirs: &self.dirs }
    }

    /// Makes an artifact live, without a process of its own.
    pub(crate) fn apply(&self, artifact: &Artifact, to: &Bindings) -> Result<Outcome, Error> {
        self.apply_with(artifact, to, Options::default())
    }

    pub(crate) fn apply_with(
        &self,
        artifact: &Artifact,
        to: &Bindings,
        options: Options,
    ) -> Result<Outcome, Error> {
        runtime::apply(&self.host(), artifact, to, options)
    }

    /// What is live.
    pub(crate) fn live(&self) -> Live {
        let status = runtime::status(&self.host()).expect("status");
        status.live.expect("a generation is live")
    }

    /// The counters of a generation. They stay readable when it is gone.
    pub(crate) fn counters(&self, generation: u64) -> Map {
        let maps = self.dirs.pins().join("generations").join(generation.to_string()).join("maps");
        obj_get(&maps.join("counters")).and_then(Map::from_fd).expect("counters are pinned")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = runtime::remove(&self.host(), true);
        let _ = run(&format!("ip netns del {}; ip netns del {}", self.left, self.right));
        if let Some(cgroup) = &self.cgroup {
            let _ = std::fs::remove_dir(cgroup);
        }
    }
}

/// A name that no other test has, and places under it: state is in the folder.
pub(crate) fn place(folder: &TempDir) -> (String, Dirs) {
    let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let state = folder.path().join("state");
    let dirs = Dirs { bpffs: BPFFS.into(), name: format!("policyc-test-{id}"), state };
    (id, dirs)
}

/// Whether a test can run here; says so if not, and panics where it must.
pub(crate) fn can_run(test: &str) -> bool {
    const RETURN_0: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let can_load = prog_load(&ProgLoad::new(ProgType::SCHED_CLS, "MIT", &RETURN_0));
    let missing = match can_load {
        Err(error) => Some(error.to_string()),
        Ok(_) if !is_bpffs(Path::new(BPFFS)) => Some(format!("no BPF file system at {BPFFS}")),
        Ok(_) => TOOLS
            .into_iter()
            .find(|tool| !run(tool).status.success())
            .map(|tool| format!("`{tool}` does not work")),
    };
    let Some(missing) = missing else { return true };
    let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
    assert!(!required, "{test}: {missing}");
    eprintln!("SKIPPED {test}: {missing}");
    false
}

/// Looks again and again until there is something to see.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether an address answers a ping from a namespace.
pub(crate) fn ping(netns: &str, to: &str) -> bool {
    run(&format!("ip netns exec {netns} ping -q -c 2 -i 0.02 -W 1 {to}")).status.success()
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
