//! What users type.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use policyc_codegen::lower::maps::Room;
use policyc_policy::network;

use super::filter::FilterArgs;
use crate::render::Format;

/// Compile network and tracing policy to verified BPF, and swap it atomically.
#[derive(Parser, Debug)]
#[command(
    name = "policyc",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 clean or unchanged, 1 findings, drift or differences, 2 could not run.\n\
                  \n\
                  Examples:\n  \
                  policyc check -f policies/ -i inventory.yaml\n  \
                  policyc build -f policies/ -i inventory.yaml -o shop.policyc\n  \
                  policyc apply shop.policyc --bindings bindings.yaml"
)]
pub struct Cli {
    /// Which command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Look for mistakes in policies, without compiling them.
    #[command(after_help = "Examples:\n  policyc check -f policy.yaml\n  \
                            policyc check -f policies/ -R -i inventory/ -o json\n  \
                            kubectl get cnp -A -o yaml | policyc check -f -")]
    Check(CheckArgs),
    /// Run verdict fixtures against one or more engines.
    #[command(after_help = "Examples:\n  policyc test tests/\n  \
                            policyc test tests/billing.yaml --engine oracle,bytecode,kernel")]
    Test(TestArgs),
    /// Compile policies into an artifact; fails unless every program is verified.
    #[command(
        after_help = "Examples:\n  policyc build -f policies/ -i inventory.yaml -o shop.policyc\n  \
                            policyc build -f trace.yaml --target host.profile.yaml -o trace.policyc\n  \
                            policyc build -f policies/ --conntrack-entries 1048576 -o edge.policyc"
    )]
    Build(BuildArgs),
    /// Show what an artifact or a policy becomes at one stage of the road.
    #[command(after_help = "Examples:\n  policyc dump shop.policyc --at tables\n  \
                            policyc dump policy.yaml -i inventory.yaml --at bir")]
    Dump(DumpArgs),
    /// Say who decides about a flow or an event, and at which line.
    #[command(after_help = "Examples:\n  policyc explain -f policies/ -i inventory.yaml \\\n    \
                            --from shop/web --to shop/billing --to-port 8080/TCP\n  \
                            policyc explain -f policies/ -i inventory.yaml \\\n    \
                            --from 203.0.113.9 --to shop/billing --to-port 22/TCP\n  \
                            policyc explain -f trace.yaml --event sched/sched_process_exec \\\n    \
                            --field filename=/tmp/x")]
    Explain(ExplainArgs),
    /// Verify an artifact here, or on the kernels of images, and record it.
    #[command(after_help = "Examples:\n  policyc verify shop.policyc\n  \
                            policyc verify shop.policyc --kernel boot/vmlinuz-6.1,boot/vmlinuz-6.12")]
    Verify(VerifyArgs),
    /// Find out what this host can do, by attaching, and write it down.
    #[command(after_help = "Example:\n  policyc profile -o host.profile.yaml")]
    Profile(ProfileArgs),
    /// Make an artifact live: load, fill, dry-run, and one store.
    #[command(after_help = "Examples:\n  policyc apply shop.policyc --bindings bindings.yaml\n  \
                            policyc apply shop.policyc --bindings bindings.yaml --dry-run\n  \
                            policyc apply shop.policyc --adopt --confirm 30s\n  \
                            policyc apply shop.policyc --require-signature /etc/policyc/key.pub")]
    Apply(ApplyArgs),
    /// Bind an interface, unit or namespace that came later to what is live.
    #[command(after_help = "Examples:\n  policyc attach --iface veth7\n  \
                            policyc attach --netns billing --subject shop/billing")]
    Attach(AttachArgs),
    /// Change the addresses of groups and workloads that are live, without another program.
    #[command(after_help = "Examples:\n  policyc patch -i groups.yaml\n  \
                            policyc patch -i groups.yaml --dry-run -o json\n  \
                            kubectl get ciliumcidrgroups -o yaml | policyc patch -i -")]
    Patch(PatchArgs),
    /// Show what is live, since when, and whether it is still as it was applied.
    #[command(after_help = "Examples:\n  policyc status\n  policyc status -o json")]
    Status(StatusArgs),
    /// Print what is live as metrics for Prometheus, or answer its scrapes.
    #[command(
        after_help = "Examples:\n  policyc metrics\n  policyc metrics --out /var/lib/node_exporter/policyc.prom\n  \
                            policyc metrics --listen 127.0.0.1:9469"
    )]
    Metrics(super::metrics::MetricsArgs),
    /// Show which rules decide now, or which never did.
    #[command(
        after_help = "Examples:\n  policyc top\n  policyc top --interval 10s -n 1 --sort bytes -o json\n  \
                            policyc top --unused"
    )]
    Top(super::top::TopArgs),
    /// Keep a generation that waits for its confirmation.
    #[command(
        after_help = "Example:\n  policyc apply shop.policyc --confirm 30s && policyc confirm"
    )]
    Confirm(StateArgs),
    /// Go back to the generation before the one that waits for its confirmation.
    #[command(after_help = "Examples:\n  policyc rollback\n  policyc rollback --to 12")]
    Rollback(RollbackArgs),
    /// Show what was live: when, by whom, and how it ended.
    #[command(after_help = "Examples:\n  policyc history\n  policyc history -o json")]
    History(StatusArgs),
    /// After a boot, bring back what was live and confirmed; else bind what came later.
    #[command(
        after_help = "What is removed, or was not confirmed, is not brought back. Exit status 1: \
                            something that is bound is not there yet; the same command binds it later.\n\
                            \n\
                            Examples:\n  policyc restore\n  policyc restore --on-failure closed"
    )]
    Restore(RestoreArgs),
    /// Take everything that policyc made off this host.
    #[command(after_help = "Example:\n  policyc remove --all")]
    Remove(RemoveArgs),
    /// Let rules report instead of enforce for a time, without a rebuild.
    #[command(after_help = "Examples:\n  policyc audit shop/billing --for 30m\n  \
                            policyc audit shop/billing --rule spec.ingressDeny[0] --for 1h\n  \
                            policyc audit shop/billing --off\n  policyc audit")]
    Audit(AuditArgs),
    /// Print verdicts and events as they happen.
    #[command(
        after_help = "Examples:\n  policyc observe -f\n  policyc observe --last 20 -o json\n  \
                            policyc observe -f --verdict DROPPED --to-pod shop/billing --not --protocol icmp"
    )]
    Observe(ObserveArgs),
    /// Draw who talks to whom, from flows that were observed.
    #[command(
        after_help = "Examples:\n  policyc observe -o json | policyc map - --out map.html\n  \
                            policyc map flows.json -o dot | dot -Tsvg > map.svg\n  \
                            hubble observe --last 5000 -o jsonpb | policyc map - -o json"
    )]
    Map(super::map::MapArgs),
    /// List or forget the connections whose replies pass without a rule.
    #[command(after_help = "Examples:\n  policyc conntrack list\n  \
                            policyc conntrack list --subject shop/web --protocol TCP -o json\n  \
                            policyc conntrack flush --ip 203.0.113.0/24 --port 22")]
    Conntrack {
        /// What to do with them.
        #[command(subcommand)]
        command: super::conntrack::args::ConntrackCommand,
    },
    /// Measure what a packet costs here, beside programs that do nothing.
    #[command(after_help = "Examples:\n  policyc bench\n  policyc bench --rounds 100 -o json\n  \
                            policyc bench --patch")]
    Bench(BenchArgs),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  policyc completions bash > /etc/bash_completion.d/policyc")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages to a folder.
    #[command(after_help = "Example:\n  policyc man /usr/local/share/man/man1")]
    Man {
        /// The folder; it is made if it is missing.
        folder: PathBuf,
    },
}

