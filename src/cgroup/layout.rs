//! The cgroup hierarchies of the host and their mount points.

use super::controller::{Controller, Controllers};
use super::default_mounts;
use super::dir::{failed, open_file};
use super::hierarchy::Hierarchy;
use super::path::CgroupPath;
use super::proc_cgroup::{self, Membership};
use super::procfs;
use super::record::{CgroupRecord, V1Directory};
use super::version::{CgroupMode, CgroupVersion};
use crate::sys::fs as sysfs;
use crate::sys::mountinfo::{self, MountEntry};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::sys::statfs::CGROUP2_SUPER_MAGIC;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The host's cgroup hierarchies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    v1: Vec<Hierarchy>,
    unified: Option<Hierarchy>,
    /// The procfs directory of the caller.
    proc_directory: PathBuf,
    /// The controllers of the cgroup2 hierarchy, if they were read: see [`Layout::read_controllers`].
    controllers: Option<Controllers>,
    /// What was read of the caller's own cgroup: see [`Layout::read_own_cgroup`].
    callers: Option<CallersCgroup>,
}

/// The caller's `cgroup` file, and the layout with the root of each mount.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CallersCgroup {
    cgroup_file: Vec<u8>,
    with_mount_roots: Box<Layout>,
}

impl Layout {
    /// Detects the hierarchies among the calling thread's mounts. This takes one statfs(2) on a pure v2 host, and two
    /// system calls per hierarchy if the v1 hierarchies are at their default mount points; otherwise `mountinfo` is
    /// read. `None` means that no cgroup file system is mounted, and nothing else.
    ///
    /// # Errors
    /// If this cannot be determined, for example because descriptors or memory have run out, or `/proc` is missing.
    pub fn detect() -> Result<Option<Self>> {
        let default = Path::new("/sys/fs/cgroup");
        let proc_directory = PathBuf::from("/proc/thread-self");
        // On any error, mountinfo decides.
        if sysfs::file_system_at(default) == Ok(CGROUP2_SUPER_MAGIC) {
            let unified = Hierarchy {
                mount: default.to_owned(),
                root: PathBuf::new(),
                controllers: Controllers::NONE,
                name: None,
            };
            return Ok(Some(Self::new(Vec::new(), Some(unified), &proc_directory)));
        }
        let listed = match procfs::read(&proc_directory.join("cgroup")) {
            // The kernel has no cgroups, or /proc is missing; mountinfo decides.
            Err(e) if e.errno() == Some(Errno::ENOENT) => None,
            other => default_mounts::hierarchies(&other?),
        };
        match listed {
            Some((v1, unified)) => Ok(Some(Self::new(v1, unified, &proc_directory))),
            None => Self::detect_in(&proc_directory, Path::new("/")),
        }
    }

    /// [`Layout::detect`] for operations that need cgroups.
    ///
    /// # Errors
    /// As [`Layout::detect`]; [`ErrorKind::Unsupported`] if no cgroup file system is mounted.
    pub fn require() -> Result<Self> {
        Self::detect()?.ok_or_else(none_is_mounted)
    }

    /// [`Layout::detect`] from the files `mountinfo` and `cgroup` in the directory `proc`. Mount points are paths below
    /// `root`.
    ///
    /// # Errors
    /// If `mountinfo` cannot be read.
    pub fn detect_in(proc: &Path, root: &Path) -> Result<Option<Self>> {
        let text = procfs::read(&proc.join("mountinfo"))?;
        let mut v1: Vec<Hierarchy> = Vec::new();
        let mut unified: Option<Hierarchy> = None;
        for entry in mountinfo::visible_cgroups(&text) {
            let hierarchy = hierarchy(&entry, root);
            if entry.file_system == b"cgroup2" {
                prefer(&mut unified, hierarchy);
            } else if let Some(known) =
                v1.iter_mut().find(|k| k.controllers == hierarchy.controllers && k.name == hierarchy.name)
            {
                if is_better(&hierarchy, known) {
                    *known = hierarchy;
                }
            } else if !hierarchy.controllers.is_empty() || hierarchy.name.is_some() {
                v1.push(hierarchy);
            }
        }
        let any = !v1.is_empty() || unified.is_some();
        Ok(any.then(|| Self::new(v1, unified, proc)))
    }

    fn new(v1: Vec<Hierarchy>, unified: Option<Hierarchy>, proc: &Path) -> Self {
        Self { v1, unified, proc_directory: proc.to_owned(), controllers: None, callers: None }
    }

