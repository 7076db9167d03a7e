//! The speed of this machine.

use std::sync::OnceLock;
use std::time::Duration;

/// The time that something may take here if it takes at most `usual` on an idle machine. ORLOP_TEST_SLOWNESS is the
/// factor, 1 if it is not set; `tests/vm` sets it for an emulated processor.
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
