//! The descriptors that a stub starts with: one for each slot of its plan.

use crate::cgroup::Join;
use crate::mount::{self, Detached, Propagation, PropagationKind};
use crate::namespace::{self, NamespaceKind, Namespaces, OpenNamespace};
use crate::plan::{Idmap, Owners, Plan, Slot};
use crate::sys;
use crate::sys::mount::{MountAttr, MountAttrFlags};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Records processes that act for an operation, so that they can be killed with it.
pub(crate) trait HelperRecorder {
    /// Records an unreaped child of the caller.
    fn record_helper(&self, pid: i32) -> Result<()>;
}

/// Opens the procfs of a slot, by a launch of its own: see `launch/procfs.rs`.
pub(crate) type ProcfsOpener = fn(&Plan, &Slot, DescriptorSources<'_>) -> Result<OwnedFd>;

/// For plans without a procfs.
#[cfg(test)]
pub(crate) fn no_procfs(_: &Plan, _: &Slot, _: DescriptorSources<'_>) -> Result<OwnedFd> {
    Err(missing())
}

/// Where the descriptors of a plan's slots come from.
#[derive(Clone, Copy, Default)]
pub(crate) struct DescriptorSources<'a> {
    /// The opened namespaces to join; without them, those that the plan names by path are opened.
    pub(crate) joined: Option<&'a [OpenNamespace]>,
    /// The socket that receives the pseudo-terminal's master.
    pub(crate) console: Option<BorrowedFd<'a>>,
    /// Creates the socket on which the init process listens for `start`.
    pub(crate) listen: Option<&'a dyn Fn() -> Result<OwnedFd>>,
    /// The process whose namespaces are joined.
    pub(crate) process: Option<BorrowedFd<'a>>,
    /// The caller's descriptors, in the order of their slots.
    pub(crate) given: &'a [BorrowedFd<'a>],
    /// Records the processes that are launched to open a slot.
    pub(crate) recorder: Option<&'a dyn HelperRecorder>,
}

/// A slot's descriptor.
#[derive(Debug)]
enum Preset<'a> {
    Owned(OwnedFd),
    Borrowed(BorrowedFd<'a>),
    /// One of the files by which the process joins its cgroup. There is none if it was cloned into the cgroup.
    Cgroup(usize),
}

/// The descriptors that a stub starts with, in the order of their slots. They are opened from a plan, so none is missing.
#[derive(Debug)]
pub(crate) struct Presets<'a> {
    slots: Vec<Preset<'a>>,
    /// Also opens the procfs of later batches.
    pub(super) open_procfs: ProcfsOpener,
}

impl<'a> Presets<'a> {
    /// Opens the descriptors of all slots that are preset.
    pub(super) fn open(
        plan: &Plan,
        sources: DescriptorSources<'a>,
        open_procfs: ProcfsOpener,
    ) -> Result<Self> {
        let mut named = Vec::new();
        let names = |(_, slot): (_, &Slot)| matches!(slot, Slot::Namespace { .. });
        if sources.joined.is_none()
            && plan.namespaces.joined().next().is_some()
            && plan.slots.at_birth().any(names)
        {
            named = plan.namespaces.open()?;
        }
        let mut given = sources.given.iter();
        let mut slots = Vec::new();
        for (id, slot) in plan.slots.at_birth() {
            let preset = match slot {
                Slot::Tasks(i) => Preset::Cgroup(*i),
                Slot::Given => borrowed(given.next().copied())?,
                Slot::Process => borrowed(sources.process)?,
                Slot::Console => borrowed(sources.console)?,
                // The pid namespace of the process.
                Slot::Namespace { path, .. } if path.is_empty() => {
                    Preset::Owned(pid_namespace(sources.process)?)
                }
                Slot::Namespace { kind, path } => match sources.joined {
                    Some(joined) => {
                        borrowed(joined.iter().find(|one| one.kind == *kind).map(|one| one.fd.as_fd()))?
                    }
                    None => Preset::Owned(named_namespace(&mut named, *kind, path)?),
                },
                Slot::Start => Preset::Owned(sources.listen.ok_or_else(missing)?()?),
                Slot::Tree { .. }
                | Slot::FileSystem { .. }
                | Slot::Proc { .. }
                | Slot::Device(_)
                | Slot::Resctrl(_) => {
                    Preset::Owned(open(plan, slot, sources, open_procfs).map_err(|e| plan.at_slot(id, e))?)
                }
            };
            slots.push(preset);
        }
        let presets = Self { slots, open_procfs };
        presets.check_foreign(plan)?;
        Ok(presets)
    }

