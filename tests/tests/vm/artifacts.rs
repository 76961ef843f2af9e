//! Policies → artifacts, by the library.

use std::fs;

use policyc::manifest;
use policyc::pipeline::{self, Built, Input};
use policyc::session::Session;
use policyc_base::FileId;
use policyc_bpf::Artifact;
use policyc_policy::network::Dialect;
use policyc_target::Profile;

use crate::example::root;

/// Builds files, named as seen from the workspace, for a host.
pub(crate) fn build(
    name: &str,
    policies: &[&str],
    inventory: &[&str],
    profile: Option<&Profile>,
) -> Artifact {
    let mut session = Session::new();
    let mut add = |paths: &[&str]| -> Vec<FileId> {
        let add = |path: &&str| {
            let text = fs::read_to_string(root().join(path));
            let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
            session.sources.add(*path, text)
        };
        paths.iter().map(add).collect()
    };
    let input = Input {
        policies: add(policies),
        inventory: add(inventory),
        dialect: Dialect::default(),
        profile: profile.cloned(),
        ..Input::default()
    };
    let built = pipeline::build(&mut session, &input);
    let built = built.unwrap_or_else(|| panic!("{name}: {:#?}", session.findings()));
    artifact(&session, &built, name)
}

/// What was built, as an artifact without evidence.
pub(crate) fn artifact(session: &Session, built: &Built, name: &str) -> Artifact {
    let manifest = manifest::manifest(session, built);
    let artifact = Artifact::build(manifest, &built.compiled.object);
    artifact.unwrap_or_else(|error| panic!("{name}: {error}"))
}
