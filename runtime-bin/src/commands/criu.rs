//! `checkpoint` and `restore`: by criu(8).

use super::new::{self, Watch};
use super::{Failure, Outcome};
use crate::args::Args;
use crate::environment::{absolute, absolute_option};
use crate::log::Log;
use crate::sys::stdio::take_inherited;
use nix::libc;
use nix::unistd::{AccessFlags, access};
use orlop::container::{CheckpointOptions, Container, Criu, RestoreOptions, Stdio};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where programs are looked for where `PATH` is not set.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `checkpoint`
pub(super) fn checkpoint(program: &str, args: &Args, log: &Log) -> Outcome {
    let flags = &args.criu;
    let container = super::container(args, log)?;
    let options = CheckpointOptions {
        criu: criu(program)?,
        image_path: image_path(args)?,
        work_path: absolute_option(flags.work_path.as_deref())?,
        parent_path: flags.parent_path.clone(),
        leave_running: flags.leave_running,
        pre_dump: flags.pre_dump,
        tcp_established: flags.tcp_established,
        tcp_skip_in_flight: flags.tcp_skip_in_flight,
        link_remap: flags.link_remap,
        ext_unix_sk: flags.ext_unix_sk,
        shell_job: flags.shell_job,
        file_locks: flags.file_locks,
        lazy_pages: flags.lazy_pages,
        status_fd: flags.status_fd.map(status_fd).transpose()?,
        page_server: flags.page_server.clone(),
        auto_dedup: flags.auto_dedup,
        manage_cgroups: flags.manage_cgroups,
        network_lock: flags.network_lock,
        empty_network: !flags.empty_namespaces.is_empty(),
    };
    log.debug(|| format!("checkpoint {}: {options:?}", container.id()));
    container.checkpoint(&options)?;
    if !options.leave_running && !options.pre_dump {
        // Its processes are files now: whoever asks for it is told that it is not there.
        container.delete(true)?;
    }
    Ok(0)
}

/// `restore`
pub(super) fn restore(program: &str, args: &Args, log: &Log) -> Outcome {
    if args.no_pivot {
        return Err(Failure::new(
            "--no-pivot: criu changes the root of a restored container by pivot_root only",
            1,
        ));
    }
    let watch = if args.detach { Watch::Nobody } else { Watch::Us };
    new::keep(args, log, watch, || remake(program, args, log, watch))
}

fn remake(program: &str, args: &Args, log: &Log, watch: Watch) -> Result<Container, Failure> {
    let flags = &args.criu;
    let id = super::id(args)?;
    let runtime = super::runtime(args, log)?;
    let bundle = new::bundle(args.bundle.as_deref(), None)?;
    let terminal = bundle.spec.process.as_ref().is_some_and(|p| p.terminal);
    let options = RestoreOptions {
        criu: criu(program)?,
        image_path: image_path(args)?,
        work_path: absolute_option(flags.work_path.as_deref())?,
        pid_file: absolute_option(args.pid_file.as_deref())?,
        console: new::console(args, terminal, watch == Watch::Us)?,
        stdio: Stdio::Inherit,
        cgroup_manager: args.cgroup_manager.unwrap_or_default(),
        optional_cgroup: args.rootless,
        tcp_established: flags.tcp_established,
        tcp_close: flags.tcp_close,
        ext_unix_sk: flags.ext_unix_sk,
        shell_job: flags.shell_job,
        file_locks: flags.file_locks,
        lazy_pages: flags.lazy_pages,
        auto_dedup: flags.auto_dedup,
        manage_cgroups: flags.manage_cgroups,
        network_lock: flags.network_lock,
        empty_network: !flags.empty_namespaces.is_empty(),
        lsm_profile: flags.lsm_profile.clone(),
        lsm_mount_context: flags.lsm_mount_context.clone(),
    };
    log.debug(|| format!("restore {id} from bundle {}: {options:?}", bundle.path.display()));
    Ok(runtime.restore(id, &bundle, &options)?)
}

fn image_path(args: &Args) -> Result<PathBuf, Failure> {
    absolute(args.criu.image_path.as_deref().unwrap_or(Path::new("checkpoint")))
}

/// The descriptor that was passed to this program, to be closed once it is written to.
fn status_fd(number: u32) -> Result<OwnedFd, Failure> {
    let taken = i32::try_from(number).ok().and_then(take_inherited);
    taken.ok_or_else(|| {
        Failure::new(format!("--status-fd {number}: the descriptor was not passed to this program"), 1)
    })
}

/// The program in `PATH`, with this program's own environment.
fn criu(program: &str) -> Result<Criu, Failure> {
    let path = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| USUAL_PATH.into());
    let Some(found) = executable(&path, "criu")? else {
        return Err(Failure::new(
            "checkpoint and restore need criu: exec: \"criu\": executable file not found in $PATH; \
             hint: install the package criu",
            1,
        ));
    };
    let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let mut env: Vec<(String, String)> = std::env::vars_os().filter_map(utf8).collect();
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".into(), USUAL_PATH.into()));
    }
    // The file that container engines know is good for this one too.
    let configs = [program, "runc"].map(|name| PathBuf::from(format!("/etc/criu/{name}.conf")));
    let mut config = None;
    for file in configs {
        if config.is_none() && looked_at(&file, std::fs::metadata(&file))?.is_some() {
            config = Some(file);
        }
    }
    Ok(Criu { program: found, env, config })
}

/// The first executable file of this name in the directories of a `PATH`.
fn executable(path: &OsStr, name: &str) -> Result<Option<PathBuf>, Failure> {
    for file in std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)) {
        let is_file = looked_at(&file, std::fs::metadata(&file))?.is_some_and(|about| about.is_file());
        let may_run = || looked_at(&file, access(&file, AccessFlags::X_OK).map_err(std::io::Error::from));
        if is_file && may_run()?.is_some() {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// What was found out about a file; nothing if it is not there, or this user may not look.
fn looked_at<T>(file: &Path, found: std::io::Result<T>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES)) => Ok(None),
        Err(e) => Err(Failure::io("look at", file, &e)),
    }
}
