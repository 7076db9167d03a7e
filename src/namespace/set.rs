//! A set of namespaces to create or join.

use super::{IdMap, IdMaps, NamespaceKind};
use crate::bundle::spec::{IdMapping, Linux};
use crate::sys::{fs, userns};
use crate::{Error, ErrorKind, Phase, Problem, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Where a namespace comes from.
#[derive(Debug)]
pub enum NamespaceSource {
    /// It is made.
    New,
    /// It is the one behind this file (`/proc/<pid>/ns/net`, a bind mount of it), an absolute path.
    Path(PathBuf),
    /// It is the one of this process.
    Pidfd(OwnedFd),
}

/// A clock which a time namespace can shift; time_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC` and its kin.
    Monotonic,
    /// `CLOCK_BOOTTIME` and its kin.
    Boottime,
}

impl Clock {
    /// Its name in the runtime-spec and in `timens_offsets`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monotonic => "monotonic",
            Self::Boottime => "boottime",
        }
    }
}

/// The shift of one clock in a new time namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    /// Which clock.
    pub clock: Clock,
    /// Seconds.
    pub secs: i64,
    /// Nanoseconds, below a second, always forward.
    pub nanosecs: u32,
}

/// A namespace that was opened in order to be joined.
#[derive(Debug)]
pub struct OpenNamespace {
    /// Its kind.
    pub kind: NamespaceKind,
    /// A namespace file, or a pidfd: setns(2) with the kind's flag takes both.
    pub fd: OwnedFd,
    /// The JSON pointer of the entry; empty where the set was not read from one.
    pub pointer: String,
}

#[derive(Debug)]
struct Entry {
    kind: NamespaceKind,
    source: NamespaceSource,
    pointer: String,
}

/// Namespaces to create or to join, at most one of each kind; kinds which are not in the set are those
/// of the caller.
#[derive(Debug, Default)]
pub struct Namespaces {
    entries: Vec<Entry>,
    maps: IdMaps,
    time_offsets: Vec<TimeOffset>,
}

impl Namespaces {
    /// The empty set: every namespace is the caller's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a new namespace; takes the place of an entry of the same kind.
    #[must_use]
    pub fn create(self, kind: NamespaceKind) -> Self {
        self.put(kind, NamespaceSource::New)
    }

    /// Adds the namespace behind a file, an absolute path.
    #[must_use]
    pub fn join(self, kind: NamespaceKind, path: impl Into<PathBuf>) -> Self {
        self.put(kind, NamespaceSource::Path(path.into()))
    }

    /// Adds the namespace of a process.
    #[must_use]
    pub fn join_process(self, kind: NamespaceKind, pidfd: OwnedFd) -> Self {
        self.put(kind, NamespaceSource::Pidfd(pidfd))
    }

    /// Adds a range of user ids of a new user namespace.
    #[must_use]
    pub fn uid_map(mut self, map: IdMap) -> Self {
        self.maps.uids.push(map);
        self
    }

    /// Adds a range of group ids of a new user namespace.
    #[must_use]
    pub fn gid_map(mut self, map: IdMap) -> Self {
        self.maps.gids.push(map);
        self
    }

    /// Shifts a clock of a new time namespace.
    #[must_use]
    pub fn time_offset(mut self, clock: Clock, secs: i64, nanosecs: u32) -> Self {
        self.time_offsets.retain(|o| o.clock != clock);
        self.time_offsets.push(TimeOffset { clock, secs, nanosecs });
        self
    }

    fn put(mut self, kind: NamespaceKind, source: NamespaceSource) -> Self {
        self.entries.retain(|e| e.kind != kind);
        self.entries.push(Entry { kind, source, pointer: String::new() });
        self
    }

