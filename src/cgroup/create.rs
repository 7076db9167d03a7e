//! Making, opening and joining a cgroup.

use super::controller::{Controller, Controllers};
use super::devices;
use super::file;
use super::layout::{self, Layout};
use super::path::CgroupPath;
use super::record::{Place, Record};
use super::settings::{Settings, Side, apply};
use super::unified;
use crate::bundle::spec::Resources;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const POINTER: &str = "/linux/cgroupsPath";

/// How a cgroup is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether devices are denied but for `resources.devices` and the standard ones. Switch it off
    /// for a cgroup that is no container's, and where the caller may not filter (inside of a user
    /// namespace, where the kernel denies foreign devices anyway).
    pub device_filter: bool,
    /// Whether hierarchies in which this user may not make a directory are left out, unless a
    /// limit needs them. For an unprivileged caller who named no path.
    pub optional: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { device_filter: true, optional: false }
    }
}

/// An existing cgroup: a directory in each hierarchy. Holds no descriptors and no claim: dropping
/// it removes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    pub(super) record: Record,
}

/// What the creator of a process needs to start it in a cgroup.
///
/// First [`Join::directory`], if there is one, for `CLONE_INTO_CGROUP`; then the child, while it has one
/// thread only, writes `0` to each of [`Join::files`].
#[derive(Debug, Default)]
pub struct Join {
    into: Option<OwnedFd>,
    files: Vec<OwnedFd>,
    fallback: Option<PathBuf>,
}

impl Join {
    /// The cgroup2 directory for `CLONE_INTO_CGROUP`.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.into.as_ref().map(AsFd::as_fd)
    }

    /// Open files into which the child writes `0`: v1 `tasks`, and the cgroup2 `cgroup.procs` where
    /// the child cannot be cloned into its directory.
    pub fn files(&self) -> &[OwnedFd] {
        &self.files
    }

    /// Gives up `CLONE_INTO_CGROUP` for a write to `cgroup.procs`.
    ///
    /// For a clone that the kernel refuses (`EAGAIN` under a `pids.max` of 0, `EOPNOTSUPP`), or
    /// whose child was killed at birth: the kernel compares the *caller's* count of `cgroup.kill`
    /// with the target's, so a caller whose own cgroup was once killed cannot clone elsewhere.
    ///
    /// # Errors
    /// That `cgroup.procs` cannot be opened.
    pub fn use_files(&mut self) -> Result<()> {
        if self.into.take().is_some()
            && let Some(directory) = &self.fallback
        {
            self.files.push(open(directory, "cgroup.procs", libc::O_WRONLY)?);
        }
        Ok(())
    }

    /// Moves the calling process: only a single-threaded one may call this.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn enter(&self) -> Result<()> {
        if let (Some(_), Some(directory)) = (&self.into, &self.fallback) {
            file::write(directory, "cgroup.procs", b"0")
                .map_err(|e| file::failed("write", directory, "cgroup.procs", e))?;
        }
        for fd in &self.files {
            file::put(fd, b"0").map_err(|e| Error::sys(Phase::Cgroup, "join cgroup", e))?;
        }
        Ok(())
    }
}

impl Cgroup {
    /// Makes the cgroup at `path` in every hierarchy of the host, with its limits, and returns what
    /// is needed to start a process in it. On an error nothing is left.
    ///
    /// # Errors
    /// A field of `resources` that cannot be enforced, with its pointer; `container's cgroup is not
    /// empty` and `container's cgroup unexpectedly frozen` where it exists already; any refusal of
    /// the kernel with file, value and errno.
    pub fn create(
        layout: &Layout,
        path: &CgroupPath,
        resources: &Resources,
        options: &Options,
    ) -> Result<(Self, Join)> {
        let settings = Settings::compile(layout, resources, options)?;
        let record = Record::plan(layout, path, &settings)?;
        Self::make(layout, record, &settings, options)
    }

