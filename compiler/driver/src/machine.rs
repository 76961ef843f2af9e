//! Other kernels, in small virtual machines.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use policyc_bpf::Object;
use policyc_verify::vm::Accelerator;
use policyc_verify::{InitImage, ProgramReport, VmError, VmOptions, verify_vm};

/// The kernels that can be asked, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machines {
    /// Kernel images, in the order in which they are asked.
    pub images: Vec<PathBuf>,
    options: VmOptions,
}

impl Machines {
    /// Looks whether everything is there that has to be, before anything is
    /// started. `None` when no kernel is to be asked.
    ///
    /// # Errors
    /// An image that cannot be read, or no program to run in the machine.
    pub fn new(images: &[PathBuf], timeout: Duration) -> Result<Option<Self>, VmError> {
        if images.is_empty() {
            return Ok(None);
        }
        for image in images {
            std::fs::File::open(image)
                .map_err(|error| VmError::NoKernel(image.display().to_string(), error))?;
        }
        let options = VmOptions { timeout, ..VmOptions::new(InitImage::locate(None)?) };
        Ok(Some(Self { images: images.to_vec(), options }))
    }

    /// Offers every program of an object to the kernel in `image`, by the processor
    /// where that works and by emulation elsewhere.
    ///
    /// # Errors
    /// When the kernel could not be asked about all of them.
    pub fn ask(&self, object: &Object, image: &Path) -> Result<Vec<ProgramReport>, VmError> {
        if has_kvm() {
            let options = VmOptions { accelerator: Accelerator::Kvm, ..self.options.clone() };
            match verify_vm(object, image, &options) {
                // KVM can be there and not work (nested, another architecture);
                // emulation always does.
                Err(VmError::Ended { .. } | VmError::Timeout { .. }) => {}
                result => return result,
            }
        }
        verify_vm(object, image, &self.options)
    }
}

fn has_kvm() -> bool {
    OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}
