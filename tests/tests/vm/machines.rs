//! Kernels to boot, and machines to boot them in, one at a time.
//!
//! Kernels are what `POLICYC_KERNELS` names (images, separated by colons), else
//! what `tests/fetch-kernels.sh` has fetched. Their modules lie where the package
//! has them, beside `boot`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policyc_verify::vm::{GuestFile, run_vm};
use policyc_verify::{InitImage, Release, VmOptions};

use crate::said::{PLAN, Said, Step};

/// The init in which the runtime is tested; the other one is `policyc-init`.
pub(crate) const GUEST: &str = "vm-guest";
/// What network interfaces and `clsact` are made of.
const MODULES: [&str; 3] = ["veth", "sch_ingress", "cls_bpf"];
/// For a whole machine, emulated beside whatever else this one is doing.
const LIMIT: Duration = Duration::from_secs(300);

/// A kernel to boot.
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// `6.1.0-56-cloud-amd64`
    pub(crate) release: String,
    /// Modules for the guest.
    modules: Vec<GuestFile>,
}

/// Everything that a test needs.
pub(crate) struct Machines {
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) options: VmOptions,
    /// Nobody else boots machines meanwhile.
    _turn: MutexGuard<'static, ()>,
}

impl Machines {
    /// With the init that `tests/build-init.sh` builds by that name; `None`, loudly,
    /// where there can be no machine.
    pub(crate) fn new(test: &str, init: &str) -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        match find(init) {
            Ok((kernels, options)) => Some(Self { kernels, options, _turn: turn }),
            Err(missing) => {
                let required = std::env::var_os("POLICYC_REQUIRE_VM").is_some();
                assert!(!required, "{test}: {missing}");
                eprintln!("SKIPPED {test}: {missing}");
                None
            }
        }
    }

    /// Lets the guest take the steps on a kernel, with files at hand.
    pub(crate) fn take(&self, kernel: &Kernel, steps: &[Step], files: Vec<GuestFile>) -> Vec<Said> {
        let mut packed = kernel.modules.clone();
        let contents = serde_json::to_vec(steps).expect("JSON");
        packed.push(GuestFile { name: PLAN.to_owned(), contents });
        packed.extend(files);
        let messages = run_vm(&kernel.image, &packed, &self.options);
        let messages = messages.unwrap_or_else(|error| panic!("{}: {error}", kernel.release));
        let read = |text: &String| {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
        };
        messages.iter().map(read).collect()
    }
}

impl Kernel {
    pub(crate) fn version(&self) -> Release {
        Release::parse(&self.release).expect("an image is named after its release")
    }

    fn read_modules(&self) -> Result<Vec<GuestFile>, String> {
        let root = self.image.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let folder = root.join("lib/modules").join(&self.release).join("kernel");
        let mut found = Vec::new();
        collect(&folder, &mut found);
        let module = |(number, name): (usize, &str)| {
            let is_it = |path: &&PathBuf| {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                file == format!("{name}.ko") || file == format!("{name}.ko.xz")
            };
            let path = found.iter().find(is_it);
            let path = path.ok_or_else(|| format!("no module {name} in {}", folder.display()))?;
            // Loaded in the order of their names.
            Ok(GuestFile { name: format!("{number}-{name}.ko"), contents: unpacked(path)? })
        };
        MODULES.into_iter().enumerate().map(module).collect()
    }
}

fn find(init: &str) -> Result<(Vec<Kernel>, VmOptions), String> {
    let emulator = Command::new("qemu-system-x86_64").arg("--version").output();
    emulator.map_err(|_| "qemu-system-x86_64 is not installed (package qemu-system-x86)")?;
    let mut kernels = kernels();
    if kernels.is_empty() {
        return Err("no kernels: run tests/fetch-kernels.sh".to_owned());
    }
    for kernel in &mut kernels {
        fs::File::open(&kernel.image)
            .map_err(|error| format!("{}: {error}", kernel.image.display()))?;
        if init == GUEST {
            kernel.modules = kernel.read_modules()?;
        }
    }
    let options = VmOptions { timeout: LIMIT, ..VmOptions::new(build(init)?) };
    Ok((kernels, options))
}

fn kernels() -> Vec<Kernel> {
    let images = match std::env::var_os("POLICYC_KERNELS") {
        Some(list) => std::env::split_paths(&list).collect(),
        None => fetched(),
    };
    let kernel = |image: PathBuf| {
        let name = image.file_name()?.to_string_lossy().into_owned();
        let release = name.strip_prefix("vmlinuz-")?.to_owned();
        Some(Kernel { image, release, modules: Vec::new() })
    };
    images.into_iter().filter_map(kernel).collect()
}

fn fetched() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for series in ["6.1", "6.12"] {
        let boot = Path::new("/var/cache/policyc-kernels").join(series).join("boot");
        let files = fs::read_dir(boot).into_iter().flatten().flatten().map(|file| file.path());
        found.extend(files.filter(|path| path.to_string_lossy().contains("/vmlinuz-")));
    }
    found
}

fn build(init: &str) -> Result<InitImage, String> {
    let script = crate::example::root().join("tests/build-init.sh");
    let output = Command::new(script).arg(init).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the init cannot be built: {error}"));
    }
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    InitImage::at(path.as_ref()).map_err(|error| error.to_string())
}

/// Every file below a folder.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A module as the kernel takes it.
fn unpacked(path: &Path) -> Result<Vec<u8>, String> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    }
    let output = Command::new("xz").arg("-dc").arg(path).output();
    let output = output.map_err(|error| format!("xz (package xz-utils): {error}"))?;
    if !output.status.success() {
        return Err(format!("xz: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(output.stdout)
}
