//! `policyc map`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Error, Status, output};
use crate::render::plural;
use crate::service_map::{ServiceMap, Skip, dot, flow, html, json};

/// How many bytes a line may have.
const LINE: u64 = 1 << 20;
/// How many lines a picture may have: more than anybody can look at.
const PICTURE: usize = 2000;

/// `policyc map`
#[derive(Args, Debug)]
pub struct MapArgs {
    /// Flows, a JSON document a line, as `policyc observe` or `hubble observe` write them
    /// with `-o json` or `-o jsonpb`; `-` for standard input.
    pub flows: PathBuf,
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: MapFormat,
    /// Where it is written; standard output without it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How a map is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum MapFormat {
    /// One page with a picture to search and filter; it needs no other file.
    #[default]
    Html,
    /// For Graphviz.
    Dot,
    /// One document for programs.
    Json,
}

pub(super) fn run(args: &MapArgs) -> Result<Status, Error> {
    let name = args.flows.to_string_lossy();
    let cannot = |error| Error::Message(format!("cannot read `{name}`: {error}"));
    let read = if args.flows == Path::new("-") {
        read(io::stdin().lock())
    } else {
        File::open(&args.flows).and_then(|file| read(BufReader::new(file)))
    };
    let Read { map, flows, skipped } = read.map_err(cannot)?;
    for (count, what) in skipped.iter().zip(SKIPPED).filter(|(count, _)| **count > 0) {
        output::complain(&format!("policyc: {} left out: {what}", plural(*count, "line")));
    }
    if flows == 0 {
        let help = "write flows with `policyc observe -o json`";
        return Err(Error::Message(format!("`{name}` has no flows\n  help: {help}")));
    }
    let text = match args.output {
        MapFormat::Dot => dot(&map),
        MapFormat::Json => {
            // INVARIANT: plain strings and numbers always serialise.
            serde_json::to_string_pretty(&json(&map)).unwrap_or_default() + "\n"
        }
        MapFormat::Html if map.edges.len() > PICTURE => {
            let count = map.edges.len();
            let help = "choose flows by the filters of `policyc observe`, or `-o dot`";
            let message = format!("{count} connections are too many for a page of {PICTURE}");
            return Err(Error::Message(format!("{message}\n  help: {help}")));
        }
        MapFormat::Html => html(&map, &format!("{} of {name}", plural(flows, "flow"))),
    };
    match &args.out {
        Some(path) => output::write_file(path, text.as_bytes())?,
        None => output::print(&text)?,
    }
    Ok(Status::Clean)
}

/// What is said of the lines that are no flows, in the order of [`Skip`].
const SKIPPED: [&str; 4] = [
    "no JSON documents",
    "no flows between two addresses",
    "of a verdict that a map does not show",
    "longer than 1 MiB",
];

#[derive(Default)]
struct Read {
    map: ServiceMap,
    flows: usize,
    skipped: [usize; SKIPPED.len()],
}

fn read(mut input: impl BufRead) -> io::Result<Read> {
    let mut all = Read::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(all);
        }
        let [no_json, no_flow, no_verdict, long] = &mut all.skipped;
        if line.last() != Some(&b'\n') && line.len() as u64 == LINE {
            input.skip_until(b'\n')?;
            *long += 1;
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        match flow(&text) {
            Ok(flow) => {
                all.map.add(flow);
                all.flows += 1;
            }
            Err(Skip::NoJson) => *no_json += 1,
            Err(Skip::NoFlow) => *no_flow += 1,
            Err(Skip::NoVerdict) => *no_verdict += 1,
        }
    }
}
