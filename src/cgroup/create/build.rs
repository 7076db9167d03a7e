//! Creates a cgroup in each hierarchy.

use super::directories::CreatedDirectories;
use super::existing::{reject_used_v1, reject_used_v2};
use super::{cpuset, subtree_control};
use crate::cgroup::controller::{Controller, Controllers};
use crate::cgroup::devices;
use crate::cgroup::dir::{Dir, DirRef, open_file, rmdir};
use crate::cgroup::join::Join;
use crate::cgroup::layout::Layout;
use crate::cgroup::options::CgroupOptions;
use crate::cgroup::record::CgroupRecord;
use crate::cgroup::settings::{Settings, write_all};
use crate::{Error, Result};
use nix::errno::Errno;
use std::path::Path;

/// Creates the directories in `record`. Returns those that were created or reused, and what a process needs to join.
pub(in crate::cgroup) fn create(
    layout: &Layout,
    record: CgroupRecord,
    settings: &Settings,
    options: &CgroupOptions,
) -> Result<(CgroupRecord, Join)> {
    let mut builder = CgroupBuilder::new(layout, settings, options);
    match builder.create(record) {
        Ok(record) => Ok((record, builder.join)),
        Err(e) => Err(builder.created.undo(e)),
    }
}

/// Completes a cgroup that another manager has created around a process: writes the limits that the manager does not
/// support, and creates directories in the hierarchies where it has created none.
pub(in crate::cgroup) fn adopt(
    layout: &Layout,
    record: &CgroupRecord,
    settings: &Settings,
    options: &CgroupOptions,
    pid: i32,
) -> Result<()> {
    let mut builder = CgroupBuilder::new(layout, settings, options);
    builder.adopt(record, pid).map_err(|e| builder.created.undo(e))
}

struct CgroupBuilder<'a> {
    layout: &'a Layout,
    settings: &'a Settings,
    options: &'a CgroupOptions,
    created: CreatedDirectories,
    join: Join,
}

impl<'a> CgroupBuilder<'a> {
    fn new(layout: &'a Layout, settings: &'a Settings, options: &'a CgroupOptions) -> Self {
        Self { layout, settings, options, created: CreatedDirectories::default(), join: Join::default() }
    }

