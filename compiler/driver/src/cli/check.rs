//! `policyc check`

use super::args::CheckArgs;
use super::{Error, Status, common};
use crate::pipeline;
use crate::session::Session;

pub(super) fn run(args: &CheckArgs) -> Result<Status, Error> {
    let mut session = Session::new();
    let input = common::read(&mut session, &args.input)?;
    pipeline::check(&mut session, &input);
    common::report(&session, args.output, args.fail_on)
}
