//! The steps of a plan: what is done, by whom, and which place in `config.json` asked for it.

use crate::mount::options::{DataOption, MountOptions};
use crate::namespace::{IdMaps, Kind};
use crate::process::capability::Sets;

/// Who takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The host side: reaches the host's files, writes id maps, runs host hooks.
    Host,
    /// The stub: inside the namespaces.
    Stub,
}

/// Where a step comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A value of `config.json`, as a JSON pointer (RFC 6901).
    Pointer(String),
    /// What every container gets; nobody asked.
    Standard,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Where it comes from.
    pub origin: Origin,
    /// What is done.
    pub step: Step,
}

/// The map of an idmapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idmap {
    /// Whose files appear as whose.
    pub owners: Owners,
    /// For all mounts below it too.
    pub recursive: bool,
}

/// What the owners of an idmapped mount's files are mapped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// From the file system's ids to the ids of the first user namespace.
    Maps(IdMaps),
    /// As the user namespace behind this file maps its ids.
    Namespace(String),
}

/// A descriptor which the host side opens before the launch, preset in a register of the stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The cgroup v1 `tasks` file with this number among the container's hierarchies.
    Tasks(usize),
    /// A namespace to be joined.
    Namespace {
        /// Its kind.
        kind: Kind,
        /// Where its file is, in words where it has no path.
        path: String,
    },
    /// The `tasks` file of a resctrl group.
    Resctrl(String),
    /// The namespaces of the process behind this pidfd.
    Process,
    /// A detached copy of the mount tree at this host path, for user namespaces whose root cannot
    /// reach it.
    Tree {
        /// The path.
        path: String,
        /// With all mounts below it.
        recursive: bool,
        /// The owners of its files, mapped.
        idmap: Option<Box<Idmap>>,
    },
    /// A new file system of the first user namespace, detached, the owners of its files mapped.
    FileSystem {
        /// Its type.
        kind: String,
        /// Its `source` string.
        source: String,
        /// Its options.
        options: Box<MountOptions>,
        /// The owners of its files, mapped.
        idmap: Box<Idmap>,
    },
    /// A descriptor of the caller's.
    Given,
    /// The socket that takes the terminal's master.
    Console,
    /// The listening socket on which `start` calls.
    Start,
}

/// Why the stub gives the turn to the host side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// uid_map and gid_map are to be written.
    IdMaps,
    /// Network devices of the host are to be moved into the container's network namespace.
    NetDevices,
    /// Systemd is to move the process into its scope.
    Scope,
    /// Hooks `prestart` and `createRuntime` are to run.
    RuntimeHooks,
    /// Hooks `createContainer` are to run, in the container's namespaces.
    ContainerHooks,
    /// Hooks `startContainer` are to run, inside the container (`run` only: otherwise `start` does).
    StartHooks,
    /// The listener of the filter has come, and goes to the agent; nobody waits for an answer.
    Listener,
    /// Everything is done but what `start` asks for: the process is to be recorded.
    Created,
}

impl Turn {
    const CODES: [(Self, u8); 8] = [
        (Self::IdMaps, b'u'),
        (Self::NetDevices, b'n'),
        (Self::Scope, b's'),
        (Self::RuntimeHooks, b'r'),
        (Self::ContainerHooks, b'c'),
        (Self::StartHooks, b'h'),
        (Self::Listener, b'l'),
        (Self::Created, b'w'),
    ];

    /// The byte by which the stub says whose turn it is.
    pub(crate) fn code(self) -> u8 {
        Self::CODES.iter().find(|(turn, _)| *turn == self).map_or(0, |(_, code)| *code)
    }

    /// The turn of a byte.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::CODES.iter().find(|(_, known)| *known == code).map(|(turn, _)| *turn)
    }
}

/// Who sends a filter's listener to the host side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The process itself: its filter lets sendmsg(2) pass.
    Itself,
    /// A thread which is not under the filter.
    Aside,
}

/// What a mount point is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A new file system.
    New,
    /// The tree at a path of the stub's own mount namespace.
    Path,
    /// The tree (or, with a type, the new file system) in a slot.
    Slot,
}

