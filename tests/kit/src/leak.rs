//! What a run must not leave: processes, mounts, cgroups, state, temporary files.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The machine before the first test.
pub(crate) struct Watch {
    mounts: BTreeSet<String>,
    default_state: BTreeSet<String>,
    default_root: PathBuf,
    private: bool,
}

impl Watch {
    /// Moves this (still single-threaded) process into a mount namespace of its own, whose `/` is shared as on most
    /// hosts: a mount that propagates from a container is visible here and nowhere else. Orphans of containers
    /// become children of this process.
    pub(crate) fn begin(runtime: &Path) -> Self {
        let none = None::<&str>;
        let remake = |flags| mount(none, "/", none, flags | MsFlags::MS_REC, none);
        let private = unshare(CloneFlags::CLONE_NEWNS).is_ok()
            && remake(MsFlags::MS_PRIVATE).is_ok()
            && remake(MsFlags::MS_SHARED).is_ok();
        crate::sys::become_subreaper();
        let name = runtime.file_name().unwrap_or_default();
        let default_root = Path::new("/run").join(name);
        Self { mounts: mounts(), default_state: names(&default_root), default_root, private }
    }

    /// Everything that exists now and did not before.
    pub(crate) fn end(self) -> Vec<String> {
        // A killed orphan of a container without a pid namespace is reaped here, and is not a leak. Neither is a
        // child of a killed command, nor a helper that a failed criu has left, perhaps under the name of its
        // dynamic loader.
        let lives = |pid: &i32| {
            let known = [" probe (", " criu (", " ld-linux-x86-64 (", " memfd:orlop-ini ("];
            let text = describe(*pid);
            let ours = known.iter().any(|name| text.contains(name));
            !(ours && crate::sys::reap(*pid, Duration::from_secs(1)).is_some())
        };
        let mut left: Vec<String> =
            children().into_iter().filter(lives).map(|pid| format!("process {}", describe(pid))).collect();
        if self.private {
            let now = mounts();
            left.extend(now.difference(&self.mounts).map(|line| format!("mount {line}")));
            left.extend(self.mounts.difference(&now).map(|line| format!("missing mount {line}")));
        }
        let mark = format!("orlop-test-{}-", std::process::id());
        for name in names(&self.default_root).difference(&self.default_state) {
            if name.contains(&mark) {
                left.push(format!("state {}/{name}", self.default_root.display()));
            }
        }
        let pid = std::process::id();
        let base = std::env::temp_dir().join(format!("orlop-test-{pid}"));
        let _ = fs::remove_file(base.join("probe"));
        if fs::remove_dir(&base).is_err() && base.exists() {
            left.extend(names(&base).iter().map(|name| format!("file {}/{name}", base.display())));
            let _ = fs::remove_dir_all(&base);
        }
        left
    }
}

/// The mount table without the numbers that change on their own.
fn mounts() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().map(str::to_owned).collect()
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Processes whose parent is this one.
pub(crate) fn children() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

pub(crate) fn describe(pid: i32) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status = read("status");
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned();
    format!("{pid} {} ({}) {}", field("Name:"), field("State:"), read("cmdline").replace('\0', " "))
}

/// The mount point of each cgroup hierarchy, with its v1 controllers (none for v2).
pub(crate) fn hierarchies() -> Vec<(PathBuf, Vec<String>)> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found = Vec::new();
    for line in table.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), mut right) = (left.split(' ').nth(4), right.split(' ')) else { continue };
        let controllers = match right.next() {
            Some("cgroup") => right.nth(1).unwrap_or("").split(',').map(str::to_owned).collect(),
            Some("cgroup2") => Vec::new(),
            _ => continue,
        };
        found.push((PathBuf::from(point), controllers));
    }
    found
}

/// The cgroups of this name in any hierarchy, with the processes in them.
pub(crate) fn cgroups(name: &str) -> Vec<String> {
    if !name.starts_with("orlop-test-") {
        return Vec::new(); // An ID that a test chose; its bundle has its own cgroup.
    }
    let dirs = hierarchies().into_iter().map(|(root, _)| root.join(name)).filter(|dir| dir.exists());
    let procs =
        |dir: &Path| fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().replace('\n', " ");
    dirs.map(|dir| format!("cgroup {} [{}]", dir.display(), procs(&dir).trim())).collect()
}

/// Kills the processes in the cgroup and removes it: clean-up of a test that has failed already.
pub(crate) fn remove_cgroups(name: &str) {
    assert!(name.starts_with("orlop-test-"), "{name} does not belong to the tests");
    for dir in hierarchies().into_iter().map(|(root, _)| root.join(name)).filter(|dir| dir.exists()) {
        // Empty cgroups of any depth: find(1) does not use whole paths.
        let _ = std::process::Command::new("find")
            .arg(&dir)
            .args(["-depth", "-type", "d", "-delete"])
            .stderr(std::process::Stdio::null())
            .status();
        remove_tree(&dir);
    }
}

fn remove_tree(dir: &Path) {
    // Names may be arbitrary bytes.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::write(dir.join("freezer.state"), "THAWED");
    for _ in 0..200 {
        for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
            crate::sys::kill(pid.parse().unwrap_or(i32::MAX), libc::SIGKILL);
        }
        match fs::remove_dir(dir) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            _ => return,
        }
    }
}

/// Mounts of this namespace below `dir`.
pub(crate) fn mounts_below(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    mounts().into_iter().filter(|line| line.contains(&*dir)).map(|line| format!("mount {line}")).collect()
}
