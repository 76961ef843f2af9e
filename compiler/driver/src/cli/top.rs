//! `policyc top`

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use policyc_bpf::Artifact;
use policyc_runtime::{self as runtime, Host};
use policyc_sys::kernel::RealKernel;
use serde_json::json;

use super::args::StateArgs;
use super::{Error, Status, live, output};
use crate::observe::utc;
use crate::render::{Format, plural};
use crate::top::{Reading, Row, Sort, rows, unreachable, unused};

/// `policyc top`
#[derive(Args, Debug)]
pub struct TopArgs {
    /// How long packets are counted before they are shown: `5s`, `1m`.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = super::duration::parse)]
    pub interval: Duration,
    /// How often; until interrupted without it.
    #[arg(short = 'n', long, value_name = "ROUNDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: Option<u32>,
    /// What comes first.
    #[arg(long, value_enum, value_name = "BY", default_value_t)]
    pub sort: Sort,
    /// At most so many rows a round.
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub limit: usize,
    /// Show at once the rules that decided nothing since their generation went live.
    #[arg(long, conflicts_with_all = ["interval", "rounds", "sort", "limit"])]
    pub unused: bool,
    /// How it is written; of JSON a line a round.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Where the runtime keeps its state.
    #[command(flatten)]
    pub state: StateArgs,
}

pub(super) fn run(args: &TopArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let mut before = Look::at(&host, None)?;
    if args.unused {
        return print_unused(&before, args.output);
    }
    let mut round = 0;
    while args.rounds.is_none_or(|rounds| round < rounds) {
        std::thread::sleep(args.interval);
        let after =
            Look::at(&host, before.artifact.take().map(|a| (before.reading.generation, a)))?;
        let manifest = after.artifact.as_ref().map(Artifact::manifest);
        let mut shown = rows(&before.reading, &after.reading, manifest, args.sort);
        shown.retain(|row| row.packets > 0);
        shown.truncate(args.limit);
        output::print(&match args.output {
            Format::Text => text(&shown, &after, args.interval),
            Format::Json => format!("{}\n", document(&shown, &after, args.interval)),
        })?;
        before = after;
        round += 1;
    }
    Ok(Status::Clean)
}

/// What is live at one time.
struct Look {
    reading: Reading,
    name: String,
    since: u64,
    /// Names are a comfort: without the copy there are numbers.
    artifact: Option<Artifact>,
}

impl Look {
    fn at(host: &Host<'_, RealKernel>, known: Option<(u64, Artifact)>) -> Result<Self, Error> {
        let status = runtime::status(host).map_err(|error| live::failed(&error))?;
        let Some(live) = status.live else {
            let help = "`policyc apply` makes an artifact live";
            return Err(Error::Message(format!("nothing is live\n  help: {help}")));
        };
        let artifact = match known {
            Some((number, artifact)) if number == live.generation => Some(artifact),
            _ => runtime::artifact_of(host, live.generation as u32).ok().flatten(),
        };
        let reading = Reading { generation: live.generation, counters: live.counters };
        Ok(Self { reading, name: live.name, since: live.since, artifact })
    }
}

const CLEAR: &str = "\x1b[H\x1b[2J";

fn text(rows: &[Row], look: &Look, interval: Duration) -> String {
    // People who look see one round at a time.
    let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
    let generation = look.reading.generation;
    let mut text =
        format!("{clear}generation {generation} ({}), last {} s\n", look.name, interval.as_secs());
    if rows.is_empty() {
        text.push_str("  nothing was decided\n");
        return text;
    }
    text.push_str("     PACKETS         BYTES  VERDICT    RULE\n");
    for row in rows {
        let Row { packets, bytes, verdict, .. } = row;
        text.push_str(&format!("{packets:>12} {bytes:>13}  {verdict:<9}  {}\n", name(row)));
    }
    text
}

/// `shop/web spec.ingress[0] (web.yaml:9:3)`, or why without a rule.
fn name(row: &Row) -> String {
    match (&row.policy, &row.rule, &row.at) {
        (Some(policy), Some(rule), Some(at)) => {
            let default = if row.reason == "default_deny" { "by default of " } else { "" };
            format!("{default}{policy} {rule} ({at})")
        }
        _ => row.reason.replace('_', " "),
    }
}

fn document(rows: &[Row], look: &Look, interval: Duration) -> serde_json::Value {
    json!({
        "version": 1,
        "generation": look.reading.generation,
        "name": look.name,
        "interval_seconds": interval.as_secs(),
        "rows": rows,
    })
}

fn print_unused(look: &Look, format: Format) -> Result<Status, Error> {
    let Some(manifest) = look.artifact.as_ref().map(Artifact::manifest) else {
        let help = "apply the artifact again";
        let message = "the copy of what is live is gone, so its rules have no names";
        return Err(Error::Message(format!("{message}\n  help: {help}")));
    };
    let all = rows(&Reading::default(), &look.reading, Some(manifest), Sort::Name);
    let unreachable = unreachable(manifest);
    let unused: Vec<&Row> = unused(&all).chain(&unreachable).collect();
    let since = utc(std::time::UNIX_EPOCH + Duration::from_secs(look.since));
    let generation = look.reading.generation;
    match format {
        Format::Json => output::print_json(&json!({
            "version": 1, "generation": generation, "name": look.name, "since": since,
            "unused": unused,
        }))?,
        Format::Text => {
            let count = plural(unused.len(), "rule");
            let mut text = format!(
                "{count} decided nothing since {since}, when generation {generation} ({}) went live\n",
                look.name
            );
            for row in unused {
                let verdict = if row.verdict.is_empty() { &row.reason } else { row.verdict };
                text.push_str(&format!("  {verdict:<11}  {}\n", name(row)));
            }
            output::print(&text)?;
        }
    }
    Ok(Status::Clean)
}
