//! `plan`

use super::Outcome;
use crate::args::Args;
use crate::log::Log;

pub(super) fn plan(args: &Args, log: &Log) -> Outcome {
    let directory = args.words.first().map(std::path::Path::new);
    let bundle = super::new::bundle(directory, args.config.as_deref(), log)?;
    drop(bundle);
    Err(super::Failure::new("the compiler is not part of this build", 1))
}
