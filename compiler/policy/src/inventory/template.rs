//! Pod templates of Deployment, StatefulSet, DaemonSet, Job and CronJob: workloads
//! that have no addresses yet.

use policyc_base::Sink;

use super::kubernetes::{Pod, container_ports, read_labels};
use crate::meta;
use crate::yaml::{Fields, Node};

/// The pods that a controller will make, called like the controller.
pub(super) fn read(node: &Node, sink: &mut Sink) -> Option<Pod> {
    let mut fields = Fields::of(node, "a controller of pods", sink)?;
    let meta = meta::read(&mut fields, sink);
    let mut spec = fields.fields("spec", "a controller's `spec`", sink)?;
    let mut job = spec.fields("jobTemplate", "`jobTemplate`", sink);
    let job = job.as_mut().and_then(|job| job.fields("spec", "a job's `spec`", sink));
    let mut owner = job.unwrap_or(spec);
    let mut template = owner.fields("template", "`template`", sink)?;
    let labels = template.fields("metadata", "a template's `metadata`", sink);
    let labels = labels.and_then(|mut metadata| metadata.map("labels", sink));
    let mut pod = template.fields("spec", "a template's `spec`", sink);
    let mut account = |name| pod.as_mut().and_then(|pod| pod.string(name, sink));
    // The older name of the field; both are written today.
    let older = account("serviceAccount");
    let account = account("serviceAccountName").or(older);
    let host_network = pod.as_mut().and_then(|pod| pod.boolean("hostNetwork", sink));
    Some(Pod {
        meta: meta?.0,
        labels: read_labels(labels, sink),
        service_account: account.map(|account| account.value.to_owned()),
        node: None,
        host_network: host_network.is_some_and(|host| host.value),
        addresses: Vec::new(),
        ports: pod.as_mut().map(|pod| container_ports(pod, sink)).unwrap_or_default(),
    })
}
