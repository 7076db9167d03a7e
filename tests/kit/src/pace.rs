//! How slow this machine is.

use std::sync::OnceLock;
use std::time::Duration;

/// How long something may take here that takes at most `usual` on a machine with nothing else to do.
/// ORLOP_TEST_SLOWNESS is the factor, 1 if it is not set; `tests/vm` sets it for an emulated processor.
pub fn within(usual: Duration) -> Duration {
    usual * slowness()
}

/// How many times slower this machine is.
pub fn slowness() -> u32 {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    *FACTOR.get_or_init(|| {
        let asked = std::env::var("ORLOP_TEST_SLOWNESS").ok().and_then(|text| text.parse().ok());
        asked.unwrap_or(1).max(1)
    })
}
