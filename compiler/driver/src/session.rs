//! One run: the texts that were read, the rules they hold, and what was found.

mod remembered;

use policyc_base::{Diagnostic, OriginTable, Sink, SourceMap};
use policyc_bpf::SourceLine;

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
        self.origins.iter().map(|(_, info)| self.line(info)).collect()
    }

    fn line(&self, info: &policyc_base::OriginInfo) -> SourceLine {
        let location = info.span.and_then(|span| self.sources.location(span));
        let text = location.as_ref().zip(info.span).map_or("", |(at, span)| {
            self.sources.get(span.file).map_or("", |file| file.line_text(at.line))
        });
        let (policy, rule, text) = (info.policy.clone(), info.rule.clone(), text.to_owned());
        match location {
            Some(at) => {
                SourceLine { policy, rule, file: at.file, line: at.line, column: at.column, text }
            }
            None => SourceLine { policy, rule, file: String::new(), line: 0, column: 1, text },
        }
    }
}
