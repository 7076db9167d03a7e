//! What the settings of v1 and v2 have in common.

use crate::bundle::spec::{BlockIo, Cpu, Memory, ThrottleDevice};
use crate::{Error, ErrorKind, Phase, Result};

/// An invalid value.
pub(super) fn invalid(pointer: impl Into<String>, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "invalid resource limit")
        .with_detail(why)
        .with_pointer(pointer)
}

/// A value that cannot be enforced on this host.
pub(in crate::cgroup) fn unsupported(pointer: impl Into<String>, why: impl Into<String>) -> Error {
    Error::unsupported(Phase::Cgroup, pointer, why)
}

/// Escapes a name for a JSON pointer (RFC 6901).
pub(in crate::cgroup) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The number, or the file's word for "no limit" if it is negative.
pub(super) fn or_unlimited(value: i64, unlimited: &str) -> String {
    if value < 0 { unlimited.to_owned() } else { value.to_string() }
}

/// A limit, unless it is absent or zero: callers send zero to leave a limit unchanged.
pub(super) fn nonzero<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|v| *v != T::default())
}

/// Rejects a limit of memory and swap together that is below the memory limit.
pub(super) fn check_swap(m: &Memory) -> Result<()> {
    match (nonzero(m.limit), nonzero(m.swap)) {
        (Some(limit), Some(swap)) if swap > 0 && limit > swap => Err(invalid(
            "/linux/resources/memory/swap",
            format!("memory+swap limit should be >= memory limit ({swap} < {limit})"),
        )),
        _ => Ok(()),
    }
}

/// The CPU shares of v1, unless they are absent or zero.
pub(super) fn shares(cpu: &Cpu) -> Result<Option<u64>> {
    let out_of_range = |why: &str| Err(invalid("/linux/resources/cpu/shares", why));
    match cpu.shares {
        None | Some(0) => Ok(None),
        Some(1) => out_of_range("the minimum allowed cpu-shares is 2"),
        Some(n) if n > 262_144 => out_of_range("the maximum allowed cpu-shares is 262144"),
        some => Ok(some),
    }
}

/// The throttle lists: name of the v1 file, rates, JSON name.
pub(super) fn throttles(io: &BlockIo) -> [(&'static str, &[ThrottleDevice], &'static str); 4] {
    [
        ("read_bps_device", &io.throttle_read_bps_device, "throttleReadBpsDevice"),
        ("write_bps_device", &io.throttle_write_bps_device, "throttleWriteBpsDevice"),
        ("read_iops_device", &io.throttle_read_iops_device, "throttleReadIOPSDevice"),
        ("write_iops_device", &io.throttle_write_iops_device, "throttleWriteIOPSDevice"),
    ]
}