/// Whose reading of a policy is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Dialect {
    /// Cilium 1.20.
    #[default]
    #[value(name = "cilium-1.20")]
    Cilium120,
    /// Cilium 1.19.
    #[value(name = "cilium-1.19")]
    Cilium119,
    /// Kubernetes: an `ipBlock` may select pods.
    #[value(name = "kubernetes")]
    Kubernetes,
}

impl From<Dialect> for network::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Cilium120 => Self::Cilium120,
            Dialect::Cilium119 => Self::Cilium119,
            Dialect::Kubernetes => Self::Kubernetes,
        }
    }
}

/// Policies and who they are about.
#[derive(Args, Debug, Default, Clone)]
pub struct PolicyInput {
    /// A file or folder of policies, or `-` for standard input; may be repeated.
    #[arg(short, long, value_name = "PATH", required = true)]
    pub file: Vec<PathBuf>,
    /// What they are read against.
    #[command(flatten)]
    pub context: Context,
}

/// What policies are read against.
#[derive(Args, Debug, Default, Clone)]
pub struct Context {
    /// Also read the folders inside a folder.
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// A file or folder of inventory documents; may be repeated.
    #[arg(short, long, value_name = "PATH")]
    pub inventory: Vec<PathBuf>,
    /// Whose reading of the policies is meant.
    #[arg(long, value_enum, default_value_t)]
    pub dialect: Dialect,
    /// What the target host can do, as `policyc profile` wrote it; without it,
    /// tracing policies are checked against this host.
    #[arg(long, value_name = "PROFILE")]
    pub target: Option<PathBuf>,
}

