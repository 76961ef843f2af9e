//! What `policyc profile` finds out.

use std::collections::BTreeSet;

use policyc::host;

use crate::Doing as _;
use crate::said::Said;

/// The tracepoints that the tests build for. The text of all would take the
/// console longer than the kernel takes to boot.
const TRACEPOINT: &str = "sched/sched_process_exec";

pub(crate) fn take() -> Result<Said, String> {
    let probed = host::probe();
    let missing = probed.iter().filter_map(|probed| {
        let error = probed.result.as_ref().err()?;
        Some(format!("{}: {error}", probed.feature.name()))
    });
    let missing = missing.collect();
    let found = probed.iter().filter(|probed| probed.result.is_ok()).map(|probed| probed.feature);
    let mut profile =
        host::facts(&BTreeSet::from([TRACEPOINT.to_owned()])).doing("read the profile")?;
    profile.features.extend(found);
    let profile = profile.print().doing("print the profile")?;
    Ok(Said::Profile { profile, missing })
}
