//! Policies to artifacts, by the library: what `policyc build` makes, without the
//! verifiers, whose word the kernel gives again at load.

use std::fs;
use std::path::Path;

use policyc::pipeline::{self, Input};
use policyc::session::Session;
use policyc::{bindings, manifest};
use policyc_bpf::Artifact;
use policyc_runtime::Bindings;

use crate::lab::Lab;
use crate::tool::root;

/// A file of the examples.
pub(crate) fn example(name: &str) -> String {
    let path = root().join("examples").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The artifact of policies and an inventory; tracing policies are for this host.
pub(crate) fn artifact(name: &str, policies: &str, inventory: &str) -> Artifact {
    artifact_with(name, policies, inventory, Input::default())
}

/// The same, with options of the build.
pub(crate) fn artifact_with(
    name: &str,
    policies: &str,
    inventory: &str,
    options: Input,
) -> Artifact {
    let mut session = Session::new();
    let input = Input {
        policies: vec![session.sources.add(format!("{name}.yaml"), policies)],
        inventory: vec![session.sources.add("inventory.yaml", inventory)],
        ..options
    };
    let built = pipeline::build(&mut session, &input);
    let built = built.unwrap_or_else(|| panic!("{name}: {:#?}", session.findings()));
    let manifest = manifest::manifest(&session, &built);
    Artifact::build(manifest, &built.compiled.object).expect("a sound object")
}

/// An artifact file from policies of the ping example, or others with its inventory.
pub(crate) fn ping_artifact(name: &str, policies: &str) -> Artifact {
    artifact(name, policies, &example("ping/inventory.yaml"))
}

/// Everybody may reach the right end.
pub(crate) fn allow_all() -> Artifact {
    ping_artifact("allow", &example("ping/allow-all.yaml"))
}

/// Nobody gets an echo from the right end.
pub(crate) fn deny_echo() -> Artifact {
    ping_artifact("deny", &example("ping/deny-echo.yaml"))
}

/// Makes an artifact live with the command, at the places that [`bind`] reads; what it
/// says.
pub(crate) fn apply(lab: &Lab, artifact: &Artifact, bindings: &str) -> String {
    apply_with(lab, artifact, bindings, &[])
}

/// The same, with options of the command.
pub(crate) fn apply_with(
    lab: &Lab,
    artifact: &Artifact,
    bindings: &str,
    options: &[&str],
) -> String {
    let (file, to) = (lab.file("a.policyc"), lab.file("bindings.yaml"));
    save(artifact, &file);
    fs::write(&to, bindings_text(lab, bindings)).expect("a file");
    let args = ["apply".as_ref(), file.as_os_str(), "--bindings".as_ref(), to.as_os_str()];
    lab.says(args.into_iter().chain(options.iter().map(|option| option.as_ref())))
}

/// Writes an artifact for the command.
pub(crate) fn save(artifact: &Artifact, path: &Path) {
    fs::write(path, artifact.to_bytes().expect("an artifact")).expect("a file");
}

/// Bindings for a lab: `LEFT` and `RIGHT` in the text stand for its namespaces.
pub(crate) fn bind(lab: &Lab, lines: &str) -> Bindings {
    bindings::read(&bindings_text(lab, lines)).expect("bindings")
}

/// The document of [`bind`].
pub(crate) fn bindings_text(lab: &Lab, lines: &str) -> String {
    let path = |name| Lab::netns(name).display().to_string();
    let lines = lines.replace("LEFT", &path(&lab.left)).replace("RIGHT", &path(&lab.right));
    format!("apiVersion: policyc.io/v1alpha1\nkind: Bindings\nbindings:\n{lines}")
}
