//! Labels of Linux security modules: which file of procfs takes which text.
//!
//! The files are those of the process itself, in a procfs that was verified to be one.

use crate::sys::fs::{self, file_system_at};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::sys::statfs::SELINUX_MAGIC;
use std::path::Path;

/// A write to a file below `/proc/thread-self`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Files below `/proc/thread-self`, in the order to try: the first that exists takes the text.
    pub files: &'static [&'static str],
    /// What to write, in one write(2).
    pub text: String,
}

/// Makes the next exec enter an AppArmor profile.
pub fn apparmor(profile: &str) -> Label {
    // The first file is AppArmor's own; the second belongs to whichever module is displayed first.
    Label { files: &["attr/apparmor/exec", "attr/exec"], text: format!("exec {profile}") }
}

/// Makes the next exec enter an SELinux context.
pub fn selinux(context: &str) -> Label {
    Label { files: &["attr/exec"], text: context.to_owned() }
}

/// Makes new session keyrings carry an SELinux context.
pub fn selinux_key(context: &str) -> Label {
    Label { files: &["attr/keycreate"], text: context.to_owned() }
}

/// The driver's options of which one gives a new file system an SELinux context; mount(8).
pub const MOUNT_CONTEXTS: [&str; 4] = ["context", "fscontext", "defcontext", "rootcontext"];

/// Whether a new file system of this type takes one of [`MOUNT_CONTEXTS`] (`linux.mountLabel`).
pub fn takes_mount_context(kind: &str) -> bool {
    !matches!(kind, "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue" | "bind")
}

/// Whether the kernel enforces AppArmor profiles.
///
/// # Errors
/// If this cannot be determined.
pub fn apparmor_enabled() -> Result<bool> {
    match fs::read_at(fs::cwd(), c"/sys/module/apparmor/parameters/enabled") {
        Ok(text) => Ok(text.first() == Some(&b'Y')),
        Err(Errno::ENOENT) => Ok(false),
        Err(e) => Err(Error::sys(Phase::Process, "read", e).on("/sys/module/apparmor/parameters/enabled")),
    }
}

/// Whether the kernel has SELinux switched on.
///
/// # Errors
/// If this cannot be determined.
pub fn selinux_enabled() -> Result<bool> {
    // selinuxfs is mounted only by a system that uses it; its magic number tells it from a directory.
    match file_system_at(Path::new("/sys/fs/selinux")) {
        Ok(found) => Ok(found == SELINUX_MAGIC),
        Err(Errno::ENOENT) => Ok(false),
        Err(e) => Err(Error::sys(Phase::Process, "statfs", e).on("/sys/fs/selinux")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert_eq!(apparmor("acme").text, "exec acme");
        assert_eq!(apparmor("unconfined").files[0], "attr/apparmor/exec");
        assert_eq!(selinux("a:b:c:s0").text, "a:b:c:s0");
        assert!(
            takes_mount_context("tmpfs") && takes_mount_context("devpts") && !takes_mount_context("proc")
        );
        let _ = (apparmor_enabled().unwrap(), selinux_enabled().unwrap());
    }
}
