//! The first and only process of the virtual machine.
//!
//! Guarantees: it acts only as process 1 of a machine that the host of this
//! crate has booted; anywhere else it does nothing. It ends by restarting the
//! machine, which ends the emulator.
//! Does not know: the host, but for the jobs it left.

use std::fs;
use std::io::Write;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};

use super::protocol::{JOBS_PATH, Job, Message};
use crate::kernel::{running_release, verify_kernel};

/// Whether this process is the init of a machine that [`verify_vm`] booted.
///
/// [`verify_vm`]: super::verify_vm
pub fn is_init() -> bool {
    std::process::id() == 1 && Path::new(JOBS_PATH).exists()
}

/// Does the jobs, prints what came out, and restarts the machine. Returns only
/// where [`is_init`] is false, or if the kernel refuses to restart.
pub fn run_init() {
    if !is_init() {
        return;
    }
    mount_all();
    // What the kernel prints from here on would tear messages apart.
    let _ = fs::write("/proc/sys/kernel/printk", "0");
    say(&Message::Ready { kernel: running_release() });
    match read_jobs() {
        Ok(jobs) => jobs.iter().enumerate().for_each(|(number, job)| run(number, job)),
        Err(error) => say(&Message::Failed { job: None, error }),
    }
    say(&Message::End);
    let _ = reboot(RebootCommand::Restart);
}

fn say(message: &Message) {
    // Where nobody listens, there is nobody to tell.
    let mut console = std::io::stdout().lock();
    let _ = writeln!(console, "{}", message.to_line()).and_then(|()| console.flush());
}

fn mount_all() {
    let systems = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("bpf", "/sys/fs/bpf"),
        ("tracefs", "/sys/kernel/tracing"),
    ];
    for (kind, path) in systems {
        if let Err(error) = mount(kind, path, kind, MountFlags::empty(), None) {
            let error = format!("mount {kind} on {path}: {error}");
            say(&Message::Failed { job: None, error });
        }
    }
}

fn read_jobs() -> Result<Vec<Job>, String> {
    let text = fs::read_to_string(JOBS_PATH).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

fn run(number: usize, job: &Job) {
    match job {
        Job::Load { object } => match load(object) {
            Ok(reports) => {
                for report in reports {
                    say(&Message::Program { job: number, report });
                }
            }
            Err(error) => say(&Message::Failed { job: Some(number), error }),
        },
    }
}

fn load(path: &str) -> Result<Vec<crate::ProgramReport>, String> {
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let object = policyc_bpf::read_elf(&bytes).map_err(|error| format!("{path}: {error}"))?;
    Ok(verify_kernel(&object))
}
