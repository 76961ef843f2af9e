//! Init of the virtual machine in which `policyc verify --kernel` asks another
//! kernel. It must be static. Run anywhere else it does nothing and says so.

use std::process::ExitCode;

fn main() -> ExitCode {
    policyc_verify::vm::run_init();
    #[expect(clippy::print_stderr, reason = "the only thing this program says to people")]
    {
        eprintln!(
            "policyc-init: this is the init of a virtual machine; see `policyc verify --kernel`"
        );
    }
    ExitCode::from(2)
}
