//! Levels `kernel` of other kernels: boot one in a small virtual machine and
//! let it judge.
//!
//! Guarantees: the machine has no disk and no network, sees only what is packed
//! for it, and is killed when its time is up. Nothing of the host is loaded,
//! mounted or changed.
//! Does not know: where kernels come from.
//!
//! How: `cpio` packs a static init, the object and a list of jobs into an
//! initial file system; QEMU boots the kernel with it; init (`init`) does the
//! jobs with the code that also asks the running kernel, and prints messages
//! (`protocol`) on the console, which the host reads (`qemu`). Whoever has other
//! work for a machine writes an init around [`serve`] and boots it by [`run_vm`].

mod cpio;
mod image;
mod init;
mod protocol;
mod qemu;

use std::path::{Path, PathBuf};
use std::time::Duration;

use policyc_bpf::{Object, write_elf};
use thiserror::Error;

pub use image::{INIT_VARIABLE, InitImage};
pub use init::{Console, is_init, run_init, serve};
pub use protocol::FILES_PATH;

use self::cpio::Archive;
use self::protocol::{JOBS_FILE, Job, Jobs, Message, VERSION};
use crate::report::{Outcome, ProgramReport};

/// How a machine is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VmOptions {
    /// The emulator.
    pub qemu: PathBuf,
    /// The static program that runs in the machine.
    pub init: InitImage,
    /// From start to the last message; then the machine is killed.
    pub timeout: Duration,
    /// MiB of memory. Maps and programs must fit.
    pub memory_mib: u32,
    /// Who executes the machine's instructions.
    pub accelerator: Accelerator,
}

/// Who executes the machine's instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accelerator {
    /// Emulation: works everywhere, and the same everywhere.
    Tcg,
    /// The processor: faster, where `/dev/kvm` may be used and works.
    Kvm,
}

impl VmOptions {
    /// `qemu-system-x86_64` from the path, 60 seconds, 512 MiB, emulation.
    pub fn new(init: InitImage) -> Self {
        Self {
            qemu: "qemu-system-x86_64".into(),
            init,
            timeout: Duration::from_secs(60),
            memory_mib: 512,
            accelerator: Accelerator::Tcg,
        }
    }
}

