//! A cgroup as a whole: made, opened, joined, changed.

use super::controller::Controller;
use super::dir::{Dir, open_file};
use super::join::Join;
use super::layout::{self, Layout};
use super::path::CgroupPath;
use super::record::Record;
use super::settings::Settings;
use super::{devices, make};
use crate::bundle::spec::Resources;
use crate::sys::fs as sysfs;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use std::path::{Path, PathBuf};

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
        let (record, join) = make::make(layout, record, settings, options)?;
        Ok((Self { record }, join))
    }

    /// Takes over a cgroup that another manager has made around a process, such as a delegated scope of
    /// systemd's: writes the limits, and adds the process where a v1 hierarchy has no such cgroup yet.
    ///
    /// # Errors
    /// That the process is elsewhere; as [`Cgroup::create`].
    pub fn adopt(
        layout: &Layout,
        record: Record,
        settings: &Settings,
        options: &Options,
        pid: i32,
    ) -> Result<Self> {
        let found = Self::of_process(layout, pid)?;
        let (wanted, is) = (&record.unified, &found.record.unified);
        if let (Some(wanted), Some(is)) = (wanted, is)
            && wanted != is
        {
            return Err(Error::new(ErrorKind::System, Phase::Cgroup, "the process is in another cgroup")
                .on(is.display().to_string())
                .with_detail(format!("it was to be in {}", wanted.display())));
        }
        make::adopt(layout, &record, settings, options, pid)?;
        Ok(Self { record })
    }

    /// Gives the cgroup2 directory, and the files which its owner may have, to a user: he may divide it
    /// among cgroups of his own (cgroups(7), "Cgroup delegation containment").
    ///
    /// # Errors
    /// That the caller may not.
    pub fn delegate(&self, uid: u32) -> Result<()> {
        let Some(directory) = &self.record.unified else { return Ok(()) };
        let known = delegated()?;
        let dir = Dir::open(directory)?;
        let (owner, none) = (Some(nix::unistd::Uid::from_raw(uid)), AtFlags::AT_SYMLINK_NOFOLLOW);
        nix::unistd::fchown(dir.at().fd(), owner, None).map_err(|e| dir.at().failed("chown", "", e))?;
        for name in known.lines().filter(|name| !name.contains('/')) {
            match nix::unistd::fchownat(dir.at().fd(), name, owner, None, none) {
                // Files of controllers which are not there.
                Err(Errno::ENOENT) => {}
                done => done.map_err(|e| dir.at().failed("chown", name, e))?,
            }
        }
        Ok(())
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
        Ok(Self { record: layout.located(&layout::read(&PathBuf::from(format!("/proc/{pid}/cgroup")))?)? })
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
            join.files.push(open_file(&place.directory, "tasks", libc::O_WRONLY)?);
        }
        if let Some(directory) = &self.record.unified {
            join.unified(Dir::open(directory)?, !self.record.reused)?;
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
            Dir::open(directory)?.at().write("cgroup.procs", text.as_bytes()).map_err(|e| {
                let file = directory.join("cgroup.procs").display().to_string();
                Error::sys(Phase::Cgroup, format!("adding pid {pid} to cgroups"), e).on(file)
            })?;
        }
        Ok(())
    }

    /// Replaces the device rules. On v2 the exchange of the filter is atomic.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn set_devices(&self, policy: &super::DevicePolicy) -> Result<()> {
        if let Some(directory) = self.record.v1_of(Controller::Devices) {
            return devices::apply_v1(Dir::open(directory)?.at(), policy);
        }
        let Some(directory) = &self.record.unified else {
            let why = "the cgroup is in no hierarchy that can filter devices";
            return Err(Error::unsupported(Phase::Cgroup, "/linux/resources/devices", why));
        };
        devices::replace(Dir::open(directory)?.at(), policy)
    }
}

/// The files that belong to the owner of a delegated cgroup, one per line.
fn delegated() -> Result<String> {
    match sysfs::read_at(sysfs::cwd(), c"/sys/kernel/cgroup/delegate") {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        // Kernels before 4.15, or no sysfs.
        Err(Errno::ENOENT) => Ok("cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".into()),
        Err(e) => Err(Error::sys(Phase::Cgroup, "read", e).on("/sys/kernel/cgroup/delegate")),
    }
}
