//! The corpus of the fuzz target `state`, with functions that only this crate can call.

use super::store::{StateRecord, journal};

#[path = "../../fuzz/bodies/replay.rs"]
mod replay;
#[path = "../../fuzz/bodies/state.rs"]
mod state;

#[test]
fn state_corpus() {
    replay::replay("state", state::run);
}
