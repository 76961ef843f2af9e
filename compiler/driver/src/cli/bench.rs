//! `policyc bench`

use std::fmt::Write as _;

use policyc_sys::host::{Capability, missing_capabilities};
use serde::Serialize;

use super::args::BenchArgs;
use super::progress::Progress;
use super::{Error, Status, output};
use crate::bench::{self, Figure, GROUPS, PACKETS, REPEAT, RULES, Row};
use crate::render::Format;

const NEEDED: [Capability; 2] = [Capability::Bpf, Capability::NetAdmin];

#[derive(Serialize)]
struct Document {
    version: u32,
    kernel: String,
    rounds: usize,
    repeat: u32,
    packets: usize,
    rows: Vec<Row>,
}

pub(super) fn run(args: &BenchArgs) -> Result<Status, Error> {
    let missing = missing_capabilities(&NEEDED).unwrap_or_else(|_| NEEDED.to_vec());
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
        let names = names.join(" and ");
        return Err(Error::Message(format!("test runs need {names}: run as root")));
    }
    let rounds = usize::from(args.rounds);
    if args.patch {
        return patches(args, rounds);
    }
    let progress = Progress::new();
    let rows = bench::run(rounds, &|step| progress.say(step));
    drop(progress);
    let rows = rows.map_err(|error| Error::Message(error.to_string()))?;
    let kernel = policyc_verify::kernel::running_release();
    match args.output {
        Format::Text => output::print(&text(&kernel, rounds, &rows))?,
        Format::Json => {
            let (repeat, packets) = (REPEAT, PACKETS);
            let document = Document { version: 1, kernel, rounds, repeat, packets, rows };
            // INVARIANT: strings and finite numbers always serialise.
            let text = serde_json::to_string_pretty(&document).unwrap_or_default();
            output::print(&format!("{text}\n"))?;
        }
    }
    Ok(Status::Clean)
}

#[derive(Serialize)]
struct Patches {
    version: u32,
    kernel: String,
    rounds: usize,
    /// In milliseconds.
    rows: Vec<bench::patch::Row>,
}

fn patches(args: &BenchArgs, rounds: usize) -> Result<Status, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Message(error.to_string());
    let command = std::env::current_exe().map_err(|error| failed(&error))?;
    let progress = Progress::new();
    let rows = bench::patch::run(&command, rounds, &|step| progress.say(step));
    drop(progress);
    let rows = rows.map_err(|error| failed(&error))?;
    let kernel = policyc_verify::kernel::running_release();
    match args.output {
        Format::Text => output::print(&patches_text(&kernel, rounds, &rows))?,
        Format::Json => {
            let document = Patches { version: 1, kernel, rounds, rows };
            // INVARIANT: strings and finite numbers always serialise.
            let text = serde_json::to_string_pretty(&document).unwrap_or_default();
            output::print(&format!("{text}\n"))?;
        }
    }
    Ok(Status::Clean)
}

fn patches_text(kernel: &str, rounds: usize, rows: &[bench::patch::Row]) -> String {
    let mut text = format!("ms for one changed prefix of a group, on kernel {kernel}\n\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:>7}{:>8}{:>8}{:>9}{:>8}{:>10}{:>8}{:>10}{:>9}{:>8}",
        "members",
        "read",
        "open",
        "compute",
        "store",
        "verdict",
        "settle",
        "command",
        "build",
        "apply"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:>7}{:>8.2}{:>8.2}{:>9.2}{:>8.2}{:>10.2}{:>8.2}{:>10.2}{:>9.2}{:>8.2}",
            row.members,
            row.read,
            row.open,
            row.compute,
            row.store,
            row.verdict,
            row.settle,
            row.command,
            row.build,
            row.apply
        );
    }
    let _ = write!(
        text,
        "\n\
         `read`: YAML to prefixes; `open`: lock, recovery and what is known; `compute`: the members\n\
         and their view; `store`: what is to be known and the difference in the kernel. That is the\n\
         `verdict`. `settle`: until it survives a crash of the machine and no program looks at the\n\
         old view. `command`: all of it as a process. `build` (without verifying) and `apply`:\n\
         the same by a new generation, at the two hooks of one cgroup. {rounds} rounds; shown is\n\
         the median of the medians of {GROUPS} groups of rounds. Only ratios of one run say something.\n"
    );
    text
}

fn text(kernel: &str, rounds: usize, rows: &[Row]) -> String {
    let mut text = format!("ns per packet on kernel {kernel}, and times the empty program\n\n");
    let random = format!("{PACKETS} packets");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:<12}{:<23}{:>17}{random:>19}", "hook", "program", "same packet");
    for Row { hook, program, hot, random } in rows {
        let (hot, random) = (figure(*hot), figure(*random));
        let _ = writeln!(text, "{hook:<12}{program:<23}{hot:>17}{random:>19}");
    }
    let _ = write!(
        text,
        "\n\
         A rule allows one source network (/16 to /32) and one of 32 TCP ports; the rest is denied.\n\
         `beside a set`: another rule names a run-time set that no packet comes from; `of sets`:\n\
         each network is one; `in 8`: seven more hold every address.\n\
         All packets here are allowed; forwarded packets are counted and not reported.\n\
         Behind `rules` they are first packets (SYN); the rows below, with {rules} rules, are segments\n\
         of no connection, of an established one that the peer opened, and of one that the subject\n\
         opened: replies, about which policy is not asked.\n\
         `{PACKETS} packets`: a program in front puts another source and port into the packet, then\n\
         jumps; every row of that column has its cost, the empty one too.\n\
         CPU time of BPF_PROG_TEST_RUN, {REPEAT} runs a figure, {rounds} rounds in which all\n\
         programs take turns; shown is the median of the medians of {GROUPS} groups of rounds.\n\
         Only ratios of one run say something: nanoseconds depend on the machine and its load.\n",
        rules = RULES[0]
    );
    text
}

fn figure(figure: Figure) -> String {
    format!("{:.1} ({:.2}x)", figure.ns, figure.ratio)
}