    /// Reads the namespaces, id maps and time offsets of a bundle. Nothing is opened yet.
    ///
    /// # Errors
    /// Unknown and repeated kinds, relative paths, id maps without a user namespace, a new user
    /// namespace without maps, offsets without a new time namespace or of unknown clocks.
    pub fn from_spec(linux: &Linux, at: &str) -> std::result::Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut set = Self::new();
        for (i, namespace) in linux.namespaces.iter().enumerate() {
            let pointer = format!("{at}/namespaces/{i}");
            let mut wrong = |field: &str, message: String| {
                problems.push(problem(format!("{pointer}/{field}"), message, "config-linux.md#namespaces"));
            };
            let Some(kind) = NamespaceKind::from_name(&namespace.kind) else {
                wrong("type", format!("unknown namespace {:?}", namespace.kind));
                continue;
            };
            if set.has(kind) {
                wrong("type", format!("namespace {kind} is listed twice"));
                continue;
            }
            let source = match namespace.path.as_deref() {
                None | Some("") => NamespaceSource::New,
                Some(path) => {
                    if !path.starts_with('/') {
                        wrong("path", format!("{path:?} is not an absolute path"));
                    }
                    NamespaceSource::Path(path.into())
                }
            };
            set.entries.push(Entry { kind, source, pointer });
        }
        set.maps.uids = linux.uid_mappings.iter().map(IdMap::from).collect();
        set.maps.gids = linux.gid_mappings.iter().map(IdMap::from).collect();
        set.check_maps(at, &mut problems);
        set.read_offsets(linux, at, &mut problems);
        if problems.is_empty() { Ok(set) } else { Err(problems) }
    }

    fn check_maps(&self, at: &str, problems: &mut Vec<Problem>) {
        const SECTION: &str = "config-linux.md#user-namespace-mappings";
        let new_user = self.is_new(NamespaceKind::User);
        for (name, maps) in [("uidMappings", &self.maps.uids), ("gidMappings", &self.maps.gids)] {
            let at = format!("{at}/{name}");
            if new_user && maps.is_empty() {
                problems.push(problem(at, "a new user namespace needs at least one range", SECTION));
            } else if !self.has(NamespaceKind::User) && !maps.is_empty() {
                problems.push(problem(at, "there is no user namespace", SECTION));
            } else if let Some((i, message)) = super::id_map::check(maps) {
                problems.push(problem(format!("{at}/{i}"), message, SECTION));
            }
        }
    }

    fn read_offsets(&mut self, linux: &Linux, at: &str, problems: &mut Vec<Problem>) {
        const SECTION: &str = "config-linux.md#offset-for-time-namespace";
        let at = format!("{at}/timeOffsets");
        if !linux.time_offsets.is_empty() && !self.is_new(NamespaceKind::Time) {
            problems.push(problem(at.clone(), "there is no new time namespace", SECTION));
        }
        for (name, offset) in &linux.time_offsets {
            let clock = match name.as_str() {
                "monotonic" => Clock::Monotonic,
                "boottime" => Clock::Boottime,
                _ => {
                    let message = format!("unknown clock {name:?}; monotonic and boottime are known");
                    problems.push(problem(format!("{at}/{name}"), message, SECTION));
                    continue;
                }
            };
            let nanosecs = offset.nanosecs.unwrap_or(0);
            if nanosecs > 999_999_999 {
                let message = format!("{nanosecs} is a second or more");
                problems.push(problem(format!("{at}/{name}/nanosecs"), message, SECTION));
            }
            self.time_offsets.push(TimeOffset { clock, secs: offset.secs.unwrap_or(0), nanosecs });
        }
    }

    /// Whether the set has an entry of this kind.
    pub fn has(&self, kind: NamespaceKind) -> bool {
        self.entry(kind).is_some()
    }

    /// Where the namespace of this kind comes from; `None` where it is the caller's.
    pub fn source(&self, kind: NamespaceKind) -> Option<&NamespaceSource> {
        self.entry(kind).map(|e| &e.source)
    }

    /// Whether a namespace of this kind is made.
    pub fn is_new(&self, kind: NamespaceKind) -> bool {
        self.entry(kind).is_some_and(|e| matches!(e.source, NamespaceSource::New))
    }

    /// The JSON pointer of the entry of this kind.
    pub fn pointer(&self, kind: NamespaceKind) -> Option<&str> {
        self.entry(kind).map(|e| e.pointer.as_str())
    }

    fn entry(&self, kind: NamespaceKind) -> Option<&Entry> {
        self.entries.iter().find(|e| e.kind == kind)
    }

    /// `CLONE_NEW*` of all namespaces to make.
    pub fn new_flags(&self) -> u64 {
        self.entries.iter().filter(|e| matches!(e.source, NamespaceSource::New)).map(|e| e.kind.flag()).sum()
    }

    /// The entries to join with their sources, in the order of [`open`](Self::open).
    pub fn joined(&self) -> impl Iterator<Item = (NamespaceKind, &NamespaceSource)> {
        const ORDER: [NamespaceKind; 8] = [
            NamespaceKind::Cgroup,
            NamespaceKind::Ipc,
            NamespaceKind::Uts,
            NamespaceKind::Network,
            NamespaceKind::Pid,
            NamespaceKind::Time,
            NamespaceKind::Mount,
            NamespaceKind::User,
        ];
        ORDER
            .into_iter()
            .filter_map(|kind| self.entry(kind))
            .filter(|e| !matches!(e.source, NamespaceSource::New))
            .map(|e| (e.kind, &e.source))
    }

    /// Opens every namespace to join and checks that it is of its kind.
    ///
    /// The order is one in which a privileged caller can join them: mount after all that is found by path,
    /// and user last, since joining it gives up the caller's own capabilities. (An unprivileged caller joins
    /// user first.)
    ///
    /// # Errors
    /// A file which does not exist, is no namespace, or is one of another kind; with the JSON pointer.
    pub fn open(&self) -> Result<Vec<OpenNamespace>> {
        self.joined().map(|(kind, source)| self.open_one(kind, source)).collect()
    }

    fn open_one(&self, kind: NamespaceKind, source: &NamespaceSource) -> Result<OpenNamespace> {
        let pointer = self.pointer(kind).unwrap_or_default().to_owned();
        let fd = match source {
            NamespaceSource::New => {
                return Err(Error::sys(Phase::Namespace, "open a namespace", Errno::EINVAL));
            }
            NamespaceSource::Pidfd(fd) => duplicate(fd.as_fd())
                .map_err(|e| Error::sys(Phase::Namespace, "duplicate a pidfd", e).on(kind.name()))?,
            NamespaceSource::Path(path) => {
                let at = |e: Error| {
                    let e = e.on(path.display().to_string());
                    if pointer.is_empty() { e } else { e.with_pointer(format!("{pointer}/path")) }
                };
                let name =
                    fs::cstring(path).map_err(|e| at(Error::sys(Phase::Namespace, "open namespace", e)))?;
                if !path.is_absolute() {
                    let e = Error::new(ErrorKind::InvalidArgument, Phase::Namespace, "open namespace");
                    return Err(at(e.with_detail("not an absolute path")));
                }
                // A FIFO or a device must not stop us: O_NONBLOCK means nothing to a namespace file.
                let fd = fs::openat(fs::cwd(), &name, libc::O_RDONLY | libc::O_NONBLOCK, 0)
                    .map_err(|e| at(Error::sys(Phase::Namespace, "open namespace", e)))?;
                check_kind(&fd, kind).map_err(at)?;
                fd
            }
        };
        Ok(OpenNamespace { kind, fd, pointer })
    }

    /// The id maps: of a new user namespace those to write; of a joined one those which it is expected to
    /// have (managers repeat them), where there are any: see [`IdMaps::same_as`].
    pub fn id_maps(&self) -> &IdMaps {
        &self.maps
    }

    /// The shifts of clocks of a new time namespace.
    pub fn time_offsets(&self) -> &[TimeOffset] {
        &self.time_offsets
    }

    /// What to write to `/proc/<pid>/timens_offsets` before anything has entered the new time
    /// namespace; empty where there is nothing to write.
    pub fn time_offsets_text(&self) -> String {
        let line = |o: &TimeOffset| format!("{} {} {}\n", o.clock.name(), o.secs, o.nanosecs);
        self.time_offsets.iter().map(line).collect()
    }
}

