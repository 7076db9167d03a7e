//! Writes settings to the files of a new cgroup.

use super::setting::{MissingFile, Setting, Settings};
use crate::cgroup::controller::Controller;
use crate::cgroup::dir::DirRef;
use crate::cgroup::version::CgroupVersion;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;

/// Writes `settings` to the files of a cgroup.
pub(in crate::cgroup) fn write_all<'a>(
    cgroup: DirRef<'_>,
    settings: impl Iterator<Item = &'a Setting>,
) -> Result<()> {
    in_order(settings, |setting| {
        write(cgroup, setting).map_err(|e| refused(cgroup, &setting.file, &setting.value, setting, e))
    })
}

/// Calls `write` for each setting in order. What may be refused only because a later setting is not written yet is
/// tried again at the end.
pub(super) fn in_order<'a>(
    settings: impl Iterator<Item = &'a Setting>,
    mut write: impl FnMut(&'a Setting) -> Result<()>,
) -> Result<()> {
    let mut again = Vec::new();
    for setting in settings {
        match write(setting) {
            Err(e) if setting.may_succeed_later(e.errno()) => again.push(setting),
            done => done?,
        }
    }
    again.into_iter().try_for_each(write)
}

fn write(cgroup: DirRef<'_>, setting: &Setting) -> Result<(), Errno> {
    let done = if setting.keeps_quota() {
        let now = cgroup.read(&setting.file)?;
        write_value(cgroup, setting, &setting.file, &setting.after_quota(&String::from_utf8_lossy(&now)))
    } else {
        write_value(cgroup, setting, &setting.file, &setting.value)
    };
    let done = done.map(drop);
    match (done, setting.missing_file()) {
        (Err(Errno::ENOENT), MissingFile::IsIgnored) => Ok(()),
        (Err(Errno::ENOENT), MissingFile::Substitute(file, value)) => cgroup.write(file, value.as_bytes()),
        (done, _) => done,
    }
}

/// Writes a value of `setting` to `file`. Returns whether the kernel has taken it: a refusal may not matter.
pub(super) fn write_value(
    cgroup: DirRef<'_>,
    setting: &Setting,
    file: &str,
    value: &str,
) -> Result<bool, Errno> {
    match cgroup.write(file, value.as_bytes()) {
        Err(e) if setting.is_met_despite(e) => Ok(false),
        done => done.map(|()| true),
    }
}

/// sched-bwc.rst, "Management".
const BANDWIDTH: &str = "a period is 1000 to 1000000, a quota 1000 or more and within the parent's share, \
    a burst no more than the quota";

/// The error for a `value` that the kernel has refused in `file`.
pub(super) fn refused(cgroup: DirRef<'_>, file: &str, value: &str, setting: &Setting, errno: Errno) -> Error {
    let below_usage = [
        ("memory.limit_in_bytes", "memory", "memory limit"),
        ("memory.memsw.limit_in_bytes", "memory.memsw", "memory+swap limit"),
    ];
    if errno == Errno::EBUSY
        && let Some((_, prefix, what)) = below_usage.iter().find(|(name, ..)| *name == file)
    {
        let number = |f: &str| cgroup.number(&format!("{prefix}.{f}")).ok().flatten().unwrap_or(0);
        let (usage, peak) = (number("usage_in_bytes"), number("max_usage_in_bytes"));
        let sentence =
            format!("unable to set {what} to {value} (current usage: {usage}, peak usage: {peak})");
        return Error::new(ErrorKind::System, Phase::Cgroup, sentence)
            .with_errno(errno)
            .with_pointer(setting.pointer.clone());
    }
    let error = cgroup
        .failed("write", file, errno)
        .with_detail(format!("{value:?}"))
        .with_pointer(setting.pointer.clone());
    match (errno, file) {
        (Errno::ENOENT, "memory.memsw.limit_in_bytes" | "memory.swap.max") => {
            error.with_hint("this kernel does not account for swap (boot with swapaccount=1)")
        }
        (Errno::EINVAL, "memory.memsw.limit_in_bytes" | "memory.limit_in_bytes") => {
            error.with_hint("memory+swap limit should be >= memory limit")
        }
        (Errno::EINVAL, f) if f.starts_with("cpu.cfs_") || f.starts_with("cpu.max") => {
            error.with_hint(BANDWIDTH)
        }
        (Errno::ENOENT, _) => match setting.controller.filter(|c| is_disabled(cgroup, setting.version, *c)) {
            Some(c) => {
                error.with_hint(format!("the {} controller is not enabled for this cgroup", c.v2_name()))
            }
            None => error.with_hint("this kernel's controller has no such file"),
        },
        (Errno::EBUSY, f) if f.starts_with("cpuset.") => {
            error.with_hint("a cgroup below uses what would be taken away")
        }
        (Errno::ERANGE | Errno::EINVAL, f) if f.starts_with("cpuset.") => {
            error.with_hint("no more than the parent cgroup's CPUs and memory nodes can be given")
        }
        _ => error,
    }
}

/// Whether a cgroup2 cgroup lacks the controller, for example because it was delegated without it.
fn is_disabled(cgroup: DirRef<'_>, version: CgroupVersion, controller: Controller) -> bool {
    let enabled = cgroup.text("cgroup.controllers").ok().flatten();
    version == CgroupVersion::V2
        && enabled.is_some_and(|text| !text.split_ascii_whitespace().any(|name| name == controller.v2_name()))
}

/// `checkBeforeUpdate`: rejects a memory limit below the current usage of the cgroup.
pub(in crate::cgroup) fn check_usage(
    settings: &Settings,
    cgroup: DirRef<'_>,
    version: CgroupVersion,
) -> Result<()> {
    let Some(limit) = settings.checked_memory_limit else { return Ok(()) };
    let is_memory = |s: &Setting| s.controller == Some(Controller::Memory) && s.version == version;
    if !settings.entries.iter().any(is_memory) {
        return Ok(());
    }
    let file = match version {
        CgroupVersion::V1 => "memory.usage_in_bytes",
        CgroupVersion::V2 => "memory.current",
    };
    match cgroup.number(file)? {
        Some(usage) if usage > limit => {
            let sentence = format!(
                "rejecting memory limit {limit}: below current usage ({usage}), processes would be OOM killed"
            );
            Err(Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, sentence)
                .with_pointer("/linux/resources/memory/limit"))
        }
        _ => Ok(()),
    }
}
