//! `features`

use super::Outcome;
use crate::output;

pub(super) fn features() -> Outcome {
    output::json(&orlop::container::features())
}
