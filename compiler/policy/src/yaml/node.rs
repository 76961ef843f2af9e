//! The tree: nodes with the place they are written at.

use std::sync::Arc;

use indexmap::IndexMap;
use policyc_base::Span;

/// One value of a document. What an alias names is shared, not copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Where it is written. A value that is left out (`key:`) has the span of its key.
    pub span: Span,
    /// What it is.
    pub value: Value,
    /// Nodes below and including this one, aliases followed.
    pub(super) weight: u64,
    /// Levels below and including this one, aliases followed.
    pub(super) height: u32,
}

/// The three kinds of YAML nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Arc<Node>>),
    /// A mapping.
    Map(Map),
}

/// A mapping in the order written; merged keys (`<<`) follow the written ones.
pub type Map = IndexMap<String, Field>;

/// The value of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Where the key is written.
    pub key: Span,
    /// The value.
    pub value: Arc<Node>,
}

/// A single value, with what it means where its type matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scalar {
    /// The text, escapes resolved.
    pub text: String,
    /// Whether it is quoted, a block, or tagged as a string: then it is text and
    /// nothing else.
    pub quoted: bool,
}

/// What a plain scalar means to Kubernetes' YAML reader (YAML 1.1 with JSON types).
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Resolved {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `no`, `on` and their like.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// Any other number. Integers that read differently by YAML version (`0443`,
    /// `1_000`) are among them, so that nobody takes them for what they are not.
    OtherNumber,
    /// Text.
    Text,
}

impl Scalar {
    /// What the scalar means.
    pub fn resolve(&self) -> Resolved {
        if self.quoted { Resolved::Text } else { resolve_plain(&self.text) }
    }
}

impl Node {
    /// Whether it is `null` or was left out.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(s) if s.resolve() == Resolved::Null)
    }

    /// What a reader sees there: "a list", "the number `80`".
    pub fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
            Value::Scalar(scalar) => describe_scalar(scalar),
        }
    }
}

fn describe_scalar(scalar: &Scalar) -> String {
    let text = shorten(&scalar.text);
    match scalar.resolve() {
        Resolved::Null => "nothing".into(),
        Resolved::Bool(_) => format!("the boolean `{text}`"),
        Resolved::Int(_) | Resolved::OtherNumber => format!("the number `{text}`"),
        Resolved::Text => format!("the string `{text}`"),
    }
}

/// At most 60 characters of one line, for messages.
pub fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    if line.len() == text.len() && line.chars().count() <= 60 {
        return line.to_owned();
    }
    line.chars().take(57).chain("...".chars()).collect()
}

/// Booleans as `sigs.k8s.io/yaml` reads them (YAML 1.1).
const TRUE: &[&str] = &["y", "yes", "true", "on"];
const FALSE: &[&str] = &["n", "no", "false", "off"];

fn resolve_plain(text: &str) -> Resolved {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Resolved::Null;
    }
    if let Some(value) = boolean(text) {
        return Resolved::Bool(value);
    }
    integer(text).unwrap_or(if is_other_number(text) {
        Resolved::OtherNumber
    } else {
        Resolved::Text
    })
}

/// Lower case, upper case, or upper case first, and nothing in between.
fn boolean(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let rest = text.get(1..)?;
    let regular =
        text == lower || text == text.to_ascii_uppercase() || rest == rest.to_ascii_lowercase();
    let value = if TRUE.contains(&lower.as_str()) {
        true
    } else if FALSE.contains(&lower.as_str()) {
        false
    } else {
        return None;
    };
    regular.then_some(value)
}

fn integer(text: &str) -> Option<Resolved> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Some(Resolved::OtherNumber);
    }
    let value = i128::from_str_radix(digits, radix).ok();
    Some(value.map_or(Resolved::OtherNumber, |v| Resolved::Int(if negative { -v } else { v })))
}

fn is_other_number(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['-', '+']);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let plain = text.replace('_', "");
    starts
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-._eE".contains(&b))
        && plain.parse::<f64>().is_ok()
}