/// `policyc check`
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// What is read.
    #[command(flatten)]
    pub input: PolicyInput,
    /// How findings are written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Exit with status 1 on warnings too.
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t)]
    pub fail_on: FailOn,
}

/// From which severity on findings make a command fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum FailOn {
    /// Errors only.
    #[default]
    Error,
    /// Warnings and errors.
    Warning,
}

/// `policyc test`
#[derive(Args, Debug)]
pub struct TestArgs {
    /// Fixture files, or folders of them.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Which engines must give the expected verdicts.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "oracle,bytecode")]
    pub engine: Vec<EngineName>,
    /// Whose reading of the policies is meant, where a fixture does not say.
    #[arg(long, value_enum)]
    pub dialect: Option<Dialect>,
    /// How results are written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// The engines that can judge a flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub enum EngineName {
    /// The plain evaluator of policies: the authority.
    Oracle,
    /// The decision graph and its tables.
    Decision,
    /// BIR under its interpreter.
    Bir,
    /// Bytecode under its interpreter.
    Bytecode,
    /// Bytecode in this kernel, by test runs.
    Kernel,
}

/// `policyc build`
#[derive(Args, Debug)]
pub struct BuildArgs {
    /// What is read.
    #[command(flatten)]
    pub input: PolicyInput,
    /// Where the artifact is written.
    #[arg(short, long, value_name = "ARTIFACT")]
    pub output: PathBuf,
    /// What happens at an attach point where nobody in particular is met, as the
    /// `unknownSubjects` of a bindings file name them.
    #[arg(long, value_enum, value_name = "VERDICT", default_value_t)]
    pub unknown_subject: UnknownSubject,
    /// How many established connections are remembered on a host, 1024 to 16777216; what
    /// is no power of two is rounded up to one. When there are more, new ones are dropped.
    #[arg(long, value_name = "N", default_value_t = Room::default().established,
          value_parser = conntrack_entries())]
    pub conntrack_entries: u32,
}

fn conntrack_entries() -> RangedI64ValueParser<u32> {
    let (least, most) = (*Room::RANGE.start(), *Room::RANGE.end());
    clap::value_parser!(u32).range(i64::from(least)..=i64::from(most))
}

/// What happens to packets of a subject that the artifact does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum UnknownSubject {
    /// They are dropped: nobody wrote a policy that could allow anything.
    #[default]
    Deny,
    /// They pass.
    Allow,
}

