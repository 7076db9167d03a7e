//! Offsets of the clocks of a new time namespace; time_namespaces(7).

/// A clock that a time namespace can shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`, `CLOCK_MONOTONIC_COARSE` and `CLOCK_MONOTONIC_RAW`.
    Monotonic,
    /// `CLOCK_BOOTTIME` and `CLOCK_BOOTTIME_ALARM`.
    Boottime,
}

impl Clock {
    /// The name in the runtime-spec and in `timens_offsets`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monotonic => "monotonic",
            Self::Boottime => "boottime",
        }
    }

    /// The clock with this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Monotonic, Self::Boottime].into_iter().find(|clock| clock.name() == name)
    }
}

/// The offset of one clock in a new time namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// The clock.
    pub clock: Clock,
    /// Seconds, which may be negative.
    pub secs: i64,
    /// Nanoseconds to add, below 1 000 000 000.
    pub nanosecs: u32,
}
