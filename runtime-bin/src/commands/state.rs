//! `state`

use super::{Failure, Outcome};
use crate::args::Args;
use crate::output;

pub(super) fn state(args: &Args) -> Outcome {
    let state = super::container(args)?.state()?;
    output::json(&state)
}
