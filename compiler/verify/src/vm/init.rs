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

use super::protocol::{self, END, FILES_PATH, JOBS_FILE, Job, Jobs, Message, VERSION};
use crate::kernel::{running_release, verify_kernel};

/// Whether this process is the init of a machine that [`run_vm`] booted.
///
/// [`run_vm`]: super::run_vm
pub fn is_init() -> bool {
    std::process::id() == 1 && Path::new(FILES_PATH).is_dir()
}

/// Does the jobs of [`verify_vm`], prints what came out, and restarts the machine.
/// Returns only where [`is_init`] is false, or if the kernel refuses to restart.
///
/// [`verify_vm`]: super::verify_vm
pub fn run_init() {
    serve(|console| {
        console.tell(&Message::Ready { kernel: running_release(), version: VERSION });
        match read_jobs() {
            Ok(jobs) => {
                jobs.iter().enumerate().for_each(|(number, job)| run(console, number, job));
            }
            Err(error) => console.tell(&Message::Failed { job: None, error }),
        }
    });
}

/// Mounts what every init needs (proc, sysfs, bpf, tracefs), does the work and
/// restarts the machine. Returns only where [`is_init`] is false, the work not
/// done, or if the kernel refuses to restart.
pub fn serve(work: impl FnOnce(&Console)) {
    if !is_init() {
        return;
    }
    let console = Console(());
    mount_all(&console);
    // What the kernel prints from here on would tear messages apart.
    let _ = fs::write("/proc/sys/kernel/printk", "0");
    work(&console);
    console.say(END);
    let _ = reboot(RebootCommand::Restart);
}

/// The way from init to its host.
#[derive(Debug)]
pub struct Console(());

impl Console {
    /// Prints a message, which must be one line.
    pub fn say(&self, message: &str) {
        // Where nobody listens, there is nobody to tell.
        let mut console = std::io::stdout().lock();
        let _ = writeln!(console, "{}", protocol::to_line(message));
        let _ = console.flush();
    }

    fn tell(&self, message: &Message) {
        self.say(&message.to_json());
    }
}

fn mount_all(console: &Console) {
    let systems = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("bpf", "/sys/fs/bpf"),
        ("tracefs", "/sys/kernel/tracing"),
    ];
    for (kind, path) in systems {
        if let Err(error) = mount(kind, path, kind, MountFlags::empty(), None) {
            let error = format!("mount {kind} on {path}: {error}");
            console.tell(&Message::Failed { job: None, error });
        }
    }
}

fn read_jobs() -> Result<Vec<Job>, String> {
    let path = Path::new(FILES_PATH).join(JOBS_FILE);
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    Jobs::from_json(&text)
}

fn run(console: &Console, number: usize, job: &Job) {
    match job {
        Job::Load { object } => match load(object) {
            Ok(reports) => {
                for report in reports {
                    console.tell(&Message::Program { job: number, report });
                }
            }
            Err(error) => console.tell(&Message::Failed { job: Some(number), error }),
        },
    }
}

fn load(path: &str) -> Result<Vec<crate::ProgramReport>, String> {
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let object = policyc_bpf::read_elf(&bytes).map_err(|error| format!("{path}: {error}"))?;
    Ok(verify_kernel(&object))
}
