//! The descriptors which a plan asks for, opened before the launch.

use super::options::Stdio;
use super::store::Directory;
use crate::cgroup::Join;
use crate::mount::{self, Detached, Propagation, PropagationKind};
use crate::plan::{NamespaceStep, Owners, Plan, RootfsStep, Slot, Step, Which};
use crate::sys;
use crate::{Error, Phase, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// What a descriptor of a plan's slot may come from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sources<'a> {
    /// The open files through which the stub joins the cgroup.
    pub(super) join: Option<&'a Join>,
    /// The socket that takes the terminal's master.
    pub(super) console: Option<BorrowedFd<'a>>,
    /// The container's directory, where the init process is to listen for `start`.
    pub(super) directory: Option<&'a Directory>,
    /// The process whose namespaces are joined.
    pub(super) process: Option<BorrowedFd<'a>>,
}

/// The slots' descriptors, in order.
#[derive(Debug)]
pub(super) struct Slots {
    numbers: Vec<RawFd>,
    opened: Vec<OwnedFd>,
}

impl Slots {
    /// Opens them.
    pub(super) fn open(plan: &Plan, sources: Sources<'_>) -> Result<Self> {
        let mut namespaces = Vec::new();
        if plan.slots.iter().any(|slot| matches!(slot, Slot::Namespace(_))) {
            namespaces = plan.namespaces.open()?;
        }
        let mut slots = Self { numbers: Vec::with_capacity(plan.slots.len()), opened: Vec::new() };
        for (number, slot) in plan.slots.iter().enumerate() {
            let opened = match slot {
                Slot::Tasks(i) => {
                    // One that is not there was joined at birth (CLONE_INTO_CGROUP).
                    let file = sources.join.and_then(|join| join.files().get(*i));
                    slots.numbers.push(file.map_or(-1, AsRawFd::as_raw_fd));
                    continue;
                }
                Slot::Given => {
                    slots.numbers.push(-1);
                    continue;
                }
                Slot::Process | Slot::Console => {
                    let console = matches!(slot, Slot::Console);
                    let given = if console { sources.console } else { sources.process };
                    slots.numbers.push(given.map_or(-1, |fd| fd.as_raw_fd()));
                    continue;
                }
                Slot::Namespace(_) => {
                    let kind = plan.lines().iter().find_map(|line| match &line.step {
                        Step::Namespace(NamespaceStep::JoinNamespace { slot, which: Which::One(kind) })
                            if *slot == number =>
                        {
                            Some(*kind)
                        }
                        _ => None,
                    });
                    let at = namespaces.iter().position(|joined| Some(joined.kind) == kind);
                    at.map(|at| namespaces.swap_remove(at).fd)
                }
                Slot::Tree { .. } | Slot::FileSystem { .. } => {
                    Some(detached(slot).map_err(|e| at_slot(plan, number, e))?)
                }
                Slot::Resctrl(path) => Some(tasks(path).map_err(|e| at_slot(plan, number, e))?),
                Slot::Start => sources.directory.map(Directory::listen_for_start).transpose()?,
            };
            slots.numbers.push(opened.as_ref().map_or(-1, AsRawFd::as_raw_fd));
            slots.opened.extend(opened);
        }
        Ok(slots)
    }

    /// The descriptors' numbers; -1 where a slot has none.
    pub(super) fn numbers(&self) -> &[RawFd] {
        &self.numbers
    }
}

fn tasks(path: &str) -> Result<OwnedFd> {
    let name = sys::fs::cstring(path);
    let opened = name.and_then(|name| sys::fs::openat(sys::fs::cwd(), &name, libc::O_WRONLY, 0));
    opened.map_err(|e| Error::sys(Phase::Cgroup, "open", e).on(path))
}

/// A mount that only the host side can make.
fn detached(slot: &Slot) -> Result<OwnedFd> {
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
        _ => Err(Error::sys(Phase::Mount, "make a detached mount", nix::errno::Errno::EINVAL)),
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

/// The error with the place in `config.json` whose step uses the slot.
fn at_slot(plan: &Plan, number: usize, error: Error) -> Error {
    let used = plan.lines().iter().find(|line| match &line.step {
        Step::Rootfs(RootfsStep::Root { slot, .. }) => *slot == Some(number),
        Step::Rootfs(RootfsStep::Mount(mount)) => mount.slot() == Some(number),
        Step::Namespace(NamespaceStep::JoinResctrl { slots }) => slots.contains(&number),
        _ => false,
    });
    match used.and_then(|line| line.pointer()) {
        Some(pointer) => error.with_pointer(pointer),
        None => error,
    }
}

/// The stub's standard descriptors; `null` keeps open what they borrow.
pub(super) fn stdio<'a>(
    stdio: &'a Stdio,
    null: &'a mut Option<OwnedFd>,
) -> Result<[Option<BorrowedFd<'a>>; 3]> {
    match stdio {
        Stdio::Inherit => Ok([None; 3]),
        Stdio::Fds(fds) => Ok([Some(fds[0].as_fd()), Some(fds[1].as_fd()), Some(fds[2].as_fd())]),
        Stdio::Null => {
            let opened = sys::fs::openat(sys::fs::cwd(), c"/dev/null", libc::O_RDWR, 0)
                .map_err(|e| Error::sys(Phase::Launch, "open", e).on("/dev/null"))?;
            let opened: &'a OwnedFd = null.insert(opened);
            Ok([Some(opened.as_fd()); 3])
        }
    }
}
