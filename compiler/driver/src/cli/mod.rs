//! The command: arguments in, text and an exit status out.
//!
//! Every command is one file and returns a [`Status`] or an [`Error`]; only this
//! page turns those into exit codes. Exit status: 0 clean or unchanged, 1
//! findings, drift or differences, 2 could not run.

mod apply;
pub mod args;
mod attach;
mod audit;
mod bench;
mod build;
mod check;
mod common;
pub mod conntrack;
mod dump;
mod duration;
mod explain;
pub mod filter;
mod history;
mod live;
mod manual;
mod map;
mod metrics;
mod observe;
mod output;
mod patch;
mod profile;
mod progress;
mod remove;
mod restore;
mod status;
mod test;
mod top;
mod verify;

use std::process::ExitCode;

use args::{Cli, Command};

/// How a command ended that could run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nothing to complain about: exit status 0.
    Clean,
    /// Findings, drift or differences: exit status 1.
    Findings,
}

/// Why a command could not run: exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error(transparent)]
    Input(#[from] crate::input::InputError),
    /// A file could not be written, or the output was closed.
    #[error("cannot write `{path}`: {source}")]
    Write {
        /// The file; `-` for standard output.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else, in words that say what to do.
    #[error("{0}")]
    Message(String),
}

/// Runs one command.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Conntrack { command } => conntrack::run(&command),
        Command::Bench(args) => bench::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::man(&folder),
        Command::Apply(args) => apply::run(&args),
        Command::Attach(args) => attach::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Patch(args) => patch::run(&args),
        Command::Confirm(args) => apply::confirm(&args),
        Command::Rollback(args) => apply::rollback(&args),
        Command::Status(args) => status::run(&args),
        Command::History(args) => history::run(&args),
        Command::Map(args) => map::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Remove(args) => remove::run(&args),
        Command::Observe(args) => observe::run(&args),
    };
    match result {
        Ok(Status::Clean) => ExitCode::SUCCESS,
        Ok(Status::Findings) => ExitCode::from(1),
        // Whoever reads has seen enough: `policyc … | head`.
        Err(Error::Write { path, source })
            if path == "-" && source.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::complain(&format!("policyc: {error}"));
            ExitCode::from(2)
        }
    }
}
