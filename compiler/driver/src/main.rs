//! The `policyc` command.

use std::process::ExitCode;

use clap::Parser as _;
use policyc::cli::{self, args::Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