    /// [`Cgroup::create`] in steps: the record, known before anything is made, may be stored first,
    /// so that an interrupted creation can be undone.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn make(
        layout: &Layout,
        record: Record,
        settings: &Settings,
        options: &Options,
    ) -> Result<(Self, Join)> {
        let mut maker = Maker { layout, settings, options, made: Vec::new(), join: Join::default() };
        match maker.all(record) {
            Ok(record) => Ok((Self { record }, maker.join)),
            Err(e) => {
                for directory in maker.made.iter().rev() {
                    let _ = file::rmdir(directory);
                }
                Err(e)
            }
        }
    }

    /// The cgroup of a record; nothing is looked at.
    pub fn open(record: Record) -> Self {
        Self { record }
    }

    /// The cgroup of a process, as its `/proc/PID/cgroup` tells.
    ///
    /// # Errors
    /// That the file cannot be read (`ESRCH`, `ENOENT`: the process is gone).
    pub fn of_process(layout: &Layout, pid: i32) -> Result<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let text = file::read(&proc, "cgroup").map_err(|e| file::failed("read", &proc, "cgroup", e))?;
        let mine = layout::memberships(&text);
        let directory = |h: &super::Hierarchy, unified| {
            let (_, path) = mine.iter().find(|(label, _)| layout::labelled(h, label, unified))?;
            layout::mounted_at(h, path)
        };
        let place =
            |h: &super::Hierarchy| Some(Place { hierarchy: h.label(), directory: directory(h, false)? });
        let v1 = layout.v1().iter().filter_map(place).collect();
        let unified = layout.unified().and_then(|h| directory(h, true));
        Ok(Self { record: Record { v1, unified, reused: true } })
    }

    /// What another process needs to [`Cgroup::open`] it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its directories.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.record.paths()
    }

    /// The cgroup at `path` below this one, in every hierarchy; with a `controller` (as
    /// `/proc/PID/cgroup` spells its hierarchy, or one name of it) only there. Need not exist.
    ///
    /// # Errors
    /// `unknown controller`.
    pub fn sub(&self, controller: Option<&str>, path: &CgroupPath) -> Result<Self> {
        let mut record = self.record.clone();
        record.reused = true;
        match controller {
            None => {
                record.v1.iter_mut().for_each(|p| p.directory = path.below(&p.directory));
                record.unified = record.unified.map(|d| path.below(&d));
            }
            Some(names) => {
                for name in names.split(',') {
                    let place = record.v1.iter_mut().find(|p| p.hierarchy.split(',').any(|h| h == name));
                    let place = place.ok_or_else(|| {
                        Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "unknown controller")
                            .on(name.to_owned())
                    })?;
                    // Two controllers of one hierarchy name one directory.
                    if place.directory == self.directory_of(&place.hierarchy) {
                        place.directory = path.below(&place.directory);
                    }
                }
            }
        }
        Ok(Self { record })
    }

    fn directory_of(&self, hierarchy: &str) -> PathBuf {
        let place = self.record.v1.iter().find(|p| p.hierarchy == hierarchy);
        place.map(|p| p.directory.clone()).unwrap_or_default()
    }

    /// Opens what a further process needs to be started in the cgroup.
    ///
    /// # Errors
    /// That a directory is gone.
    pub fn join(&self) -> Result<Join> {
        let mut join = Join::default();
        for place in &self.record.v1 {
            join.files.push(open(&place.directory, "tasks", libc::O_WRONLY)?);
        }
        if let Some(directory) = &self.record.unified {
            open_unified(&mut join, directory, !self.record.reused)?;
        }
        Ok(join)
    }

    /// Moves a process, with all its threads, into the cgroup. Costs the kernel milliseconds (an
    /// RCU grace period): [`Join`] is the fast way for a process that is still to be made.
    ///
    /// # Errors
    /// `adding pid N to cgroups`, with the file.
    pub fn add(&self, pid: i32) -> Result<()> {
        let text = pid.to_string();
        for directory in self.paths() {
            file::write(directory, "cgroup.procs", text.as_bytes()).map_err(|e| {
                let file = directory.join("cgroup.procs").display().to_string();
                Error::sys(Phase::Cgroup, format!("adding pid {pid} to cgroups"), e).on(file)
            })?;
        }
        Ok(())
    }

    /// Writes other limits. Devices are left as they are: see [`Cgroup::set_devices`].
    ///
    /// # Errors
    /// As [`Cgroup::create`]; on one the limits written before it stay.
    pub fn update(&self, layout: &Layout, resources: &Resources) -> Result<Vec<String>> {
        let options = Options { device_filter: false, optional: false };
        let settings = Settings::compile(layout, resources, &options)?;
        for setting in settings.entries() {
            let missing = match (setting.side, setting.controller) {
                (Side::V2, _) => self.record.unified.is_none(),
                (Side::V1, Some(c)) => self.record.v1_of(c).is_none(),
                (Side::V1, None) => true,
            };
            if missing {
                return Err(Error::unsupported(
                    Phase::Cgroup,
                    setting.pointer.clone(),
                    format!("the cgroup is not in the hierarchy of {}", setting.file),
                ));
            }
        }
        for place in &self.record.v1 {
            let controllers = place.controllers();
            if controllers.contains(Controller::Memory) {
                settings.check_usage(&place.directory, Side::V1)?;
            }
            apply::write_all(&place.directory, settings.v1(controllers))?;
        }
        if let Some(directory) = &self.record.unified {
            settings.check_usage(directory, Side::V2)?;
            apply::write_all(directory, settings.v2())?;
        }
        Ok(settings.warnings().to_vec())
    }

    /// Replaces the device rules. On v2 the exchange of the filter is atomic.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn set_devices(&self, policy: &super::DevicePolicy) -> Result<()> {
        if let Some(directory) = self.record.v1_of(Controller::Devices) {
            return devices::apply_v1(directory, policy);
        }
        let Some(directory) = &self.record.unified else {
            let why = "the cgroup is in no hierarchy that can filter devices";
            return Err(Error::unsupported(Phase::Cgroup, "/linux/resources/devices", why));
        };
        devices::replace(open(directory, "", libc::O_RDONLY | libc::O_DIRECTORY)?, directory, policy)
    }
}