/// A stage of the road.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Stage {
    /// The rules as they were understood.
    Policy,
    /// The decision graph and its tables.
    Decision,
    /// BIR, after the passes.
    Bir,
    /// Bytecode.
    Bpf,
    /// The tables with their sizes.
    Tables,
    /// What everything costs.
    Cost,
}

/// `policyc dump`
#[derive(Args, Debug)]
pub struct DumpArgs {
    /// An artifact, or a policy file.
    pub path: PathBuf,
    /// The stage.
    #[arg(long, value_enum)]
    pub at: Stage,
    /// What they are read against.
    #[command(flatten)]
    pub context: Context,
}

/// `policyc explain`
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true).args(["from", "event"])))]
pub struct ExplainArgs {
    /// What is read.
    #[command(flatten)]
    pub input: PolicyInput,
    /// Who sends: `namespace/name`, an address, or `world`.
    #[arg(long, value_name = "WHO", requires_all = ["to", "to_port"])]
    pub from: Option<String>,
    /// Who receives.
    #[arg(long, value_name = "WHO", requires = "from")]
    pub to: Option<String>,
    /// Destination port and protocol (`443/TCP`), or an ICMP type (`8/ICMP`).
    #[arg(long, value_name = "PORT/PROTOCOL", requires = "from")]
    pub to_port: Option<String>,
    /// An event instead of a flow: `category/event`, or `raw/name`.
    #[arg(long, value_name = "HOOK", conflicts_with = "from")]
    pub event: Option<String>,
    /// A field of the event; may be repeated. What is not given counts as unreadable.
    #[arg(long, value_name = "NAME=VALUE", requires = "event")]
    pub field: Vec<String>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `policyc verify`
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The artifact; what was found out is appended to it.
    pub artifact: PathBuf,
    /// Kernel images to boot in a small virtual machine.
    #[arg(long, value_name = "IMAGE", value_delimiter = ',')]
    pub kernel: Vec<PathBuf>,
    /// How long one kernel may take: `60s`, `2m`, or `90` for seconds.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = super::duration::parse)]
    pub timeout: Duration,
    /// How results are written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `policyc profile`
#[derive(Args, Debug)]
pub struct ProfileArgs {
    /// Where it is written; standard output without it.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `policyc bench`
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Rounds in which every program takes its turn.
    #[arg(long, value_name = "N", default_value_t = 45, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Measure what a changed group costs instead, from the file to the verdict: `patch`
    /// beside a new generation, at a cgroup that is made for it.
    #[arg(long)]
    pub patch: bool,
    /// How figures are written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Where the runtime keeps what it must remember.
#[derive(Args, Debug, Clone)]
pub struct StateArgs {
    /// Folder of the runtime's own files.
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/policyc")]
    pub state: PathBuf,
    /// Folder of the pins, on a BPF file system.
    #[arg(long, value_name = "FOLDER", default_value = "/sys/fs/bpf/policyc")]
    pub pins: PathBuf,
}

/// `policyc apply`
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// The artifact.
    pub artifact: PathBuf,
    /// Which subjects are local, and where each is attached.
    #[arg(long, value_name = "FILE")]
    pub bindings: Option<PathBuf>,
    /// Which node of the inventory this host is; its hostname without it. Looked at
    /// where the inventory, and no file, says where subjects are attached.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Do everything but the store, and leave nothing behind.
    #[arg(long)]
    pub dry_run: bool,
    /// Go back to what was live unless `policyc confirm` comes within this time:
    /// `30s`, `2m`. No process is needed for that.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse)]
    pub confirm: Option<Duration>,
    /// Adopt the connections that exist now, from the host's sockets and from what its
    /// connection tracking knows: their replies pass, as those of later ones do.
    #[arg(long)]
    pub adopt: bool,
    /// Report forwarded packets too, not only dropped ones.
    #[arg(long)]
    pub report_forwarded: bool,
    /// Refuse what is not signed with this key: minisign's file of a public key, or the
    /// key itself.
    #[arg(long, value_name = "KEY")]
    pub require_signature: Option<String>,
    /// Where the signature is; beside the artifact, with `.minisig` behind its name,
    /// without it.
    #[arg(long, value_name = "FILE", requires = "require_signature")]
    pub signature: Option<PathBuf>,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `policyc attach`
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("place").required(true).args(["unit", "iface", "netns", "cgroup"])))]
pub struct AttachArgs {
    /// A systemd unit: `billing.service`.
    #[arg(long, value_name = "UNIT")]
    pub unit: Option<String>,
    /// An interface of this network namespace.
    #[arg(long, value_name = "NAME")]
    pub iface: Option<String>,
    /// A network namespace, by path or by its name of `ip netns`.
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<String>,
    /// A directory of the cgroup version 2 hierarchy.
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// Who is met there, if neither what was applied nor its inventory says so.
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// Whose end of the wire the interface is, with `--subject`.
    #[arg(long, value_enum, value_name = "END", default_value_t)]
    pub side: AttachSide,
    /// Which node of the inventory this host is; its hostname without it.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Adopt the connections that exist there now, as `policyc apply --adopt` does.
    #[arg(long)]
    pub adopt: bool,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `policyc audit`
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// The policy: `namespace/name`, or its name; without one, what is audited is listed.
    #[arg(requires = "change")]
    pub policy: Option<String>,
    /// Only one of its rules, by its path: `spec.ingressDeny[0]`; `spec` for what it
    /// denies by default.
    #[arg(long, value_name = "PATH", requires = "policy")]
    pub rule: Option<String>,
    /// For how long: `30m`, `1h`. It ends by itself, and at boot.
    #[arg(
        long = "for", value_name = "TIME", value_parser = super::duration::parse,
        requires = "policy", group = "change"
    )]
    pub within: Option<Duration>,
    /// Enforce again, now.
    #[arg(long, requires = "policy", group = "change")]
    pub off: bool,
    /// How the list is written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `policyc patch`
