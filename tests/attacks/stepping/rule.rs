//! The rule: no process that a container can see has the host's root, working directory, executable, writable
//! memory or descriptors, nor capabilities that the container's program does not get.

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::stat::Mode;
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The stub's executable file, as a link in /proc shows it.
const STUB: &str = "/memfd:orlop-init";
/// The memory with the plan; its first page is the control page.
const PLAN: &str = "/memfd:orlop-plan";

/// The address of that name.
const SEALED: u64 = 0x10_0000_0000;
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// What is known about the host, and what the inspected processes may have.
pub(crate) struct Rule {
    /// Device and inode of the containers' root directories.
    pub(crate) roots: Vec<(u64, u64)>,
    /// Device and inode of the standard descriptors that were passed.
    pub(crate) given: Vec<(u64, u64)>,
    /// Capabilities of the container's program.
    pub(crate) capabilities: u64,
    /// How often a process that requests a procfs was seen.
    pub(crate) helped: u64,
    /// The host's root is allowed: a `createContainer` hook runs before the root is changed.
    pub(crate) host_root: bool,
}

/// A breach by a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breach {
    /// It has something of the host.
    Held(String),
    /// It may do what the container's program may not.
    Power(u64),
}

/// A file's device and inode.
pub(crate) fn identity(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

/// A link in /proc, as text.
pub(crate) fn link(pid: i32, name: &str) -> String {
    let target = fs::read_link(format!("/proc/{pid}/{name}"));
    target.map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A line of /proc/N/status.
pub(crate) fn status(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Whether it executes the runtime's own stub.
pub(crate) fn is_stub(pid: i32) -> bool {
    link(pid, "exe").starts_with(STUB)
}

/// Whether two processes share one address space: kcmp(2) `KCMP_VM`.
pub(crate) fn shares_memory(one: i32, other: i32) -> bool {
    const KCMP_VM: i64 = 1;
    kit::sys::syscall(libc::SYS_kcmp, [one.into(), other.into(), KCMP_VM, 0, 0, 0]) == Ok(0)
}

/// The step of its plan that a stub is executing.
pub(crate) fn step(pid: i32) -> Option<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut fds = entries.flatten().map(|entry| entry.path());
    let plan = fds.find(|path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with(PLAN)))?;
    let mut words = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(&fs::File::open(plan).ok()?, &mut words, 0).ok()?;
    Some(u32::from_ne_bytes(words[4..].try_into().ok()?))
}

/// The mount that contains a path, by its number in mountinfo.
fn mount_of(path: &str) -> Option<u32> {
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    mount_in(&fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?)
}

fn mount_in(fdinfo: &str) -> Option<u32> {
    fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

impl Rule {
    /// All breaches by a process that is stopped.
    pub(crate) fn check(&mut self, pid: i32) -> BTreeSet<Breach> {
        let mut found = BTreeSet::new();
        let mounts = Mounts::of(pid);
        let helps = is_helper(pid);
        self.helped += u64::from(helps);
        if !self.host_root && !helps {
            self.root(pid, &mounts, &mut found);
        }
        self.executable(pid, &mounts, &mut found);
        self.descriptors(pid, &mounts, &mut found);
        memory(pid, &mut found);
        let held = |name| u64::from_str_radix(&status(pid, name), 16).unwrap_or(0);
        let allowed = if helps { self.capabilities | CAP_SYS_ADMIN } else { self.capabilities };
        let extra = (held("CapPrm") | held("CapEff")) & !allowed;
        if extra != 0 {
            found.insert(Breach::Power(extra));
        }
        found
    }

    fn root(&self, pid: i32, mounts: &Mounts, found: &mut BTreeSet<Breach>) {
        let root = format!("/proc/{pid}/root");
        let inside = identity(&root).is_some_and(|id| self.roots.contains(&id));
        if !inside || mounts.root.is_some_and(|id| mount_of(&root) != Some(id)) {
            found.insert(Breach::Held("root: the host's".into()));
        }
        // Its list of mounts shows what is below its root.
        let cwd = mount_of(&format!("/proc/{pid}/cwd"));
        if !inside || !cwd.is_some_and(|id| mounts.has(id)) {
            found.insert(Breach::Held(format!("working directory: {}", link(pid, "cwd"))));
        }
    }

    fn executable(&self, pid: i32, mounts: &Mounts, found: &mut BTreeSet<Breach>) {
        let (text, path) = (link(pid, "exe"), format!("/proc/{pid}/exe"));
        let sealed = || {
            let file = open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
            let seals = SealFlag::from_bits_truncate(fcntl(file.as_fd(), FcntlArg::F_GET_SEALS).ok()?);
            let all = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
            Some(seals.contains(all | SealFlag::F_SEAL_SEAL))
        };
        let of_container = || mount_of(&path).is_some_and(|id| mounts.has(id)) && !self.host_root;
        let good = if text.starts_with(STUB) { sealed() == Some(true) } else { of_container() };
        if !good && (!self.host_root || text.starts_with(STUB)) {
            found.insert(Breach::Held(format!("executable: {text}")));
        }
    }

    fn descriptors(&self, pid: i32, mounts: &Mounts, found: &mut BTreeSet<Breach>) {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let number = entry.file_name().to_string_lossy().into_owned();
            let text = link(pid, &format!("fd/{number}"));
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
            let good = match text.split([':', '[']).next().unwrap_or_default() {
                "socket" | "pipe" | "/memfd" => true,
                "anon_inode" => !text.contains("pidfd") || is_near(pid, &info),
                kind if text.starts_with(&format!("{kind}:[")) => {
                    link(std::process::id() as i32, &format!("ns/{kind}")) != text
                }
                _ => {
                    let own = mount_in(&info).is_some_and(|id| mounts.has(id)) && !self.host_root;
                    own || identity(entry.path()).is_some_and(|id| self.given.contains(&id))
                }
            };
            if !good && !self.host_root {
                found.insert(Breach::Held(format!("descriptor of the host: {text}")));
            }
        }
    }
}

/// Whether it is the process that requests a procfs on an older kernel: it has an empty root and one capability, it
/// is under a filter, and the name of the file system type cannot be changed, though all its other mappings can.
fn is_helper(pid: i32) -> bool {
    let capabilities = format!("{CAP_SYS_ADMIN:016x}");
    let empty = fs::read_dir(format!("/proc/{pid}/root")).is_ok_and(|mut entries| entries.next().is_none());
    let little = ["CapPrm", "CapEff"].iter().all(|name| status(pid, name) == capabilities);
    if !empty || !little || status(pid, "Seccomp") != "2" {
        return false;
    }
    let memory = fs::File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let first = |line: &str| u64::from_str_radix(line.split('-').next().unwrap_or_default(), 16).ok();
    let changes = |place: u64| {
        let mut byte = [0];
        memory.read_exact_at(&mut byte, place).is_ok() && memory.write_all_at(&byte, place).is_ok()
    };
    let mut name = [0; 5];
    let named = memory.read_exact_at(&mut name, SEALED).is_ok() && &name == b"proc\0";
    named && !changes(SEALED) && maps.lines().filter_map(first).any(changes)
}

/// Whether a pidfd refers to a process of the same pid namespace.
fn is_near(pid: i32, fdinfo: &str) -> bool {
    let number = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap_or("").trim();
    number.parse().is_ok_and(|other: i32| other <= 0 || link(other, "ns/pid") == link(pid, "ns/pid"))
}

/// Shared memory that can be written to: of the plan, the control page only.
fn memory(pid: i32, found: &mut BTreeSet<Breach>) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [range, permissions, offset, _, _, path @ ..] = &words[..] else { continue };
        if !(permissions.contains('w') && permissions.contains('s')) {
            continue;
        }
        let edge = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
        let length = range.split_once('-').map_or(0, |(from, to)| edge(to) - edge(from));
        let control = path.first().is_some_and(|path| path.starts_with(PLAN));
        if !(control && edge(offset) == 0 && length <= 1 << 16) {
            found.insert(Breach::Held(format!("shared writable memory: {}", path.join(" "))));
        }
    }
}

/// The mounts below a process's root.
struct Mounts {
    all: Vec<u32>,
    root: Option<u32>,
}

impl Mounts {
    fn of(pid: i32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        let parse = |line: &str| {
            let mut words = line.split(' ');
            Some((words.next()?.parse().ok()?, words.nth(3)? == "/"))
        };
        let all: Vec<(u32, bool)> = text.lines().filter_map(parse).collect();
        // The last one is on top.
        let root = all.iter().rev().find(|(_, root)| *root).map(|(id, _)| *id);
        let mut all: Vec<u32> = all.into_iter().map(|(id, _)| id).collect();
        // A root that is attached nowhere is in no list.
        all.extend(mount_of(&format!("/proc/{pid}/root")).filter(|_| root.is_none()));
        Self { all, root }
    }

    fn has(&self, id: u32) -> bool {
        self.all.contains(&id)
    }
}
