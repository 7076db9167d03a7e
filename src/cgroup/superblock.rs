//! The options of the host's cgroup2 file system, put back after a program that mounts it anew.
//!
//! There is one cgroup2 file system, whatever is mounted where; its options (`nsdelegate`, `memory_recursiveprot`, …) are
//! those of whoever mounted it last, unless he did that in a cgroup namespace. A program that mounts it for itself, without a word
//! of options, takes them away from the whole host (cgroups(7), `Documentation/admin-guide/cgroup-v2.rst`).
//!
//! While one such program runs, another operation sees no options. So does the next one if the process that was to put
//! them back was killed. The options are therefore kept with the file system, as an attribute of its root that only
//! root of the host can write; "no options" is believed only if there is no such attribute.

use super::{layout, mountinfo};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The attribute of the root that keeps the options. It ends with the file system, at the latest with the boot.
const KEPT: &CStr = c"trusted.orlop.mount_options";
/// More than all options have.
const LONGEST: usize = 1024;

/// The options as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Where the file system is seen.
    mount: PathBuf,
    options: Vec<String>,
}

impl Superblock {
    /// As it is now; nothing where the caller sees no cgroup2.
    ///
    /// # Errors
    /// If the caller's mounts cannot be read.
    pub(crate) fn remember() -> Result<Self> {
        let mut found = Self::now()?;
        let Some(root) = found.root() else { return Ok(found) };
        if found.options.is_empty() {
            let kept = sys::fs::attribute(&root, KEPT, LONGEST).unwrap_or_default();
            found.options = parse(&String::from_utf8_lossy(&kept));
        } else {
            // A caller that may not write it cannot mount the file system anew either.
            let _ = sys::fs::set_attribute(&root, KEPT, found.options.join(",").as_bytes());
        }
        Ok(found)
    }

    fn now() -> Result<Self> {
        let text = layout::read(Path::new("/proc/thread-self/mountinfo"))?;
        Ok(Self::find(&text).unwrap_or_default())
    }

    fn root(&self) -> Option<OwnedFd> {
        let path = sys::fs::cstring(&self.mount).ok()?;
        sys::fs::openat(sys::fs::cwd(), &path, libc::O_RDONLY | libc::O_DIRECTORY, 0).ok()
    }

    fn find(mountinfo: &[u8]) -> Option<Self> {
        let found = mountinfo::visible(mountinfo, &[b"cgroup2"]);
        let entry = found.first()?;
        let options = parse(&String::from_utf8_lossy(entry.super_options));
        Some(Self { mount: mountinfo::unescape(entry.mount), options })
    }

    /// Makes them what they were, where somebody has changed them.
    ///
    /// # Errors
    /// Of the system call that was refused, with its name.
    pub(crate) fn put_back(&self) -> Result<()> {
        if self.options.is_empty() || Self::now()?.options == self.options {
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
    fn options_are_those_of_the_file_system() {
        let options = found("rw,nsdelegate,memory_recursiveprot").options;
        assert_eq!(options, ["nsdelegate", "memory_recursiveprot"]);
        assert_eq!(found("rw,seclabel").options, Vec::<String>::new());
        assert_eq!(found("rw").mount, Path::new("/sys/fs/cgroup"));
        assert_eq!(Superblock::find(b"26 25 0:24 / /sys rw - sysfs sysfs rw\n"), None);
    }

    #[test]
    fn what_nobody_has_changed_is_left_alone() {
        let now = Superblock::remember().unwrap();
        now.put_back().unwrap();
        assert_eq!(Superblock::remember().unwrap(), now);
    }
}
