//! Settings of the cpu controller that v1 and v2 have in common.

use super::builder::SettingsBuilder;
use super::setting::WritePolicy::{IfSupported, Required, RetryLast};
use crate::bundle::spec::Cpu;
use crate::cgroup::controller::Controller;
use crate::cgroup::version::CgroupVersion;

/// Adds the burst. It may not exceed the quota, so a larger one comes after the quota.
pub(super) fn burst(
    b: &mut SettingsBuilder<'_>,
    at: (CgroupVersion, Controller),
    file: &'static str,
    cpu: &Cpu,
    quota: bool,
) {
    if let Some(burst) = cpu.burst {
        let policy = match burst {
            0 => IfSupported,
            _ if quota => RetryLast,
            _ => Required,
        };
        b.push(at, file, burst, "/linux/resources/cpu/burst", policy);
    }
}

/// Adds `cpu.idle`.
pub(super) fn idle(b: &mut SettingsBuilder<'_>, at: (CgroupVersion, Controller), cpu: &Cpu) {
    if let Some(idle) = cpu.idle {
        let policy = if idle == 0 { IfSupported } else { Required };
        b.push(at, "cpu.idle", idle, "/linux/resources/cpu/idle", policy);
    }
}
