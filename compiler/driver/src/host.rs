//! What this host is: facts for a profile, read from files and found by attaching.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use policyc_sys::SysError;
use policyc_sys::probe;
use policyc_target::{Feature, HostFacts, HostProblem, Profile};

use crate::tracefs::{Tracefs, Unmount};

/// A profile of this host with the formats of the named tracepoints
/// (`category/event`) and no feature. A tracepoint that the host does not have is
/// left out; the check of policies says so.
///
/// # Errors
/// When formats cannot be read.
pub fn facts(tracepoints: &BTreeSet<String>) -> io::Result<Profile> {
    let tracefs = if tracepoints.is_empty() { None } else { Some(Tracefs::open()?) };
    Ok(read(BTreeSet::new(), tracefs.as_ref(), tracepoints).0)
}

/// Everything about this host: all tracepoints, and the features that were found.
///
/// # Errors
/// When formats cannot be read.
pub fn profile(features: BTreeSet<Feature>) -> io::Result<(Profile, Vec<HostProblem>)> {
    let tracefs = Tracefs::open()?;
    let tracepoints = tracefs.tracepoints();
    Ok(read(features, Some(&tracefs), &tracepoints))
}

fn read(
    mut features: BTreeSet<Feature>,
    tracefs: Option<&Tracefs>,
    tracepoints: &BTreeSet<String>,
) -> (Profile, Vec<HostProblem>) {
    let kernel = policyc_verify::kernel::running_release();
    let btf = fs::read("/sys/kernel/btf/vmlinux").ok();
    if btf.is_some() {
        features.insert(Feature::KernelBtf);
    }
    let formats = tracepoints.iter().filter_map(|name| {
        let (category, _) = name.split_once('/')?;
        Some((category, tracefs?.format(name)?))
    });
    let formats: Vec<(&str, String)> = formats.collect();
    let facts = HostFacts {
        kernel: &kernel,
        architecture: std::env::consts::ARCH,
        features,
        btf: btf.as_deref(),
        tracepoints: formats.iter().map(|(category, text)| (*category, text.as_str())).collect(),
    };
    Profile::from_host(&facts)
}

/// What came of trying one way to attach.
#[derive(Debug)]
pub struct Probed {
    /// Its name in profiles.
    pub feature: Feature,
    /// What failed, if it did.
    pub result: Result<(), SysError>,
    /// What helps where it is missing.
    pub remedy: &'static str,
}

/// Tries every way to attach that policyc uses; nothing stays attached or mounted.
pub fn probe() -> Vec<Probed> {
    let _unmount = Unmount::later();
    let try_one = |feature: probe::Feature| Probed {
        feature: target_feature(feature),
        result: probe::probe(feature),
        remedy: feature.remedy(),
    };
    probe::Feature::ALL.map(try_one).into()
}

const fn target_feature(feature: probe::Feature) -> Feature {
    match feature {
        probe::Feature::Tcx => Feature::AttachTcx,
        probe::Feature::Clsact => Feature::AttachClsact,
        probe::Feature::XdpGeneric => Feature::AttachXdpGeneric,
        probe::Feature::CgroupSkb => Feature::AttachCgroupSkb,
        probe::Feature::RawTracepoint => Feature::AttachRawTracepoint,
        probe::Feature::Tracepoint => Feature::AttachTracepoint,
    }
}
