//! Which cgroup hierarchies this host has, and where.

use super::controller::{Controller, Controllers};
use super::dir::{failed, open_file};
use super::mountinfo::{self, Entry};
use super::path::CgroupPath;
use super::record::{Place, Record};
use super::usual;
use crate::sys::fs as sysfs;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The sort of host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only v1 hierarchies.
    V1,
    /// Controllers in v1 hierarchies, and a cgroup2 mount beside them (which may have some too).
    Hybrid,
    /// Only cgroup2.
    V2,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Which part of the hierarchy is mounted there: `/`, or a cgroup's path where the mount was
    /// made for (or bound into) a container. Empty where [`Layout::detect`] had no need to look.
    pub root: PathBuf,
    /// Its controllers; empty for a named hierarchy, and on v2 (see [`Layout::unified_controllers`]).
    pub controllers: Controllers,
    /// The name of a v1 hierarchy without controllers, e.g. `systemd`.
    pub name: Option<String>,
}

impl Hierarchy {
    /// How `/proc/PID/cgroup` spells this hierarchy: `cpu,cpuacct`, `name=systemd`, or empty (v2).
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("name={name}"),
            None => self.controllers.iter().map(Controller::v1_name).collect::<Vec<_>>().join(","),
        }
    }
}

/// The host's cgroup hierarchies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    v1: Vec<Hierarchy>,
    unified: Option<Hierarchy>,
    own: PathBuf,
    /// The controllers of the cgroup2 hierarchy, if they were read: see [`Layout::read_controllers`].
    controllers: Option<Controllers>,
    /// What was read of the caller's own cgroup: see [`Layout::read_own`].
    own_cgroup: Option<OwnCgroup>,
}

/// The caller's `cgroup` file, and the layout with the root of each mount.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnCgroup {
    file: Vec<u8>,
    exact: Box<Layout>,
}

impl Layout {
    /// Looks at the calling thread's mounts: one statfs(2) on a pure v2 host, two system calls per hierarchy if
    /// they are mounted at the usual places, otherwise by reading its `mountinfo`. `None` means that no cgroup file
    /// system is mounted, and nothing else.
    ///
    /// # Errors
    /// If this cannot be determined, for example because descriptors or memory have run out, or `/proc` is missing.
    pub fn detect() -> Result<Option<Self>> {
        let usual = Path::new("/sys/fs/cgroup");
        // On any error, mountinfo decides.
        if sysfs::file_system_at(usual) == Ok(CGROUP2_SUPER_MAGIC) {
            let unified = Hierarchy {
                mount: usual.to_owned(),
                root: PathBuf::new(),
                controllers: Controllers::NONE,
                name: None,
            };
            return Ok(Some(Self::new(Vec::new(), Some(unified), Path::new("/proc/thread-self"))));
        }
        let own = Path::new("/proc/thread-self");
        let listed = match read(&own.join("cgroup")) {
            // A kernel without cgroups, or no /proc; mountinfo decides.
            Err(e) if e.errno() == Some(Errno::ENOENT) => None,
            other => usual::hierarchies(&other?),
        };
        match listed {
            Some((v1, unified)) => Ok(Some(Self::new(v1, unified, own))),
            None => Self::detect_in(own, Path::new("/")),
        }
    }

    /// [`Layout::detect`] for operations that need cgroups.
    ///
    /// # Errors
    /// As [`Layout::detect`]; [`ErrorKind::Unsupported`] if no cgroup file system is mounted.
    pub fn require() -> Result<Self> {
        Self::detect()?.ok_or_else(none_is_mounted)
    }

