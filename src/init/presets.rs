//! The descriptors which a plan begins with: opened for its slots, in their order, and by nothing else.

use super::launch;
use crate::cgroup::Join;
use crate::mount::{self, Detached, Propagation, PropagationKind};
use crate::namespace::{self, Joined, Kind, Set};
use crate::plan::{Owners, Plan, Slot, compile_proc};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::sys::statfs::PROC_SUPER_MAGIC;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What the descriptors of a plan's slots may come from.
#[derive(Clone, Copy, Default)]
pub(crate) struct DescriptorSources<'a> {
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
    /// Records the processes that are launched for it.
    pub(crate) recorder: Option<&'a launch::Recorder<'a>>,
}

/// A slot's descriptor.
#[derive(Debug)]
enum Preset<'a> {
    Own(OwnedFd),
    Borrowed(BorrowedFd<'a>),
    /// The file with this number of those by which the process joins its cgroup; none if it was born there.
    Cgroup(usize),
}

/// The descriptors that a stub begins with, in order of their slots. Only [`open`](Self::open) makes them, from the
/// plan.
#[derive(Debug)]
pub(crate) struct Presets<'a> {
    slots: Vec<Preset<'a>>,
}

impl<'a> Presets<'a> {
    /// Opens what the plan asks for.
    pub(crate) fn open(plan: &Plan, sources: DescriptorSources<'a>) -> Result<Self> {
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
                // That of the process.
                Slot::Namespace { path, .. } if path.is_empty() => {
                    Preset::Own(pid_namespace(sources.process)?)
                }
                Slot::Namespace { kind, path } => match sources.joined {
                    Some(joined) => {
                        borrowed(joined.iter().find(|one| one.kind == *kind).map(|one| one.fd.as_fd()))?
                    }
                    None => Preset::Own(named_namespace(&mut named, *kind, path)?),
                },
                Slot::Start => Preset::Own(sources.listen.ok_or_else(missing)?()?),
                Slot::Tree { .. } | Slot::FileSystem { .. } | Slot::Proc { .. } | Slot::Resctrl(_) => {
                    Preset::Own(open(plan, slot, sources).map_err(|e| plan.at_slot(id, e))?)
                }
            };
            slots.push(preset);
        }
        let presets = Self { slots };
        presets.check_foreign(plan)?;
        Ok(presets)
    }

    /// A namespace that the configuration changes must not be the caller's, nor that of the host's first process.
    fn check_foreign(&self, plan: &Plan) -> Result<()> {
        for ((_, slot), preset) in plan.slots.at_birth().zip(&self.slots) {
            let (Slot::Namespace { kind, .. }, Preset::Own(fd)) = (slot, preset) else { continue };
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

/// Opens a batch of mounts that a stub has asked for.
pub(super) fn open_batch(plan: &Plan, batch: usize) -> Result<Vec<OwnedFd>> {
    let slots = plan.slots.batch(batch);
    slots
        .map(|(id, slot)| open(plan, slot, DescriptorSources::default()).map_err(|e| plan.at_slot(id, e)))
        .collect()
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

/// A namespace that the plan's set names; another one by its path.
fn named_namespace(named: &mut Vec<Joined>, kind: Kind, path: &str) -> Result<OwnedFd> {
    if let Some(at) = named.iter().position(|one| one.kind == kind) {
        return Ok(named.swap_remove(at).fd);
    }
    let mut joined = Set::empty().join(kind, path).open()?;
    joined.pop().map(|one| one.fd).ok_or_else(missing)
}

/// What only the host side can open.
fn open(plan: &Plan, slot: &Slot, sources: DescriptorSources<'_>) -> Result<OwnedFd> {
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
            let made = Detached::filesystem(
                kind,
                Some(source.as_str()).filter(|source| !source.is_empty()),
                options,
            )?;
            if let Some(idmap) = idmap {
                made.idmap(owners(&idmap.owners)?, idmap.recursive).map_err(|e| e.on(kind.as_str()))?;
            }
            Ok(made.into_fd())
        }
        Slot::Proc { .. } => procfs(plan, slot, sources),
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

/// A procfs of a pid namespace that the stub joins later, by its file or by a process.
fn procfs(plan: &Plan, slot: &Slot, sources: DescriptorSources<'_>) -> Result<OwnedFd> {
    let Slot::Proc { user, options, .. } = slot else { return Err(missing()) };
    let (joined, process) = (sources.joined, sources.process);
    let by_process = joined
        .into_iter()
        .flatten()
        .find(|one| one.kind == Kind::Pid && sys::userns::namespace_type(&one.fd).is_err());
    let recorder = sources.recorder;
    let (slot, sources) = match by_process {
        Some(one) => (
            &Slot::Proc { namespace: None, user: user.clone(), options: options.clone() },
            DescriptorSources { process: Some(one.fd.as_fd()), recorder, ..DescriptorSources::default() },
        ),
        None => (slot, DescriptorSources { joined, process, recorder, ..DescriptorSources::default() }),
    };
    let plan = compile_proc(slot, plan.kernel())?;
    let made = launch::make(&plan, sources)?;
    let made = if plan.sends_context() {
        Detached::of_context(made, "proc", Some("proc"), options)?.into_fd()
    } else {
        made
    };
    // What makes it may be a process that others have changed.
    match sys::fs::file_system(&made) {
        Ok(kind) if kind == PROC_SUPER_MAGIC => Ok(made),
        Ok(_) => Err(launch::lost()),
        Err(e) => Err(Error::sys(Phase::Mount, "fstatfs", e).on("a new procfs")),
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
pub(crate) enum StandardStreams<'a> {
    /// Each is this one, or the caller's own.
    Given([Option<BorrowedFd<'a>>; 3]),
    /// All are `/dev/null`.
    Null(OwnedFd),
}

impl StandardStreams<'_> {
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
    let mut numbers = (0..count).map(|n| i32::try_from(n).unwrap_or(i32::MAX).saturating_add(3));
    match numbers.find(|number| !sys::spawn::passes_on(*number)) {
        None => Ok(()),
        Some(number) => {
            let what = "cannot preserve file descriptor";
            Err(Error::new(ErrorKind::InvalidArgument, Phase::Launch, what)
                .on(number.to_string())
                .with_detail("it is not open, or is closed on exec"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_of_preserved_descriptors_is_beyond_the_check() {
        for count in [u32::MAX, u32::MAX - 2, i32::MAX.cast_unsigned()] {
            assert_eq!(check_preserved(count).unwrap_err().kind(), ErrorKind::InvalidArgument, "{count}");
        }
        check_preserved(0).unwrap();
    }
}