/// Why a machine has no verdict. Never the fault of a program.
#[derive(Debug, Error)]
pub enum VmError {
    /// No static program to run as init.
    #[error("no init for the virtual machine: {0}")]
    NoInit(String),
    /// The kernel image cannot be read.
    #[error("kernel image `{0}`: {1}")]
    NoKernel(String, std::io::Error),
    /// The emulator cannot be started.
    #[error("cannot run `{0}`: {1} (package qemu-system-x86)")]
    NoEmulator(String, std::io::Error),
    /// The object cannot be written as ELF.
    #[error("the object cannot be packed: {0}")]
    Object(#[from] policyc_bpf::ObjectError),
    /// Files for the machine cannot be written, or its console not be read.
    #[error("virtual machine: {0}")]
    Io(#[from] std::io::Error),
    /// Its time was up.
    #[error("the virtual machine did not finish within {} s{}", .limit.as_secs(), tail(.console))]
    Timeout {
        /// The time it had.
        limit: Duration,
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// It ended early: no init, a panic, a wrong architecture.
    #[error("the virtual machine ended before its work was done{}", tail(.console))]
    Ended {
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// A job failed in the machine.
    #[error("in the virtual machine: {0}")]
    Job(String),
    /// Its init is of another release.
    #[error("the init of the virtual machine speaks version {init}, and {VERSION} is needed")]
    Version {
        /// What it speaks.
        init: u32,
    },
    /// A message could not be read.
    #[error("the virtual machine said what is no message: {0}")]
    Garbled(String),
}

fn tail(console: &[String]) -> String {
    if console.is_empty() {
        String::new()
    } else {
        format!("; its last words:\n{}", console.join("\n"))
    }
}

/// Offers every program of an object to the kernel in `image`, a `vmlinuz`.
///
/// # Errors
/// [`VmError`] if the kernel could not be asked about all of them.
pub fn verify_vm(
    object: &Object,
    image: &Path,
    options: &VmOptions,
) -> Result<Vec<ProgramReport>, VmError> {
    let mut reports = verify_vm_all(std::slice::from_ref(object), image, options)?;
    Ok(reports.pop().unwrap_or_default())
}

/// Like [`verify_vm`] for several objects in one machine; their reports in order.
///
/// # Errors
/// [`VmError`] if the kernel could not be asked about all of them.
pub fn verify_vm_all(
    objects: &[Object],
    image: &Path,
    options: &VmOptions,
) -> Result<Vec<Vec<ProgramReport>>, VmError> {
    sort(run_vm(image, &pack(objects)?, options)?, objects)
}

/// What init said, by object.
fn sort(messages: Vec<String>, objects: &[Object]) -> Result<Vec<Vec<ProgramReport>>, VmError> {
    let mut reports = vec![Vec::new(); objects.len()];
    for text in messages {
        let garbled = |error| VmError::Garbled(format!("{error} in {text}"));
        match Message::from_json(&text).map_err(garbled)? {
            Message::Program { job, mut report } => {
                if let Some((reports, object)) = reports.get_mut(job).zip(objects.get(job)) {
                    report.resolve(object);
                    reports.push(report);
                }
            }
            Message::Failed { error, .. } => return Err(VmError::Job(error)),
            Message::Ready { version: VERSION, .. } => {}
            Message::Ready { version, .. } => return Err(VmError::Version { init: version }),
        }
    }
    for (reports, object) in reports.iter().zip(objects) {
        complete(reports, object)?;
    }
    Ok(reports)
}

/// Whether there is a verdict on every program.
fn complete(reports: &[ProgramReport], object: &Object) -> Result<(), VmError> {
    let asked = object.programs.iter().map(|program| &program.name);
    if !asked.eq(reports.iter().map(|report| &report.program)) {
        return Err(VmError::Garbled("reports for other programs".into()));
    }
    let silent = reports.iter().find_map(|report| match &report.outcome {
        Outcome::NotRun(why) => Some(format!("`{}`: {why}", report.program)),
        _ => None,
    });
    silent.map_or(Ok(()), |why| Err(VmError::Job(why)))
}

/// The objects and the jobs.
fn pack(objects: &[Object]) -> Result<Vec<GuestFile>, VmError> {
    let mut files = Vec::new();
    let mut jobs = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        let name = format!("{number}.o");
        jobs.push(Job::Load { object: format!("{FILES_PATH}/{name}") });
        files.push(GuestFile { name, contents: write_elf(object)? });
    }
    let contents =
        serde_json::to_vec(&Jobs { version: VERSION, jobs }).map_err(std::io::Error::from)?;
    files.push(GuestFile { name: JOBS_FILE.to_owned(), contents });
    Ok(files)
}

/// A file for the machine, in [`FILES_PATH`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuestFile {
    /// Its name, without folders.
    pub name: String,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// Boots the kernel in `image` with files and returns what the machine's init
/// said, a message each: what it passed to [`Console::say`].
///
/// # Errors
/// [`VmError`] if it did not come to its end.
pub fn run_vm(
    image: &Path,
    files: &[GuestFile],
    options: &VmOptions,
) -> Result<Vec<String>, VmError> {
    let kernel = std::fs::File::open(image);
    kernel.map_err(|error| VmError::NoKernel(image.display().to_string(), error))?;
    qemu::boot(image, &initramfs(files, &options.init)?, options)
}

/// The initial file system: init, a console, mount points and files.
fn initramfs(files: &[GuestFile], init: &InitImage) -> Result<Vec<u8>, VmError> {
    let folder = FILES_PATH.trim_start_matches('/');
    let mut archive = Archive::default();
    for path in ["dev", "proc", "sys", folder] {
        archive.directory(path);
    }
    archive.device("dev/console", 5, 1);
    archive.file("init", 0o755, &init.read()?);
    for file in files {
        archive.file(&format!("{folder}/{}", file.name), 0o644, &file.contents);
    }
    Ok(archive.finish())
}

#[cfg(test)]
mod tests;
