//! Writing settings to a cgroup's files.

use super::{Rule, Setting, Settings, Side};
use crate::cgroup::controller::Controller;
use crate::cgroup::dir::DirRef;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;

/// Writes `settings`, in order, to the files of a cgroup; what may be refused only because a
/// later setting is not yet written is tried again at the end.
pub(in crate::cgroup) fn write_all<'a>(
    cgroup: DirRef<'_>,
    settings: impl Iterator<Item = &'a Setting>,
) -> Result<()> {
    let mut again: Vec<&Setting> = Vec::new();
    for setting in settings {
        match write(cgroup, setting) {
            Err(Errno::EINVAL) if setting.rule == Rule::Retry => again.push(setting),
            other => other.map_err(|e| explain(cgroup, &setting.file, &setting.value, setting, e))?,
        }
    }
    for setting in again {
        write(cgroup, setting).map_err(|e| explain(cgroup, &setting.file, &setting.value, setting, e))?;
    }
    Ok(())
}

fn write(cgroup: DirRef<'_>, setting: &Setting) -> Result<(), Errno> {
    let value = match setting.rule {
        Rule::KeepQuota => {
            let now = cgroup.read(&setting.file)?;
            let quota = now.split(u8::is_ascii_whitespace).next().unwrap_or(b"max");
            format!("{} {}", String::from_utf8_lossy(quota), setting.value)
        }
        _ => setting.value.clone(),
    };
    match (cgroup.write(&setting.file, value.as_bytes()), &setting.rule) {
        (Err(Errno::ENOENT), Rule::IfExists) => Ok(()),
        (Err(Errno::ENOENT), Rule::Else(other, value)) => cgroup.write(other, value.as_bytes()),
        // The deprecated file that only repeats what is so anyway.
        (Err(Errno::EOPNOTSUPP | Errno::EINVAL), Rule::IfExists)
            if setting.file == "memory.use_hierarchy" =>
        {
            Ok(())
        }
        (done, _) => done,
    }
}

/// sched-bwc.rst, "Management".
const BANDWIDTH: &str = "a period is 1000 to 1000000, a quota 1000 or more and within the parent's share, \
    a burst no more than the quota";

/// Why the kernel has refused `value` in `file`.
pub(super) fn explain(cgroup: DirRef<'_>, file: &str, value: &str, setting: &Setting, errno: Errno) -> Error {
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
        (Errno::ENOENT, _) => match setting.controller.filter(|c| is_disabled(cgroup, setting.side, *c)) {
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

/// Whether a cgroup2 cgroup lacks the controller, as one that was delegated without it.
fn is_disabled(cgroup: DirRef<'_>, side: Side, controller: Controller) -> bool {
    let enabled = cgroup.text("cgroup.controllers").ok().flatten();
    side == Side::V2
        && enabled.is_some_and(|text| !text.split_ascii_whitespace().any(|name| name == controller.v2_name()))
}

impl Settings {
    /// `checkBeforeUpdate`: refuses a memory limit below the usage of the cgroup.
    pub(in crate::cgroup) fn check_usage(&self, cgroup: DirRef<'_>, side: Side) -> Result<()> {
        let Some(limit) = self.check_memory else { return Ok(()) };
        if !self.entries.iter().any(|s| s.controller == Some(Controller::Memory) && s.side == side) {
            return Ok(());
        }
        let file = if side == Side::V1 { "memory.usage_in_bytes" } else { "memory.current" };
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
}