    /// [`Layout::detect`] from the files `mountinfo` and `cgroup` in the directory `proc`, with
    /// every mount point taken below `root`.
    ///
    /// # Errors
    /// That `mountinfo` cannot be read.
    pub fn detect_in(proc: &Path, root: &Path) -> Result<Option<Self>> {
        let text = read(&proc.join("mountinfo"))?;
        let mut v1: Vec<Hierarchy> = Vec::new();
        let mut unified: Option<Hierarchy> = None;
        for entry in mountinfo::visible_cgroups(&text) {
            let hierarchy = hierarchy(&entry, root);
            if entry.kind == b"cgroup2" {
                prefer(&mut unified, hierarchy);
            } else if let Some(known) =
                v1.iter_mut().find(|k| k.controllers == hierarchy.controllers && k.name == hierarchy.name)
            {
                if better(&hierarchy, known) {
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
        Self { v1, unified, own: proc.to_owned(), controllers: None, own_cgroup: None }
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

    /// Reads the caller's own cgroup now: [`own`](Self::own) and relative paths then need no system call.
    ///
    /// # Errors
    /// If the caller's `cgroup` file or its `mountinfo` cannot be read.
    pub fn read_own(&mut self) -> Result<()> {
        let file = read(&self.own.join("cgroup"))?;
        let exact = Box::new(self.exact()?.into_owned());
        self.own_cgroup = Some(OwnCgroup { file, exact });
        Ok(())
    }

    /// The caller's `cgroup` file.
    fn own_file(&self) -> Result<Cow<'_, [u8]>> {
        match &self.own_cgroup {
            Some(known) => Ok(Cow::Borrowed(&known.file)),
            None => read(&self.own.join("cgroup")).map(Cow::Owned),
        }
    }

    /// The sort of host.
    pub fn mode(&self) -> Mode {
        match (self.v1.iter().any(|h| !h.controllers.is_empty()), &self.unified) {
            (false, Some(_)) => Mode::V2,
            (_, None) => Mode::V1,
            (true, Some(_)) => Mode::Hybrid,
        }
    }

    /// Whether cgroup2 is all there is to use.
    pub fn is_unified(&self) -> bool {
        self.mode() == Mode::V2
    }

    /// The v1 hierarchies, in mount order; on a pure v2 host those without controllers, if any.
    pub fn v1(&self) -> &[Hierarchy] {
        &self.v1
    }

    /// The cgroup2 hierarchy.
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.unified.as_ref()
    }

    /// The v1 hierarchy which has `controller`.
    pub fn v1_of(&self, controller: Controller) -> Option<&Hierarchy> {
        self.v1.iter().find(|h| h.controllers.contains(controller))
    }

    /// The controllers which the cgroup2 mount offers (its `cgroup.controllers`).
    ///
    /// # Errors
    /// That the file cannot be read.
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

    /// Where `path` lies in each v1 hierarchy, in their order.
    ///
    /// # Errors
    /// A relative path needs the runtime's own cgroup: that it cannot be read, or lies outside what
    /// is mounted.
    pub fn directories(&self, path: &CgroupPath) -> Result<Vec<PathBuf>> {
        let own = self.own_paths(path)?;
        self.v1.iter().map(|h| anchor(h, path, &own, false)).collect()
    }

    /// Where `path` lies in the cgroup2 hierarchy.
    ///
    /// # Errors
    /// As [`Layout::directories`].
    pub fn unified_directory(&self, path: &CgroupPath) -> Result<Option<PathBuf>> {
        if path.is_absolute() {
            return Ok(self.unified.as_ref().map(|unified| path.below(&unified.mount)));
        }
        let layout = self.exact()?;
        let Some(unified) = &layout.unified else { return Ok(None) };
        anchor(unified, path, &self.own_paths(path)?, true).map(Some)
    }

    /// The cgroup which the caller is in; hierarchies which do not show it are left out.
    ///
    /// # Errors
    /// That the caller's `cgroup` file cannot be read.
    pub fn own(&self) -> Result<Record> {
        self.located(&self.own_file()?)
    }

    /// The cgroup that a `/proc/PID/cgroup` names, in every hierarchy that shows it.
    ///
    /// # Errors
    /// `ENAMETOOLONG` if the kernel has truncated the path.
    pub(super) fn located(&self, cgroup_file: &[u8]) -> Result<Record> {
        let mine = memberships(cgroup_file);
        if let Some((label, path)) = mine.iter().find(|(_, path)| path.as_os_str().len() >= LONGEST) {
            let text =
                format!("{label}:{}...", path.display().to_string().chars().take(100).collect::<String>());
            return Err(Error::sys(Phase::Cgroup, "locate cgroup", Errno::ENAMETOOLONG).on(text));
        }
        let layout = self.exact()?;
        let directory = |h: &Hierarchy, unified| {
            let (_, path) = mine.iter().find(|(label, _)| labelled(h, label, unified))?;
            mounted_at(h, path)
        };
        let place = |h: &Hierarchy| Some(Place { hierarchy: h.label(), directory: directory(h, false)? });
        let v1 = layout.v1.iter().filter_map(place).collect();
        let unified = layout.unified.as_ref().and_then(|h| directory(h, true));
        Ok(Record { v1, unified, reused: true })
    }

    /// The layout with each mount's root known: the quick look at a pure v2 host leaves it out.
    pub(super) fn exact(&self) -> Result<Cow<'_, Self>> {
        match (&self.unified, &self.own_cgroup) {
            (_, Some(known)) => Ok(Cow::Borrowed(known.exact.as_ref())),
            (Some(unified), None) if unified.root.as_os_str().is_empty() => {
                Self::detect_in(&self.own, Path::new("/"))?.map(Cow::Owned).ok_or_else(none_is_mounted)
            }
            _ => Ok(Cow::Borrowed(self)),
        }
    }

    /// `(label, path)` of each line of the caller's `cgroup` file; nothing for an absolute path.
    fn own_paths(&self, path: &CgroupPath) -> Result<Vec<(String, PathBuf)>> {
        if path.is_absolute() { Ok(Vec::new()) } else { Ok(memberships(&self.own_file()?)) }
    }
}

fn none_is_mounted() -> Error {
    Error::new(ErrorKind::Unsupported, Phase::Cgroup, "no cgroup file system is mounted")
        .with_hint("mount cgroup2 at /sys/fs/cgroup")
}

/// A path of this length in `/proc/PID/cgroup` has been truncated by the kernel.
const LONGEST: usize = libc::PATH_MAX as usize - 1;

/// `(label, path)` of each line of a `/proc/PID/cgroup`; a path has arbitrary bytes except newlines.
pub(super) fn memberships(text: &[u8]) -> Vec<(String, PathBuf)> {
    text.split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.splitn(3, |b| *b == b':').skip(1);
            let label = String::from_utf8_lossy(fields.next()?).into_owned();
            Some((label, OsStr::from_bytes(fields.next()?).into()))
        })
        .collect()
}

