//! From parser events to the tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use policyc_base::{Code, Diagnostic, FileId, Sink, Span, Spanned};
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::node::{Field, Map, Node, Scalar, Value, shorten};
use super::offsets::Offsets;
use crate::codes;

/// Largest text that is read, in bytes. A real policy file has kilobytes, an
/// inventory of ten thousand pods without `status` a few megabytes.
pub const MAX_BYTES: usize = 32 << 20;
/// Deepest nesting, aliases followed.
pub const MAX_DEPTH: u32 = 100;
/// Most values of one file, aliases followed.
pub const MAX_NODES: u64 = 4_000_000;
/// After this many syntax errors the rest of the file is not looked at.
const MAX_ERRORS: usize = 10;

/// Reads every document of a text; documents without content are left out.
///
/// What is wrong goes to `sink`. After a syntax error reading goes on at the next
/// `---` line, so that one run reports the errors of every document.
pub fn parse(file: FileId, text: &str, sink: &mut Sink) -> Vec<Arc<Node>> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "the file has {} MiB, and at most {} are read",
            text.len().div_ceil(1 << 20),
            MAX_BYTES >> 20
        );
        let help = "split it, or leave out what does not matter, such as `status`";
        let span = Span::new(file, 0, 0);
        sink.push(Diagnostic::error(codes::YAML_TOO_LARGE, span, message).with_help(help));
        return Vec::new();
    }
    let mut documents = Vec::new();
    let mut from = 0;
    for _ in 0..MAX_ERRORS {
        let rest = text.get(from..).unwrap_or("");
        let mut builder = Builder::new(file, rest, from, sink);
        let stopped = builder.run();
        documents.append(&mut builder.documents);
        match stopped {
            Some(Stop::Syntax(at)) => match next_document(text, from.max(at.saturating_sub(1))) {
                Some(next) => from = next,
                None => break,
            },
            Some(Stop::Limit) | None => break,
        }
    }
    documents
}

/// The byte of the first `---` line whose line break is not before `at`.
fn next_document(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    rest.match_indices("\n---")
        .map(|(i, _)| at + i + 1)
        .find(|start| text[start + 3..].chars().next().is_none_or(char::is_whitespace))
}

/// Why reading ended before the end.
enum Stop {
    /// A syntax error at this byte of the whole text.
    Syntax(usize),
    /// A limit of ours; the rest is not looked at.
    Limit,
}

/// A list or map that is not yet closed.
struct Frame {
    start: Span,
    /// Where its last element so far ends.
    last: Span,
    anchor: usize,
    weight: u64,
    height: u32,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Arc<Node>>),
    Map { map: Map, key: Option<Key>, merges: Vec<Arc<Node>> },
}

/// The key whose value comes next.
enum Key {
    Text(Spanned<String>),
    Merge(Span),
    /// Already reported; its value is read and forgotten.
    Bad(Span),
}

struct Builder<'t, 's> {
    file: FileId,
    base: usize,
    offsets: Offsets<'t>,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    sink: &'s mut Sink,
    frames: Vec<Frame>,
    /// Closed nodes with an anchor, by the parser's number.
    anchors: BTreeMap<usize, Arc<Node>>,
    /// Nodes so far, aliases followed.
    count: u64,
    documents: Vec<Arc<Node>>,
}

impl<'t, 's> Builder<'t, 's> {
    fn new(file: FileId, text: &'t str, base: usize, sink: &'s mut Sink) -> Self {
        Self {
            file,
            base,
            offsets: Offsets::new(text),
            parser: Parser::new_from_str(text),
            sink,
            frames: Vec::new(),
            anchors: BTreeMap::new(),
            count: 0,
            documents: Vec::new(),
        }
    }

    fn run(&mut self) -> Option<Stop> {
        while let Some(event) = self.parser.next_event() {
            match event {
                Ok((event, span)) => {
                    let span = self.span(span);
                    if let Err(stop) = self.event(event, span) {
                        return Some(stop);
                    }
                }
                Err(error) => {
                    let at = self.offsets.byte(error.marker().index()) + self.base as u32;
                    // The parser may quote the text; a message is one line.
                    let info = error.info().lines().next().unwrap_or("");
                    let message =
                        format!("not YAML: {}", info.chars().take(200).collect::<String>());
                    self.report(codes::YAML_SYNTAX, Span::new(self.file, at, at), message);
                    return Some(Stop::Syntax(at as usize));
                }
            }
        }
        None
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let base = self.base as u32;
        let start = base + self.offsets.byte(span.start.index());
        let end = base + self.offsets.byte(span.end.index());
        Span::new(self.file, start, end.max(start))
    }

