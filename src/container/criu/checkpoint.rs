//! Checkpoint: dumping a container's processes into image files.

use super::error::unsupported;
use super::external;
use super::images::{CHECKPOINT_OPTIONS, DESCRIPTORS, ImageDirectories, StoredOptions, config_file};
use super::message::{CheckedFeatures, CriuOptions, RequestType, switch};
use super::options::{CgroupsMode, CheckpointOptions, NetworkLock};
use super::service::{CriuService, CriuSetup, Notification, explain, require_version};
use crate::container::container::Container;
use crate::container::state::Status;
use crate::container::store::StateRecord;
use crate::container::unix_socket::PEER_TIMEOUT;
use crate::container::{freezer, recompiled_plan, status};
use crate::namespace::NamespaceKind;
use crate::plan::kernel_version;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

const LOG: &str = "dump.log";
/// The first version of criu that supports choosing how to lock the network.
pub(super) const NETWORK_LOCK_VERSION: u32 = 31700;

/// Dumps the container's processes into image files.
pub(in crate::container) fn checkpoint(container: &Container, options: &CheckpointOptions) -> Result<()> {
    let lock = container.directory.lock()?;
    let (record, status) = status::alive_record(&container.directory)?;
    if !matches!(status, Status::Running | Status::Paused) {
        let text = format!("cannot checkpoint a container in the {status} state");
        return Err(Error::new(ErrorKind::WrongState, Phase::Lifecycle, text));
    }
    let config = config_file(&container.runtime, &options.criu, &record.annotations)?;
    let kernel = kernel_version()?;
    let directories = ImageDirectories::open(&options.image_path, options.work_path.as_deref(), true)?;
    let parent =
        options.parent_path.as_deref().map(|path| parent_images(&options.image_path, path)).transpose()?;
    let output = sys::memfd::data(c"criu").map_err(|e| Error::sys(Phase::Lifecycle, "memfd_create", e))?;
    let null = sys::fs::openat(sys::fs::cwd(), c"/dev/null", libc::O_RDONLY, 0)
        .map_err(|e| Error::sys(Phase::Lifecycle, "open", e).on("/dev/null"))?;
    let explained = |e: Error| explain(e, &directories.work, &directories.log(LOG), Some(&output));
    let setup = CriuSetup {
        runtime: &container.runtime,
        lock: &lock,
        criu: &options.criu,
        stdio: [Some(null.as_fd()), Some(output.as_fd()), Some(output.as_fd())],
        keep: &[],
        join: None,
        session: true,
        root: None,
    };
    let mut criu = CriuService::start(&setup, kernel)?;
    check_support(options, &mut criu).map_err(explained)?;
    let mut request = request(container, &record, options, &directories)?;
    request.parent_img = parent;
    request.config_file = config;
    let request_type = if options.pre_dump { RequestType::PreDump } else { RequestType::Dump };
    let mut status_fd = options.status_fd.as_ref().map(AsFd::as_fd);
    criu.run(request_type, &request, |notification| notified(&notification, &mut status_fd))
        .map_err(explained)?;
    // After a pre-dump, criu waits for the next one, and exits with an error because there is none.
    criu.finish()?;
    if !options.leave_running && !options.pre_dump {
        freezer::thaw_killed(&record)?; // On cgroup v1, frozen processes do not die.
    }
    Ok(())
}

