//! Bundles: the default `spec` config with one of the bench's programs in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};

use crate::Result;
use crate::layout::Layout;
use crate::programs::Programs;

/// The program that a container runs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// Exits with 42 at once.
    Leave,
    /// The same under a seccomp filter.
    FilteredLeave,
    /// Waits for a signal.
    Wait,
    /// Checks whether the container is what its config requests.
    Witness,
    /// The same under a seccomp filter.
    FilteredWitness,
}

impl Role {
    /// The directory name of its bundle.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::FilteredLeave => "filtered",
            Self::Wait => "wait",
            Self::Witness => "witness",
            Self::FilteredWitness => "filtered-witness",
        }
    }

    /// Whether its config has a seccomp profile.
    pub(crate) fn is_filtered(self) -> bool {
        matches!(self, Self::FilteredLeave | Self::FilteredWitness)
    }
}

/// Writes bundles.
pub(crate) struct Bundles<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) layout: &'a Layout,
    /// `linux.seccomp` of the filtered roles.
    pub(crate) profile: Value,
}

impl Bundles<'_> {
    /// The argv of the container's process.
    pub(crate) fn arguments(&self, role: Role, cgroup: &str) -> Vec<String> {
        let program = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match role {
            Role::Leave | Role::FilteredLeave => program(&["/leave"]),
            Role::Wait => program(&["/leave", "wait"]),
            Role::Witness => self.witness("init", cgroup),
            Role::FilteredWitness => self.witness("seccomp", cgroup),
        }
    }

    /// The argv of a witness, with the host's namespaces.
    pub(crate) fn witness(&self, mode: &str, cgroup: &str) -> Vec<String> {
        let mut words = vec!["/witness".into(), mode.into(), cgroup.into(), self.layout.name().into()];
        let cgroup_namespace = matches!(self.layout, Layout::V2).then_some("cgroup");
        for kind in ["pid", "net", "ipc", "uts", "mnt"].into_iter().chain(cgroup_namespace) {
            let link = fs::read_link(Path::new("/proc/self/ns").join(kind)).unwrap_or_default();
            words.push(link.display().to_string());
        }
        words
    }

    /// Creates the bundle `dir`, or changes its config.
    pub(crate) fn write(&self, dir: &Path, role: Role, cgroup: &str) -> Result<()> {
        let rootfs = dir.join("rootfs");
        if !rootfs.exists() {
            for name in ["proc", "dev", "sys"] {
                fs::create_dir_all(rootfs.join(name))?;
            }
            fs::copy(&self.programs.leave, rootfs.join("leave"))?;
            fs::copy(&self.programs.witness, rootfs.join("witness"))?;
            // A device that no container may use: 10:229 is fuse.
            mknod(
                &rootfs.join("forbidden"),
                SFlag::S_IFCHR,
                Mode::from_bits_truncate(0o666),
                makedev(10, 229),
            )?;
            symlink("forbidden", rootfs.join("blocked"))?;
        }
        let config = self.config(&self.arguments(role, cgroup), role.is_filtered(), cgroup)?;
        fs::write(dir.join("config.json"), serde_json::to_vec_pretty(&config)?)?;
        Ok(())
    }

    fn config(&self, arguments: &[String], filtered: bool, cgroup: &str) -> Result<Value> {
        let mut config: Value = serde_json::from_str(include_str!("../floor/config.json"))?;
        config["process"]["args"] = json!(arguments);
        config["linux"]["cgroupsPath"] = json!(cgroup);
        if let (Layout::V2, Some(namespaces)) = (self.layout, config["linux"]["namespaces"].as_array_mut()) {
            namespaces.push(json!({ "type": "cgroup" }));
        }
        if filtered {
            config["linux"]["seccomp"] = self.profile.clone();
        }
        Ok(config)
    }

    /// Writes the file that `exec --process` reads.
    pub(crate) fn write_process(&self, file: &Path, arguments: &[String]) -> Result<PathBuf> {
        let process = self.config(arguments, false, "")?["process"].take();
        fs::write(file, serde_json::to_vec_pretty(&process)?)?;
        Ok(file.to_owned())
    }
}
