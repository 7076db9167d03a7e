//! The v1 devices controller: a default and a list of exceptions to it.

use super::{Access, DevicePolicy, Exception, Rule};
use crate::cgroup::dir::DirRef;
use crate::cgroup::file;
use crate::{Error, Phase, Result};
use std::fmt::Write as _;

/// What is written to a *new* cgroup: `a` to one file, then exceptions to the other.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cgroup) struct Writes {
    pub(super) allow_by_default: bool,
    pub(super) exceptions: Vec<Exception>,
}

impl DevicePolicy {
    /// The rules in the v1 controller's terms.
    ///
    /// # Errors
    /// The controller cannot make an exception to an exception: a rule which takes some devices
    /// back out of a wildcard.
    pub(in crate::cgroup) fn v1_writes(&self) -> Result<Writes> {
        let mut exceptions: Vec<Exception> = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            if rule.allow == self.allow_by_default {
                take_back(&mut exceptions, rule)?;
            } else if let Some(known) = exceptions.iter_mut().find(|e| e.same_devices(&rule.on)) {
                known.access = known.access.or(rule.on.access);
            } else {
                exceptions.push(rule.on);
            }
        }
        // The kernel wants one exception to cover a whole open(O_RDWR): give the narrow ones what
        // wider ones have.
        let all = exceptions.clone();
        for e in &mut exceptions {
            let wider = all.iter().filter(|w| w.covers(e)).fold(Access::NONE, |a, w| a.or(w.access));
            e.access = e.access.or(wider.without(Access::MKNOD));
        }
        let needless = |e: &Exception| {
            all.iter().any(|w| !w.same_devices(e) && w.covers(e) && e.access.without(w.access).is_empty())
        };
        exceptions.retain(|e| !needless(e));
        Ok(Writes { allow_by_default: self.allow_by_default, exceptions })
    }
}

fn take_back(exceptions: &mut Vec<Exception>, rule: &Rule) -> Result<()> {
    let clash = |e: &&Exception| {
        !rule.on.covers(e) && e.overlaps(&rule.on) && !e.access.and(rule.on.access).is_empty()
    };
    if let Some(wildcard) = exceptions.iter().find(clash) {
        let pointer = rule.index.map_or_else(String::new, |i| format!("/linux/resources/devices/{i}"));
        return Err(Error::unsupported(
            Phase::Cgroup,
            pointer,
            format!("cgroup v1 cannot punch hole in existing wildcard rule: {} out of {wildcard}", rule.on),
        )
        .with_hint("list the wanted devices one by one, or use cgroup v2"));
    }
    for e in exceptions.iter_mut().filter(|e| rule.on.covers(e)) {
        e.access = e.access.without(rule.on.access);
    }
    exceptions.retain(|e| !e.access.is_empty());
    Ok(())
}

/// Writes the policy to a cgroup.
pub(in crate::cgroup) fn apply(cgroup: DirRef<'_>, policy: &DevicePolicy) -> Result<()> {
    let Writes { allow_by_default, exceptions } = policy.v1_writes()?;
    let (default, other) =
        if allow_by_default { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
    let failed = |file: &str, value: &str, e| {
        cgroup
            .failed("write", file, e)
            .with_detail(format!("{value:?}"))
            .with_pointer("/linux/resources/devices")
    };
    cgroup.write(default, b"a").map_err(|e| failed(default, "a", e))?;
    if exceptions.is_empty() {
        return Ok(());
    }
    let fd = cgroup.open(other, libc::O_WRONLY).map_err(|e| failed(other, "", e))?;
    let mut line = String::new();
    for exception in exceptions {
        line.clear();
        let _ = write!(line, "{exception}");
        file::put(&fd, line.as_bytes()).map_err(|e| failed(other, &line, e))?;
    }
    Ok(())
}
