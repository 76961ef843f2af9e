//! One run: the texts that were read, the rules they hold, and what was found.

mod remembered;

use std::collections::BTreeMap;

use policyc_base::{Diagnostic, OriginInfo, OriginTable, Sink, SourceMap};
use policyc_bpf::SourceLine;

use crate::naming;

/// What every stage of a run shares.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The texts.
    pub sources: SourceMap,
    /// The rules.
    pub origins: OriginTable,
    /// The findings.
    pub sink: Sink,
}

impl Session {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The findings so far, by place.
    pub fn findings(&self) -> Vec<Diagnostic> {
        self.sink.clone().into_sorted()
    }

    /// The line of every origin, for line info and `observe`.
    pub fn lines(&self) -> Vec<SourceLine> {
        let names = self.portable_names();
        self.origins.iter().map(|(_, info)| self.line(info, &names)).collect()
    }

    /// For each file as the user typed it, its name in an artifact.
    pub fn portable_names(&self) -> BTreeMap<String, String> {
        let names: Vec<_> = self.sources.iter().map(|(_, file)| file.name.as_str()).collect();
        naming::portable(&names)
    }

    fn line(&self, info: &OriginInfo, names: &BTreeMap<String, String>) -> SourceLine {
        let location = info.span.and_then(|span| self.sources.location(span));
        let text = location.as_ref().zip(info.span).map_or("", |(at, span)| {
            self.sources.get(span.file).map_or("", |file| file.line_text(at.line))
        });
        let (policy, rule, text) = (info.policy.clone(), info.rule.clone(), text.to_owned());
        match location {
            Some(at) => {
                let file = names.get(&at.file).cloned().unwrap_or(at.file);
                SourceLine { policy, rule, file, line: at.line, column: at.column, text }
            }
            None => SourceLine { policy, rule, file: String::new(), line: 0, column: 1, text },
        }
    }
}
