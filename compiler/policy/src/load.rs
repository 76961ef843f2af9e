//! The policies of a run: every file read, every document sent to its reader.

use std::collections::BTreeMap;

use policyc_base::{Diagnostic, FileId, OriginTable, Sink, SourceMap, Span};

use crate::codes;
use crate::documents;
use crate::inventory::{self, CidrGroup};
use crate::kinds::{self, Kind, Role};
use crate::network::{self, Dialect, Reading};
use crate::tracing::{self, TracingDoc};

/// Every policy of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    /// The rules of all network policies, in the order written.
    pub network: Vec<network::Rule>,
    /// How many network policies they are of.
    pub documents: u32,
    /// The CIDR groups that stand among the policies.
    pub groups: Vec<CidrGroup>,
    /// The tracing policies, in the order written. What they ask of a host is checked
    /// when the host is known: [`tracing::check`].
    pub tracing: Vec<TracingDoc>,
}

/// Reads policy files of a cluster that has no name of its own. What is wrong goes to
/// `sink`; if that has errors afterwards, the result is incomplete and fit for nothing
/// but more checks.
pub fn load(
    sources: &SourceMap,
    files: &[FileId],
    dialect: Dialect,
    origins: &mut OriginTable,
    sink: &mut Sink,
) -> Policies {
    load_as(sources, files, Reading { dialect, ..Reading::default() }, origins, sink)
}

/// The same, of any cluster.
pub fn load_as(
    sources: &SourceMap,
    files: &[FileId],
    reading: Reading<'_>,
    origins: &mut OriginTable,
    sink: &mut Sink,
) -> Policies {
    let dialect = reading.dialect;
    let mut policies = Policies::default();
    let mut names = Names::default();
    for document in documents::read(sources, files, sink) {
        let Some(kind) = kinds::of(&document, sink) else { continue };
        let is_mixed = reading.mixed.contains(&document.node.span.file);
        match kind.role {
            role if is_mixed && role.is_inventory() => {}
            Role::CiliumPolicy
            | Role::ClusterwidePolicy
            | Role::KubernetesPolicy
            | Role::ClusterPolicy(_) => {
                let number = policies.documents;
                policies.documents += 1;
                let policy =
                    network::read(&document.node, kind.role, number, reading, origins, sink);
                let Some((meta, rules)) = policy else { continue };
                names.add(kind, meta.full_name(), meta.span(), sink);
                policies.network.extend(rules);
            }
            Role::Group => policies.groups.extend(inventory::read_group(&document.node, sink)),
            Role::Inventory | Role::Controller => {
                let reason = "belongs into the inventory, not among the policies";
                let help = "give its file with `-i` too";
                kinds::reject(&document, codes::KIND_MISPLACED, reason, help, sink);
            }
            Role::Test => {
                let reason = "is a test, not a policy";
                let help = "give its file to `policyc test`";
                kinds::reject(&document, codes::KIND_MISPLACED, reason, help, sink);
            }
            Role::Tracing => {
                let Some(doc) = tracing::read(&document, sink) else { continue };
                names.add(kind, doc.meta.full_name(), doc.meta.span(), sink);
                policies.tracing.push(doc);
            }
            Role::OtherPolicy | Role::Ignored => {
                let reason = "is not supported yet";
                kinds::reject(&document, codes::KIND_UNSUPPORTED, reason, "", sink);
            }
        }
    }
    network::lint::contradictions(&policies.network, origins, sink);
    // A rule that lost a field that is not supported says more than it should.
    if !sink.has_errors() {
        network::lint::shadowed(&policies.network, dialect, origins, sink);
        network::lint::lockout(&policies.network, origins, sink);
    }
    policies
}

/// The policies seen so far: the later of two with one name would replace the
/// earlier in a cluster.
#[derive(Default)]
struct Names(BTreeMap<(&'static str, String), Span>);

impl Names {
    fn add(&mut self, kind: Kind, name: String, span: Span, sink: &mut Sink) {
        // A policy without a name is wrong already.
        if name.is_empty() || name.ends_with('/') {
            return;
        }
        let message = format!("there are two policies of this kind called `{name}`");
        let Some(first) = self.0.insert((kind.name, name), span) else { return };
        let finding = Diagnostic::error(codes::POLICY_TWICE, span, message);
        sink.push(finding.with_label(first, "the first one"));
    }
}
