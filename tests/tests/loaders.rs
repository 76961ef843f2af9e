//! What the compiler makes of the examples loads with other people's loaders:
//! `bpftool` (libbpf) loads every program, `aya-obj` reads and relocates it.

use std::path::{Path, PathBuf};
use std::process::Command;

use policyc::pipeline::{self, Built, Input};
use policyc::session::Session;
use policyc::{input, manifest};
use policyc_bpf::Artifact;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn built(policies: &str, inventory: &str) -> (Session, Built) {
    let mut session = Session::new();
    let sources = &mut session.sources;
    let inventory = if inventory.is_empty() { vec![] } else { vec![example(inventory)] };
    let input = Input {
        policies: input::read_all(&[example(policies)], true, sources).expect("policies"),
        inventory: input::read_all(&inventory, true, sources).expect("inventory"),
        ..Input::default()
    };
    let built = pipeline::build(&mut session, &input);
    let built = built.unwrap_or_else(|| panic!("{policies}: {:?}", session.findings()));
    (session, built)
}

fn elf(session: &Session, built: &Built) -> Vec<u8> {
    let manifest = manifest::manifest(session, built);
    Artifact::build(manifest, &built.compiled.object).expect("an artifact").elf().to_vec()
}

const NETWORK: [(&str, &str); 3] = [
    ("shop/policies", "shop/inventory.yaml"),
    ("ping/deny-echo.yaml", "ping/inventory.yaml"),
    ("packet-of-death/drop.yaml", "packet-of-death/inventory.yaml"),
];

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {text}")) }
}

/// A BPF file system of the test's own.
struct BpfFs(tempfile::TempDir);

impl BpfFs {
    fn mount() -> Result<Self, String> {
        // libbpf turns every dot of a pin path into `_`.
        let folder = tempfile::Builder::new().prefix("policyc").tempdir();
        let folder = folder.map_err(|error| error.to_string())?;
        run(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(folder.path()))?;
        Ok(Self(folder))
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(self.0.path()));
    }
}

#[test]
fn bpftool_loads_every_program_of_every_example() {
    let fs = match run(Command::new("bpftool").arg("version")).and_then(|()| BpfFs::mount()) {
        Ok(fs) => fs,
        Err(why) => {
            println!("SKIPPED bpftool_loads_every_program_of_every_example: {why}");
            let required = std::env::var_os("POLICYC_REQUIRE_KERNEL").is_some();
            assert!(!required, "{why}");
            return;
        }
    };
    for (i, (policies, inventory)) in NETWORK.iter().enumerate() {
        let (session, built) = built(policies, inventory);
        let file = tempfile::NamedTempFile::with_suffix(".o").expect("a file");
        std::fs::write(file.path(), elf(&session, &built)).expect("written");
        let pins = fs.0.path().join(format!("example{i}"));
        let loaded =
            run(Command::new("bpftool").args(["prog", "loadall"]).arg(file.path()).arg(&pins));
        loaded.unwrap_or_else(|error| panic!("{policies}: {error}"));
        let pinned = std::fs::read_dir(&pins).expect("pins").count();
        assert_eq!(pinned, built.compiled.object.programs.len(), "{policies}");
    }
}

#[test]
fn aya_obj_reads_and_relocates_every_example() {
    for (policies, inventory) in NETWORK {
        let (session, built) = built(policies, inventory);
        let elf = elf(&session, &built);
        let object = aya_obj::Object::parse(&elf).unwrap_or_else(|e| panic!("{policies}: {e}"));
        let names: Vec<_> = object.programs.keys().cloned().collect();
        let expected: Vec<_> =
            built.compiled.object.programs.iter().map(|p| p.name.clone()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{policies}");
        for map in built.compiled.object.maps.values() {
            let known = object.maps.keys().any(|name| name.ends_with(&map.name));
            assert!(known, "{policies}: aya does not see map {}", map.name);
        }
    }
}
