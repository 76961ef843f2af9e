//! Source texts, and places in them.

use std::sync::Arc;

use crate::{PrimaryMap, entity};

entity!(
    /// A text that was read: a policy file, an inventory, standard input.
    pub struct FileId, "file"
);

/// A half-open range of bytes in one source text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `file`.
    pub const fn new(file: FileId, start: u32, end: u32) -> Self {
        Self { file, start, end }
    }

    /// The smallest span that holds both; `self` if they are of two files.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self.file != other.file {
            return self;
        }
        Self { start: self.start.min(other.start), end: self.end.max(other.end), ..self }
    }
}

/// A value and where it was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, written at `span`.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

/// One text with its name as the user gave it.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as the user typed it, with `/` separators; `-` for standard input.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
    /// Byte offset of the first byte of each line.
    line_starts: Vec<u32>,
}

/// A place as people read it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Location {
    /// The file's name as the user typed it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl SourceFile {
    /// A text with its name. Texts over 4 GiB are cut by the reader before this.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let line_starts = std::iter::once(0).chain(starts.map(|(i, _)| i as u32 + 1)).collect();
        Self { name: name.into(), text, line_starts }
    }

    /// Line and column of a byte, both from 1; the end of the text if beyond it.
    pub fn line_column(&self, byte: u32) -> (u32, u32) {
        let byte = byte.min(self.text.len() as u32);
        let line = self.line_starts.partition_point(|start| *start <= byte).max(1) - 1;
        let start = self.line_starts[line] as usize;
        let before = self.text.get(start..byte as usize).unwrap_or("");
        (line as u32 + 1, before.chars().count() as u32 + 1)
    }

    /// The text of a line (from 1) without its line break; empty if there is none.
    pub fn line_text(&self, line: u32) -> &str {
        let index = line.saturating_sub(1) as usize;
        let Some(start) = self.line_starts.get(index) else { return "" };
        let rest = self.text.get(*start as usize..).unwrap_or("");
        rest.lines().next().unwrap_or("")
    }
}

/// Every text of one run.
#[derive(Clone, Default, Debug)]
pub struct SourceMap {
    files: PrimaryMap<FileId, SourceFile>,
}

impl SourceMap {
    /// No text yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        self.files.push(SourceFile::new(name, text))
    }

    /// The text of an id of this map, or `None` for a foreign id.
    pub fn get(&self, file: FileId) -> Option<&SourceFile> {
        self.files.get(file)
    }

    /// Every text with its id, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter()
    }

    /// Where a span begins, as people read it; `None` for a foreign span.
    pub fn location(&self, span: Span) -> Option<Location> {
        let file = self.files.get(span.file)?;
        let (line, column) = file.line_column(span.start);
        Some(Location { file: file.name.clone(), line, column })
    }

    /// The text a span covers; empty for a foreign span.
    pub fn text(&self, span: Span) -> &str {
        let file = self.files.get(span.file);
        file.and_then(|f| f.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }
}
