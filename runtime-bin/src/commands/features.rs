//! `features`

use crate::failure::Outcome;
use crate::output;

pub(super) fn features() -> Outcome {
    output::json(&orlop::container::features())
}
