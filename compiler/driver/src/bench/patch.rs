//! What a changed group costs, from the file to the verdict: `patch`, and a new generation
//! beside it.
//!
//! Guarantees: what is measured is what the commands do, on this host, at a cgroup that is
//! made for it and empty; a change is in force in the kernel when it counts as stored.
//! Does not know: what `build` spends on verifying, which is not in the figure.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Instant;

use policyc_bpf::Artifact;
use policyc_policy::inventory::{self, DYNAMIC};
use policyc_runtime::{self as runtime, Attach, Binding, Bindings, Dirs, Host, Options, Patch};
use policyc_sys::Kernel as _;
use policyc_sys::kernel::RealKernel;
use serde::Serialize;

use super::{BenchError, median_of_medians};
use crate::pipeline::{self, Input};
use crate::session::Session;
use crate::{input, manifest, members};

/// How many members the group has.
pub const MEMBERS: [usize; 3] = [10, 1_000, 10_000];

/// What the change of one member costs, in milliseconds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Members of the group.
    pub members: usize,
    /// Reading the file: YAML to prefixes.
    pub read: f64,
    /// The lock, recovery, and what is known of the live generation.
    pub open: f64,
    /// The members, and the view of them.
    pub compute: f64,
    /// Writing down what is to be known, and storing the difference.
    pub store: f64,
    /// From the file to the verdict: all of these.
    pub verdict: f64,
    /// Until it survives a crash, and no program looks at the old view any more.
    pub settle: f64,
    /// The whole command, from its start to its end.
    pub command: f64,
    /// The same by another generation: building it, without verifying.
    pub build: f64,
    /// And `apply`.
    pub apply: f64,
}

/// Measures in this many rounds, for each number of members.
///
/// # Errors
/// When the kernel or the runtime refuses something.
pub fn run(command: &Path, rounds: usize, step: &dyn Fn(&str)) -> Result<Vec<Row>, BenchError> {
    let place = Place::new()?;
    let mut rows = Vec::new();
    for members in MEMBERS {
        let mut samples: [Vec<f64>; COLUMNS] = Default::default();
        place.generation(members, 0)?;
        for round in 0..rounds {
            step(&format!("{members} members, round {} of {rounds}", round + 1));
            let [build, apply] = place.generation(members, round * 3)?;
            let patch = place.patch(members, round * 3 + 1)?;
            let whole = place.command(command, members, round * 3 + 2)?;
            for (samples, sample) in
                samples.iter_mut().zip(patch.into_iter().chain([whole, build, apply]))
            {
                samples.push(sample);
            }
        }
        let [read, open, compute, store, verdict, settle, command, build, apply] =
            samples.map(|samples| median_of_medians(&samples));
        rows.push(Row {
            members,
            read,
            open,
            compute,
            store,
            settle,
            verdict,
            command,
            build,
            apply,
        });
    }
    Ok(rows)
}

const COLUMNS: usize = 9;

/// A cgroup, pins and folders of its own; gone with the value.
struct Place {
    dirs: Dirs,
    cgroup: PathBuf,
    groups: PathBuf,
}

impl Place {
    fn new() -> Result<Self, BenchError> {
        let name = format!("policyc-bench-{}", process::id());
        let dirs = Dirs {
            name: name.clone(),
            state: Path::new("/var/lib").join(&name),
            ..Dirs::default()
        };
        let cgroup = RealKernel.cgroup_mount()?.join(&name);
        fs::create_dir_all(&dirs.state).map_err(|error| io(&dirs.state, &error))?;
        fs::create_dir(&cgroup).map_err(|error| io(&cgroup, &error))?;
        Ok(Self { groups: dirs.state.join("groups.yaml"), dirs, cgroup })
    }