    fn report(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.sink.push(Diagnostic::error(code, span, message));
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = self.tag(tag.as_deref(), span);
                let quoted = style != ScalarStyle::Plain || tagged;
                let span = self.span_of_scalar(span, text.is_empty() && !quoted);
                let value = Value::Scalar(Scalar { text: text.into_owned(), quoted });
                self.grow(1, span)?;
                self.close(anchor, Node { span, value, weight: 1, height: 1 })
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), span);
                self.open(anchor, span, FrameKind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), span);
                let kind = FrameKind::Map { map: Map::new(), key: None, merges: Vec::new() };
                self.open(anchor, span, kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {
                Ok(())
            }
        }
    }

    /// Whether the tag makes a scalar text. Tags of the core schema say nothing new.
    fn tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        let core = tag.is_yaml_core_schema();
        if core && tag.suffix == "str" {
            return true;
        }
        let known = ["int", "bool", "null", "float", "map", "seq"];
        if !(core && known.contains(&tag.suffix.as_str())) {
            let message = format!("the tag `{}` has no meaning here", shorten(&tag.to_string()));
            self.report(codes::YAML_TAG, span, message);
        }
        false
    }

    /// The parser puts what is left out at the next token; the key says more.
    fn span_of_scalar(&self, span: Span, left_out: bool) -> Span {
        match self.frames.last().map(|f| &f.kind) {
            Some(FrameKind::Map { key: Some(key), .. }) if left_out => key.span(),
            _ => span,
        }
    }

    fn grow(&mut self, nodes: u64, span: Span) -> Result<(), Stop> {
        self.count = self.count.saturating_add(nodes);
        if self.count <= MAX_NODES {
            return Ok(());
        }
        let message = format!("the file has more than {MAX_NODES} values, aliases followed");
        self.report(codes::YAML_TOO_MANY_NODES, span, message);
        Err(Stop::Limit)
    }

    fn check_depth(&mut self, height: u32, span: Span) -> Result<(), Stop> {
        if self.frames.len() as u64 + u64::from(height) <= u64::from(MAX_DEPTH) {
            return Ok(());
        }
        let message = format!("nested more than {MAX_DEPTH} levels deep");
        self.report(codes::YAML_TOO_DEEP, span, message);
        Err(Stop::Limit)
    }

    fn open(&mut self, anchor: usize, start: Span, kind: FrameKind) -> Result<(), Stop> {
        self.grow(1, start)?;
        self.check_depth(1, start)?;
        self.frames.push(Frame { start, last: start, anchor, weight: 1, height: 1, kind });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.report(codes::YAML_ALIAS, span, "an alias cannot be inside what it names");
            let value = Value::Scalar(Scalar { text: String::new(), quoted: false });
            return self.close(0, Node { span, value, weight: 1, height: 1 });
        };
        self.grow(node.weight, span)?;
        self.check_depth(node.height, span)?;
        self.add(node, span);
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Stop> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let Frame { start, last, anchor, mut weight, mut height, kind } = frame;
        let value = match kind {
            FrameKind::List(items) => Value::List(items),
            FrameKind::Map { mut map, merges, .. } => {
                for merge in merges {
                    let (added, deepest) = self.merge(&mut map, &merge)?;
                    weight = weight.saturating_add(added);
                    height = height.max(deepest + 1);
                }
                Value::Map(map)
            }
        };
        // Block collections end where the next token begins; their content says more.
        let end = if span.start == span.end { last } else { span };
        let span = Span { end: end.end.max(start.end), ..start };
        self.check_depth(height, span)?;
        self.close(anchor, Node { span, value, weight, height })
    }

    /// Adds the fields of a merged map, or of each of a list of maps, that `map`
    /// does not have yet. Returns their weight and height.
    fn merge(&mut self, map: &mut Map, from: &Node) -> Result<(u64, u32), Stop> {
        let one = std::slice::from_ref(from);
        let parts: Vec<&Node> = match &from.value {
            Value::List(items) => items.iter().map(|i| &**i).collect(),
            _ => one.iter().collect(),
        };
        let (mut weight, mut height) = (0, 0);
        for part in parts {
            let Value::Map(fields) = &part.value else {
                let message = format!("`<<` can merge maps only, not {}", part.describe());
                self.report(codes::YAML_MERGE, part.span, message);
                continue;
            };
            for (key, field) in fields {
                if map.contains_key(key) {
                    continue;
                }
                self.grow(field.value.weight, part.span)?;
                weight += field.value.weight;
                height = height.max(field.value.height);
                map.insert(key.clone(), field.clone());
            }
        }
        Ok((weight, height))
    }

    fn close(&mut self, anchor: usize, node: Node) -> Result<(), Stop> {
        let span = node.span;
        let node = Arc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        self.add(node, span);
        Ok(())
    }

    /// Puts a finished node, seen at `span`, where it belongs.
    fn add(&mut self, node: Arc<Node>, span: Span) {
        let Some(frame) = self.frames.last_mut() else {
            if !node.is_null() {
                self.documents.push(node);
            }
            return;
        };
        frame.last = span;
        frame.weight = frame.weight.saturating_add(node.weight);
        frame.height = frame.height.max(node.height + 1);
        match &mut frame.kind {
            FrameKind::List(items) => items.push(node),
            FrameKind::Map { key: key @ None, .. } => *key = Some(Key::of(&node, span, self.sink)),
            FrameKind::Map { map, key, merges } => match key.take() {
                Some(Key::Text(key)) => insert(map, key, node, self.sink),
                Some(Key::Merge(_)) => merges.push(node),
                Some(Key::Bad(_)) | None => {}
            },
        }
    }
}

impl Key {
    fn of(node: &Node, span: Span, sink: &mut Sink) -> Self {
        match &node.value {
            Value::Scalar(s) if !s.quoted && s.text == "<<" => Self::Merge(span),
            Value::Scalar(s) => Self::Text(Spanned::new(s.text.clone(), span)),
            Value::List(_) | Value::Map(_) => {
                let message = format!("a key must be a string, not {}", node.describe());
                sink.push(Diagnostic::error(codes::YAML_KEY, span, message));
                Self::Bad(span)
            }
        }
    }

    const fn span(&self) -> Span {
        match self {
            Self::Text(key) => key.span,
            Self::Merge(span) | Self::Bad(span) => *span,
        }
    }
}

fn insert(map: &mut Map, key: Spanned<String>, value: Arc<Node>, sink: &mut Sink) {
    if let Some(first) = map.get(&key.value) {
        let message = format!("`{}` is given twice", shorten(&key.value));
        let finding = Diagnostic::error(codes::YAML_DUPLICATE_KEY, key.span, message);
        sink.push(finding.with_label(first.key, "first given here"));
        return;
    }
    map.insert(key.value, Field { key: key.span, value });
}
