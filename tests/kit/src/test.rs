//! What belongs to a single test.

use crate::runtime::{Runtime, under_test};
use crate::{Bundle, leak, within};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A test: its directory, state root, cgroup, and the containers that it has created.
pub struct Test {
    name: String,
    number: u32,
    dir: PathBuf,
    runtime: PathBuf,
    built: bool,
    bundles: AtomicU32,
    pub(crate) containers: Mutex<Vec<String>>,
    pub(crate) inits: Mutex<Vec<i32>>,
}

/// Why a test cannot run here: thrown by [`skip`], counted by the harness.
pub(crate) struct Skip(pub(crate) String);

/// Ends the test as skipped.
pub fn skip(why: impl Into<String>) -> ! {
    std::panic::resume_unwind(Box::new(Skip(why.into())))
}

impl Test {
    pub(crate) fn new(name: &str, built: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let dir = std::env::temp_dir().join(format!("orlop-test-{pid}")).join(number.to_string());
        fs::create_dir_all(dir.join("tmp")).unwrap();
        let runtime = under_test(built);
        let built = runtime == Path::new(built);
        let (containers, inits) = Default::default();
        Self {
            name: name.to_owned(),
            number,
            dir,
            runtime,
            built,
            bundles: AtomicU32::new(0),
            containers,
            inits,
        }
    }

    /// The test's directory; removed when the test ends.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The test's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program under test.
    pub fn program(&self) -> &Path {
        &self.runtime
    }

    /// The state root of every [`Runtime`] of this test.
    pub fn root(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// A container ID (and cgroup name) that nothing else uses.
    pub fn id(&self) -> String {
        let n = self.bundles.fetch_add(1, Ordering::Relaxed);
        format!("orlop-test-{}-{}-{n}", std::process::id(), self.number)
    }

    /// A bundle that runs the probe with the template's configuration.
    pub fn bundle(&self) -> Bundle<'_> {
        Bundle::new(self)
    }

