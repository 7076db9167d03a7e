//! Labels of Linux security modules: which text is written to which file of procfs.
//!
//! The files are those of the process itself, in a file system that was verified to be a procfs.

use crate::sys::fs::{self, file_system_at};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::sys::statfs::SELINUX_MAGIC;
use std::path::Path;

/// The label of a security module, as a write to a file below `/proc/thread-self`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LsmLabel {
    /// Files below `/proc/thread-self`; the text is written to the first one that exists.
    pub files: &'static [&'static str],
    /// The text, for one write(2).
    pub text: String,
}

/// Applies an AppArmor profile at the next execve(2).
pub fn apparmor(profile: &str) -> LsmLabel {
    // The first file belongs to AppArmor; the second to the module that the kernel displays by default.
    LsmLabel { files: &["attr/apparmor/exec", "attr/exec"], text: format!("exec {profile}") }
}

/// Applies an SELinux context at the next execve(2).
pub fn selinux(context: &str) -> LsmLabel {
    LsmLabel { files: &["attr/exec"], text: context.to_owned() }
}

/// Applies an SELinux context to the keys and keyrings that the process creates, until its next execve(2).
pub fn selinux_keys(context: &str) -> LsmLabel {
    LsmLabel { files: &["attr/keycreate"], text: context.to_owned() }
}

/// The mount options that give a new file system an SELinux context; mount(8).
pub const MOUNT_CONTEXTS: [&str; 4] = ["context", "fscontext", "defcontext", "rootcontext"];

/// Whether a file system of this type accepts one of [`MOUNT_CONTEXTS`] (`linux.mountLabel`).
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

/// Whether SELinux is enabled.
///
/// # Errors
/// If this cannot be determined.
pub fn selinux_enabled() -> Result<bool> {
    // A system that uses SELinux mounts selinuxfs there. Otherwise it is an empty directory of sysfs, or absent.
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
    fn labels_are_written_to_the_files_of_their_module() {
        assert_eq!(apparmor("acme").text, "exec acme");
        assert_eq!(apparmor("unconfined").files[0], "attr/apparmor/exec");
        assert_eq!(selinux("a:b:c:s0").text, "a:b:c:s0");
        assert_eq!(selinux_keys("a:b:c:s0").files, ["attr/keycreate"]);
        assert!(
            takes_mount_context("tmpfs") && takes_mount_context("devpts") && !takes_mount_context("proc")
        );
        let _ = (apparmor_enabled().unwrap(), selinux_enabled().unwrap());
    }
}
