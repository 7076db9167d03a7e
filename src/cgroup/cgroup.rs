//! The operations on a cgroup.

use super::controller::Controller;
use super::devices::{self, DevicePolicy};
use super::dir::Dir;
use super::freeze::{self, FreezerState};
use super::join::Join;
use super::layout::Layout;
use super::oom::{self, OomWatch};
use super::options::CgroupOptions;
use super::path::CgroupPath;
use super::record::{CgroupRecord, V1Directory};
use super::settings::{Settings, compile_settings};
use super::stats::{self, Stats};
use super::{create, delegate, kill, procfs, procs, remove, update};
use crate::bundle::spec::Resources;
use crate::{Error, ErrorKind, Phase, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long [`Cgroup::remove`] waits for processes that are exiting.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A cgroup: a directory in each hierarchy. It holds no descriptors, and dropping it removes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    record: CgroupRecord,
}

/// Creating and opening.
impl Cgroup {
    /// Creates the cgroup at `path` in every hierarchy of the host, with its limits. Returns what is needed to start a
    /// process in it. On an error everything that was created is removed.
    ///
    /// # Errors
    /// If a field of `resources` cannot be enforced, with its pointer; `container's cgroup is not empty` or `container's
    /// cgroup unexpectedly frozen` if the cgroup exists already; if the kernel refuses a value, with file, value and
    /// errno.
    pub fn create(
        layout: &Layout,
        path: &CgroupPath,
        resources: &Resources,
        options: &CgroupOptions,
    ) -> Result<(Self, Join)> {
        let settings = compile_settings(layout, resources, options)?;
        let record = create::plan(layout, path)?;
        Self::create_planned(layout, record, &settings, options)
    }

    /// The directories of the cgroup at `path`, which [`create_planned`](Self::create_planned) creates.
    ///
    /// There is one in each hierarchy, on a hybrid host also in the cgroup2 hierarchy.
    ///
    /// # Errors
    /// As [`Layout::directories`].
    pub fn plan(layout: &Layout, path: &CgroupPath) -> Result<CgroupRecord> {
        create::plan(layout, path)
    }

    /// Creates a cgroup from its record. The record can be stored before, so that an interrupted creation can be undone.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn create_planned(
        layout: &Layout,
        record: CgroupRecord,
        settings: &Settings,
        options: &CgroupOptions,
    ) -> Result<(Self, Join)> {
        let (record, join) = create::create(layout, record, settings, options)?;
        Ok((Self { record }, join))
    }

    /// Takes over a cgroup that another manager has created around a process, such as a delegated systemd scope: writes
    /// the limits, and moves the process to a new cgroup in each v1 hierarchy that has none yet.
    ///
    /// # Errors
    /// If the process is in another cgroup; as [`Cgroup::create`].
    pub fn adopt(
        layout: &Layout,
        record: CgroupRecord,
        settings: &Settings,
        options: &CgroupOptions,
        pid: i32,
    ) -> Result<Self> {
        let found = Self::of_process(layout, pid)?;
        if let (Some(expected), Some(actual)) = (&record.unified, &found.record.unified)
            && expected != actual
        {
            return Err(Error::new(ErrorKind::System, Phase::Cgroup, "the process is in another cgroup")
                .on(actual.display().to_string())
                .with_detail(format!("it was to be in {}", expected.display())));
        }
        create::adopt(layout, &record, settings, options, pid)?;
        Ok(Self { record })
    }

    /// The cgroup with these directories, which are not accessed yet.
    pub fn open(record: CgroupRecord) -> Self {
        Self { record }
    }

    /// The cgroup of a process, from its `/proc/PID/cgroup`.
    ///
    /// # Errors
    /// If the file cannot be read (`ESRCH`, `ENOENT`: the process no longer exists).
    pub fn of_process(layout: &Layout, pid: i32) -> Result<Self> {
        let file = procfs::read(&PathBuf::from(format!("/proc/{pid}/cgroup")))?;
        Ok(Self { record: layout.locate(&file)? })
    }

    /// The cgroup at `path` below this one, which need not exist, in every hierarchy. If `controller` is given (as the
    /// controller list of a hierarchy in `/proc/PID/cgroup`, or a part of it), only in that hierarchy. The path `/` is this
    /// cgroup itself.
    ///
    /// # Errors
    /// `unknown controller`; `bad sub cgroup path` if the path leads out of this cgroup.
    pub fn sub(&self, controller: Option<&str>, path: &str) -> Result<Self> {
        let named = controller.map(|names| self.v1_of_names(names)).transpose()?;
        let Some(path) = CgroupPath::sub(path)? else { return Ok(self.clone()) };
        let mut record = self.record.clone();
        record.reused = true;
        if named.is_none() {
            record.unified = record.unified.map(|directory| path.below(&directory));
        }
        for (index, v1) in record.v1.iter_mut().enumerate() {
            if named.as_ref().is_none_or(|named| named.contains(&index)) {
                v1.directory = path.below(&v1.directory);
            }
        }
        Ok(Self { record })
    }

    /// The v1 hierarchies of these controllers, by their position in the record.
    fn v1_of_names(&self, names: &str) -> Result<Vec<usize>> {
        let position = |name: &str| {
            let is_here = |v1: &V1Directory| v1.hierarchy.split(',').any(|part| part == name);
            self.record.v1.iter().position(is_here).ok_or_else(|| {
                Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "unknown controller")
                    .on(name.to_owned())
            })
        };
        names.split(',').map(position).collect()
    }

    /// The descendant of this cgroup, in the cgroup2 hierarchy, that has the process; `None` if there is none.
    ///
    /// This searches all descendants, because the kernel truncates long paths in `/proc/PID/cgroup`.
    ///
    /// # Errors
    /// If a list of processes cannot be read.
    pub fn descendant_of_process(&self, pid: i32) -> Result<Option<Self>> {
        Ok(procs::descendant_of(&self.record, pid)?.map(|record| Self { record }))
    }

    /// The directories, from which another process can [`open`](Cgroup::open) the cgroup.
    pub fn record(&self) -> &CgroupRecord {
        &self.record
    }

    /// The directories.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.record.paths()
    }

    /// Whether any of the directories exists.
    ///
    /// # Errors
    /// If this cannot be determined.
    pub fn exists(&self) -> Result<bool> {
        remove::any_exists(&self.record)
    }

    /// Removes the cgroup and its descendants from every hierarchy. It is not an error if it does not exist. All
    /// directories are tried, even if one cannot be removed.
    ///
    /// # Errors
    /// `EBUSY`, with the processes in it.
    pub fn remove(&self) -> Result<()> {
        self.remove_within(REMOVE_TIMEOUT)
    }

    /// [`Cgroup::remove`] with another timeout for processes that are exiting.
    ///
    /// # Errors
    /// As [`Cgroup::remove`].
    pub fn remove_within(&self, timeout: Duration) -> Result<()> {
        remove::remove(&self.record, timeout)
    }
}

