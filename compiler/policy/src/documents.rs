//! Kubernetes-style documents: what is in a file, lists taken apart.

use std::sync::Arc;

use policyc_base::{Diagnostic, FileId, Sink, SourceMap, Span, Spanned};

use crate::codes;
use crate::yaml::{self, Map, Node, decode};

/// One object with its kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// `cilium.io/v2`.
    pub api_version: Spanned<String>,
    /// `CiliumNetworkPolicy`.
    pub kind: Spanned<String>,
    /// The whole object, `apiVersion` and `kind` included.
    pub node: Arc<Node>,
}

/// Every object of the files, in the order written. Objects without a kind are
/// reported and left out.
pub fn read(sources: &SourceMap, files: &[FileId], sink: &mut Sink) -> Vec<Document> {
    let mut documents = Vec::new();
    for &file in files {
        let Some(source) = sources.get(file) else { continue };
        for node in yaml::parse(file, &source.text, sink) {
            collect(node, None, &mut documents, sink);
        }
    }
    documents
}

/// What an element of a typed list is, unless it says so itself.
type Default = (Spanned<String>, Spanned<String>);

fn collect(node: Arc<Node>, default: Option<&Default>, out: &mut Vec<Document>, sink: &mut Sink) {
    let Some(map) = decode::map(&node, "a document", sink) else { return };
    let api_version = text(map, "apiVersion", node.span, default.map(|d| &d.0), sink);
    let kind = text(map, "kind", node.span, default.map(|d| &d.1), sink);
    let (Some(api_version), Some(kind)) = (api_version, kind) else { return };
    let Some(element) = kind.value.strip_suffix("List").filter(|_| map.contains_key("items"))
    else {
        out.push(Document { api_version, kind, node });
        return;
    };
    let default = (!element.is_empty())
        .then(|| (api_version.clone(), Spanned::new(element.to_owned(), kind.span)));
    let Some(items) = map.get("items").filter(|f| !f.value.is_null()) else { return };
    for item in decode::list(&items.value, "`items`", sink).unwrap_or(&[]) {
        collect(Arc::clone(item), default.as_ref(), out, sink);
    }
}

fn text(
    map: &Map,
    name: &'static str,
    whole: Span,
    default: Option<&Spanned<String>>,
    sink: &mut Sink,
) -> Option<Spanned<String>> {
    match map.get(name) {
        Some(field) if !field.value.is_null() => {
            let text = decode::string(&field.value, format_args!("`{name}`"), sink)?;
            Some(text.map(str::to_owned))
        }
        _ if default.is_some() => default.cloned(),
        _ => {
            let start = Span { end: whole.start, ..whole };
            let message = format!("a document needs `{name}`");
            sink.push(Diagnostic::error(codes::FIELD_MISSING, start, message));
            None
        }
    }
}
