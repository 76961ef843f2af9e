//! The `policyc` command.

use std::process::ExitCode;

use clap::Parser as _;
use policyc::cli::{self, args::Cli};

fn main() -> ExitCode {
    // Where this program is static it can be the init of a virtual machine itself.
    policyc_verify::vm::run_init();
    cli::run(Cli::parse())
}