/// Limits and access.
impl Cgroup {
    /// Changes the limits in `resources`; all others stay. Returns a sentence for each field that has no effect.
    ///
    /// Only files whose value changes are written, and the kernel's values are read back. Values that are missing but
    /// belong to a given one are taken from the cgroup: the period for a quota, and the memory limit for a limit of
    /// memory and swap together. Devices stay as they are: see [`Cgroup::set_devices`].
    ///
    /// # Errors
    /// As [`Cgroup::create`], and `the kernel has not taken the limit`, with the expected and the actual value. All
    /// limits then have their previous values; if one could not be restored, the error's hint names its file.
    pub fn update(&self, layout: &Layout, resources: &Resources) -> Result<Vec<String>> {
        self.update_and(layout, resources, || Ok(()))
    }

    /// [`Cgroup::update`], then `then`. If that fails, the previous limits are restored too.
    pub(crate) fn update_and(
        &self,
        layout: &Layout,
        resources: &Resources,
        then: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<String>> {
        update::update(&self.record, layout, resources, then)
    }

    /// [`Cgroup::update_and`] if another manager writes its own values to the cgroup: it learns the new limits by `tell`, and
    /// every limit of `all`, the whole configuration, is as before afterwards.
    pub(crate) fn update_beside_manager(
        &self,
        layout: &Layout,
        resources: &Resources,
        all: &Resources,
        tell: impl FnOnce(&Settings) -> Result<()>,
        then: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<String>> {
        update::update_beside_manager(&self.record, layout, resources, all, tell, then)
    }

    /// Whether the kernel accounts for swap, so that it can be limited.
    ///
    /// # Errors
    /// If the cgroup cannot be read.
    pub(crate) fn accounts_for_swap(&self) -> Result<bool> {
        update::accounts_for_swap(&self.record)
    }

    /// Changes the device policy from `old` to `new`. A device that both allow is allowed all the time. On v1 only the
    /// difference is written, so that what another program has allowed stays.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn change_devices(&self, old: &DevicePolicy, new: &DevicePolicy) -> Result<()> {
        match self.record.v1_of(Controller::Devices) {
            Some(directory) => devices::change_v1(Dir::open(directory)?.at(), old, new),
            None => self.set_devices(new),
        }
    }

    /// Replaces the device policy; on v2, atomically.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn set_devices(&self, policy: &DevicePolicy) -> Result<()> {
        if let Some(directory) = self.record.v1_of(Controller::Devices) {
            return devices::write_v1(Dir::open(directory)?.at(), policy);
        }
        let Some(directory) = &self.record.unified else {
            let why = "the cgroup is in no hierarchy that can filter devices";
            return Err(Error::unsupported(Phase::Cgroup, "/linux/resources/devices", why));
        };
        devices::replace(Dir::open(directory)?.at(), policy)
    }

    /// Delegates the cgroup2 directory to a user, whose processes can then create cgroups in it: cgroups(7), "Cgroup delegation".
    ///
    /// # Errors
    /// If the caller lacks the permission.
    pub fn delegate(&self, uid: u32) -> Result<()> {
        match &self.record.unified {
            Some(directory) => delegate::delegate(directory, uid),
            None => Ok(()),
        }
    }