/// Whether an opened namespace is the caller's own, or that of the first process that it sees.
///
/// # Errors
/// That the caller's own cannot be looked at.
pub(crate) fn is_of_host(kind: NamespaceKind, namespace: impl AsFd) -> Result<bool> {
    let failed = |e| Error::sys(Phase::Namespace, "look at namespace", e).on(kind.name());
    let identity = |stat: nix::sys::stat::FileStat| (stat.st_dev, stat.st_ino);
    let theirs = nix::sys::stat::fstat(namespace).map(identity).map_err(failed)?;
    let of = |process: &str| {
        let path = format!("/proc/{process}/ns/{}", kind.file());
        nix::sys::stat::stat(path.as_str()).map(identity)
    };
    if of("self").map_err(failed)? == theirs {
        return Ok(true);
    }
    match of("1") {
        Ok(first) => Ok(first == theirs),
        // Another user's process, or one that is hidden.
        Err(Errno::EACCES | Errno::ENOENT | Errno::EPERM) => Ok(false),
        Err(e) => Err(failed(e)),
    }
}

fn check_kind(fd: &OwnedFd, kind: NamespaceKind) -> Result<()> {
    let found = userns::namespace_type(fd);
    if found == Ok(kind.flag() as i32) {
        return Ok(());
    }
    let detail = match found {
        Ok(flag) => match NamespaceKind::from_flag(flag as u64) {
            Some(other) => format!("is a {other} namespace, not a {kind} namespace"),
            None => format!("is not a {kind} namespace"),
        },
        Err(_) => "is not a namespace file".to_owned(),
    };
    Err(Error::new(ErrorKind::InvalidConfig, Phase::Namespace, "open namespace").with_detail(detail))
}

