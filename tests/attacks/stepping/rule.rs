//! The rule of the house: no process that a container can see has the host's root, working directory, executable, writable
//! memory or descriptors, nor capabilities that the container's program does not get.

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const CAP_SYS_ADMIN: u64 = 1 << 21;
/// The stub's executable file, as a link of /proc says it.
const STUB: &str = "/memfd:orlop-init";
/// The memory with the plan; its first page is the control page.
const PLAN: &str = "/memfd:orlop-plan";

/// What is known of the host, and what the processes looked at may have.
pub(crate) struct Rule {
    /// Device and inode of the containers' root directories.
    pub(crate) roots: Vec<(u64, u64)>,
    /// Device and inode of the standard descriptors that were given.
    pub(crate) given: Vec<(u64, u64)>,
    /// Capabilities of the container's program.
    pub(crate) capabilities: u64,
    /// Capabilities with which a filter is loaded: until it is.
    pub(crate) loading: u64,
    /// On Linux before 6.18 a procfs of a joined pid namespace is made inside of it, by a process with an empty root and
    /// CAP_SYS_ADMIN (docs/SECURITY.md, the last exception of promise 3).
    pub(crate) procfs_inside: bool,
    /// The host's root is where it may be: a `createContainer` hook runs before the root is changed.
    pub(crate) host_root: bool,
}

/// What is wrong with a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breach {
    /// It has something of the host's.
    Held(String),
    /// It may do what the container's program may not.
    Power(u64),
}

/// A file's device and inode.
pub(crate) fn identity(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

/// A link of /proc, as text.
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

/// Whether it runs the runtime's own stub.
pub(crate) fn is_stub(pid: i32) -> bool {
    link(pid, "exe").starts_with(STUB)
}

/// Whether two processes have one memory: kcmp(2) `KCMP_VM`.
pub(crate) fn shares_memory(one: i32, other: i32) -> bool {
    const KCMP_VM: i64 = 1;
    kit::sys::syscall(libc::SYS_kcmp, [one.into(), other.into(), KCMP_VM, 0, 0, 0]) == Ok(0)
}

/// The step of its plan that a stub is at.
pub(crate) fn step(pid: i32) -> Option<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut fds = entries.flatten().map(|entry| entry.path());
    let plan = fds.find(|path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with(PLAN)))?;
    let mut words = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(&fs::File::open(plan).ok()?, &mut words, 0).ok()?;
    Some(u32::from_ne_bytes(words[4..].try_into().ok()?))
}

/// The mount in which a path lies, as numbers of mountinfo.
fn mount_of(path: &str) -> Option<u32> {
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    mount_in(&fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?)
}

fn mount_in(fdinfo: &str) -> Option<u32> {
    fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

impl Rule {
    /// Everything that is wrong with a process which stands still; whether it has loaded a filter just now.
    pub(crate) fn check(&self, pid: i32, loaded: bool) -> BTreeSet<Breach> {
        let mut found = BTreeSet::new();
        let mounts = Mounts::of(pid);
        let maker = self.procfs_inside && is_stub(pid) && has_empty_root(pid);
        if !self.host_root && !maker {
            self.root(pid, &mounts, &mut found);
        }
        self.executable(pid, &mounts, &mut found);
        self.descriptors(pid, &mounts, maker, &mut found);
        memory(pid, &mut found);
        let held = |name| u64::from_str_radix(&status(pid, name), 16).unwrap_or(0);
        let loading = if loaded || status(pid, "Seccomp") == "0" { self.loading } else { 0 };
        let making = if maker { CAP_SYS_ADMIN } else { 0 };
        let extra = (held("CapPrm") | held("CapEff")) & !(self.capabilities | loading | making);
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
        // What is below its root is what its own list of mounts shows.
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

    fn descriptors(&self, pid: i32, mounts: &Mounts, maker: bool, found: &mut BTreeSet<Breach>) {
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
                    let made =
                        || statfs(&entry.path()).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC);
                    own || maker && made()
                        || identity(entry.path()).is_some_and(|id| self.given.contains(&id))
                }
            };
            if !good && !self.host_root {
                found.insert(Breach::Held(format!("descriptor of the host: {text}")));
            }
        }
    }
}

fn has_empty_root(pid: i32) -> bool {
    fs::read_dir(format!("/proc/{pid}/root")).is_ok_and(|mut entries| entries.next().is_none())
}

/// Whether a pidfd stands for a process of the same pid namespace.
fn is_near(pid: i32, fdinfo: &str) -> bool {
    let number = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap_or("").trim();
    number.parse().is_ok_and(|other: i32| other <= 0 || link(other, "ns/pid") == link(pid, "ns/pid"))
}

/// Shared memory that can be written: of the plan, the control page alone.
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
        // The last one lies on top.
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
