//! Commands on pages are commands: every `policyc` line of a block marked `sh` is
//! one that the command line takes, and the examples it names are there.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use policyc::cli::args::Cli;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages: those at the root, of `docs` and of the examples.
fn pages() -> Vec<PathBuf> {
    let entries = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let mut pages = entries(root());
    pages.extend(entries(root().join("docs")));
    pages.extend(entries(root().join("examples")).iter().map(|folder| folder.join("README.md")));
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// The lines of the blocks marked `sh`; a line that ends in `\` goes on.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    let joined = blocks.map(|block| block.replace("\\\n", " ")).collect::<Vec<_>>().join("\n");
    joined.lines().map(|line| line.trim().to_owned()).collect()
}

/// The words of a `policyc` line, from the command on; `None` for other lines.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.replace("cargo run --release --", "policyc");
    let line = line.strip_prefix("policyc ").map(|rest| format!("policyc {rest}"))?;
    Some(line.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn every_command_on_a_page_is_taken() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        for line in commands(&text) {
            let Some(words) = words(&line) else { continue };
            seen += 1;
            if let Err(error) = Cli::try_parse_from(&words) {
                wrong.push(format!("{}: {line}\n{error}", page.display()));
            }
            let examples = words.iter().filter(|word| word.starts_with("examples/"));
            let missing = examples.filter(|path| !root().join(path).exists());
            wrong.extend(missing.map(|path| format!("{}: no {path}", page.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 10, "only {seen} commands were found");
}
