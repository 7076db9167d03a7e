//! `restore`

use super::supervise::supervise;
use super::{bundle, console, criu, open};
use crate::args::RestoreArgs;
use crate::environment::{absolute, absolute_option};
use crate::failure::{Failure, Outcome};
use crate::log::Log;
use orlop::container::{Container, RestoreOptions, Stdio};

pub(super) fn restore(program: &str, args: &RestoreArgs, log: &Log) -> Outcome {
    supervise(args.mode, log, || restored_container(program, args, log))
}

fn restored_container(program: &str, args: &RestoreArgs, log: &Log) -> Result<Container, Failure> {
    let id = &args.container.id;
    let runtime = open::runtime(&args.container.runtime, log)?;
    let bundle = bundle::load(&args.bundle)?;
    let flags = &args.criu;
    let options = RestoreOptions {
        criu: criu::find(program)?,
        image_path: absolute(&flags.image_path)?,
        work_path: absolute_option(flags.work_path.as_deref())?,
        pid_file: absolute_option(args.pid_file.as_deref())?,
        console: console::console(
            args.console_socket.as_deref(),
            bundle::wants_terminal(&bundle),
            args.mode.is_foreground(),
        )?,
        stdio: Stdio::Inherit,
        cgroup_manager: args.cgroup.manager,
        optional_cgroup: args.cgroup.rootless,
        tcp_established: flags.tcp_established,
        tcp_close: args.tcp_close,
        ext_unix_sk: flags.ext_unix_sk,
        shell_job: flags.shell_job,
        file_locks: flags.file_locks,
        lazy_pages: flags.lazy_pages,
        auto_dedup: flags.auto_dedup,
        manage_cgroups: flags.manage_cgroups,
        network_lock: flags.network_lock,
        empty_network: flags.empty_network,
        lsm_profile: args.lsm_profile.clone(),
        lsm_mount_context: args.lsm_mount_context.clone(),
    };
    log.debug(|| format!("restore {id} from bundle {}: {options:?}", bundle.path.display()));
    Ok(runtime.restore(id, &bundle, &options)?)
}