    /// Refuses a joined namespace that the configuration changes and that is the caller's, or the one of the host's first
    /// process.
    fn check_foreign(&self, plan: &Plan) -> Result<()> {
        for ((_, slot), preset) in plan.slots.at_birth().zip(&self.slots) {
            let (Slot::Namespace { kind, .. }, Preset::Owned(fd)) = (slot, preset) else { continue };
            let Some((_, pointer)) = plan.foreign.iter().find(|(foreign, _)| foreign == kind) else {
                continue;
            };
            if namespace::is_of_host(*kind, fd)? {
                let why = format!("the {kind} namespace that is joined is the host's own: it stays as it is");
                return Err(Error::unsupported(Phase::Namespace, pointer.as_str(), why));
            }
        }
        Ok(())
    }

    /// The descriptors, in the order of the slots.
    pub(super) fn descriptors<'p>(&'p self, join: Option<&'p Join>) -> Vec<Option<BorrowedFd<'p>>> {
        let descriptor = |preset: &'p Preset<'a>| match preset {
            Preset::Owned(fd) => Some(fd.as_fd()),
            Preset::Borrowed(fd) => Some(*fd),
            Preset::Cgroup(i) => join.and_then(|join| join.files().get(*i)).map(AsFd::as_fd),
        };
        self.slots.iter().map(descriptor).collect()
    }
}

/// Opens the next batch of mounts for a stub, from the same sources as the slots that it started with.
pub(super) fn open_batch(
    plan: &Plan,
    batch: usize,
    sources: DescriptorSources<'_>,
    open_procfs: ProcfsOpener,
) -> Result<Vec<OwnedFd>> {
    let slots = plan.slots.batch(batch);
    slots.map(|(id, slot)| open(plan, slot, sources, open_procfs).map_err(|e| plan.at_slot(id, e))).collect()
}

/// Attributes by the names that mount(2) has for them.
const MOUNT_FLAGS: [(MountAttrFlags, &str); 4] = [
    (MountAttrFlags::RDONLY, "MS_RDONLY"),
    (MountAttrFlags::NOSUID, "MS_NOSUID"),
    (MountAttrFlags::NODEV, "MS_NODEV"),
    (MountAttrFlags::NOEXEC, "MS_NOEXEC"),
];

/// Refuses changes of a tree's attributes that the user namespace in which it is mounted could not make.
fn keep_locked(tree: &Detached, locked: &MountAttr) -> Result<()> {
    if locked.clear.is_empty() {
        return Ok(());
    }
    let has = sys::mount::attributes(tree).map_err(|e| Error::sys(Phase::Mount, "fstatfs", e))?;
    let times = MountAttrFlags::ATIME | MountAttrFlags::NODIRATIME;
    let changed = locked.clear.contains(times) && has & times != locked.set;
    let name = match MOUNT_FLAGS.iter().find(|(flag, _)| has.contains(*flag) && locked.clear.contains(*flag))
    {
        Some((_, name)) => format!("clear locked flags {name}"),
        None if changed => "change the locked access time mode".to_owned(),
        None => return Ok(()),
    };
    let error = Error::sys(Phase::Mount, format!("cannot {name}: mount_setattr"), Errno::EPERM);
    Err(error.with_hint("leave out the option: a user namespace cannot change what its parent has set"))
}

fn missing() -> Error {
    Error::new(ErrorKind::System, Phase::Launch, "a plan asks for a descriptor that its caller does not have")
}

