//! `start`

use super::Outcome;
use crate::args::Args;

pub(super) fn start(args: &Args) -> Outcome {
    super::container(args)?.start()?;
    Ok(0)
}
