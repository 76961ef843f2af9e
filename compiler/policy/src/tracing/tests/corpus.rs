//! Every policy of the corpus is read to its end: accepted, or refused with a code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use policyc_base::{OriginTable, Sink, SourceMap};

use super::small_host;
use crate::tracing::{self, check};
use crate::{documents, kinds};

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml") {
            files.push(path);
        }
    }
}

#[test]
fn every_file_is_judged() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/tetragon");
    let mut files = Vec::new();
    collect(&corpus, &mut files);
    files.sort();
    if files.is_empty() {
        eprintln!("SKIPPED: no corpus at ../shared/corpus/tetragon");
        return;
    }
    let mut read = 0;
    let mut accepted = Vec::new();
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    let mut unknown = BTreeMap::new();
    for path in &files {
        let Ok(text) = fs::read_to_string(path) else { continue };
        let mut sources = SourceMap::new();
        let file = sources.add(path.display().to_string(), text);
        let (mut sink, mut origins) = (Sink::new(), OriginTable::new());
        let documents = documents::read(&sources, &[file], &mut sink);
        for document in &documents {
            let Some(kind) = kinds::of(document, &mut sink) else { continue };
            if kind.role != kinds::Role::Tracing {
                continue;
            }
            if let Some(doc) = tracing::read(document, &mut sink) {
                read += 1;
                check(&doc, &small_host(), &mut origins, &mut sink);
            }
        }
        if !sink.has_errors() {
            accepted.push(path);
        }
        let mut found: Vec<_> = sink.iter().map(|d| (d.code, d.message.clone())).collect();
        found.sort();
        found.dedup_by_key(|(code, _)| *code);
        for (code, _) in &found {
            *codes.entry(code.to_string()).or_default() += 1;
        }
        for d in sink.iter().filter(|d| ["P0205", "P0603"].contains(&d.code.0)) {
            unknown.entry(d.message.clone()).or_insert(path);
        }
    }
    println!(
        "{} files, {read} policies whose every part is supported, {} accepted on the test host",
        files.len(),
        accepted.len()
    );
    for (code, count) in &codes {
        println!("{code}: {count} files");
    }
    for (message, path) in &unknown {
        println!("{message}: {}", path.file_name().unwrap_or_default().display());
    }
    assert!(!accepted.is_empty());
}
