//! Making a cgroup's directories with their limits: all of it, or nothing.

use super::controller::{Controller, Controllers};
use super::create::Options;
use super::dir::{Dir, DirRef, failed, is_elsewhere, mkdir, open_file, rmdir};
use super::join::Join;
use super::layout::Layout;
use super::record::Record;
use super::settings::{Settings, Side, apply};
use super::{devices, procs, unified};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::path::{Path, PathBuf};

const POINTER: &str = "/linux/cgroupsPath";

/// The files of a cpuset that may not be empty.
const FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Makes what `record` names; what it is then really made of, and how to get in.
pub(super) fn make(
    layout: &Layout,
    record: Record,
    settings: &Settings,
    options: &Options,
) -> Result<(Record, Join)> {
    let mut maker = Maker { layout, settings, options, made: Vec::new(), join: Join::default() };
    match maker.all(record) {
        Ok(record) => Ok((record, maker.join)),
        Err(e) => Err(maker.undo(e)),
    }
}

/// Finishes a cgroup that another manager has made around a process: the limits which that one knows
/// nothing of, and the hierarchies where it has made none.
pub(super) fn adopt(
    layout: &Layout,
    record: &Record,
    settings: &Settings,
    options: &Options,
    pid: i32,
) -> Result<()> {
    let mut maker = Maker { layout, settings, options, made: Vec::new(), join: Join::default() };
    maker.adopt(record, pid).map_err(|e| maker.undo(e))
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

    /// Removes what was created, in reverse order. Returns the original error.
    fn undo(&mut self, error: Error) -> Error {
        let mut left = Vec::new();
        for directory in self.made.drain(..).rev() {
            match rmdir(&directory) {
                Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => {}
                Err(e) => left.push(format!("{} ({})", directory.display(), e.desc())),
            }
        }
        if left.is_empty() { error } else { error.with_hint(format!("left behind: {}", left.join(", "))) }
    }

    fn adopt(&mut self, record: &Record, pid: i32) -> Result<()> {
        for place in &record.v1 {
            let (directory, controllers) = (&place.directory, place.controllers());
            let existed = !self.directory(directory)?;
            if controllers.contains(Controller::CpuSet) {
                inherit_cpuset(directory, existed)?;
            }
            let dir = Dir::open(directory)?;
            self.limit_v1(dir.at(), controllers)?;
            dir.at().set("cgroup.procs", pid.to_string().as_bytes())?;
        }
        let Some(directory) = &record.unified else { return Ok(()) };
        let dir = Dir::open(directory)?;
        match self.limit_adopted(dir.at()) {
            // systemd, when it is reloaded, takes the controllers that it does not know from its slices: once more.
            Err(e) if e.errno() == Some(Errno::ENOENT) => self.limit_adopted(dir.at())?,
            other => other?,
        }
        if self.settings.devices_on == Some(Side::V2)
            && let Some(policy) = self.settings.devices()
        {
            devices::attach(dir.at(), policy)?;
        }
        Ok(())
    }

    /// The limits of a cgroup2 cgroup which somebody else has made.
    fn limit_adopted(&self, cgroup: DirRef<'_>) -> Result<()> {
        let needed = self.settings.unified_controllers();
        if let Some(hierarchy) = self.layout.unified()
            && !needed.is_empty()
        {
            unified::enable(&hierarchy.mount, cgroup, needed, self.settings)?;
        }
        apply::write_all(cgroup, self.settings.v2())
    }

    /// Whether [`Maker::limit_v1`] has anything to write.
    fn limits_v1(&self, controllers: Controllers) -> bool {
        self.settings.v1(controllers).next().is_some()
            || (controllers.contains(Controller::Devices) && self.settings.devices_on == Some(Side::V1))
    }

    fn limit_v1(&self, cgroup: DirRef<'_>, controllers: Controllers) -> Result<()> {
        apply::write_all(cgroup, self.settings.v1(controllers))?;
        if controllers.contains(Controller::Devices)
            && self.settings.devices_on == Some(Side::V1)
            && let Some(policy) = self.settings.devices()
        {
            devices::apply_v1(cgroup, policy)?;
        }
        Ok(())
    }

    fn may_skip(&self, e: &Error) -> bool {
        self.options.optional && matches!(e.errno(), Some(Errno::EACCES | Errno::EPERM | Errno::EROFS))
    }

    fn v1(&mut self, directory: &Path, controllers: Controllers) -> Result<()> {
        let existed = !self.directory(directory)?;
        if existed {
            refuse_used_v1(directory, controllers)?;
        }
        if controllers.contains(Controller::CpuSet) {
            inherit_cpuset(directory, existed)?;
        }
        if !self.limits_v1(controllers) {
            self.join.files.push(open_file(directory, "tasks", libc::O_WRONLY)?);
            return Ok(());
        }
        let dir = Dir::open(directory)?;
        self.limit_v1(dir.at(), controllers)?;
        self.join.files.push(dir.at().require("tasks", libc::O_WRONLY)?);
        Ok(())
    }

    /// Whether the directory was there before.
    fn unified(&mut self, directory: &Path) -> Result<bool> {
        let mut reused = !self.directory(directory)?;
        if reused {
            refuse_used_v2(directory)?;
            // A cgroup that was killed once would kill what is cloned into it: a new one is not.
            if rmdir(directory).is_ok() && self.directory(directory)? {
                reused = false;
            }
        }
        let dir = Dir::open(directory)?;
        if let Some(hierarchy) = self.layout.unified() {
            let wanted = match self.settings.available {
                Some(known) => known,
                None if self.layout.is_unified() => self.layout.unified_controllers()?,
                None => Controllers::NONE,
            };
            unified::enable(&hierarchy.mount, dir.at(), wanted, self.settings)?;
        }
        apply::write_all(dir.at(), self.settings.v2())?;
        if self.settings.devices_on == Some(Side::V2)
            && let Some(policy) = self.settings.devices()
        {
            if reused { devices::replace(dir.at(), policy)? } else { devices::attach(dir.at(), policy)? }
        }
        // With no task allowed nothing can be cloned into the cgroup, but it can be joined.
        let clone_into = !reused && !self.settings.no_tasks;
        self.join.unified(dir, clone_into)?;
        Ok(reused)
    }

    /// Makes a directory, and parents where they are missing; `false` if it was there.
    fn directory(&mut self, directory: &Path) -> Result<bool> {
        let mut missing = vec![directory];
        let mut new = false;
        // A bound in case another process keeps removing them.
        let mut tries = 2 * directory.components().count();
        while let Some(&next) = missing.last() {
            match mkdir(next) {
                Ok(()) => {
                    self.made.push(next.to_owned());
                    new = true;
                    missing.pop();
                }
                Err(Errno::EEXIST) => {
                    new = false;
                    missing.pop();
                }
                Err(Errno::ENOENT) if tries > 0 => {
                    tries -= 1;
                    match next.parent().filter(|parent| parent.parent().is_some()) {
                        Some(parent) => missing.push(parent),
                        None => return Err(mkdir_failed(next, Errno::ENOENT)),
                    }
                }
                Err(e) => return Err(mkdir_failed(next, e)),
            }
        }
        Ok(new)
    }
}