#[derive(Args, Debug)]
pub struct PatchArgs {
    /// Files or folders with groups, and workloads with their pods, as they are to be from
    /// now on, or `-`. What is not given stays as it is.
    #[arg(short, long, required = true, value_name = "PATH")]
    pub inventory: Vec<PathBuf>,
    /// Also read the folders in folders.
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Say what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How to print what changed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// Whose end of a wire an interface is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum AttachSide {
    /// The subject's own.
    #[default]
    Own,
    /// The host's end of the subject's pair.
    Host,
}

/// `policyc status`
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `policyc rollback`
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// Make this earlier generation live again, from its copy; `policyc history` says which
    /// there are.
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<u64>,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `policyc restore`
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// What is done if it cannot be brought back: nothing, so that nothing is judged
    /// (`open`), or everything is denied at the places that it judged and that are there
    /// (`closed`). Both end with status 2.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub on_failure: OnFailure,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// What is done if a generation cannot be brought back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum OnFailure {
    /// Nothing is judged.
    #[default]
    Open,
    /// Everything is denied where it judged.
    Closed,
}

/// `policyc remove`
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// The runtime's own files too, with the copy of what was applied last.
    #[arg(long)]
    pub all: bool,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum EventFormat {
    /// One line an event.
    #[default]
    Compact,
    /// Several lines a verdict, with names; one an event.
    Dict,
    /// One JSON document a line.
    Json,
    /// Verdicts as Hubble writes them, one JSON document a line.
    Jsonpb,
}

/// `policyc observe`
#[derive(Args, Debug)]
pub struct ObserveArgs {
    /// Go on until interrupted.
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last of those that are there already.
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    /// Only from this long ago on: `30s`, `2m`, `1h`.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse)]
    pub since: Option<Duration>,
    /// Which are shown.
    #[command(flatten)]
    pub filters: FilterArgs,
    /// How events are written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: EventFormat,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}
