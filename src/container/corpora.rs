//! Runs the corpus of the fuzz target `state`, which needs private functions of this crate.

use super::store::{StateRecord, journal};

#[path = "../../fuzz/bodies/replay.rs"]
mod replay;
#[path = "../../fuzz/bodies/state.rs"]
mod state;

#[test]
fn state_corpus() {
    replay::replay("state", state::run);
}