/// Whether a line's label of `/proc/PID/cgroup` is this hierarchy's.
pub(super) fn labelled(hierarchy: &Hierarchy, label: &str, unified: bool) -> bool {
    match &hierarchy.name {
        _ if unified => label.is_empty(),
        Some(name) => label.strip_prefix("name=") == Some(name),
        None => !label.is_empty() && Controllers::parse(label) == hierarchy.controllers,
    }
}

/// The directory of a cgroup that `/proc/PID/cgroup` names, below the hierarchy's mount.
pub(super) fn mounted_at(hierarchy: &Hierarchy, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(&hierarchy.root).ok()?;
    if below.components().any(|part| !matches!(part, Component::Normal(_))) {
        return None;
    }
    Some(hierarchy.mount.join(below))
}

fn anchor(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    own: &[(String, PathBuf)],
    unified: bool,
) -> Result<PathBuf> {
    if path.is_absolute() {
        return Ok(path.below(&hierarchy.mount));
    }
    let label = hierarchy.label();
    let Some((_, mine)) = own.iter().find(|(l, _)| labelled(hierarchy, l, unified)) else {
        return Ok(path.below(&hierarchy.mount));
    };
    let directory = mounted_at(hierarchy, mine).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            Phase::Cgroup,
            "the runtime's own cgroup is outside of what is mounted",
        )
        .on(format!("{label}:{}", mine.display()))
        .with_pointer("/linux/cgroupsPath")
        .with_hint("use an absolute cgroupsPath")
    })?;
    match directory.parent() {
        Some(parent) if unified && directory != hierarchy.mount => Ok(path.below(parent)),
        _ => Ok(path.below(&directory)),
    }
}

fn hierarchy(entry: &Entry<'_>, root: &Path) -> Hierarchy {
    let options = String::from_utf8_lossy(if entry.kind == b"cgroup2" { b"" } else { entry.super_options });
    let mount = mountinfo::unescape(entry.mount);
    Hierarchy {
        mount: root.join(mount.strip_prefix("/").unwrap_or(&mount)),
        root: mountinfo::unescape(entry.root),
        controllers: Controllers::parse(&options),
        name: options.split(',').find_map(|o| o.strip_prefix("name=")).map(str::to_owned),
    }
}

fn prefer(slot: &mut Option<Hierarchy>, candidate: Hierarchy) {
    if slot.as_ref().is_none_or(|known| better(&candidate, known)) {
        *slot = Some(candidate);
    }
}

/// Of two mounts of one hierarchy the one below /sys/fs/cgroup, then the one that shows more of it.
fn better(candidate: &Hierarchy, known: &Hierarchy) -> bool {
    let rank = |h: &Hierarchy| {
        (
            !h.mount.to_string_lossy().contains("/sys/fs/cgroup"),
            h.root.as_os_str().len(),
            h.mount.as_os_str().len(),
        )
    };
    rank(candidate) < rank(known)
}

/// Reads a whole file; one below `/proc` must be on a procfs.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |operation| move |e| Error::sys(Phase::Cgroup, operation, e).on(path.display().to_string());
    let name = sysfs::cstring(path).map_err(failed("open"))?;
    let fd = sysfs::openat(sysfs::cwd(), &name, libc::O_RDONLY, 0).map_err(failed("open"))?;
    if path.starts_with("/proc") {
        let kind = sysfs::file_system(&fd).map_err(failed("fstatfs"))?;
        if kind != PROC_SUPER_MAGIC {
            return Err(
                Error::new(ErrorKind::System, Phase::Cgroup, "not a procfs").on(path.display().to_string())
            );
        }
    }
    sysfs::read_all(fd, 64 << 20).map_err(failed("read"))
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