/// A mount of `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct MountStep {
    /// Path in the container.
    pub destination: String,
    /// File system type; empty for binds.
    pub kind: String,
    /// Source path or device; the `source` string of a new file system.
    pub source: String,
    /// Where the tree comes from.
    pub from: Source,
    /// Options, understood.
    pub options: MountOptions,
    /// /proc and /sys: no symbolic link may lead there.
    pub no_symlinks: bool,
    /// The SELinux context of its root directory, where the file system takes none by an option.
    pub label: Option<String>,
}

/// One cgroup v1 hierarchy to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupView {
    /// Directory name below the mount point (`cpu,cpuacct`).
    pub name: String,
    /// Other names for it, as symbolic links (`cpu`, `cpuacct`).
    pub links: Vec<String>,
    /// The container's own cgroup, as a host path.
    pub path: String,
    /// May be missing: an unprivileged caller makes cgroups where it can.
    pub optional: bool,
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Path in the container.
    pub path: String,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`, with permissions.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Owner, group; `None` leaves root's.
    pub owner: Option<(u32, u32)>,
    /// Bind the host's node of the same path: a user namespace may not make one.
    pub bind: bool,
}

/// What becomes of the caller's supplementary groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Others take their place, or none.
    Set(Vec<u32>),
    /// None is left, unless the user namespace does not let go of them (`/proc/PID/setgroups`).
    Drop,
    /// All stay.
    Keep,
}

/// A step. The text of each, by `Display`, is what `orlop plan` prints.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The fields' meaning is the step's; explain.rs says each in words.
pub enum Step {
    // --- the host side's -------------------------------------------------
    /// Make the cgroup and write its limits.
    MakeCgroup {
        path: String,
    },
    /// Make the resctrl groups and write their schemata.
    MakeResctrl {
        path: String,
        monitor: bool,
    },
    /// Let systemd make the cgroup, a scope around the waiting process, and write the other limits.
    StartScope {
        unit: String,
        path: String,
    },
    /// Spawn the stub in new namespaces.
    Spawn {
        namespaces: u64,
        into_cgroup: bool,
    },
    /// Write uid_map and gid_map.
    WriteIdMaps,
    /// Move network devices, from a name to a name.
    MoveNetDevices {
        devices: Vec<(String, String)>,
    },
    /// Run hooks.
    RunHooks {
        kind: &'static str,
        count: usize,
    },
    /// Record the state, write the pid file.
    RecordCreated,
    // --- the stub's ------------------------------------------------------
    /// PR_SET_DUMPABLE 0: others in the joined namespaces may not look into this process.
    Undumpable,
    /// PR_SET_DUMPABLE 1: an unprivileged host side may write this process's id maps.
    Dumpable,
    /// Write 0 to a v1 hierarchy's `tasks`.
    JoinCgroup {
        slots: Vec<usize>,
    },
    /// Write 0 to the `tasks` file of a resctrl group.
    JoinResctrl {
        slots: Vec<usize>,
    },
    /// setns(2).
    JoinNamespace {
        slot: usize,
        kind: &'static str,
        flags: u64,
    },
    /// Clone the final process as a sibling, with these new namespaces, and end.
    HandOver {
        namespaces: u64,
    },
    /// unshare(2).
    Unshare {
        namespaces: u64,
    },
    /// Wait for the host side.
    AwaitHost(Turn),
    /// setresgid(0), setresuid(0) in a user namespace just entered.
    BecomeRoot,
    /// setsid(2).
    NewSession,
    /// A fresh time namespace for the program, with these offsets.
    TimeNamespace {
        offsets: String,
    },
    /// `lo` up.
    Loopback,
    HostName(String),
    DomainName(String),
    OomScoreAdj(i32),
    Sysctl {
        path: String,
        value: String,
    },
    /// umask(0) while files are made.
    OpenUmask,
    /// Propagation of the host's mounts in the new mount namespace.
    HostPropagation {
        flag: u64,
        recursive: bool,
    },
    /// The root file system, attached.
    Root {
        path: String,
        slot: Option<usize>,
    },
    /// The tree in a slot, attached at a path of the stub's own mount namespace.
    AttachTree {
        slot: usize,
        path: String,
    },
    /// A directory for a mount that somebody else will make.
    MountPoint {
        path: String,
    },
    /// The root is the one that the stub stands in; mounts go below it.
    HostRoot,
    /// A mount.
    Mount {
        mount: Box<MountStep>,
        slot: Option<usize>,
    },
    /// cgroup v1: a tmpfs with one bind mount a hierarchy.
    CgroupMount {
        destination: String,
        options: Box<MountOptions>,
        views: Vec<CgroupView>,
        /// The driver's option with the SELinux context.
        context: Option<DataOption>,
    },
    /// A device node.
    MakeNode(Node),
    /// Symbolic links in /dev.
    DevLinks {
        kcore: bool,
    },
    /// Open the terminal, send its master away.
    Terminal {
        slot: usize,
        size: Option<(u16, u16)>,
        uid: u32,
        console: bool,
        /// The caller relays it to a terminal of his own, which ends the lines.
        kept: bool,
    },
    Mask {
        path: String,
        /// The driver's option with the SELinux context.
        context: Option<DataOption>,
    },
    ReadonlyPath {
        path: String,
    },
    /// A mount becomes read-only now that it is filled.
    ReadonlyMount {
        path: String,
    },
    /// pivot_root(2), and the old root is gone.
    Pivot {
        move_mount: bool,
    },
    /// The root mount becomes read-only.
    ReadonlyRoot,
    /// Propagation of the container's root mount.
    RootPropagation {
        flag: u64,
        recursive: bool,
    },
    /// A new session keyring.
    Keyring {
        name: String,
    },
    Rlimit {
        resource: u32,
        name: String,
        soft: u64,
        hard: u64,
    },
    Scheduler {
        attr: [u8; 56],
    },
    IoPriority(u32),
    /// sched_setaffinity(2). Without `asked` it gives back what the cgroup allows to the process of a
    /// caller that was itself confined to fewer processors.
    CpuAffinity {
        mask: Vec<u8>,
        asked: bool,
    },
    Personality(u64),
    MemoryPolicy {
        mode: u32,
        nodes: Vec<u8>,
        max_node: u64,
    },
    /// Open the file which takes the label, while the host's /proc is in reach.
    OpenLabel {
        files: Vec<String>,
    },
    /// Write the label for the next execve.
    WriteLabel {
        text: String,
    },
    /// The standard descriptors belong to the user.
    ChownStdio {
        uid: u32,
    },
    NoNewPrivileges,
    BoundingSet {
        keep: u64,
        last: u32,
    },
    /// setgroups, setresgid, setresuid, keeping capabilities.
    Identity {
        uid: u32,
        gid: u32,
        groups: Groups,
    },
    /// capset(2) and the ambient set; `extra` is kept until execve for a filter to be loaded.
    Capabilities {
        sets: Sets,
        extra: u64,
        ambient: u64,
    },
    Umask(u32),
    WorkingDirectory {
        path: String,
    },
    /// A hook's working directory; `/` where that is gone.
    HookDirectory {
        path: String,
    },
    /// chdir(2), to what must be there.
    ChangeDirectory {
        path: String,
    },
    /// Find the program in PATH.
    FindProgram {
        name: String,
        candidates: Vec<String>,
    },
    /// Everything is ready; tell the host side.
    Created,
    /// Wait for `start` to call.
    AwaitStart {
        slot: usize,
    },
    /// Only these stay open in the program.
    CloseDescriptors {
        preserve: u32,
    },
    /// So do these.
    KeepDescriptors {
        slots: Vec<usize>,
    },
    /// All signals to default, none blocked.
    ResetSignals,
    /// Stay as PID 1, the program becomes a child.
    StayAsInit {
        foreground: bool,
    },
    Seccomp {
        filter: Vec<u8>,
        flags: u64,
        listener: Option<Sender>,
    },
    Execute {
        args: Vec<String>,
        env: Vec<String>,
    },
    /// There is no program to execute.
    NoProgram,
    /// umount2(2) of what is mounted on `name` in a directory of the container's, to which no symbolic link
    /// leads, with all that is mounted below.
    Unmount {
        directory: String,
        name: String,
    },
    /// Everything is done, and no program comes after it.
    Done,
    /// Nothing is left to do: the process ends.
    Finish,
}

impl Step {
    /// Who takes it.
    pub fn side(&self) -> Side {
        match self {
            Self::MakeCgroup { .. }
            | Self::MakeResctrl { .. }
            | Self::StartScope { .. }
            | Self::Spawn { .. }
            | Self::WriteIdMaps
            | Self::MoveNetDevices { .. }
            | Self::RunHooks { .. }
            | Self::RecordCreated => Side::Host,
            _ => Side::Stub,
        }
    }
}
