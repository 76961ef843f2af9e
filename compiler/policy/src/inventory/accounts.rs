//! ServiceAccount as `kubectl get -o yaml` prints it. That a workload has a service
//! account is a label of the workload; which ones there are tells a slip of the pen from
//! one that nobody runs under yet.

use policyc_base::{Diagnostic, Sink};

use super::Inventory;
use super::load::full_name;
use crate::codes;
use crate::labels::{self, Labels};
use crate::meta;
use crate::yaml::{Fields, Node, closest};

/// `namespace/name`.
pub(super) fn read(node: &Node, sink: &mut Sink) -> Option<String> {
    let mut fields = Fields::of(node, "a service account", sink)?;
    let (meta, _) = meta::read(&mut fields, sink)?;
    Some(full_name(&meta))
}

/// Warns of workloads whose service account is not there, in namespaces of which the
/// inventory has some.
pub(super) fn check(inventory: &Inventory, sink: &mut Sink) {
    let accounts = &inventory.service_accounts;
    for workload in inventory.workloads.values() {
        let Some(namespace) = value(&workload.labels, labels::NAMESPACE) else { continue };
        let Some(account) = value(&workload.labels, labels::SERVICE_ACCOUNT) else { continue };
        let prefix = format!("{namespace}/");
        let mut known = accounts.range(prefix.clone()..).map_while(|a| a.strip_prefix(&*prefix));
        let Some(first) = known.next() else { continue };
        if accounts.contains(&format!("{prefix}{account}")) {
            continue;
        }
        let message =
            format!("`{}` has the service account `{account}`, which is not there", workload.name);
        let finding = Diagnostic::warning(codes::ACCOUNT_UNKNOWN, workload.span, message);
        let near = closest(account, [first].into_iter().chain(known));
        sink.push(finding.with_help(
            near.map_or("give its ServiceAccount in the inventory".to_owned(), |near| {
                format!("did you mean `{near}`?")
            }),
        ));
    }
}

fn value<'l>(labels: &'l Labels, key: &str) -> Option<&'l str> {
    labels.iter().find(|label| label.source == labels::K8S && label.key == key).map(|l| &*l.value)
}
