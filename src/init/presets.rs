//! The descriptors which a plan begins with: opened for its slots, in their order, and by nothing else.

use crate::cgroup::Join;
use crate::mount::{self, Detached, Propagation, PropagationKind};
use crate::namespace::{Joined, Kind};
use crate::plan::{Owners, Plan, Slot};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What the descriptors of a plan's slots may come from.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sources<'a> {
    /// The namespaces to join, opened; those which the plan names by path otherwise.
    pub(crate) joined: Option<&'a [Joined]>,
    /// The socket that takes the terminal's master.
    pub(crate) console: Option<BorrowedFd<'a>>,
    /// Makes the socket on which the init process is to listen for `start`.
    pub(crate) listen: Option<&'a dyn Fn() -> Result<OwnedFd>>,
    /// The process whose namespaces are joined.
    pub(crate) process: Option<BorrowedFd<'a>>,
    /// The caller's own, in the order of their slots.
    pub(crate) given: &'a [BorrowedFd<'a>],
}

/// A slot's descriptor.
#[derive(Debug)]
enum Preset<'a> {
    Own(OwnedFd),
    Borrowed(BorrowedFd<'a>),
    /// The file with this number of those by which the process joins its cgroup; none if it was born there.
    Cgroup(usize),
}

/// The descriptors of a plan's slots, in order. Only [`open`](Self::open) makes them, from the plan.
#[derive(Debug)]
pub(crate) struct Presets<'a> {
    slots: Vec<Preset<'a>>,
}

impl<'a> Presets<'a> {
    /// Opens what the plan asks for.
    pub(crate) fn open(plan: &Plan, sources: Sources<'a>) -> Result<Self> {
        let mut named = Vec::new();
        if sources.joined.is_none() && plan.slots.iter().any(|slot| matches!(slot, Slot::Namespace { .. })) {
            named = plan.namespaces.open()?;
        }
        let mut given = sources.given.iter();
        let mut slots = Vec::with_capacity(plan.slots.len());
        for (number, slot) in plan.slots.iter().enumerate() {
            let preset = match slot {
                Slot::Tasks(i) => Preset::Cgroup(*i),
                Slot::Given => borrowed(given.next().copied())?,
                Slot::Process => borrowed(sources.process)?,
                Slot::Console => borrowed(sources.console)?,
                Slot::Namespace { kind, .. } => match sources.joined {
                    Some(joined) => {
                        borrowed(joined.iter().find(|one| one.kind == *kind).map(|one| one.fd.as_fd()))?
                    }
                    None => Preset::Own(take(&mut named, *kind)?),
                },
                Slot::Start => Preset::Own(sources.listen.ok_or_else(missing)?()?),
                Slot::Tree { .. } | Slot::FileSystem { .. } | Slot::Resctrl(_) => {
                    Preset::Own(open(slot).map_err(|e| plan.at_slot(number, e))?)
                }
            };
            slots.push(preset);
        }
        Ok(Self { slots })
    }

    /// The descriptors, in order of the slots.
    pub(super) fn descriptors<'p>(&'p self, join: Option<&'p Join>) -> Vec<Option<BorrowedFd<'p>>> {
        let descriptor = |preset: &'p Preset<'a>| match preset {
            Preset::Own(fd) => Some(fd.as_fd()),
            Preset::Borrowed(fd) => Some(*fd),
            Preset::Cgroup(i) => join.and_then(|join| join.files().get(*i)).map(AsFd::as_fd),
        };
        self.slots.iter().map(descriptor).collect()
    }
}

fn missing() -> Error {
    Error::new(ErrorKind::System, Phase::Launch, "a plan asks for a descriptor that its caller does not have")
}

fn borrowed(fd: Option<BorrowedFd<'_>>) -> Result<Preset<'_>> {
    fd.map(Preset::Borrowed).ok_or_else(missing)
}

fn take(joined: &mut Vec<Joined>, kind: Kind) -> Result<OwnedFd> {
    let at = joined.iter().position(|one| one.kind == kind).ok_or_else(missing)?;
    Ok(joined.swap_remove(at).fd)
}

/// What only the host side can open.
fn open(slot: &Slot) -> Result<OwnedFd> {
    match slot {
        Slot::Tree { path, recursive, idmap } => {
            let tree = Detached::clone_path(Path::new(path), *recursive)?;
            // What the host shares it hears of: the copy is to listen only.
            tree.propagate(Propagation::recursive(PropagationKind::Slave))?;
            if let Some(idmap) = idmap {
                tree.idmap(owners(&idmap.owners)?, idmap.recursive).map_err(|e| e.on(path.as_str()))?;
            }
            Ok(tree.into_fd())
        }
        Slot::FileSystem { kind, source, options, idmap } => {
            let made = Detached::filesystem(kind, Some(source), options)?;
            made.idmap(owners(&idmap.owners)?, idmap.recursive).map_err(|e| e.on(kind.as_str()))?;
            Ok(made.into_fd())
        }
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

/// A user namespace that maps as an idmapped mount is to.
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

/// The standard descriptors of a launch.
#[derive(Debug)]
pub(crate) enum Standard<'a> {
    /// Each is this one, or the caller's own.
    Given([Option<BorrowedFd<'a>>; 3]),
    /// All are `/dev/null`.
    Null(OwnedFd),
}

impl Standard<'_> {
    /// `/dev/null` three times.
    pub(crate) fn null() -> Result<Self> {
        let opened = sys::fs::openat(sys::fs::cwd(), c"/dev/null", libc::O_RDWR, 0)
            .map_err(|e| Error::sys(Phase::Launch, "open", e).on("/dev/null"))?;
        Ok(Self::Null(opened))
    }

    pub(crate) fn descriptors(&self) -> [Option<BorrowedFd<'_>>; 3] {
        match self {
            Self::Given(fds) => *fds,
            Self::Null(null) => [Some(null.as_fd()); 3],
        }
    }
}

/// Refuses a count of descriptors to keep beyond those which the caller passes on to its programs: what has such a
/// number otherwise is the library's own, or another thread's.
pub(super) fn check_preserved(count: u32) -> Result<()> {
    let numbers = (3..3 + count).map(|number| i32::try_from(number).unwrap_or(i32::MAX));
    match numbers.into_iter().find(|number| !sys::spawn::passes_on(*number)) {
        None => Ok(()),
        Some(number) => {
            let what = "cannot preserve file descriptor";
            Err(Error::new(ErrorKind::InvalidArgument, Phase::Launch, what)
                .on(number.to_string())
                .with_detail("it is not open, or is closed on exec"))
        }
    }
}
