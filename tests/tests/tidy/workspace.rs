//! The workspace as cargo and git see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the crate is in a folder of the workspace").to_owned()
}

/// The text of a file of the workspace.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file that is tracked or would be, by path with `/`; ignored files are not
/// among them. Without git (an unpacked archive) there is nothing else to see than
/// the tree itself.
pub(crate) fn files() -> Vec<String> {
    let git = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output();
    let mut files = match git {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.split_terminator('\0').map(str::to_owned).collect()
        }
        _ => walk(&root(), ""),
    };
    // Of a file that was deleted and not yet committed there is nothing to say.
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    files
}

/// The files that end in `.rs`.
pub(crate) fn rust_files() -> Vec<String> {
    files().into_iter().filter(|file| file.ends_with(".rs")).collect()
}

fn walk(folder: &Path, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if !entry.path().is_dir() {
            found.push(path);
        } else if name != "target" && name != ".git" {
            found.extend(walk(&entry.path(), &format!("{path}/")));
        }
    }
    found
}

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// As in `Cargo.toml`: `policyc-ir`.
    pub(crate) name: String,
    /// Its folder: `compiler/ir`.
    pub(crate) folder: String,
    /// Normal dependencies under the names this crate gives them.
    pub(crate) needs: BTreeSet<String>,
    /// Dependencies of tests, benches and build scripts.
    pub(crate) needs_for_tests: BTreeSet<String>,
}

/// The crates by name.
pub(crate) fn packages() -> BTreeMap<String, Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages.iter().map(package).map(|package| (package.name.clone(), package)).collect()
}

fn package(value: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut package = Package {
        name: text(&value["name"]),
        folder: folder(&text(&value["manifest_path"])),
        needs: BTreeSet::new(),
        needs_for_tests: BTreeSet::new(),
    };
    for dependency in value["dependencies"].as_array().into_iter().flatten() {
        let renamed = dependency["rename"].as_str();
        let name = renamed.map_or_else(|| text(&dependency["name"]), str::to_owned);
        match dependency["kind"].is_null() {
            true => package.needs.insert(name),
            false => package.needs_for_tests.insert(name),
        };
    }
    package
}

/// The folder of a manifest, seen from the root.
fn folder(manifest: &str) -> String {
    let folder = Path::new(manifest).parent().unwrap_or(Path::new(""));
    let below = folder.strip_prefix(root()).unwrap_or(folder);
    below.to_string_lossy().replace('\\', "/")
}