fn mkdir_failed(directory: &Path, errno: Errno) -> Error {
    let error = failed("mkdir", directory, "", errno).with_pointer(POINTER);
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
    let pids = procs::tree(directory)?;
    if !pids.is_empty() {
        return Err(not_empty(directory, pids.len()));
    }
    if controllers.contains(Controller::Freezer)
        && Dir::open(directory)?.at().text("freezer.state")?.is_some_and(|s| s.trim() != "THAWED")
    {
        return Err(frozen(directory));
    }
    Ok(())
}

fn refuse_used_v2(directory: &Path) -> Result<()> {
    let dir = Dir::open(directory)?;
    let events = dir.at().text("cgroup.events")?.unwrap_or_default();
    if events.lines().any(|l| l == "populated 1") {
        return Err(not_empty(directory, procs::tree(directory)?.len()));
    }
    if events.lines().any(|l| l == "frozen 1") {
        return Err(frozen(directory));
    }
    let asked = dir.at().text("cgroup.freeze")?;
    if asked.is_some_and(|s| s.trim() == "1") { Err(frozen(directory)) } else { Ok(()) }
}

/// A cpuset without CPUs or memory nodes admits no process: it takes the parent's, and an empty parent takes its own
/// parent's first. Each directory is opened once, for both files.
fn inherit_cpuset(directory: &Path, existed: bool) -> Result<()> {
    let mut lineage = Vec::new();
    let mut open = [true; 2];
    let mut found: [Option<Vec<u8>>; 2] = [None, None];
    for at in directory.ancestors() {
        let dir = match Dir::open(at) {
            Ok(dir) => dir,
            Err(e) if is_elsewhere(&e) && at != directory => break, // Above the root of the hierarchy.
            Err(e) => return Err(e),
        };
        let look = existed || at != directory;
        let mut without = [false; 2];
        for (i, name) in FILES.into_iter().enumerate() {
            if !open[i] {
                continue;
            }
            match if look { dir.at().read(name) } else { Ok(Vec::new()) } {
                Ok(value) if value.trim_ascii().is_empty() => without[i] = true,
                Ok(value) => (found[i], open[i]) = (Some(value), false),
                Err(Errno::ENOENT) => open[i] = false, // The parent of the mount point.
                Err(e) => return Err(dir.at().failed("read", name, e)),
            }
        }
        lineage.push((dir, without));
        if open == [false; 2] {
            break;
        }
    }
    for (dir, without) in lineage.into_iter().rev() {
        for (i, name) in FILES.into_iter().enumerate().filter(|(i, _)| without[*i]) {
            if let Some(value) = &found[i] {
                let set = dir.at().set(name, value.trim_ascii());
                set.map_err(|e| e.with_pointer("/linux/resources/cpu"))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::bundle::spec::Resources;
    use crate::cgroup::testing::TempDir;
    use crate::cgroup::{Cgroup, CgroupPath, Layout, Options};
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

    fn create(layout: &Layout) -> crate::Result<(Cgroup, super::Join)> {
        let options = Options { device_filter: false, ..Options::default() };
        Cgroup::create(layout, &CgroupPath::new("/a/b").unwrap(), &Resources::default(), &options)
    }

    #[test]
    fn a_failure_half_way_leaves_nothing() {
        // An ordinary directory has no `tasks`: the first hierarchy is prepared to have one.
        let (dir, layout) = fake(&[("/cg/cpu", "cgroup x rw,cpu"), ("/cg/pids", "cgroup x rw,pids")]);
        let first = dir.path().join("cg/cpu/a/b");
        std::fs::create_dir_all(&first).unwrap();
        for file in ["tasks", "cgroup.procs"] {
            std::fs::write(first.join(file), "").unwrap();
        }
        let e = create(&layout).unwrap_err();
        assert!(e.to_string().contains("pids/a/b/tasks"), "{e}");
        assert!(!dir.path().join("cg/pids/a").exists());
        assert!(first.exists(), "what was there before stays");
    }

    #[test]
    fn a_used_cgroup_is_refused() {
        let (dir, layout) = fake(&[("/cg/pids", "cgroup x rw,pids")]);
        let inner = dir.path().join("cg/pids/a/b/inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("cgroup.procs"), "7\n8\n").unwrap();
        std::fs::write(dir.path().join("cg/pids/a/b/cgroup.procs"), "").unwrap();
        let e = create(&layout).unwrap_err().to_string();
        assert!(e.contains("container's cgroup is not empty: 2 process(es) found"), "{e}");
    }

    #[test]
    fn a_new_cpuset_has_its_parents_cpus() {
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
