//! Namespaces to create and to join.

use super::id_map::{self, IdMaps};
use super::kind::NamespaceKind;
use super::open::{self, NamespaceSource, OpenNamespace};
use super::time_offset::{Clock, ClockOffset};
use crate::bundle::spec::{IdMapping, Linux};
use crate::sys::userns::IdMap;
use crate::{Problem, Result};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

#[derive(Debug)]
struct Entry {
    kind: NamespaceKind,
    source: NamespaceSource,
    pointer: String,
}

/// Namespaces to create or to join, at most one of each type. For a type without an entry, the caller's
/// namespace is used.
#[derive(Debug, Default)]
pub struct Namespaces {
    entries: Vec<Entry>,
    maps: IdMaps,
    time_offsets: Vec<ClockOffset>,
}

impl Namespaces {
    /// No namespaces to create or to join.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a namespace to create. It replaces an entry of the same type.
    #[must_use]
    pub fn create(self, kind: NamespaceKind) -> Self {
        self.put(kind, NamespaceSource::New)
    }

    /// Adds a namespace to join, by the absolute path of its file.
    #[must_use]
    pub fn join(self, kind: NamespaceKind, path: impl Into<PathBuf>) -> Self {
        self.put(kind, NamespaceSource::Path(path.into()))
    }

    /// Adds a namespace to join, by a pidfd of a process in it.
    #[must_use]
    pub fn join_process(self, kind: NamespaceKind, pidfd: OwnedFd) -> Self {
        self.put(kind, NamespaceSource::Pidfd(pidfd))
    }

    /// Adds a range of user IDs of a new user namespace.
    #[must_use]
    pub fn uid_map(mut self, map: IdMap) -> Self {
        self.maps.uids.push(map);
        self
    }

    /// Adds a range of group IDs of a new user namespace.
    #[must_use]
    pub fn gid_map(mut self, map: IdMap) -> Self {
        self.maps.gids.push(map);
        self
    }

    /// Sets the offset of a clock of a new time namespace.
    #[must_use]
    pub fn time_offset(mut self, clock: Clock, secs: i64, nanosecs: u32) -> Self {
        self.time_offsets.retain(|o| o.clock != clock);
        self.time_offsets.push(ClockOffset { clock, secs, nanosecs });
        self
    }

    fn put(mut self, kind: NamespaceKind, source: NamespaceSource) -> Self {
        self.entries.retain(|e| e.kind != kind);
        self.entries.push(Entry { kind, source, pointer: String::new() });
        self
    }

