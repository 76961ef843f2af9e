//! `policyc remove`

use policyc_runtime::{self as runtime, Host};
use policyc_sys::kernel::RealKernel;

use super::args::RemoveArgs;
use super::{Error, Status, live, output};

pub(super) fn run(args: &RemoveArgs) -> Result<Status, Error> {
    let dirs = args.state.dirs()?;
    let host = Host { kernel: &RealKernel, dirs: &dirs };
    let was_live = runtime::remove(&host, args.all).map_err(|error| live::failed(&error))?;
    let text =
        if was_live { "removed: nothing is enforced any more\n" } else { "nothing was live\n" };
    output::print(text)?;
    Ok(Status::Clean)
}