    /// The runtime, with `--root`, an almost empty environment, and these arguments.
    pub fn runtime<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Runtime<'_> {
        Runtime::new(self, &self.runtime).root(&self.root()).args(args)
    }

    /// The runtime without `--root`.
    pub fn bare<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Runtime<'_> {
        Runtime::new(self, &self.runtime).args(args)
    }

    /// Registers a container that the test creates in another way: it is deleted at the end if the test did not
    /// delete it.
    pub fn adopt(&self, id: &str) {
        self.containers.lock().unwrap().push(id.to_owned());
    }

    /// Skips if another runtime is under test in place of this repository's.
    pub fn only_orlop(&self, why: &str) {
        if !self.built {
            skip(format!("{} is under test: {why}", self.runtime.display()));
        }
    }

    /// Whether the binary of this repository is under test.
    pub fn is_orlop(&self) -> bool {
        self.built
    }

    /// Skips unless this process has the capability of that number.
    pub fn needs_capability(&self, number: u32, name: &str) {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        if u64::from_str_radix(line.trim(), 16).unwrap() & (1 << number) == 0 {
            skip(format!("needs {name}"));
        }
    }

    /// Whether there is a v1 hierarchy with the controller.
    pub fn has_v1(&self, controller: &str) -> bool {
        leak::hierarchies().iter().any(|(_, controllers)| controllers.iter().any(|name| name == controller))
    }

    /// The directory of `cgroup` below a v1 controller; skips if there is no such hierarchy.
    pub fn v1(&self, controller: &str, cgroup: &str) -> PathBuf {
        let mut all = leak::hierarchies().into_iter();
        match all.find(|(_, controllers)| controllers.iter().any(|name| name == controller)) {
            Some((root, _)) => root.join(cgroup),
            None => skip(format!("no cgroup v1 hierarchy with {controller}")),
        }
    }

    /// The directory of `cgroup` in the cgroup2 hierarchy; skips if there is none.
    pub fn v2(&self, cgroup: &str) -> PathBuf {
        let mut all = leak::hierarchies().into_iter();
        match all.find(|(_, controllers)| controllers.is_empty()) {
            Some((root, _)) => root.join(cgroup),
            None => skip("no cgroup2 hierarchy"),
        }
    }

    /// Skips if neither a v1 hierarchy nor the unified one can restrict devices.
    pub fn needs_device_rules(&self) {
        let mut all = leak::hierarchies().into_iter();
        let rules =
            |controllers: &[String]| controllers.is_empty() || controllers.iter().any(|c| c == "devices");
        if !all.any(|(_, controllers)| rules(&controllers)) {
            skip("no cgroup hierarchy with device rules");
        }
    }

    /// Skips if no hierarchy, of either version, has the controller.
    pub fn needs_limits(&self, controller: &str) {
        let has = |(root, controllers): &(PathBuf, Vec<String>)| {
            let unified = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            controllers.iter().any(|c| c == controller) || unified.split_whitespace().any(|c| c == controller)
        };
        if !leak::hierarchies().iter().any(has) {
            skip(format!("no cgroup hierarchy with {controller}"));
        }
    }

    /// Skips if no hierarchy can freeze a container.
    pub fn needs_freezer(&self) {
        let freezes = |all: &[String]| all.is_empty() || all.iter().any(|c| c == "freezer");
        if !leak::hierarchies().iter().any(|(_, controllers)| freezes(controllers)) {
            skip("no cgroup hierarchy with a freezer");
        }
    }

    /// The processes in the container's cgroup, sorted.
    pub fn processes(&self, cgroup: &str) -> Vec<i32> {
        let directories = leak::hierarchies().into_iter().map(|(root, _)| root.join(cgroup));
        let lists = directories.filter_map(|dir| fs::read_to_string(dir.join("cgroup.procs")).ok());
        let mut all: Vec<i32> =
            lists.flat_map(|list| list.lines().filter_map(|n| n.parse().ok()).collect::<Vec<_>>()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Reads one value in the container's cgroup on v1.
    pub fn v1_value(&self, controller: &str, cgroup: &str, file: &str) -> String {
        let path = self.v1(controller, cgroup).join(file);
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// The directory of `cgroup` below a v1 controller, or in the cgroup2 hierarchy if there is no such controller;
    /// skips if there is neither.
    pub fn v1_or_v2(&self, controller: &str, cgroup: &str) -> PathBuf {
        if self.has_v1(controller) { self.v1(controller, cgroup) } else { self.v2(cgroup) }
    }

    /// The directories of `cgroup` in each hierarchy that has it.
    pub fn cgroup_directories(&self, cgroup: &str) -> Vec<PathBuf> {
        let all = leak::hierarchies().into_iter().map(|(root, _)| root.join(cgroup));
        all.filter(|directory| directory.is_dir()).collect()
    }

    /// Gives a new child cgroup the processors and memory nodes of its parent: a v1 cpuset cannot have processes
    /// before that. On v2 the files exist only if the parent has the controller enabled for it, and need no values.
    pub fn inherit_cpuset(child: &Path) {
        let parent = child.parent().unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"].into_iter().filter(|file| child.join(file).exists()) {
            let text = fs::read_to_string(parent.join(file)).unwrap();
            fs::write(child.join(file), text.trim()).unwrap();
        }
    }

    /// The content of the files with these names in the directories of `cgroup`, in each hierarchy that has them.
    pub fn cgroup_values(&self, cgroup: &str, files: &[&str]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (root, controllers) in leak::hierarchies() {
            for file in files {
                if let Ok(text) = fs::read_to_string(root.join(cgroup).join(file)) {
                    found.push((format!("{} {file}", controllers.join(",")), text.trim().to_owned()));
                }
            }
        }
        found
    }

    /// Removes the recorded output of the runtime so far: for tests with very many calls.
    pub fn forget_outputs(&self) {
        for name in entries(&self.dir) {
            if ["out-", "err-", "input-"].iter().any(|start| name.starts_with(start)) {
                let _ = fs::remove_file(self.dir.join(name));
            }
        }
    }

    /// Reaps every child of this process, which must have exited or be about to exit; describes the others. Only
    /// for a program whose children all belong to this test.
    pub fn children_left(&self) -> Vec<String> {
        let begun = Instant::now();
        self.inits.lock().unwrap().clear();
        loop {
            match crate::sys::reap_ended() {
                None => return Vec::new(),
                Some(true) => {}
                Some(false) if begun.elapsed() < within(Duration::from_secs(10)) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Some(false) => {
                    return leak::children()
                        .iter()
                        .map(|pid| format!("process {}", leak::describe(*pid)))
                        .collect();
                }
            }
        }
    }

    /// Waits until `ready` returns true, for at most ten seconds, or more on a slow machine.
    pub fn wait_for(&self, what: &str, mut ready: impl FnMut() -> bool) {
        let begun = Instant::now();
        let limit = within(Duration::from_secs(10));
        while !ready() {
            assert!(begun.elapsed() < limit, "{}: waited {limit:?} for {what}", self.name);
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// What is left of one container, now.
    pub fn leaks_of(&self, id: &str) -> Vec<String> {
        let mut left = leak::cgroups(id);
        left.extend(
            entries(&self.root()).into_iter().filter(|name| name == id).map(|n| format!("state {n}")),
        );
        left.extend(entries(&self.dir.join("tmp")).into_iter().map(|name| format!("temporary file {name}")));
        left
    }

    /// What is left of this test's containers, now.
    pub fn leaks(&self) -> Vec<String> {
        let prefix = format!("orlop-test-{}-{}-", std::process::id(), self.number);
        let mut left = leak::mounts_below(&self.dir);
        for n in 0..self.bundles.load(Ordering::Relaxed) {
            left.extend(leak::cgroups(&format!("{prefix}{n}")));
        }
        left.extend(
            entries(&self.root())
                .into_iter()
                .filter(|name| name.contains(&prefix))
                .map(|n| format!("state {n}")),
        );
        left.extend(entries(&self.dir.join("tmp")).into_iter().map(|name| format!("temporary file {name}")));
        left
    }

    /// Deletes what the test did not delete, and returns what the runtime has left nevertheless.
    pub(crate) fn finish(self) -> Vec<String> {
        for id in self.containers.lock().unwrap().clone() {
            if self.root().join(&id).exists() {
                let _ = self.runtime(["delete", "--force", &id]).try_run();
            }
        }
        for pid in self.inits.lock().unwrap().drain(..) {
            crate::sys::reap(pid, Duration::from_secs(5));
        }
        let left = self.leaks();
        for n in 0..self.bundles.load(Ordering::Relaxed) {
            leak::remove_cgroups(&format!("orlop-test-{}-{}-{n}", std::process::id(), self.number));
        }
        for line in leak::mounts_below(&self.dir).iter().rev() {
            if let Some(point) = line.split(' ').nth(5) {
                let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
            }
        }
        let _ = fs::remove_dir_all(&self.dir);
        left
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