    /// Reads the controllers of the cgroup2 hierarchy now: [`unified_controllers`](Self::unified_controllers) then
    /// returns them without a system call.
    ///
    /// # Errors
    /// If `cgroup.controllers` cannot be read.
    pub fn read_controllers(&mut self) -> Result<()> {
        self.controllers = Some(self.unified_controllers()?);
        Ok(())
    }

    /// The same layout on a host with these controllers in the cgroup2 hierarchy.
    #[must_use]
    pub fn with_controllers(self, controllers: Controllers) -> Self {
        Self { controllers: Some(controllers), ..self }
    }

    /// Reads the caller's own cgroup now: [`own_cgroup`](Self::own_cgroup) and relative paths then need no system call.
    ///
    /// # Errors
    /// If the caller's `cgroup` file or its `mountinfo` cannot be read.
    pub fn read_own_cgroup(&mut self) -> Result<()> {
        let cgroup_file = procfs::read(&self.proc_directory.join("cgroup"))?;
        let with_mount_roots = Box::new(self.with_mount_roots()?.into_owned());
        self.callers = Some(CallersCgroup { cgroup_file, with_mount_roots });
        Ok(())
    }

    /// The caller's `cgroup` file.
    fn callers_cgroup_file(&self) -> Result<Cow<'_, [u8]>> {
        match &self.callers {
            Some(known) => Ok(Cow::Borrowed(&known.cgroup_file)),
            None => procfs::read(&self.proc_directory.join("cgroup")).map(Cow::Owned),
        }
    }

    /// Which versions of cgroups the host uses.
    pub fn mode(&self) -> CgroupMode {
        match (self.v1.iter().any(|h| !h.controllers.is_empty()), &self.unified) {
            (false, Some(_)) => CgroupMode::V2,
            (_, None) => CgroupMode::V1,
            (true, Some(_)) => CgroupMode::Hybrid,
        }
    }

    /// Whether no v1 hierarchy has controllers.
    pub fn is_unified(&self) -> bool {
        self.mode() == CgroupMode::V2
    }

    /// The v1 hierarchies, in mount order; on a v2 host those without controllers.
    pub fn v1(&self) -> &[Hierarchy] {
        &self.v1
    }

    /// The cgroup2 hierarchy.
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.unified.as_ref()
    }

    /// The v1 hierarchy that has `controller`.
    pub fn v1_of(&self, controller: Controller) -> Option<&Hierarchy> {
        self.v1.iter().find(|h| h.controllers.contains(controller))
    }

    /// The controllers in `cgroup.controllers` of the cgroup2 mount.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn unified_controllers(&self) -> Result<Controllers> {
        if let Some(known) = self.controllers {
            return Ok(known);
        }
        let Some(unified) = &self.unified else { return Ok(Controllers::NONE) };
        let fd = open_file(&unified.mount, "cgroup.controllers", libc::O_RDONLY)?;
        let text = sysfs::read_all(fd, 64 << 10)
            .map_err(|e| failed("read", &unified.mount, "cgroup.controllers", e))?;
        Ok(Controllers::parse(&String::from_utf8_lossy(&text)))
    }

    /// The directory of `path` in each v1 hierarchy, in the order of [`Layout::v1`].
    ///
    /// # Errors
    /// If the path is relative and the caller's own cgroup cannot be read, or is not shown by the mount.
    pub fn directories(&self, path: &CgroupPath) -> Result<Vec<PathBuf>> {
        let anchors = self.anchors(path)?;
        self.v1.iter().map(|h| resolve(h, path, &anchors, CgroupVersion::V1)).collect()
    }

    /// The directory of `path` in the cgroup2 hierarchy.
    ///
    /// # Errors
    /// As [`Layout::directories`].
    pub fn unified_directory(&self, path: &CgroupPath) -> Result<Option<PathBuf>> {
        if path.is_absolute() {
            return Ok(self.unified.as_ref().map(|unified| path.below(&unified.mount)));
        }
        let layout = self.with_mount_roots()?;
        let Some(unified) = &layout.unified else { return Ok(None) };
        resolve(unified, path, &self.anchors(path)?, CgroupVersion::V2).map(Some)
    }

    /// The caller's own cgroup, in every hierarchy whose mount shows it.
    ///
    /// # Errors
    /// If the caller's `cgroup` file cannot be read.
    pub fn own_cgroup(&self) -> Result<CgroupRecord> {
        self.locate(&self.callers_cgroup_file()?)
    }

    /// The cgroup in a `/proc/PID/cgroup` file, in every hierarchy whose mount shows it.
    ///
    /// # Errors
    /// `ENAMETOOLONG` if the kernel has truncated the path.
    pub(super) fn locate(&self, cgroup_file: &[u8]) -> Result<CgroupRecord> {
        let memberships = proc_cgroup::parse_whole(cgroup_file)?;
        let layout = self.with_mount_roots()?;
        let directory = |hierarchy: &Hierarchy, version| {
            let membership = memberships.iter().find(|m| m.is_in(hierarchy, version))?;
            hierarchy.directory_of(&membership.path)
        };
        let v1_directory = |h: &Hierarchy| {
            Some(V1Directory { hierarchy: h.controller_list(), directory: directory(h, CgroupVersion::V1)? })
        };
        let v1 = layout.v1.iter().filter_map(v1_directory).collect();
        let unified = layout.unified.as_ref().and_then(|h| directory(h, CgroupVersion::V2));
        Ok(CgroupRecord { v1, unified, reused: true })
    }

    /// The layout with the root of each mount, which the fast detection of a pure v2 host does not find out.
    fn with_mount_roots(&self) -> Result<Cow<'_, Self>> {
        match (&self.unified, &self.callers) {
            (_, Some(known)) => Ok(Cow::Borrowed(known.with_mount_roots.as_ref())),
            (Some(unified), None) if unified.root.as_os_str().is_empty() => {
                Self::detect_in(&self.proc_directory, Path::new("/"))?
                    .map(Cow::Owned)
                    .ok_or_else(none_is_mounted)
            }
            _ => Ok(Cow::Borrowed(self)),
        }
    }

    /// The caller's own cgroups, to which a relative path is resolved; none for an absolute path.
    fn anchors(&self, path: &CgroupPath) -> Result<Vec<Membership>> {
        if path.is_absolute() { Ok(Vec::new()) } else { Ok(proc_cgroup::parse(&self.callers_cgroup_file()?)) }
    }
}