/// The request to criu.
fn request(
    container: &Container,
    record: &StateRecord,
    options: &CheckpointOptions,
    directories: &ImageDirectories,
) -> Result<CriuOptions> {
    let plan = recompiled_plan::compile(container, record)?;
    if !plan.namespaces.has(NamespaceKind::Mount) {
        return Err(unsupported("a container without a mount namespace of its own cannot be checkpointed"));
    }
    let pid = record.init.pid;
    let switches = [
        (true, switch::NOTIFY_SCRIPTS),
        (true, switch::ORPHAN_PTS_MASTER),
        (options.manage_cgroups != Some(CgroupsMode::Ignore), switch::MANAGE_CGROUPS),
        (options.leave_running, switch::LEAVE_RUNNING),
        (options.tcp_established, switch::TCP_ESTABLISHED),
        (options.tcp_skip_in_flight, switch::TCP_SKIP_IN_FLIGHT),
        (options.link_remap, switch::LINK_REMAP),
        (options.ext_unix_sk, switch::EXT_UNIX_SK),
        (options.shell_job, switch::SHELL_JOB),
        (options.file_locks, switch::FILE_LOCKS),
        (options.lazy_pages, switch::LAZY_PAGES),
        (options.auto_dedup, switch::AUTO_DEDUP),
        (options.parent_path.is_some() || options.pre_dump, switch::TRACK_MEM),
    ];
    let mut request = CriuOptions {
        images_dir_fd: directories.images.as_raw_fd(),
        work_dir_fd: Some(directories.work.as_raw_fd()),
        log_file: LOG,
        pid: Some(pid),
        root: record.rootfs.display().to_string(),
        freeze_cgroup: freezer_path(record),
        manage_cgroups_mode: CgroupsMode::number(options.manage_cgroups),
        network_lock: options.network_lock.map(NetworkLock::number),
        page_server: options.page_server.as_ref().map(|server| (server.address.clone(), server.port)),
        empty_ns: libc::CLONE_NEWNET as u64,
        switches: switches.into_iter().filter_map(|(on, number)| on.then_some(number)).collect(),
        external: external::dumped_namespaces(&plan)?,
        ..CriuOptions::default()
    };
    let descriptors = external::descriptors(pid)?;
    request.external.extend(external::external_files(&descriptors));
    if !options.pre_dump {
        request.ext_mnt = external::dumped_mounts(&plan, pid)?;
        directories.write_json(DESCRIPTORS, &descriptors)?;
        let stored = StoredOptions { empty_network: options.empty_network };
        directories.write_json(CHECKPOINT_OPTIONS, &stored)?;
    }
    Ok(request)
}

/// Checks that this criu and this kernel support the options.
fn check_support(options: &CheckpointOptions, criu: &mut CriuService) -> Result<()> {
    let version = criu.version()?;
    if options.network_lock.is_some() {
        require_version(version, NETWORK_LOCK_VERSION, "a method of locking the network")?;
    }
    let needed = CheckedFeatures {
        mem_track: options.pre_dump || options.parent_path.is_some(),
        lazy_pages: options.lazy_pages,
    };
    if needed == CheckedFeatures::default() {
        return Ok(());
    }
    let found = criu.features(needed)?;
    let missing = [
        (
            needed.mem_track && !found.mem_track,
            "MemTrack",
            "track which memory changes (CONFIG_MEM_SOFT_DIRTY)",
        ),
        (needed.lazy_pages && !found.lazy_pages, "LazyPages", "fetch memory as it is used (userfaultfd)"),
    ];
    match missing.iter().find(|(missing, ..)| *missing) {
        Some((_, name, what)) => Err(unsupported(format!("criu is missing features: {name}"))
            .with_detail(format!("this kernel, or this criu, cannot {what}"))),
        None => Ok(()),
    }
}

/// The path of the parent images as criu expects it: relative to the image directory.
fn parent_images(images: &Path, path: &Path) -> Result<String> {
    let wrong = |why: &str| {
        Error::new(ErrorKind::InvalidArgument, Phase::Lifecycle, format!("--parent-path {why}"))
            .on(path.display().to_string())
    };
    if path.is_absolute() {
        return Err(wrong("must be relative to the image path"));
    }
    let found = images.join(path);
    match nix::sys::stat::stat(&found) {
        Ok(stat) if stat.st_mode & libc::S_IFMT == libc::S_IFDIR => {}
        Ok(_) => return Err(wrong("is not usable").with_errno(Errno::ENOTDIR)),
        Err(e) => return Err(wrong("is not usable").with_errno(e)),
    }
    path.to_str().map(str::to_owned).ok_or_else(|| wrong("is not UTF-8"))
}

/// The cgroup directory that criu freezes the container with.
fn freezer_path(record: &StateRecord) -> Option<String> {
    let v1 = record.cgroup.v1_of(crate::cgroup::Controller::Freezer);
    v1.or(record.cgroup.unified.as_deref()).map(|path| path.display().to_string())
}

/// Handles the notification `status-ready`: lazy pages can be fetched.
fn notified(notification: &Notification<'_>, status: &mut Option<BorrowedFd<'_>>) -> Result<()> {
    if notification.script == "status-ready"
        && let Some(fd) = status.take()
    {
        // If the pipe is full and its reader does not read, the container must not remain frozen.
        let room = sys::unix::wait_for(fd, libc::POLLOUT, Instant::now() + PEER_TIMEOUT);
        room.and_then(|room| if room { sys::sigpipe::write_all(fd, b"\0") } else { Err(Errno::ETIMEDOUT) })
            .map_err(|e| Error::sys(Phase::Lifecycle, "write", e).on("status fd"))?;
    }
    Ok(())
}