    fn create(&mut self, record: CgroupRecord) -> Result<CgroupRecord> {
        let mut created = CgroupRecord { v1: Vec::with_capacity(record.v1.len()), ..CgroupRecord::default() };
        self.join.reserve(record.v1.len() + 1);
        for v1 in record.v1 {
            let controllers = v1.controllers();
            match self.create_v1(&v1.directory, controllers) {
                Ok(()) => created.v1.push(v1),
                Err(e) if self.may_leave_out(&e) && !self.settings.needs_v1(controllers) => {}
                Err(e) => return Err(e),
            }
        }
        if let Some(directory) = record.unified {
            let before = self.created.count();
            match self.create_unified(&directory) {
                Ok(reused) => {
                    created.unified = Some(directory);
                    created.reused = reused;
                }
                Err(e) if self.may_leave_out_unified(&e) && self.created.remove_after(before) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(created)
    }

    fn adopt(&mut self, record: &CgroupRecord, pid: i32) -> Result<()> {
        for v1 in &record.v1 {
            let (directory, controllers) = (&v1.directory, v1.controllers());
            let existed = !self.created.create(directory)?;
            if controllers.contains(Controller::CpuSet) {
                cpuset::inherit(directory, existed)?;
            }
            let dir = Dir::open(directory)?;
            self.limit_v1(dir.at(), controllers)?;
            dir.at().set("cgroup.procs", pid.to_string().as_bytes())?;
        }
        let Some(directory) = &record.unified else { return Ok(()) };
        let dir = Dir::open(directory)?;
        match self.limit_adopted(dir.at()) {
            // Systemd may be reloading: it then disables the controllers that it does not know in its slices.
            Err(e) if e.errno() == Some(Errno::ENOENT) => self.limit_adopted(dir.at())?,
            other => other?,
        }
        match self.settings.v2_devices() {
            Some(policy) => devices::attach(dir.at(), policy),
            None => Ok(()),
        }
    }

    /// Whether a hierarchy may be left out because of this error.
    fn may_leave_out(&self, e: &Error) -> bool {
        self.options.optional && is_denied(e)
    }

    /// Beside v1 hierarchies, the cgroup2 hierarchy has a directory for the sake of order.
    fn may_leave_out_unified(&self, e: &Error) -> bool {
        let is_extra = !self.layout.is_unified() && !self.settings.needs_unified();
        (is_extra && is_denied(e) && e.operation() == "mkdir")
            || (self.may_leave_out(e) && !self.settings.needs_unified())
    }

    /// Writes the limits of a cgroup2 cgroup that another manager has created.
    fn limit_adopted(&self, cgroup: DirRef<'_>) -> Result<()> {
        let needed = self.settings.unified_controllers();
        if let Some(hierarchy) = self.layout.unified()
            && !needed.is_empty()
        {
            subtree_control::enable(&hierarchy.mount, cgroup, needed, self.settings)?;
        }
        write_all(cgroup, self.settings.v2())
    }

    fn limit_v1(&self, cgroup: DirRef<'_>, controllers: Controllers) -> Result<()> {
        write_all(cgroup, self.settings.v1(controllers))?;
        match self.settings.v1_devices() {
            Some(policy) if controllers.contains(Controller::Devices) => devices::write_v1(cgroup, policy),
            _ => Ok(()),
        }
    }

    fn create_v1(&mut self, directory: &Path, controllers: Controllers) -> Result<()> {
        let existed = !self.created.create(directory)?;
        if existed {
            reject_used_v1(directory, controllers)?;
        }
        if controllers.contains(Controller::CpuSet) {
            cpuset::inherit(directory, existed)?;
        }
        if !self.settings.needs_v1(controllers) {
            self.join.add_file(open_file(directory, "tasks", libc::O_WRONLY)?);
            return Ok(());
        }
        let dir = Dir::open(directory)?;
        self.limit_v1(dir.at(), controllers)?;
        self.join.add_file(dir.at().require("tasks", libc::O_WRONLY)?);
        Ok(())
    }

    /// Returns whether the directory existed before.
    fn create_unified(&mut self, directory: &Path) -> Result<bool> {
        let mut reused = !self.created.create(directory)?;
        if reused {
            reject_used_v2(directory)?;
            // If the directory was ever killed by cgroup.kill, a process that is cloned into it dies. Replace it.
            if rmdir(directory).is_ok() && self.created.create(directory)? {
                reused = false;
            }
        }
        let dir = Dir::open(directory)?;
        if let Some(hierarchy) = self.layout.unified() {
            let wanted = match self.settings.root_controllers() {
                Some(known) => known,
                None if self.layout.is_unified() => self.layout.unified_controllers()?,
                None => Controllers::NONE,
            };
            subtree_control::enable(&hierarchy.mount, dir.at(), wanted, self.settings)?;
        }
        write_all(dir.at(), self.settings.v2())?;
        if let Some(policy) = self.settings.v2_devices() {
            if reused { devices::replace(dir.at(), policy)? } else { devices::attach(dir.at(), policy)? }
        }
        // If no task is allowed, nothing can be cloned into the cgroup, but processes can be moved there.
        let clone_into = !reused && !self.settings.forbids_tasks();
        self.join.add_unified(dir, clone_into)?;
        Ok(reused)
    }
}

/// Whether the caller may not write there.
fn is_denied(e: &Error) -> bool {
    matches!(e.errno(), Some(Errno::EACCES | Errno::EPERM | Errno::EROFS))
}

#[cfg(test)]
mod tests {
    use crate::bundle::spec::Resources;
    use crate::cgroup::testing::TempDir;
    use crate::cgroup::{Cgroup, CgroupOptions, CgroupPath, Join, Layout};
    use std::path::Path;

    fn fake(mounts: &[(&str, &str)]) -> (TempDir, Layout) {
        let dir = TempDir::new("make");
        let mut text = String::new();
        for (i, (mount, kind)) in mounts.iter().enumerate() {
            text.push_str(&["1".repeat(i + 2), format!(" 0 0:1 / {mount} rw - {kind}\n")].concat());
            std::fs::create_dir_all(dir.path().join(mount.trim_start_matches('/'))).unwrap();
        }
        std::fs::write(dir.path().join("mountinfo"), text).unwrap();
        let layout = Layout::detect_in(dir.path(), dir.path()).unwrap().unwrap();
        (dir, layout)
    }

    fn create(layout: &Layout) -> crate::Result<(Cgroup, Join)> {
        let options = CgroupOptions { device_filter: false, ..CgroupOptions::default() };
        Cgroup::create(layout, &CgroupPath::new("/a/b").unwrap(), &Resources::default(), &options)
    }

    #[test]
    fn a_failed_creation_leaves_no_new_directories() {
        // Only the directory in the first hierarchy gets a `tasks` file.
        let (dir, layout) = fake(&[("/cg/cpu", "cgroup x rw,cpu"), ("/cg/pids", "cgroup x rw,pids")]);
        let first = dir.path().join("cg/cpu/a/b");
        std::fs::create_dir_all(&first).unwrap();
        for file in ["tasks", "cgroup.procs"] {
            std::fs::write(first.join(file), "").unwrap();
        }
        let e = create(&layout).unwrap_err();
        assert!(e.to_string().contains("pids/a/b/tasks"), "{e}");
        assert!(!dir.path().join("cg/pids/a").exists());
        assert!(first.exists(), "a directory that existed before stays");
    }

    #[test]
    fn a_cgroup_with_processes_is_rejected() {
        let (dir, layout) = fake(&[("/cg/pids", "cgroup x rw,pids")]);
        let inner = dir.path().join("cg/pids/a/b/inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("cgroup.procs"), "7\n8\n").unwrap();
        std::fs::write(dir.path().join("cg/pids/a/b/cgroup.procs"), "").unwrap();
        let e = create(&layout).unwrap_err().to_string();
        assert!(e.contains("container's cgroup is not empty: 2 process(es) found"), "{e}");
    }

    #[test]
    fn a_new_cpuset_gets_the_cpus_of_its_ancestors() {
        let (dir, layout) = fake(&[("/cg/cpuset", "cgroup x rw,cpuset")]);
        let at = |path: &str| dir.path().join("cg/cpuset").join(path);
        let put = |directory: &Path, text: &str| {
            for file in ["cpuset.cpus", "cpuset.mems", "cgroup.procs", "tasks"] {
                std::fs::write(directory.join(file), if file.starts_with("cpuset") { text } else { "" })
                    .unwrap();
            }
        };
        put(&at(""), "0-3\n");
        std::fs::create_dir_all(at("a/b")).unwrap();
        put(&at("a"), "\n");
        put(&at("a/b"), "\n");
        let (cgroup, join) = create(&layout).unwrap();
        assert_eq!((join.files().len(), cgroup.record().v1[0].hierarchy.as_str()), (1, "cpuset"));
        for path in ["a/cpuset.cpus", "a/b/cpuset.mems"] {
            assert_eq!(std::fs::read_to_string(at(path)).unwrap(), "0-3", "{path}");
        }
    }
}
