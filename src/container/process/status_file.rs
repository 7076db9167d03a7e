//! `/proc/PID/status`: proc_pid_status(5).

use crate::process::capability::CapSet;
use crate::sys::fs as sysfs;
use crate::{Error, Phase, Result};
use nix::errno::Errno;

/// The permitted capabilities of a process, in its own user namespace; none if it has exited.
pub(in crate::container) fn permitted_capabilities(pid: i32) -> Result<CapSet> {
    let path = format!("/proc/{pid}/status");
    let failed = |e| Error::sys(Phase::Lifecycle, "read", e).on(path.as_str());
    match sysfs::cstring(&path).and_then(|path| sysfs::read_at(sysfs::cwd(), &path)) {
        Ok(text) => parse(&String::from_utf8_lossy(&text)).ok_or_else(|| failed(Errno::EPROTO)),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(CapSet::default()),
        Err(e) => Err(failed(e)),
    }
}

fn parse(status: &str) -> Option<CapSet> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapPrm:"))?;
    u64::from_str_radix(digits.trim(), 16).ok().map(CapSet)
}

#[test]
fn the_permitted_set_is_read() {
    let text = "Name:\tx\nCapInh:\t0000000000000001\nCapPrm:\t0000000000200000\nCapEff:\t0000000000000000\n";
    assert_eq!(parse(text).map(|set| set.0), Some(1 << 21));
    assert!(parse("Name:\tx\n").is_none());
}
