//! The superblock options of the host's cgroup2 file system, which another program may change.
//!
//! All cgroup2 mounts share one superblock. Its options (`nsdelegate`, `memory_recursiveprot`, …) are those of the last
//! mount(2) in the initial cgroup namespace: a program that mounts cgroup2 without options removes them for the whole
//! host (cgroups(7), `Documentation/admin-guide/cgroup-v2.rst`).
//!
//! While one such program runs, another operation sees no options. So does the next one if the process that was to
//! restore them was killed. The options are therefore kept with the file system, as an attribute of its root that only
//! root of the host can write; "no options" is believed only if there is no such attribute.

use super::procfs;
use crate::sys::{self, mountinfo};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The attribute of the root that keeps the options, until the file system or the machine is shut down.
const SAVED_OPTIONS: &CStr = c"trusted.orlop.mount_options";
/// More bytes than all options have.
const LONGEST: usize = 1024;

/// The options of the cgroup2 file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// One of its mount points.
    mount: PathBuf,
    options: Vec<String>,
}

impl Superblock {
    /// The current options, which are kept with the file system; none if the caller sees no cgroup2 mount.
    ///
    /// # Errors
    /// If the caller's mounts cannot be read.
    pub(crate) fn save() -> Result<Self> {
        let mut found = Self::current()?;
        let Some(root) = found.root() else { return Ok(found) };
        if found.options.is_empty() {
            let saved = sys::fs::attribute(&root, SAVED_OPTIONS, LONGEST).unwrap_or_default();
            found.options = parse(&String::from_utf8_lossy(&saved));
        } else {
            // A caller that may not write it cannot change the options either.
            let _ = sys::fs::set_attribute(&root, SAVED_OPTIONS, found.options.join(",").as_bytes());
        }
        Ok(found)
    }

    fn current() -> Result<Self> {
        let text = procfs::read(Path::new("/proc/thread-self/mountinfo"))?;
        Ok(Self::find(&text).unwrap_or_default())
    }

    fn root(&self) -> Option<OwnedFd> {
        let path = sys::fs::cstring(&self.mount).ok()?;
        sys::fs::openat(sys::fs::cwd(), &path, libc::O_RDONLY | libc::O_DIRECTORY, 0).ok()
    }

    fn find(mountinfo: &[u8]) -> Option<Self> {
        let mounts = mountinfo::visible(mountinfo, &[b"cgroup2"]);
        let entry = mounts.first()?;
        let options = parse(&String::from_utf8_lossy(entry.super_options));
        Some(Self { mount: mountinfo::unescape(entry.mount_point), options })
    }

    /// Restores these options if they have changed.
    ///
    /// # Errors
    /// If a system call is refused; the error names it.
    pub(crate) fn restore(&self) -> Result<()> {
        if self.options.is_empty() || Self::current()?.options == self.options {
            return Ok(());
        }
        self.reconfigure().map_err(|(call, errno)| {
            let mount = self.mount.display().to_string();
            Error::sys(Phase::Cgroup, call, errno)
                .on(mount.as_str())
                .with_detail(format!("its options were {}", self.options.join(",")))
                .with_hint(format!("mount -o remount,{} {mount}", self.options.join(",")))
        })
    }

    fn reconfigure(&self) -> Result<(), (&'static str, Errno)> {
        let text = |text: &str| CString::new(text).map_err(|_| ("fsconfig", Errno::EINVAL));
        let mount = sys::fs::cstring(&self.mount).map_err(|e| ("fspick", e))?;
        let context = sys::mount::fspick(&mount).map_err(|e| ("fspick", e))?;
        for option in &self.options {
            let (key, value) = option.split_once('=').map_or((option.as_str(), None), |(k, v)| (k, Some(v)));
            let value = value.map(text).transpose()?;
            sys::mount::fsconfig(&context, &text(key)?, value.as_deref()).map_err(|e| ("fsconfig", e))?;
        }
        sys::mount::fsconfig_reconfigure(&context).map_err(|e| ("fsconfig", e))
    }
}

/// The options that are cgroup2's own.
fn parse(options: &str) -> Vec<String> {
    let generic = ["rw", "ro", "seclabel"];
    let all = options.split(',').filter(|option| !option.is_empty() && !generic.contains(option));
    all.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(super_options: &str) -> Superblock {
        let line =
            format!("35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 {super_options}\n");
        Superblock::find(line.as_bytes()).unwrap()
    }

    #[test]
    fn generic_mount_options_are_left_out() {
        let options = found("rw,nsdelegate,memory_recursiveprot").options;
        assert_eq!(options, ["nsdelegate", "memory_recursiveprot"]);
        assert_eq!(found("rw,seclabel").options, Vec::<String>::new());
        assert_eq!(found("rw").mount, Path::new("/sys/fs/cgroup"));
        assert_eq!(Superblock::find(b"26 25 0:24 / /sys rw - sysfs sysfs rw\n"), None);
    }

    #[test]
    fn unchanged_options_are_not_restored() {
        let now = Superblock::current().unwrap();
        now.restore().unwrap();
        assert_eq!(Superblock::current().unwrap(), now);
    }
}
