//! A new container from a bundle.

use super::{bundle, console, descriptors, open};
use crate::args::LaunchArgs;
use crate::environment::{absolute_option, listen_fds, notify_socket, systemd};
use crate::failure::Failure;
use crate::foreground;
use crate::log::Log;
use orlop::bundle::Bundle;
use orlop::container::{Console, Container, CreateOptions, Runtime, Stdio};

/// [`Runtime::create`] or [`Runtime::run`].
type Launch = fn(&Runtime, &str, &Bundle, &CreateOptions) -> orlop::Result<Container>;

/// Creates a container with `launch`. In the foreground, this program serves it afterwards.
pub(super) fn new_container(
    args: &LaunchArgs,
    log: &Log,
    foreground: bool,
    launch: Launch,
) -> Result<Container, Failure> {
    let id = &args.container.id;
    let runtime = open::runtime(&args.container.runtime, log)?;
    let mut bundle = bundle::load(&args.bundle)?;
    if foreground && let Some(process) = &mut bundle.spec.process {
        foreground::set_console_size(process);
    }
    descriptors::check_inherited(listen_fds(), args.preserve_fds)?;
    let options = CreateOptions {
        pid_file: absolute_option(args.pid_file.as_deref())?,
        console: console::console(
            args.console_socket.as_deref(),
            bundle::wants_terminal(&bundle),
            foreground,
        )?,
        pidfd_socket: absolute_option(args.pidfd_socket.as_deref())?,
        preserve_fds: args.preserve_fds,
        listen_fds: listen_fds(),
        no_pivot: args.no_pivot,
        no_new_keyring: args.no_new_keyring,
        init: args.init,
        cgroup_manager: args.cgroup.manager,
        systemd: systemd(args.cgroup.rootless)?,
        optional_cgroup: args.cgroup.rootless,
        notify: notify_socket().is_some(),
        stdio: Stdio::Inherit,
    };
    log.debug(|| format!("create {id} from bundle {}: {options:?}", bundle.path.display()));
    // A terminal that this program relays must have its size and modes before the container's program starts.
    let launch = if matches!(options.console, Console::Keep) { Runtime::create } else { launch };
    Ok(launch(&runtime, id, &bundle, &options)?)
}
