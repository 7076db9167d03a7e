//! The v1 devices controller, which has a default and a list of exceptions.

use super::access::{DeviceAccess, DeviceException};
use super::policy::{AccessRule, DevicePolicy};
use crate::cgroup::dir::DirRef;
use crate::cgroup::file;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::fmt::Write as _;

/// What is written to the cgroup: `a` to one file, then exceptions to the other.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cgroup) struct V1Policy {
    pub(super) allow_by_default: bool,
    pub(super) exceptions: Vec<DeviceException>,
}

/// The policy in terms of the v1 controller.
///
/// # Errors
/// If a rule excludes some of the devices that an earlier wildcard matches: the controller has no exceptions to
/// exceptions.
pub(in crate::cgroup) fn compile(policy: &DevicePolicy) -> Result<V1Policy> {
    let mut exceptions: Vec<DeviceException> = Vec::with_capacity(policy.rules.len());
    for rule in &policy.rules {
        if rule.allow == policy.allow_by_default {
            exclude(&mut exceptions, rule)?;
        } else if let Some(known) = exceptions.iter_mut().find(|e| e.same_devices(&rule.exception)) {
            known.access = known.access.or(rule.exception.access);
        } else {
            exceptions.push(rule.exception);
        }
    }
    // One exception must match all accesses of an open(O_RDWR), so narrow exceptions get the accesses of wider ones.
    let all = exceptions.clone();
    for e in &mut exceptions {
        let wider = all.iter().filter(|w| w.covers(e)).fold(DeviceAccess::NONE, |a, w| a.or(w.access));
        e.access = e.access.or(wider.without(DeviceAccess::MKNOD));
    }
    let redundant = |e: &DeviceException| {
        all.iter().any(|w| !w.same_devices(e) && w.covers(e) && e.access.without(w.access).is_empty())
    };
    exceptions.retain(|e| !redundant(e));
    Ok(V1Policy { allow_by_default: policy.allow_by_default, exceptions })
}

/// Removes the devices of `rule` from the exceptions.
fn exclude(exceptions: &mut Vec<DeviceException>, rule: &AccessRule) -> Result<()> {
    let clash = |e: &&DeviceException| {
        !rule.exception.covers(e)
            && e.overlaps(&rule.exception)
            && !e.access.and(rule.exception.access).is_empty()
    };
    if let Some(wildcard) = exceptions.iter().find(clash) {
        let pointer = rule.index.map_or_else(String::new, |i| format!("/linux/resources/devices/{i}"));
        return Err(Error::unsupported(
            Phase::Cgroup,
            pointer,
            format!(
                "cgroup v1 cannot punch hole in existing wildcard rule: {} out of {wildcard}",
                rule.exception
            ),
        )
        .with_hint("list the wanted devices one by one, or use cgroup v2"));
    }
    for e in exceptions.iter_mut().filter(|e| rule.exception.covers(e)) {
        e.access = e.access.without(rule.exception.access);
    }
    exceptions.retain(|e| !e.access.is_empty());
    Ok(())
}

impl V1Policy {
    /// The file that takes the default, and the one that takes exceptions.
    fn files(&self) -> (&'static str, &'static str) {
        if self.allow_by_default {
            ("devices.allow", "devices.deny")
        } else {
            ("devices.deny", "devices.allow")
        }
    }

    /// The exceptions that are not, or with fewer accesses, among those of `other`.
    pub(super) fn exceptions_beyond(&self, other: &Self) -> Vec<DeviceException> {
        let beyond = |e: &DeviceException| {
            let same = other.exceptions.iter().find(|o| o.same_devices(e));
            let access = e.access.without(same.map_or(DeviceAccess::NONE, |o| o.access));
            (!access.is_empty()).then_some(DeviceException { access, ..*e })
        };
        self.exceptions.iter().filter_map(beyond).collect()
    }
}

/// Writes the policy to a cgroup.
pub(in crate::cgroup) fn write(cgroup: DirRef<'_>, policy: &DevicePolicy) -> Result<()> {
    let policy = compile(policy)?;
    let (default_file, exceptions_file) = policy.files();
    cgroup.write(default_file, b"a").map_err(|e| failed(cgroup, default_file, "a", e))?;
    write_exceptions(cgroup, exceptions_file, &policy.exceptions)
}

/// Changes the policy of a cgroup from `old` to `new`. A device that both allow is allowed all the time, and what another
/// program has added stays, unless the default changes.
pub(in crate::cgroup) fn change(cgroup: DirRef<'_>, old: &DevicePolicy, new: &DevicePolicy) -> Result<()> {
    let (before, after) = (compile(old)?, compile(new)?);
    if before.allow_by_default != after.allow_by_default {
        return write(cgroup, new);
    }
    let (default_file, exceptions_file) = after.files();
    write_exceptions(cgroup, exceptions_file, &after.exceptions_beyond(&before))?;
    // An exception is taken back in the file of the default.
    write_exceptions(cgroup, default_file, &before.exceptions_beyond(&after))
}

fn write_exceptions(cgroup: DirRef<'_>, name: &str, exceptions: &[DeviceException]) -> Result<()> {
    if exceptions.is_empty() {
        return Ok(());
    }
    let fd = cgroup.open(name, libc::O_WRONLY).map_err(|e| failed(cgroup, name, "", e))?;
    let mut line = String::new();
    for exception in exceptions {
        line.clear();
        let _ = write!(line, "{exception}");
        file::write_once(&fd, line.as_bytes()).map_err(|e| failed(cgroup, name, &line, e))?;
    }
    Ok(())
}

fn failed(cgroup: DirRef<'_>, file: &str, value: &str, errno: Errno) -> Error {
    let error = cgroup.failed("write", file, errno).with_detail(format!("{value:?}"));
    error.with_pointer("/linux/resources/devices")
}
