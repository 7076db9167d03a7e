//! `checkpoint`

use super::{criu, open};
use crate::args::CheckpointArgs;
use crate::environment::{absolute, absolute_option};
use crate::failure::{Failure, Outcome};
use crate::log::Log;
use crate::sys::stdio::take_inherited;
use orlop::container::CheckpointOptions;
use std::os::fd::OwnedFd;

pub(super) fn checkpoint(program: &str, args: &CheckpointArgs, log: &Log) -> Outcome {
    let container = open::container(&args.container, log)?;
    let flags = &args.criu;
    let options = CheckpointOptions {
        criu: criu::find(program)?,
        image_path: absolute(&flags.image_path)?,
        work_path: absolute_option(flags.work_path.as_deref())?,
        parent_path: args.parent_path.clone(),
        leave_running: args.leave_running,
        pre_dump: args.pre_dump,
        tcp_established: flags.tcp_established,
        tcp_skip_in_flight: args.tcp_skip_in_flight,
        link_remap: args.link_remap,
        ext_unix_sk: flags.ext_unix_sk,
        shell_job: flags.shell_job,
        file_locks: flags.file_locks,
        lazy_pages: flags.lazy_pages,
        status_fd: args.status_fd.map(status_fd).transpose()?,
        page_server: args.page_server.clone(),
        auto_dedup: flags.auto_dedup,
        manage_cgroups: flags.manage_cgroups,
        network_lock: flags.network_lock,
        empty_network: flags.empty_network,
    };
    log.debug(|| format!("checkpoint {}: {options:?}", container.id()));
    container.checkpoint(&options)?;
    if !options.leave_running && !options.pre_dump {
        // Its processes are in the images now.
        container.delete(true)?;
    }
    Ok(0)
}

/// A descriptor that was passed to this program, to be closed after writing to it.
fn status_fd(number: u32) -> Result<OwnedFd, Failure> {
    let taken = i32::try_from(number).ok().and_then(take_inherited);
    taken.ok_or_else(|| {
        Failure::new(format!("--status-fd {number}: the descriptor was not passed to this program"))
    })
}
