//! The host side of a launch: it spawns the stub, takes the host's turns, and reads how far the stub has come.
//!
//! Each file uses only files above it in this list:
//!
//! 1. `control_page`: the memory that both sides share, as the host side reads it
//! 2. `stub_process`: a running stub: its events, its failures, its end
//! 3. `preserved_range`: keeps the library's descriptors out of the range that the program inherits
//! 4. `spawn_stub`: from a plan and its descriptors to a running stub
//! 5. `host_side`: the loop that takes the host's turns
//! 6. `procfs`: opens the descriptors of a plan, for a procfs by a launch of its own
//! 7. `without_turns`: plans that need no turn of the host side

mod control_page;
mod host_side;
mod preserved_range;
mod procfs;
mod spawn_stub;
mod stub_process;
mod without_turns;

pub(crate) use control_page::{ControlPage, ControlPageId, StubState};
pub(crate) use host_side::{HostSide, Launched, serve};
pub(crate) use procfs::open_presets;
pub(crate) use spawn_stub::{Launch, is_at_process_limit, may_join_by_file};
pub(crate) use stub_process::{LaunchFailure, LaunchOutcome, Stub, lost};
pub(crate) use without_turns::{WithoutTurns, run};