fn none_is_mounted() -> Error {
    Error::new(ErrorKind::Unsupported, Phase::Cgroup, "no cgroup file system is mounted")
        .with_hint("mount cgroup2 at /sys/fs/cgroup")
}

/// The directory of `path` in a hierarchy; see [`CgroupPath`] for relative paths.
fn resolve(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    anchors: &[Membership],
    version: CgroupVersion,
) -> Result<PathBuf> {
    if path.is_absolute() {
        return Ok(path.below(&hierarchy.mount));
    }
    let Some(anchor) = anchors.iter().find(|m| m.is_in(hierarchy, version)) else {
        return Ok(path.below(&hierarchy.mount));
    };
    let directory = hierarchy.directory_of(&anchor.path).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            Phase::Cgroup,
            "the runtime's own cgroup is outside of what is mounted",
        )
        .on(format!("{}:{}", hierarchy.controller_list(), anchor.path.display()))
        .with_pointer("/linux/cgroupsPath")
        .with_hint("use an absolute cgroupsPath")
    })?;
    match directory.parent() {
        Some(parent) if version == CgroupVersion::V2 && directory != hierarchy.mount => {
            Ok(path.below(parent))
        }
        _ => Ok(path.below(&directory)),
    }
}

/// The hierarchy of a mount.
fn hierarchy(entry: &MountEntry<'_>, root: &Path) -> Hierarchy {
    let options =
        String::from_utf8_lossy(if entry.file_system == b"cgroup2" { b"" } else { entry.super_options });
    let mount = mountinfo::unescape(entry.mount_point);
    Hierarchy {
        mount: root.join(mount.strip_prefix("/").unwrap_or(&mount)),
        root: mountinfo::unescape(entry.root),
        controllers: Controllers::parse(&options),
        name: options.split(',').find_map(|o| o.strip_prefix("name=")).map(str::to_owned),
    }
}

/// Keeps the better of two mounts.
fn prefer(slot: &mut Option<Hierarchy>, candidate: Hierarchy) {
    if slot.as_ref().is_none_or(|known| is_better(&candidate, known)) {
        *slot = Some(candidate);
    }
}

/// Prefers mounts below /sys/fs/cgroup, then those that show more of the hierarchy.
fn is_better(candidate: &Hierarchy, known: &Hierarchy) -> bool {
    let rank = |h: &Hierarchy| {
        (
            !h.mount.to_string_lossy().contains("/sys/fs/cgroup"),
            h.root.as_os_str().len(),
            h.mount.as_os_str().len(),
        )
    };
    rank(candidate) < rank(known)
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
