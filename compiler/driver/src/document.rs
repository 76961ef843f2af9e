//! Documents of our own that are not policy: read whole, and refused when they are
//! too deep or too large to be one.
//!
//! Guarantees: no text exhausts the stack or the memory; it is the reader of policies
//! that looks first.

use std::sync::Arc;

use policyc_base::{Sink, SourceFile, SourceMap};
use policyc_policy::yaml::{self, Node, Resolved, Value};
use serde_json::Value as Json;

/// The only document of a text, as JSON.
///
/// # Errors
/// In words, with the line: the text is not YAML, repeats a key, is too deep, too
/// large, or is several documents.
pub fn read(text: &str) -> Result<Json, String> {
    match parse(text)?.as_slice() {
        [only] => Ok(json(only)),
        [] => Err("there is nothing in it".to_owned()),
        _ => Err("it holds several documents, and one is read".to_owned()),
    }
}

/// Whether a text can be read by a recursive reader.
///
/// # Errors
/// As [`read`].
pub fn guard(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

fn parse(text: &str) -> Result<Vec<Arc<Node>>, String> {
    let (mut sources, mut sink) = (SourceMap::new(), Sink::new());
    let file = sources.add("", text);
    let nodes = yaml::parse(file, text, &mut sink);
    let first = sink.into_sorted().into_iter().next();
    let Some(finding) = first else { return Ok(nodes) };
    let line = finding.span.map(|span| SourceFile::new("", text).line_column(span.start).0);
    Err(line.map_or_else(
        || finding.message.clone(),
        |line| format!("line {line}: {}", finding.message),
    ))
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => Json::Array(items.iter().map(|item| json(item)).collect()),
        Value::Map(map) => {
            let fields = map.iter().map(|(key, field)| (key.clone(), json(&field.value)));
            Json::Object(fields.collect())
        }
        Value::Scalar(scalar) => match scalar.resolve() {
            Resolved::Null => Json::Null,
            Resolved::Bool(value) => Json::Bool(value),
            // JSON's numbers end at 64 bits; what is larger is no field's value.
            Resolved::Int(value) => {
                i64::try_from(value).map_or_else(|_| Json::from(&*scalar.text), Json::from)
            }
            Resolved::OtherNumber | Resolved::Text => Json::from(&*scalar.text),
        },
    }
}
