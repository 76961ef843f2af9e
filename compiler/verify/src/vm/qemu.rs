//! Running the emulator and reading its console.
//!
//! Guarantees: the process is gone when [`boot`] returns, whatever happened.
//! Does not know: what the messages mean, but for the last one.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use super::protocol;
use super::{Accelerator, VmError, VmOptions};

/// Lines of the console that are kept for an error.
const KEPT_LINES: usize = 30;

/// A machine; killed when dropped.
struct Machine {
    process: Child,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself; then both fail, and that is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Boots a kernel with an initial file system and returns what its init said, up
/// to the last message and without it.
pub(super) fn boot(
    kernel: &Path,
    initramfs: &[u8],
    options: &VmOptions,
) -> Result<Vec<String>, VmError> {
    let deadline = Instant::now() + options.timeout;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(initramfs)?;
    let mut machine = start(kernel, file.path(), options)?;
    let lines = console(&mut machine)?;

    let mut messages = Vec::new();
    let mut recent = VecDeque::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = match lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Err(VmError::Timeout { limit: options.timeout, console: recent.into() });
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(VmError::Ended { console: recent.into() });
            }
        };
        match protocol::from_line(&line) {
            Some(protocol::END) => return Ok(messages),
            Some(message) => messages.push(message.to_owned()),
            None => {
                if recent.len() == KEPT_LINES {
                    recent.pop_front();
                }
                recent.push_back(line);
            }
        }
    }
}

fn start(kernel: &Path, initramfs: &Path, options: &VmOptions) -> Result<Machine, VmError> {
    let mut command = Command::new(&options.qemu);
    let accelerator = match options.accelerator {
        Accelerator::Tcg => "tcg",
        Accelerator::Kvm => "kvm",
    };
    command
        .args(["-accel", accelerator, "-cpu", "max", "-smp", "1", "-m"])
        .arg(options.memory_mib.to_string())
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-serial", "stdio", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        // Under emulation on a busy host the kernel may take the timer for broken, and
        // panic, because it counts too few ticks.
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let process = command
        .spawn()
        .map_err(|error| VmError::NoEmulator(options.qemu.display().to_string(), error))?;
    Ok(Machine { process })
}

/// The lines of the console and of the emulator itself, until both are closed.
fn console(machine: &mut Machine) -> Result<Receiver<String>, VmError> {
    let (sender, receiver) = mpsc::channel();
    let console = machine.process.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    let complaints =
        machine.process.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    for pipe in [console, complaints].into_iter().flatten() {
        let sender = sender.clone();
        thread::Builder::new().name("vm console".into()).spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
    }
    Ok(receiver)
}
