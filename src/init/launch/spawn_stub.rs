//! From a plan and its descriptors to a running stub.

use super::control_page::ControlPage;
use super::preserved_range::{self, DescriptorsAbove};
use super::stub_process::{Stub, StubStage};
use crate::cgroup::Join;
use crate::init::presets::{Presets, StandardStreams};
use crate::init::stub_file::stub_file;
use crate::plan::Plan;
use crate::plan::machine::BLOB;
use crate::sys::namespace::NamespaceFlags;
use crate::sys::spawn::{self, Request, SpawnFailure};
use crate::sys::{channel, memfd, unix};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// A plan to launch, and everything that it starts with.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The descriptors of its slots.
    pub(crate) presets: &'a Presets<'a>,
    /// How the stub joins its cgroup.
    pub(crate) join: Option<&'a Join>,
    /// Its standard streams.
    pub(crate) standard: &'a StandardStreams<'a>,
    /// The step that fails instead of running, in tests.
    pub(crate) fault: Option<u16>,
}

impl Launch<'_> {
    /// Spawns the stub. In a plan of two stages it is the first process until the second one has taken a turn, or until
    /// the caller calls [`follow_hand_over`](Stub::follow_hand_over).
    pub(crate) fn spawn(self) -> Result<Stub> {
        let error = |call: &'static str, errno| Error::sys(Phase::Launch, call, errno);
        preserved_range::check(self.plan.preserve_fds)?;
        let (ours, theirs) = channel::pair().map_err(|e| error("socketpair", e))?;
        if self.plan.sends_context() {
            unix::ask_for_senders(&ours).map_err(|e| error("setsockopt", e))?;
        }
        let file = memfd::data(c"orlop-plan").map_err(|e| error("memfd_create", e))?;
        let (pid, pidfd) = self.execute(&theirs, &file)?;
        Ok(Stub {
            pid,
            pidfd,
            socket: ours,
            page: ControlPage::new(file),
            stage: if self.plan.two_stages { StubStage::First } else { StubStage::Only },
            batches: 0,
            line: 0,
            open_procfs: self.presets.open_procfs,
        })
    }

    /// Writes the plan to the file, and executes the stub with the file, the socket and the plan's descriptors.
    fn execute(&self, socket: &OwnedFd, file: &OwnedFd) -> Result<(i32, OwnedFd)> {
        let error = |call: &'static str, errno| Error::sys(Phase::Launch, call, errno);
        let preserve = self.plan.preserve_fds;
        let mut above = DescriptorsAbove::new(preserve);
        let (socket, memory) = (above.add(socket.as_fd())?, above.add(file.as_fd())?);
        let slots = self.presets.descriptors(self.join).into_iter();
        let slots: Vec<Option<usize>> =
            slots.map(|slot| slot.map(|fd| above.add(fd)).transpose()).collect::<Result<_>>()?;
        let keep = above.descriptors();
        let number = |at: Option<usize>| at.and_then(|at| keep.get(at)).map_or(-1, AsRawFd::as_raw_fd);
        let (socket, memory) = (number(Some(socket)), number(Some(memory)));
        let slots: Vec<RawFd> = slots.into_iter().map(number).collect();

        let mut blob = self.plan.encode()?;
        blob.set_presets(socket, memory, &slots)?;
        if let Some(step) = self.fault {
            blob.set_fault(step);
        }
        debug_assert!(crate::plan::Listing::decode(blob.as_ref()).is_ok(), "the plan cannot be read back");
        channel::fill(file, BLOB, blob.as_ref()).map_err(|e| error("write the plan", e))?;

        let text = |n: usize| CString::new(n.to_string()).unwrap_or_default();
        let (fd, length) = (text(memory as usize), text(blob.as_ref().len()));
        let program = stub_file()?;
        let namespaces = self.plan.spawn_flags;
        let spawned = spawn::spawn(&Request {
            namespaces: NamespaceFlags::new(namespaces).map_err(|e| error("clone3", e))?,
            cgroup: self.join.and_then(Join::directory),
            program: program.as_fd(),
            args: &[c"orlop-init", &fd, &length],
            stdio: self.standard.descriptors(),
            keep: &keep,
            preserve,
        })
        .map_err(|failure| spawn_error(failure, namespaces))?;
        Ok((spawned.pid, spawned.pidfd))
    }
}

/// Whether a stub that could not be cloned into its cgroup may be spawned elsewhere, and join the cgroup by its files.
/// The kernel clones nothing into a cgroup that is threaded, has controllers for its children, has reached its limit of
/// processes, or was killed once.
pub(crate) fn may_join_by_file(error: &Error, join: Option<&Join>) -> bool {
    let refused = matches!(
        error.errno(),
        Some(
            Errno::EAGAIN
                | Errno::EBUSY
                | Errno::ECANCELED
                | Errno::EOPNOTSUPP
                | Errno::EACCES
                | Errno::ENODEV
        )
    );
    refused && error.operation() == "clone3" && join.is_some_and(|join| join.directory().is_some())
}

/// Whether a first process could not clone the final one: its cgroup, or its user, is at its limit of processes.
pub(crate) fn is_at_process_limit(error: &Error) -> bool {
    error.errno() == Some(Errno::EAGAIN) && error.operation() == "clone"
}

fn spawn_error(failure: SpawnFailure, namespaces: u64) -> Error {
    let error = Error::sys(Phase::Launch, failure.call, failure.errno);
    match failure.errno {
        Errno::ECANCELED if failure.call == "clone3" => error.with_detail("killed before it ran").with_hint(
            "the caller's own cgroup was killed once, and then the kernel clones no child into another: \
             join it by its files",
        ),
        Errno::EPERM if failure.call == "clone3" && namespaces & libc::CLONE_NEWUSER as u64 == 0 => error
            .with_hint(
                "new namespaces need root, or a user namespace of their own (/linux/namespaces, type user)",
            ),
        Errno::EPERM | Errno::EUSERS | Errno::ENOSPC if failure.call == "clone3" => error.with_hint(
            "user namespaces may be switched off or used up: see /proc/sys/user/max_*_namespaces and \
             kernel.unprivileged_userns_clone",
        ),
        _ => error,
    }
}
