//! `policyc test`

use std::path::{Path, PathBuf};

use policyc_base::{Diagnostic, SourceMap};
use serde::Serialize;

use super::args::TestArgs;
use super::{Error, Status, output};
use crate::fixture::{self, Fixture};
use crate::render::{self, Finding, Format, plural};
use crate::session::Session;
use crate::suite::{self, Failure};
use crate::{input, pipeline};

#[derive(Serialize)]
struct Document {
    version: u32,
    passed: usize,
    failed: Vec<FailureDocument>,
    /// Verdicts that were asked of engines that cannot give them.
    unjudged: usize,
    /// Of fixtures and policies that cannot be run.
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct FailureDocument {
    fixture: String,
    engine: String,
    at: String,
    message: String,
}

/// What came of all fixtures so far.
#[derive(Default)]
struct Results {
    passed: usize,
    failures: Vec<Failure>,
    unjudged: usize,
    /// Findings as text and for programs; which of them is wanted is up to the end.
    text: String,
    findings: Vec<Finding>,
    /// Files or fixtures that could not be run.
    broken: usize,
}

impl Results {
    fn broken(&mut self, findings: &[Diagnostic], sources: &SourceMap) {
        self.text.push_str(&render::terminal(findings, sources, output::colour()));
        self.findings.extend(render::findings(findings, sources));
        self.broken += 1;
    }
}

pub(super) fn run(args: &TestArgs) -> Result<Status, Error> {
    let mut results = Results::default();
    for path in fixture_files(&args.paths)? {
        let (mut session, fixtures) = read_fixtures(&path)?;
        if session.sink.has_errors() {
            results.broken(&session.findings(), &session.sources);
            continue;
        }
        for fixture in &fixtures {
            run_fixture(args, fixture, &mut session, &mut results)?;
        }
    }
    let clean = results.failures.is_empty() && results.broken == 0;
    match args.output {
        Format::Text => output::print(&text(&results))?,
        Format::Json => output::print(&json(results))?,
    }
    Ok(if clean { Status::Clean } else { Status::Findings })
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

/// `written` is where the fixture itself was read.
fn run_fixture(
    args: &TestArgs,
    fixture: &Fixture,
    written: &mut Session,
    results: &mut Results,
) -> Result<(), Error> {
    let mut session = Session::new();
    let sources = &mut session.sources;
    let dialect = fixture.dialect.or(args.dialect.map(Into::into)).unwrap_or_default();
    let input = pipeline::Input {
        policies: input::read_all(&fixture.policies, true, sources)?,
        inventory: input::read_all(&fixture.inventory, true, sources)?,
        dialect,
        ..pipeline::Input::default()
    };
    let Some(built) = pipeline::build(&mut session, &input) else {
        results.broken(&session.findings(), &session.sources);
        return Ok(());
    };
    let outcome = suite::run(fixture, &built, &session, written, &args.engine);
    let outcome = outcome.map_err(|error| Error::Message(error.to_string()))?;
    results.passed += outcome.passed;
    results.unjudged += outcome.unjudged;
    results.failures.extend(outcome.failures);
    Ok(())
}

/// Findings, then failures with the engines that agree on them, then the count.
fn text(results: &Results) -> String {
    let mut text = results.text.clone();
    let mut failures = results.failures.iter().peekable();
    while let Some(Failure { fixture, engine, at, message }) = failures.next() {
        let mut engines = vec![*engine];
        let same = |other: &&Failure| {
            (&other.fixture, &other.at, &other.message) == (fixture, at, message)
        };
        while let Some(other) = failures.next_if(same) {
            engines.push(other.engine);
        }
        let engines = engines.join(", ");
        text.push_str(&format!("FAILED {fixture} ({at}) on {engines}\n  {message}\n"));
    }
    let passed = plural(results.passed, "verdict");
    text.push_str(&format!("{passed} passed, {} failed", results.failures.len()));
    if results.broken > 0 {
        text.push_str(&format!(", {} could not be run", plural(results.broken, "fixture")));
    }
    text.push('\n');
    if results.unjudged > 0 {
        let asked = plural(results.unjudged, "verdict");
        text.push_str(&format!(
            "{asked} not asked for on other engines than the oracle: events run on it alone, and \
             flows need network policy\n"
        ));
    }
    text
}

fn json(results: Results) -> String {
    let failed = results.failures.into_iter().map(|failure| FailureDocument {
        fixture: failure.fixture,
        engine: failure.engine.to_owned(),
        at: failure.at,
        message: failure.message,
    });
    let document = Document {
        version: 1,
        passed: results.passed,
        failed: failed.collect(),
        unjudged: results.unjudged,
        findings: results.findings,
    };
    // INVARIANT: plain strings and numbers always serialise.
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    format!("{text}\n")
}