    fn host(&self) -> Host<'_, RealKernel> {
        Host { kernel: &RealKernel, dirs: &self.dirs }
    }

    /// Builds and applies with the group changed; how long each took.
    fn generation(&self, members: usize, round: usize) -> Result<[f64; 2], BenchError> {
        let start = Instant::now();
        let mut session = Session::new();
        let input = Input {
            policies: vec![session.sources.add("bench.yaml", POLICY)],
            inventory: vec![
                session.sources.add("inventory.yaml", INVENTORY),
                session.sources.add("groups.yaml", group(members, round)),
            ],
            ..Input::default()
        };
        let internal = |what: &str| BenchError::Internal(what.to_owned());
        let built = pipeline::build(&mut session, &input);
        let built = built.ok_or_else(|| internal("the policy does not compile"))?;
        let manifest = manifest::manifest(&session, &built);
        let artifact = Artifact::build(manifest, &built.compiled.object)
            .map_err(|error| internal(&error.to_string()))?;
        let build = milliseconds(start);
        let attach = Attach::Cgroup { path: self.cgroup.clone(), at: None };
        let binding = Binding { subject: "bench/bench".to_owned(), attach };
        let start = Instant::now();
        runtime::apply(
            &self.host(),
            &artifact,
            &Bindings::from(vec![binding]),
            Options::default(),
        )?;
        Ok([build, milliseconds(start)])
    }

    /// Patches with the group changed: read, open, compute, store, the
    /// verdict, settle.
    fn patch(&self, members: usize, round: usize) -> Result<[f64; 6], BenchError> {
        self.write(members, round)?;
        let internal = |what: &str| BenchError::Internal(what.to_owned());
        let start = Instant::now();
        let mut session = Session::new();
        let files = [self.groups.clone()];
        let files = input::read_all(&files, false, &mut session.sources)
            .map_err(|error| internal(&error.to_string()))?;
        let given = inventory::load(&session.sources, &files, &mut session.sink);
        let read = milliseconds(start);
        let host = self.host();
        let patch = Patch::open(&host)?;
        let open = milliseconds(start);
        let wanted = members::of(patch.groups(), &given);
        let wanted = wanted.map_err(|error| internal(&error.to_string()))?;
        let change = patch.plan(&wanted)?;
        let compute = milliseconds(start);
        let stored = patch.store(&change)?;
        let verdict = milliseconds(start);
        stored.settle()?;
        let settled = milliseconds(start);
        Ok([read, open - read, compute - open, verdict - compute, verdict, settled - verdict])
    }

    /// The same by the command.
    fn command(&self, command: &Path, members: usize, round: usize) -> Result<f64, BenchError> {
        self.write(members, round)?;
        let start = Instant::now();
        let status = Command::new(command)
            .args(["patch".as_ref(), "-i".as_ref(), self.groups.as_os_str()])
            .args(["--state".as_ref(), self.dirs.state.as_os_str()])
            .args(["--pins".as_ref(), self.dirs.pins().as_os_str()])
            .stdout(Stdio::null())
            .status();
        let whole = milliseconds(start);
        match status {
            Ok(status) if status.success() => Ok(whole),
            Ok(status) => Err(BenchError::Internal(format!("`patch` ended with {status}"))),
            Err(error) => Err(io(command, &error)),
        }
    }

    fn write(&self, members: usize, round: usize) -> Result<(), BenchError> {
        fs::write(&self.groups, group(members, round)).map_err(|error| io(&self.groups, &error))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing can be done about what stays.
        let _ = runtime::remove(&self.host(), true);
        let _ = fs::remove_dir(&self.cgroup);
        let _ = fs::remove_dir_all(&self.dirs.state);
    }
}

const POLICY: &str = "apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: bench, namespace: bench}
spec:
  endpointSelector: {matchLabels: {app: bench}}
  ingress: [{fromCIDRSet: [{cidrGroupRef: bench}]}]
";

const INVENTORY: &str = "apiVersion: policyc.io/v1alpha1
kind: Workload
metadata: {name: bench, namespace: bench, labels: {app: bench}}
spec: {addresses: [192.0.2.1]}
";

/// So many prefixes, one of which is another in each round.
fn group(members: usize, round: usize) -> String {
    let mut text = format!(
        "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata:\n  name: bench\n  \
         annotations: {{{DYNAMIC}: \"true\"}}\nspec:\n  externalCIDRs:\n"
    );
    // Every other one, so that none are put together.
    for member in 0..members.saturating_sub(1) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  - 10.{}.{}.0/24", member / 128, member % 128 * 2);
    }
    let _ = writeln!(text, "  - 172.16.{}.0/24", round % 128 * 2);
    text
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn io(path: &Path, error: &std::io::Error) -> BenchError {
    BenchError::Internal(format!("`{}`: {error}", path.display()))
}
