//! The fixtures of `tests/fixtures`, on every engine: verdicts that a person stated,
//! with the policy that gives them.

use std::fs;
use std::path::{Path, PathBuf};

use policyc::cli::args::EngineName;
use policyc::fixture::{self, Fixture};
use policyc::pipeline::{self, Built, Input};
use policyc::session::Session;
use policyc::suite;
use policyc_base::FileId;

use crate::say::{has_kernel, say};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Every `*.test.yaml` in the folders of `tests/fixtures`, by name.
fn files() -> Vec<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let folders = entries(&root()).filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> = folders.flat_map(|folder| entries(&folder)).collect();
    files.retain(|path| path.to_string_lossy().ends_with(".test.yaml"));
    files.sort();
    files
}

fn add(session: &mut Session, path: &Path) -> FileId {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let name = path.strip_prefix(root()).unwrap_or(path);
    session.sources.add(name.to_string_lossy(), text)
}

fn build(fixture: &Fixture) -> (Session, Built) {
    let mut session = Session::new();
    let mut all =
        |paths: &[PathBuf]| paths.iter().map(|path| add(&mut session, path)).collect::<Vec<_>>();
    let (policies, inventory) = (all(&fixture.policies), all(&fixture.inventory));
    let dialect = fixture.dialect.unwrap_or_default();
    let input = Input { policies, inventory, dialect, ..Input::default() };
    let built = pipeline::build(&mut session, &input);
    let built = built.unwrap_or_else(|| panic!("{}: {:?}", fixture.name, session.findings()));
    (session, built)
}

#[test]
fn fixtures_on_every_engine() {
    let name = "fixtures";
    let mut engines =
        vec![EngineName::Oracle, EngineName::Decision, EngineName::Bir, EngineName::Bytecode];
    if has_kernel(name) {
        engines.push(EngineName::Kernel);
    }
    let (mut fixtures, mut passed, mut wrong) = (0, 0, Vec::new());
    for path in files() {
        let mut written = Session::new();
        let file = add(&mut written, &path);
        let folder = path.parent().unwrap();
        let read = fixture::read(&written.sources, file, folder, &mut written.sink);
        assert!(!written.sink.has_errors(), "{}: {:?}", path.display(), written.findings());
        for fixture in read {
            let (session, built) = build(&fixture);
            let outcome = suite::run(&fixture, &built, &session, &written, &engines).unwrap();
            fixtures += 1;
            passed += outcome.passed;
            wrong.extend(
                outcome
                    .failures
                    .into_iter()
                    .map(|f| format!("{} {} on {}: {}", f.at, f.fixture, f.engine, f.message)),
            );
        }
    }
    say(&format!("{name}: {fixtures} fixtures, {passed} verdicts as stated"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
