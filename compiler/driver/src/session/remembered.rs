//! What an artifact remembers of the texts it was built from.
//!
//! Guarantees: every rule is at its file, line and column, whether or not the
//! files are still there. Total on any manifest: one that names lines far away
//! loses their places, not the machine's memory.
//! Does not know: the lines at which no rule begins; they are empty.

use std::collections::BTreeMap;

use policyc_base::{FileId, OriginInfo, Span};
use policyc_bpf::Manifest;

use super::Session;
use crate::input::MAX_FILE;

/// The lines of one file that are known, by number.
type Lines<'a> = BTreeMap<u32, &'a str>;

impl Session {
    /// A session with the rules of an artifact and no findings.
    pub fn of_manifest(manifest: &Manifest) -> Self {
        let mut session = Self::new();
        let mut files: BTreeMap<&str, Lines<'_>> = BTreeMap::new();
        for line in manifest.lines.iter().filter(|line| line.line > 0) {
            let text = line.text.lines().next().unwrap_or_default();
            files.entry(&line.file).or_default().entry(line.line).or_insert(text);
        }
        let mut left = MAX_FILE;
        let mut texts = BTreeMap::new();
        for (file, lines) in files {
            let text = Text::of(&lines, &mut left);
            let id = session.sources.add(file, text.text);
            texts.insert(file, (id, lines, text.starts));
        }
        for line in &manifest.lines {
            let span = texts.get(line.file.as_str()).and_then(|(id, lines, starts)| {
                let (start, text) = (*starts.get(&line.line)?, lines.get(&line.line)?);
                Some(span(*id, start, text, line.column))
            });
            let (policy, rule) = (line.policy.clone(), line.rule.clone());
            session.origins.push(OriginInfo { policy, rule, span });
        }
        session
    }
}

/// A file as far as it is known.
#[derive(Default)]
struct Text {
    text: String,
    /// Where the known lines begin, in bytes, by number.
    starts: BTreeMap<u32, u32>,
}

impl Text {
    /// Takes what it needs from the bytes that are `left` for all files.
    fn of(lines: &Lines<'_>, left: &mut u64) -> Self {
        let mut file = Self::default();
        let mut at = 1;
        for (number, text) in lines {
            let size = u64::from(number - at) + text.len() as u64;
            if size > *left {
                return file;
            }
            *left -= size;
            file.text.extend(std::iter::repeat_n('\n', (number - at) as usize));
            at = *number;
            file.starts.insert(*number, file.text.len() as u32);
            file.text.push_str(text);
        }
        file
    }
}

/// From the column at which a rule begins to the end of its line.
fn span(file: FileId, start: u32, text: &str, column: u32) -> Span {
    let before = text.chars().take(column.saturating_sub(1) as usize);
    let before: usize = before.map(char::len_utf8).sum();
    let end = text.trim_end().len().max(before);
    Span::new(file, start + before as u32, start + end as u32)
}

#[cfg(test)]
mod tests;