fn duplicate(fd: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Errno> {
    fd.try_clone_to_owned().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EBADF)))
}

fn problem(pointer: String, message: impl Into<String>, section: &'static str) -> Problem {
    Problem { pointer, message: message.into(), section }
}

impl From<&IdMapping> for IdMap {
    fn from(m: &IdMapping) -> Self {
        Self { container: m.container_id, host: m.host_id, size: m.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::spec::{self, Namespace};

    fn linux(namespaces: &[(&str, Option<&str>)]) -> Linux {
        let of = |(kind, path): &(&str, Option<&str>)| Namespace {
            kind: (*kind).to_owned(),
            path: path.map(str::to_owned),
        };
        Linux { namespaces: namespaces.iter().map(of).collect(), ..Linux::default() }
    }

    fn pointers(linux: &Linux) -> Vec<String> {
        Namespaces::from_spec(linux, "/linux").unwrap_err().into_iter().map(|p| p.pointer).collect()
    }

    #[test]
    fn new_and_joined() {
        let set = Namespaces::from_spec(
            &linux(&[
                ("pid", None),
                ("mount", None),
                ("network", Some("/proc/self/ns/net")),
                ("ipc", Some("")),
            ]),
            "/linux",
        )
        .unwrap();
        assert_eq!(
            set.new_flags(),
            NamespaceKind::Pid.flag() | NamespaceKind::Mount.flag() | NamespaceKind::Ipc.flag()
        );
        let joined = set.open().unwrap();
        assert_eq!((joined.len(), joined[0].kind), (1, NamespaceKind::Network));
        assert_eq!(joined[0].pointer, "/linux/namespaces/2");
        assert!(
            set.is_new(NamespaceKind::Pid)
                && !set.is_new(NamespaceKind::Network)
                && !set.has(NamespaceKind::Uts)
        );
    }

    #[test]
    fn rules_of_the_spec() {
        assert_eq!(pointers(&linux(&[("pid", None), ("pid", None)])), ["/linux/namespaces/1/type"]);
        assert_eq!(pointers(&linux(&[("x", None)])), ["/linux/namespaces/0/type"]);
        assert_eq!(pointers(&linux(&[("pid", Some("ns/pid"))])), ["/linux/namespaces/0/path"]);
        assert_eq!(pointers(&linux(&[("user", None)])), ["/linux/uidMappings", "/linux/gidMappings"]);
        let mut maps = linux(&[]);
        maps.uid_mappings.push(spec::IdMapping { container_id: 0, host_id: 1, size: 1 });
        assert_eq!(pointers(&maps), ["/linux/uidMappings"]);
        maps.namespaces.push(Namespace { kind: "user".into(), path: Some("/proc/1/ns/user".into()) });
        assert!(Namespaces::from_spec(&maps, "/linux").is_ok(), "a joined one may say which maps it has");
        let mut time = linux(&[]);
        let offset = spec::TimeOffset { secs: Some(-5), nanosecs: Some(1_000_000_000) };
        time.time_offsets.insert("boottime".into(), offset.clone());
        time.time_offsets.insert("tai".into(), offset);
        assert_eq!(
            pointers(&time),
            ["/linux/timeOffsets", "/linux/timeOffsets/boottime/nanosecs", "/linux/timeOffsets/tai"]
        );
    }

    #[test]
    fn wrong_files() {
        let error = |path: &str| {
            let set = Namespaces::from_spec(&linux(&[("network", Some(path))]), "/linux").unwrap();
            set.open().unwrap_err()
        };
        let e = error("/proc/self/ns/uts");
        assert!(e.to_string().contains("is a uts namespace, not a network namespace"), "{e}");
        assert_eq!(e.pointer(), Some("/linux/namespaces/0/path"));
        assert_eq!(error("/nowhere/ns").errno(), Some(Errno::ENOENT));
        assert!(error("/proc/self/status").to_string().contains("not a namespace file"));
    }

    #[test]
    fn builder() {
        let set = Namespaces::new()
            .create(NamespaceKind::Time)
            .create(NamespaceKind::User)
            .uid_map(IdMap { container: 0, host: 1000, size: 1 })
            .gid_map(IdMap { container: 0, host: 1000, size: 1 })
            .time_offset(Clock::Boottime, 5, 0)
            .time_offset(Clock::Monotonic, -1, 7)
            .time_offset(Clock::Boottime, 6, 1);
        assert_eq!(set.time_offsets_text(), "monotonic -1 7\nboottime 6 1\n");
        assert_eq!(set.new_flags(), 0x80 | 0x1000_0000);
        assert_eq!(set.id_maps().uids.len(), 1);
    }
}
