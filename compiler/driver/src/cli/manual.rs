//! `policyc completions` and `policyc man`

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;

use super::args::Cli;
use super::{Error, Status, output};

pub(super) fn completions(shell: clap_complete::Shell) -> Result<Status, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "policyc", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Status::Clean)
}

pub(super) fn man(folder: &Path) -> Result<Status, Error> {
    let io = |source| Error::Write { path: folder.display().to_string(), source };
    fs::create_dir_all(folder).map_err(io)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(io)?;
    Ok(Status::Clean)
}