    /// A measurement of the cgroup.
    ///
    /// # Errors
    /// If a file cannot be read; files that the kernel does not have are left out.
    pub fn stats(&self) -> Result<Stats> {
        stats::read(&self.record)
    }

    /// If the OOM killer has killed a process of the cgroup, an error with the limit and the usage, for a caller that
    /// has just lost a process.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn out_of_memory(&self) -> Result<Option<Error>> {
        stats::out_of_memory(&self.record)
    }

    /// Starts to watch the cgroup for running out of memory; `None` if it has no memory controller, or the kernel cannot
    /// report this.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>> {
        oom::watch(&self.record)
    }
}

/// Processes.
impl Cgroup {
    /// Opens what is needed to start another process in the cgroup.
    ///
    /// # Errors
    /// If a directory does not exist.
    pub fn join(&self) -> Result<Join> {
        Join::open(&self.record)
    }

    /// Moves a process with all its threads into the cgroup. The kernel waits for an RCU grace period, which takes
    /// milliseconds: for a new process, [`Join`] is faster.
    ///
    /// # Errors
    /// `adding pid N to cgroups`, with the file.
    pub fn add(&self, pid: i32) -> Result<()> {
        let text = pid.to_string();
        for directory in self.paths() {
            Dir::open(directory)?.at().write("cgroup.procs", text.as_bytes()).map_err(|e| {
                let file = directory.join("cgroup.procs").display().to_string();
                Error::sys(Phase::Cgroup, format!("adding pid {pid} to cgroups"), e).on(file)
            })?;
        }
        Ok(())
    }

    /// Whether a number of processes could be cloned into it now, by its own limits.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn has_room_for(&self, processes: u64) -> Result<bool> {
        for directory in self.paths() {
            let directory = Dir::open(directory)?;
            // Without a limit it is `max`.
            let limit = directory.at().text("pids.max")?.and_then(|text| text.trim().parse::<u64>().ok());
            let current = directory.at().number("pids.current")?;
            if let (Some(limit), Some(current)) = (limit, current)
                && current.saturating_add(processes) > limit
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The processes of the cgroup and its descendants, sorted; none if it does not exist.
    ///
    /// # Errors
    /// If a list of processes cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        procs::processes(&self.record)
    }

    /// Sends a signal once to every process that is now in the cgroup or its descendants. Returns how many there were.
    ///
    /// # Errors
    /// If the kernel refuses; it is not an error if a process has just exited.
    pub fn signal(&self, signal: i32) -> Result<usize> {
        kill::signal(&self.record, signal)
    }

    /// Kills every process of the cgroup and its descendants, even if it is frozen, and waits until it is empty.
    ///
    /// In a cgroup2 hierarchy this writes to `cgroup.kill`. On v1 each process is killed through a pidfd; if that is not
    /// enough, new processes are prevented (`pids.max`), and the existing ones are frozen while they are killed. Nothing
    /// should be cloned into the cgroup afterwards (see [`Join`]): remove it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if processes are left after `timeout`, with their pids.
    pub fn kill(&self, timeout: Duration) -> Result<()> {
        kill::kill(&self.record, timeout)
    }

    /// Freezes every process of the cgroup and its descendants, and waits until all are frozen.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if a process is not frozen within `timeout` (it hangs in the kernel), or if the kernel
    /// refuses. The cgroup is then thawed again.
    pub fn freeze(&self, timeout: Duration) -> Result<()> {
        freeze::freeze(&self.record, timeout)
    }

    /// Thaws the processes, and waits until they run.
    ///
    /// # Errors
    /// If there is no freezer, or the kernel refuses.
    pub fn thaw(&self) -> Result<()> {
        freeze::thaw(&self.record)
    }

    /// [`Cgroup::thaw`] without waiting. The processes stay frozen if an ancestor is frozen.
    pub(crate) fn begin_thaw(&self) -> Result<()> {
        freeze::begin_thaw(&self.record)
    }

    /// On v1, where frozen processes do not die, thaws the cgroup and all descendants. Returns whether a descendant was
    /// frozen.
    ///
    /// # Errors
    /// If the kernel refuses; it is not an error if a cgroup no longer exists.
    pub(crate) fn thaw_descendants(&self) -> Result<bool> {
        freeze::thaw_descendants(&self.record)
    }

    /// The state of the freezer.
    ///
    /// # Errors
    /// If there is no freezer, or it cannot be read.
    pub fn freezer_state(&self) -> Result<FreezerState> {
        freeze::state(&self.record)
    }

    /// Whether the processes are frozen, by this cgroup's freezer or an ancestor's. On v1 this includes processes that
    /// are about to be frozen, since signals do not kill those either. On v2 this reads one file less than
    /// [`freezer_state`](Self::freezer_state).
    ///
    /// # Errors
    /// As [`freezer_state`](Self::freezer_state).
    pub fn is_frozen(&self) -> Result<bool> {
        freeze::is_frozen(&self.record)
    }
}