fn borrowed(fd: Option<BorrowedFd<'_>>) -> Result<Preset<'_>> {
    fd.map(Preset::Borrowed).ok_or_else(missing)
}

/// The pid namespace of a process.
fn pid_namespace(process: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
    let failed = |e| Error::sys(Phase::Namespace, "open the pid namespace of the container's process", e);
    sys::process::pid_namespace(process.ok_or_else(missing)?).map_err(failed)
}

/// A namespace that the plan joins; any other one is opened by its path.
fn named_namespace(named: &mut Vec<OpenNamespace>, kind: NamespaceKind, path: &str) -> Result<OwnedFd> {
    if let Some(at) = named.iter().position(|one| one.kind == kind) {
        return Ok(named.swap_remove(at).fd);
    }
    let mut joined = Namespaces::new().join(kind, path).open()?;
    joined.pop().map(|one| one.fd).ok_or_else(missing)
}

/// Opens what only the host side can open.
fn open(
    plan: &Plan,
    slot: &Slot,
    sources: DescriptorSources<'_>,
    open_procfs: ProcfsOpener,
) -> Result<OwnedFd> {
    match slot {
        Slot::Tree { path, recursive, idmap, locked, read_only } => {
            let tree = Detached::clone_path(Path::new(path), *recursive)?;
            keep_locked(&tree, locked).map_err(|e| e.on(path.as_str()))?;
            // The copy of a shared mount is its peer; the host's mounts may propagate to it, but not from it.
            tree.propagate(Propagation::recursive(PropagationKind::Slave))?;
            if let Some(idmap) = idmap {
                map_owners(&tree, idmap).map_err(|e| e.on(path.as_str()))?;
            }
            if *read_only {
                tree.read_only(false).map_err(|e| e.on(path.as_str()))?;
            }
            Ok(tree.into_fd())
        }
        Slot::FileSystem { kind, source, options, idmap } => {
            let made = Detached::filesystem(
                kind,
                Some(source.as_str()).filter(|source| !source.is_empty()),
                options,
            )?;
            if let Some(idmap) = idmap {
                map_owners(&made, idmap).map_err(|e| e.on(kind.as_str()))?;
            }
            Ok(made.into_fd())
        }
        Slot::Device(node) => {
            let device = libc::makedev(node.major, node.minor);
            Detached::device(node.mode, device, node.uid, node.gid).map(Detached::into_fd)
        }
        Slot::Proc { .. } => open_procfs(plan, slot, sources),
        Slot::Resctrl(path) => {
            let name = sys::fs::cstring(path);
            let opened = name.and_then(|name| sys::fs::openat(sys::fs::cwd(), &name, libc::O_WRONLY, 0));
            opened.map_err(|e| Error::sys(Phase::Cgroup, "open", e).on(path.as_str()))
        }
        Slot::Tasks(_)
        | Slot::Given
        | Slot::Process
        | Slot::Console
        | Slot::Namespace { .. }
        | Slot::Start => Err(missing()),
    }
}

/// Maps the owners of a detached mount's files.
pub(super) fn map_owners(mount: &Detached, idmap: &Idmap) -> Result<()> {
    mount.idmap(owners(&idmap.owners)?, idmap.recursive)
}

/// A user namespace with the maps of an idmapped mount.
fn owners(owners: &Owners) -> Result<OwnedFd> {
    match owners {
        Owners::Maps(maps) => mount::idmap::user_namespace(&maps.uids, &maps.gids),
        Owners::Namespace(path) => {
            let name = sys::fs::cstring(path);
            let opened = name.and_then(|name| {
                sys::fs::openat(sys::fs::cwd(), &name, libc::O_RDONLY | libc::O_NONBLOCK, 0)
            });
            opened.map_err(|e| Error::sys(Phase::Namespace, "open namespace", e).on(path.as_str()))
        }
    }
}

/// The standard streams of a launch.
#[derive(Debug)]
pub(crate) enum StandardStreams<'a> {
    /// These; the caller's own for `None`.
    Given([Option<BorrowedFd<'a>>; 3]),
    /// All are `/dev/null`.
    Null(OwnedFd),
}

impl StandardStreams<'_> {
    /// `/dev/null` for all three.
    pub(crate) fn null() -> Result<Self> {
        let opened = sys::fs::openat(sys::fs::cwd(), c"/dev/null", libc::O_RDWR, 0)
            .map_err(|e| Error::sys(Phase::Launch, "open", e).on("/dev/null"))?;
        Ok(Self::Null(opened))
    }

    /// Standard input, output and error.
    pub(crate) fn descriptors(&self) -> [Option<BorrowedFd<'_>>; 3] {
        match self {
            Self::Given(fds) => *fds,
            Self::Null(null) => [Some(null.as_fd()); 3],
        }
    }
}
