//! The examples: every fixture of `examples/`, read and built.
//!
//! Files are named as seen from the workspace, so that what is built does not
//! depend on where that lies; tracing policies are built for the small host of
//! `tests/hosts`.

use std::fs;
use std::path::{Path, PathBuf};

use policyc::cli::args::EngineName;
use policyc::engine::EngineError;
use policyc::fixture::{self, Fixture};
use policyc::pipeline::{self, Built, Input};
use policyc::session::Session;
use policyc::suite;
use policyc_base::FileId;
use policyc_target::Profile;

/// One fixture.
pub(crate) struct Example {
    /// `shop/shop`, `ping/deny-echo`.
    pub(crate) name: String,
    /// What is expected.
    pub(crate) fixture: Fixture,
    /// Where it was read.
    pub(crate) written: Session,
}

/// A fixture's policies, built.
pub(crate) struct Build {
    pub(crate) session: Session,
    pub(crate) result: Built,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folders in a folder, by name.
pub(crate) fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = entries(folder).into_iter().filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Every file in a folder and the folders inside it.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let (folders, mut files): (Vec<_>, Vec<_>) =
        entries(folder).into_iter().partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| self::files(folder)));
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Every fixture, by name.
pub(crate) fn all() -> Vec<Example> {
    let mut examples = Vec::new();
    for folder in folders(&root().join("examples")) {
        let example = folder.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(folder.join("README.md").is_file(), "{example} has a README.md");
        let before = examples.len();
        let mut files = entries(&folder);
        files.sort();
        for file in files {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".test.yaml") {
                examples.extend(read(&example, name));
            }
        }
        assert!(examples.len() > before, "{example} has a fixture");
    }
    examples
}

/// The fixtures of a file: the only one has the file's name, several have their own.
fn read(example: &str, name: &str) -> Vec<Example> {
    let folder = format!("examples/{example}");
    let mut written = Session::new();
    let file = add(&mut written, &format!("{folder}/{name}.test.yaml"));
    let Session { sources, sink, .. } = &mut written;
    let fixtures = fixture::read(sources, file, Path::new(&folder), sink);
    assert!(!written.sink.has_errors(), "{example}/{name}: {:#?}", written.findings());
    let single = fixtures.len() == 1;
    let examples = fixtures.into_iter().map(|fixture| {
        let name = if single { name } else { fixture.name.as_str() };
        Example { name: format!("{example}/{name}"), fixture, written: written.clone() }
    });
    examples.collect()
}

impl Example {
    /// The fixture's policies on their way to bytecode, or why not: an example is
    /// without findings, warnings included.
    pub(crate) fn build(&self) -> Result<Build, String> {
        let mut session = Session::new();
        let input = Input {
            policies: add_all(&mut session, &self.fixture.policies),
            inventory: add_all(&mut session, &self.fixture.inventory),
            dialect: self.fixture.dialect.unwrap_or_default(),
            profile: Some(host()),
            ..Input::default()
        };
        let result = pipeline::build(&mut session, &input);
        let findings = session.findings().into_iter();
        let findings: Vec<_> = findings.map(|f| f.message).collect();
        match result.filter(|_| findings.is_empty()) {
            Some(result) => Ok(Build { session, result }),
            None => Err(findings.join("\n")),
        }
    }

    /// What the engines say: every difference from the fixture. An error is a
    /// failure of an engine.
    pub(crate) fn run(&self, engines: &[EngineName]) -> Result<Vec<String>, EngineError> {
        let build = match self.build() {
            Ok(build) => build,
            Err(reason) => return Ok(vec![reason]),
        };
        let Build { session, result } = &build;
        let outcome = suite::run(&self.fixture, result, session, &self.written, engines)?;
        let failures = outcome.failures.iter();
        Ok(failures.map(|f| format!("{} on {}: {}", f.at, f.engine, f.message)).collect())
    }
}

fn host() -> Profile {
    let text = fs::read_to_string(root().join("tests/hosts/small.yaml")).expect("the host");
    Profile::parse(&text).expect("a profile")
}

/// The files, and those of folders by name.
fn add_all(session: &mut Session, paths: &[PathBuf]) -> Vec<FileId> {
    let mut ids = Vec::new();
    for path in paths {
        let name = path.to_string_lossy().into_owned();
        if !root().join(path).is_dir() {
            ids.push(add(session, &name));
            continue;
        }
        let mut files = entries(&root().join(path));
        files.sort();
        for file in files {
            let file = file.file_name().expect("a name").to_string_lossy().into_owned();
            ids.push(add(session, &format!("{name}/{file}")));
        }
    }
    ids
}

fn add(session: &mut Session, name: &str) -> FileId {
    let text = fs::read_to_string(root().join(name));
    let text = text.unwrap_or_else(|error| panic!("{name}: {error}"));
    session.sources.add(name, text)
}