    /// Reads the namespaces, ID maps and time offsets of a configuration. Opens nothing.
    ///
    /// # Errors
    /// Unknown and repeated types, relative paths, ID maps without a user namespace, a new user
    /// namespace without ID maps, time offsets without a new time namespace, unknown clocks.
    pub fn from_spec(linux: &Linux, at: &str) -> std::result::Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut set = Self::new();
        for (i, namespace) in linux.namespaces.iter().enumerate() {
            let pointer = format!("{at}/namespaces/{i}");
            let mut wrong = |field: &str, message: String| {
                problems.push(Problem::new(
                    format!("{pointer}/{field}"),
                    message,
                    "config-linux.md#namespaces",
                ));
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
        set.check_id_maps(at, &mut problems);
        set.read_offsets(linux, at, &mut problems);
        if problems.is_empty() { Ok(set) } else { Err(problems) }
    }

    fn check_id_maps(&self, at: &str, problems: &mut Vec<Problem>) {
        const SECTION: &str = "config-linux.md#user-namespace-mappings";
        let new_user = self.is_new(NamespaceKind::User);
        for (name, maps) in [("uidMappings", &self.maps.uids), ("gidMappings", &self.maps.gids)] {
            let at = format!("{at}/{name}");
            if new_user && maps.is_empty() {
                problems.push(Problem::new(at, "a new user namespace needs at least one range", SECTION));
            } else if !self.has(NamespaceKind::User) && !maps.is_empty() {
                problems.push(Problem::new(at, "requires a user namespace", SECTION));
            } else if let Some((i, message)) = id_map::check(maps) {
                problems.push(Problem::new(format!("{at}/{i}"), message, SECTION));
            }
        }
    }

    fn read_offsets(&mut self, linux: &Linux, at: &str, problems: &mut Vec<Problem>) {
        const SECTION: &str = "config-linux.md#offset-for-time-namespace";
        let at = format!("{at}/timeOffsets");
        if !linux.time_offsets.is_empty() && !self.is_new(NamespaceKind::Time) {
            problems.push(Problem::new(at.clone(), "requires a new time namespace", SECTION));
        }
        for (name, offset) in &linux.time_offsets {
            let Some(clock) = Clock::from_name(name) else {
                let message = format!("unknown clock {name:?}; must be monotonic or boottime");
                problems.push(Problem::new(format!("{at}/{name}"), message, SECTION));
                continue;
            };
            let nanosecs = offset.nanosecs.unwrap_or(0);
            if nanosecs > 999_999_999 {
                let message = format!("{nanosecs} must be below 1000000000");
                problems.push(Problem::new(format!("{at}/{name}/nanosecs"), message, SECTION));
            }
            self.time_offsets.push(ClockOffset { clock, secs: offset.secs.unwrap_or(0), nanosecs });
        }
    }

    /// Whether there is an entry of this type.
    pub fn has(&self, kind: NamespaceKind) -> bool {
        self.entry(kind).is_some()
    }

    /// Where the namespace of this type comes from; `None` if it is the caller's.
    pub fn source(&self, kind: NamespaceKind) -> Option<&NamespaceSource> {
        self.entry(kind).map(|e| &e.source)
    }

    /// Whether a namespace of this type is created.
    pub fn is_new(&self, kind: NamespaceKind) -> bool {
        self.entry(kind).is_some_and(|e| matches!(e.source, NamespaceSource::New))
    }

    /// The JSON pointer of the entry of this type.
    pub fn pointer(&self, kind: NamespaceKind) -> Option<&str> {
        self.entry(kind).map(|e| e.pointer.as_str())
    }

    fn entry(&self, kind: NamespaceKind) -> Option<&Entry> {
        self.entries.iter().find(|e| e.kind == kind)
    }

    /// The `CLONE_NEW*` flags of all namespaces to create.
    pub fn new_flags(&self) -> u64 {
        self.entries.iter().filter(|e| matches!(e.source, NamespaceSource::New)).map(|e| e.kind.flag()).sum()
    }

    /// The namespaces to join with their sources, in the order of [`open`](Self::open).
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

    /// Opens every namespace to join, and checks its type.
    ///
    /// The order is one in which a privileged caller can join them. The user namespace is last, because joining it
    /// gives up the caller's capabilities. (An unprivileged caller must join the user namespace first.)
    ///
    /// # Errors
    /// If a file does not exist, is not a namespace, or is one of another type; with the JSON pointer.
    pub fn open(&self) -> Result<Vec<OpenNamespace>> {
        let open = |(kind, source)| open::open(kind, source, self.pointer(kind).unwrap_or_default());
        self.joined().map(open).collect()
    }

    /// The ID maps: for a new user namespace those to write; for a joined one those that it is expected to
    /// have, if any, because managers repeat them. See [`IdMaps::same_as`].
    pub fn id_maps(&self) -> &IdMaps {
        &self.maps
    }

    /// The offsets of the clocks of a new time namespace.
    pub fn time_offsets(&self) -> &[ClockOffset] {
        &self.time_offsets
    }

    /// The text for `/proc/<pid>/timens_offsets`, which must be written before a process enters the new time
    /// namespace; empty if there is nothing to write.
    pub fn time_offsets_text(&self) -> String {
        let line = |o: &ClockOffset| format!("{} {} {}\n", o.clock.name(), o.secs, o.nanosecs);
        self.time_offsets.iter().map(line).collect()
    }
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
    use nix::errno::Errno;

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
    fn entries_are_created_joined_or_absent() {
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
    fn rules_of_the_runtime_spec() {
        assert_eq!(pointers(&linux(&[("pid", None), ("pid", None)])), ["/linux/namespaces/1/type"]);
        assert_eq!(pointers(&linux(&[("x", None)])), ["/linux/namespaces/0/type"]);
        assert_eq!(pointers(&linux(&[("pid", Some("ns/pid"))])), ["/linux/namespaces/0/path"]);
        assert_eq!(pointers(&linux(&[("user", None)])), ["/linux/uidMappings", "/linux/gidMappings"]);
        let mut maps = linux(&[]);
        maps.uid_mappings.push(spec::IdMapping { container_id: 0, host_id: 1, size: 1 });
        assert_eq!(pointers(&maps), ["/linux/uidMappings"]);
        maps.namespaces.push(Namespace { kind: "user".into(), path: Some("/proc/1/ns/user".into()) });
        assert!(
            Namespaces::from_spec(&maps, "/linux").is_ok(),
            "the maps of a joined namespace may be given"
        );
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
    fn a_file_that_is_not_the_namespace_is_refused() {
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
    fn sets_are_built_in_code() {
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
