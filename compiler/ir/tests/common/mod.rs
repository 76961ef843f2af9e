//! What file tests share.

use std::fs;
use std::path::Path;

use policyc_base::{Diagnostic, SourceMap};

/// Name and text of every `.bir` file of a folder of tests, by name.
pub(crate) fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "bir"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("the file can be read");
            (path.display().to_string(), text)
        })
        .collect();
    files.sort();
    files
}

/// `line:column code message (help)`.
pub(crate) fn show(sources: &SourceMap, diagnostic: &Diagnostic) -> String {
    let at = diagnostic.span.and_then(|span| sources.location(span));
    let at = at.map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default();
    let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{at} {} {}{help}", diagnostic.code, diagnostic.message)
}
