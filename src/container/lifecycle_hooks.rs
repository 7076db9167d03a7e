//! The hooks that run after a container was created: `startContainer` and `poststart`.

use super::container::Container;
use super::exec::{HookContainer, start_hook};
use super::hooks::launcher::{HookLauncher, HookLocation};
use super::hooks::runner::{self, StartedHook};
use super::process::pid_namespace::pid_inside;
use super::state::Status;
use super::status;
use super::store::StateRecord;
use super::store::lock::OperationLock;
use crate::bundle::spec::Hook;
use crate::bundle::{HookKind, Spec};
use crate::plan::{Policy, kernel_version};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};

/// How long to wait until a container that was killed because of a failed hook has exited, in milliseconds.
const EXIT_TIMEOUT_MS: i32 = 10_000;

/// Runs the `startContainer` hooks. Their programs are files of the image, and get everything that the container's program
/// gets.
pub(super) fn start_container(
    container: &Container,
    record: &StateRecord,
    spec: &Spec,
    init: BorrowedFd<'_>,
    policy: &Policy,
    lock: &OperationLock,
) -> Result<()> {
    let mut state = status::describe(&container.id, record.clone(), Status::Created);
    state.pid = pid_inside(record.init.pid)?;
    let process = spec.process.clone().unwrap_or_default();
    let start = |hook: &Hook, stdio: [OwnedFd; 3]| {
        let hook_container = HookContainer { container, record, init, lock };
        let started = start_hook(hook_container, policy.clone(), &process, hook, stdio)?;
        Ok(StartedHook { pid: started.pid, pidfd: started.pidfd })
    };
    let launcher =
        HookLauncher { kernel: kernel_version()?, location: HookLocation::Container(&start), lock };
    let hooks = HookKind::StartContainer.hooks_in(spec.hooks.as_ref());
    runner::run(HookKind::StartContainer, hooks, &state, &launcher)
}

/// Runs the `poststart` hooks. If one fails, the container is killed.
pub(super) fn poststart(
    container: &Container,
    record: &StateRecord,
    spec: &Spec,
    init: &OwnedFd,
    lock: &OperationLock,
) -> Result<()> {
    let state = status::describe(&container.id, record.clone(), Status::Running);
    let launcher =
        HookLauncher { kernel: kernel_version()?, location: HookLocation::Host(&record.bundle), lock };
    let hooks = HookKind::Poststart.hooks_in(spec.hooks.as_ref());
    runner::run(HookKind::Poststart, hooks, &state, &launcher).inspect_err(|_| kill_and_wait(container, init))
}

/// Kills a container that could not be started. A failure is only a warning, because the first error is returned.
pub(super) fn kill_and_wait(container: &Container, init: &OwnedFd) {
    let failed =
        |what: &'static str| move |e| Error::sys(Phase::Lifecycle, what, e).on(container.id.as_str());
    let killed = match sys::process::pidfd_send_signal(init, libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {
            sys::process::poll_in(init, EXIT_TIMEOUT_MS).map_err(failed("wait for container"))
        }
        Err(e) => Err(failed("kill container")(e)),
    };
    if let Err(e) = killed {
        container.runtime.warn(&e);
    }
}