fn open(directory: &Path, name: &str, flags: i32) -> Result<OwnedFd> {
    file::open(directory, name, flags).map_err(|e| file::failed("open", directory, name, e))
}

fn open_unified(join: &mut Join, directory: &Path, clone_into: bool) -> Result<()> {
    if clone_into {
        join.into = Some(open(directory, "", libc::O_RDONLY | libc::O_DIRECTORY)?);
        join.fallback = Some(directory.to_owned());
    } else {
        join.files.push(open(directory, "cgroup.procs", libc::O_WRONLY)?);
    }
    Ok(())
}

struct Maker<'a> {
    layout: &'a Layout,
    settings: &'a Settings,
    options: &'a Options,
    made: Vec<PathBuf>,
    join: Join,
}

impl Maker<'_> {
    fn all(&mut self, record: Record) -> Result<Record> {
        let mut done = Record { v1: Vec::with_capacity(record.v1.len()), ..Record::default() };
        self.join.files.reserve(record.v1.len() + 1);
        for place in record.v1 {
            let controllers = place.controllers();
            match self.v1(&place.directory, controllers) {
                Ok(()) => done.v1.push(place),
                Err(e) if self.may_skip(&e) && !self.settings.touches_v1(controllers) => {}
                Err(e) => return Err(e),
            }
        }
        if let Some(directory) = record.unified {
            match self.unified(&directory) {
                Ok(reused) => {
                    done.unified = Some(directory);
                    done.reused = reused;
                }
                Err(e) if self.may_skip(&e) && !self.settings.needs_unified() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn may_skip(&self, e: &Error) -> bool {
        self.options.optional && matches!(e.errno(), Some(Errno::EACCES | Errno::EPERM | Errno::EROFS))
    }

    fn v1(&mut self, directory: &Path, controllers: Controllers) -> Result<()> {
        let cpuset = controllers.contains(Controller::CpuSet);
        let existed = !self.directory(directory)?;
        if existed {
            refuse_used_v1(directory, controllers)?;
        }
        if cpuset {
            inherit_cpuset(directory, existed)?;
        }
        apply::write_all(directory, self.settings.v1(controllers))?;
        if controllers.contains(Controller::Devices)
            && self.settings.devices_on == Some(Side::V1)
            && let Some(policy) = self.settings.devices()
        {
            devices::apply_v1(directory, policy)?;
        }
        self.join.files.push(open(directory, "tasks", libc::O_WRONLY)?);
        Ok(())
    }

    /// Whether the directory was there before.
    fn unified(&mut self, directory: &Path) -> Result<bool> {
        let mut reused = !self.directory(directory)?;
        if reused {
            refuse_used_v2(directory)?;
            // A cgroup that was killed once would kill what is cloned into it: a new one is not.
            if file::rmdir(directory).is_ok() && self.directory(directory)? {
                reused = false;
            }
        }
        if let Some(hierarchy) = self.layout.unified() {
            let wanted = match self.settings.available {
                Some(known) => known,
                None if self.layout.is_unified() => self.layout.unified_controllers()?,
                None => Controllers::NONE,
            };
            unified::enable(&hierarchy.mount, directory, wanted, self.settings)?;
        }
        apply::write_all(directory, self.settings.v2())?;
        // With no task allowed nothing can be cloned into the cgroup, but it can be joined.
        open_unified(&mut self.join, directory, !reused && !self.settings.no_tasks)?;
        if self.settings.devices_on == Some(Side::V2)
            && let Some(policy) = self.settings.devices()
        {
            match self.join.directory() {
                Some(fd) if !reused => devices::attach(fd, directory, policy)?,
                _ => {
                    let fd = open(directory, "", libc::O_RDONLY | libc::O_DIRECTORY)?;
                    devices::replace(fd, directory, policy)?;
                }
            }
        }
        Ok(reused)
    }

    /// Makes a directory, and parents where they are missing; `false` if it was there.
    fn directory(&mut self, directory: &Path) -> Result<bool> {
        match file::mkdir(directory) {
            Ok(()) => {
                self.made.push(directory.to_owned());
                Ok(true)
            }
            Err(Errno::EEXIST) => Ok(false),
            Err(Errno::ENOENT) if directory.parent().is_some_and(|p| p.parent().is_some()) => {
                if let Some(parent) = directory.parent() {
                    self.directory(parent)?;
                }
                match file::mkdir(directory) {
                    Ok(()) => self.made.push(directory.to_owned()),
                    Err(Errno::EEXIST) => return Ok(false),
                    Err(e) => return Err(mkdir_failed(directory, e)),
                }
                Ok(true)
            }
            Err(e) => Err(mkdir_failed(directory, e)),
        }
    }
}

fn mkdir_failed(directory: &Path, errno: Errno) -> Error {
    let error = file::failed("mkdir", directory, "", errno).with_pointer(POINTER);
    match errno {
        Errno::EACCES | Errno::EPERM => error.with_hint("this user may not make cgroups there"),
        Errno::EROFS => error.with_hint("the cgroup file system is mounted read-only"),
        Errno::EAGAIN => error.with_hint("cgroup.max.descendants or cgroup.max.depth of a parent is reached"),
        Errno::ENOSPC => error.with_hint("a cgroup id or a parent's cpuset is used up"),
        _ => error,
    }
}

fn not_empty(directory: &Path, count: usize) -> Error {
    Error::new(ErrorKind::WrongState, Phase::Cgroup, "container's cgroup is not empty")
        .with_detail(format!("{count} process(es) found in {}", directory.display()))
        .with_pointer(POINTER)
}

fn frozen(directory: &Path) -> Error {
    Error::new(ErrorKind::WrongState, Phase::Cgroup, "container's cgroup unexpectedly frozen")
        .with_detail(directory.display().to_string())
        .with_pointer(POINTER)
}

fn refuse_used_v1(directory: &Path, controllers: Controllers) -> Result<()> {
    let pids = super::procs::tree(directory)?;
    if !pids.is_empty() {
        return Err(not_empty(directory, pids.len()));
    }
    if controllers.contains(Controller::Freezer)
        && file::text(directory, "freezer.state")?.is_some_and(|s| s.trim() != "THAWED")
    {
        return Err(frozen(directory));
    }
    Ok(())
}

fn refuse_used_v2(directory: &Path) -> Result<()> {
    let events = file::text(directory, "cgroup.events")?.unwrap_or_default();
    if events.lines().any(|l| l == "populated 1") {
        return Err(not_empty(directory, super::procs::tree(directory)?.len()));
    }
    if events.lines().any(|l| l == "frozen 1") {
        return Err(frozen(directory));
    }
    let asked = file::text(directory, "cgroup.freeze")?;
    if asked.is_some_and(|s| s.trim() == "1") { Err(frozen(directory)) } else { Ok(()) }
}

/// A cpuset without CPUs or memory nodes admits nobody: takes the parent's, and gives the parent its
/// parent's where that has none.
fn inherit_cpuset(directory: &Path, existed: bool) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        inherit(directory, file, existed)?;
    }
    Ok(())
}

fn inherit(directory: &Path, name: &str, look: bool) -> Result<Vec<u8>> {
    if look {
        match file::read(directory, name) {
            Ok(value) if !value.trim_ascii().is_empty() => return Ok(value),
            Ok(_) => {}
            // Above the hierarchy's root.
            Err(Errno::ENOENT) => return Ok(Vec::new()),
            Err(e) => return Err(file::failed("read", directory, name, e)),
        }
    }
    let Some(parent) = directory.parent() else { return Ok(Vec::new()) };
    let value = inherit(parent, name, true)?;
    if !value.trim_ascii().is_empty() {
        file::write(directory, name, value.trim_ascii())
            .map_err(|e| file::failed("write", directory, name, e).with_pointer("/linux/resources/cpu"))?;
    }
    Ok(value)
}
