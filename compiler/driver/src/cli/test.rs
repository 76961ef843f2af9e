//! `policyc test`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{EngineName, FailOn, TestArgs};
use super::{Error, Status, common, output};
use crate::fixture::{self, Fixture};
use crate::render::{Format, plural};
use crate::session::Session;
use crate::suite::{self, Failure};
use crate::{input, pipeline};

#[derive(Serialize)]
struct Document {
    version: u32,
    passed: usize,
    failed: Vec<FailureDocument>,
}

#[derive(Serialize)]
struct FailureDocument {
    fixture: String,
    engine: String,
    at: String,
    message: String,
}

pub(super) fn run(args: &TestArgs) -> Result<Status, Error> {
    let mut passed = 0;
    let mut failures = Vec::new();
    let mut could_read = true;
    for path in fixture_files(&args.paths)? {
        let (mut session, fixtures) = read_fixtures(&path)?;
        if session.sink.has_errors() {
            common::report(&session, args.output, FailOn::Error)?;
            could_read = false;
            continue;
        }
        for fixture in &fixtures {
            match run_fixture(args, fixture, &mut session)? {
                Some(outcome) => {
                    passed += outcome.passed;
                    failures.extend(outcome.failures);
                }
                None => could_read = false,
            }
        }
    }
    report(args, passed, &failures)?;
    Ok(if failures.is_empty() && could_read { Status::Clean } else { Status::Findings })
}

/// The named files, and those of named folders that hold fixtures.
fn fixture_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        input::list_folder(path, true, &mut found)?;
        for file in found {
            if input::read_text(&file)?.contains("kind: PolicyTest") {
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        return Err(Error::Message("no fixture found: a fixture has `kind: PolicyTest`".into()));
    }
    Ok(files)
}

fn read_fixtures(path: &Path) -> Result<(Session, Vec<Fixture>), Error> {
    let mut session = Session::new();
    let files = input::read_all(&[path.to_path_buf()], false, &mut session.sources)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let Session { sources, sink, .. } = &mut session;
    let fixtures = files.iter().flat_map(|file| fixture::read(sources, *file, folder, sink));
    let fixtures = fixtures.collect();
    Ok((session, fixtures))
}

/// `None` when the policies have errors, which are printed.
fn run_fixture(
    args: &TestArgs,
    fixture: &Fixture,
    written: &mut Session,
) -> Result<Option<suite::Outcome>, Error> {
    let mut session = Session::new();
    let sources = &mut session.sources;
    let dialect = fixture.dialect.or(args.dialect.map(Into::into)).unwrap_or_default();
    let input = pipeline::Input {
        policies: input::read_all(&fixture.policies, true, sources)?,
        inventory: input::read_all(&fixture.inventory, true, sources)?,
        dialect,
        profile: None,
    };
    let Some(built) = pipeline::build(&mut session, &input) else {
        common::report(&session, args.output, FailOn::Error)?;
        return Ok(None);
    };
    let engines: Vec<EngineName> = args.engine.clone();
    let outcome = suite::run(fixture, &built, &session, written, &engines);
    outcome.map(Some).map_err(|error| Error::Message(error.to_string()))
}

fn report(args: &TestArgs, passed: usize, failures: &[Failure]) -> Result<(), Error> {
    if args.output == Format::Json {
        let failed = failures.iter().map(|failure| FailureDocument {
            fixture: failure.fixture.clone(),
            engine: failure.engine.to_owned(),
            at: failure.at.clone(),
            message: failure.message.clone(),
        });
        let document = Document { version: 1, passed, failed: failed.collect() };
        // INVARIANT: plain strings and numbers always serialise.
        let text = serde_json::to_string_pretty(&document).unwrap_or_default();
        return output::print(&format!("{text}\n"));
    }
    let mut text = String::new();
    for failure in failures {
        let Failure { fixture, engine, at, message } = failure;
        text.push_str(&format!("FAILED {fixture} on {engine}, {at}: {message}\n"));
    }
    text.push_str(&format!("{} passed, {} failed\n", plural(passed, "verdict"), failures.len()));
    output::print(&text)
}
