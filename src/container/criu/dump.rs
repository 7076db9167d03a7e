//! Checkpoint: a container's processes become files.

use super::message::{Features, Kind, Opts, switch};
use super::options::{CgroupsMode, CheckpointOptions, NetworkLock};
use super::service::{Notice, Service, Setup, explain, require};
use super::{config_file, external, make_directory, open_directory, unsupported};
use crate::container::handoff::PATIENCE;
use crate::container::store::Record;
use crate::container::{Container, Status, members};
use crate::plan::kernel_version;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

/// What the image directory says about standard descriptors, beside criu's own files.
pub(super) const DESCRIPTORS: &str = "descriptors.json";
/// What it says about this checkpoint, where there is anything to say.
pub(super) const REMARKS: &str = "orlop.json";
const LOG: &str = "dump.log";
/// The first criu which takes a method of locking the network.
pub(super) const HAS_NETWORK_LOCK: u32 = 31700;

impl Container {
    /// Writes the container's processes into image files, by criu(8). Afterwards they have ended,
    /// unless [`leave_running`](CheckpointOptions::leave_running) or
    /// [`pre_dump`](CheckpointOptions::pre_dump) says otherwise: then [`delete`](Self::delete) is for
    /// the caller to do. [`Runtime::restore`](crate::container::Runtime::restore) makes them again.
    ///
    /// Bind mounts, masked files, joined network and pid namespaces, pipes and files of the host behind
    /// the standard descriptors are not part of the image, but of what `restore` is told. A network
    /// namespace of the container's own is not either: it comes back empty, for hooks to fill.
    ///
    /// criu is a child of the calling process meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] for a container that has not been started;
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::Unsupported`] where there is no criu, where it is too old
    /// for what is asked, or where this kernel cannot; [`ErrorKind::System`] with what criu has said.
    pub fn checkpoint(&self, options: &CheckpointOptions) -> Result<()> {
        let lock = self.directory.lock()?;
        let (record, status) = self.alive_record()?;
        if !matches!(status, Status::Running | Status::Paused) {
            let text = format!("cannot checkpoint a container in the {status} state");
            return Err(Error::new(ErrorKind::WrongState, Phase::Lifecycle, text));
        }
        let config = config_file(&self.runtime, &options.criu, &record.annotations)?;
        let kernel = kernel_version()?;
        let directories = Directories::open(&options.image_path, options.work_path.as_deref(), true)?;
        let parent =
            options.parent_path.as_deref().map(|path| parent(&options.image_path, path)).transpose()?;
        let output =
            sys::memfd::data(c"criu").map_err(|e| Error::sys(Phase::Lifecycle, "memfd_create", e))?;
        let null = sys::fs::openat(sys::fs::cwd(), c"/dev/null", libc::O_RDONLY, 0)
            .map_err(|e| Error::sys(Phase::Lifecycle, "open", e).on("/dev/null"))?;
        let said = |e: Error| explain(e, &directories.work, &directories.log(LOG), Some(&output));
        let setup = Setup {
            runtime: &self.runtime,
            lock: &lock,
            criu: &options.criu,
            stdio: [Some(null.as_fd()), Some(output.as_fd()), Some(output.as_fd())],
            keep: &[],
            join: None,
            session: true,
            root: None,
        };
        let mut criu = Service::start(&setup, kernel)?;
        check(options, &mut criu).map_err(said)?;
        let mut request = self.request(&record, options, &directories)?;
        request.parent_img = parent;
        request.config_file = config;
        let kind = if options.pre_dump { Kind::PreDump } else { Kind::Dump };
        let mut status = options.status_fd.as_ref().map(AsFd::as_fd);
        criu.run(kind, &request, |notice| notified(&notice, &mut status)).map_err(said)?;
        // After a pre-dump it waits for the next one, and ends with an error as there is none.
        criu.finish()?;
        if !options.leave_running && !options.pre_dump {
            members::thaw(&record)?; // The killed do not die frozen on cgroup v1.
        }
        Ok(())
    }

    /// What criu is asked for.
    fn request(
        &self,
        record: &Record,
        options: &CheckpointOptions,
        directories: &Directories,
    ) -> Result<Opts> {
        let plan = self.plan(record)?;
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
        let mut request = Opts {
            images_dir_fd: directories.images.as_raw_fd(),
            work_dir_fd: Some(directories.work.as_raw_fd()),
            log_file: LOG,
            pid: Some(pid),
            root: record.rootfs.display().to_string(),
            freeze_cgroup: freezer(record),
            manage_cgroups_mode: CgroupsMode::number(options.manage_cgroups),
            network_lock: options.network_lock.map(NetworkLock::number),
            page_server: options.page_server.as_ref().map(|server| (server.address.clone(), server.port)),
            empty_ns: libc::CLONE_NEWNET as u64,
            switches: switches.into_iter().filter_map(|(on, number)| on.then_some(number)).collect(),
            external: external::dumped_namespaces(&plan)?,
            ..Opts::default()
        };
        let descriptors = external::descriptors(pid)?;
        request.external.extend(external::external_files(&descriptors));
        if !options.pre_dump {
            request.ext_mnt = external::dumped_mounts(&plan, pid)?;
            write_json(&directories.images, DESCRIPTORS, &descriptors)?;
            write_json(&directories.images, REMARKS, &Remarks { empty_network: options.empty_network })?;
        }
        Ok(request)
    }
}

/// That this criu and this kernel can do what is asked.
fn check(options: &CheckpointOptions, criu: &mut Service) -> Result<()> {
    let version = criu.version()?;
    if options.network_lock.is_some() {
        require(version, HAS_NETWORK_LOCK, "a method of locking the network")?;
    }
    let asked = Features {
        mem_track: options.pre_dump || options.parent_path.is_some(),
        lazy_pages: options.lazy_pages,
    };
    if asked == Features::default() {
        return Ok(());
    }
    let found = criu.features(asked)?;
    let missing = [
        (
            asked.mem_track && !found.mem_track,
            "MemTrack",
            "track which memory changes (CONFIG_MEM_SOFT_DIRTY)",
        ),
        (asked.lazy_pages && !found.lazy_pages, "LazyPages", "fetch memory as it is used (userfaultfd)"),
    ];
    match missing.iter().find(|(missing, ..)| *missing) {
        Some((_, name, what)) => Err(unsupported(format!("criu is missing features: {name}"))
            .with_detail(format!("this kernel, or this criu, cannot {what}"))),
        None => Ok(()),
    }
}

/// Where images and logs go.
pub(super) struct Directories {
    pub(super) images: OwnedFd,
    pub(super) work: OwnedFd,
    work_path: std::path::PathBuf,
}

impl Directories {
    /// Opens them, and makes what is missing; the image directory only if it is to be written.
    pub(super) fn open(images: &Path, work: Option<&Path>, write: bool) -> Result<Self> {
        if write {
            make_directory(images, "image path")?;
        }
        if let Some(work) = work {
            make_directory(work, "work path")?;
        }
        let work_path = work.unwrap_or(images).to_owned();
        Ok(Self {
            images: open_directory(images, "image path")?,
            work: open_directory(&work_path, "work path")?,
            work_path,
        })
    }

    /// A log's path.
    pub(super) fn log(&self, name: &str) -> std::path::PathBuf {
        self.work_path.join(name)
    }
}

/// The name of the images that came before, as criu wants it: below the image directory's own.
fn parent(images: &Path, path: &Path) -> Result<String> {
    let wrong = |why: &str| {
        Error::new(ErrorKind::InvalidArgument, Phase::Lifecycle, format!("parent path {why}"))
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

/// The directory through which criu freezes the container.
fn freezer(record: &Record) -> Option<String> {
    let v1 = record.cgroup.v1_of(crate::cgroup::Controller::Freezer);
    v1.or(record.cgroup.unified.as_deref()).map(|path| path.display().to_string())
}

/// What is to be done at the restore, as it was asked for at the dump.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Remarks {
    pub(super) empty_network: bool,
}

fn write_json(images: &OwnedFd, name: &str, value: &impl Serialize) -> Result<()> {
    serde_json::to_vec(value)
        .map_err(|_| Errno::EINVAL)
        .and_then(|text| sys::fs::replace_at(images, &sys::fs::cstring(name)?, &text, 0o600))
        .map_err(|e| Error::sys(Phase::Lifecycle, "write", e).on(name))
}

/// `status-ready`: pages may be fetched.
fn notified(notice: &Notice<'_>, status: &mut Option<BorrowedFd<'_>>) -> Result<()> {
    if notice.script == "status-ready"
        && let Some(fd) = status.take()
    {
        // A pipe that its reader has left full must not keep the container frozen.
        let room = sys::unix::wait_for(fd, libc::POLLOUT, Instant::now() + PATIENCE);
        room.and_then(|room| if room { sys::sigpipe::write_all(fd, b"\0") } else { Err(Errno::ETIMEDOUT) })
            .map_err(|e| Error::sys(Phase::Lifecycle, "write", e).on("status fd"))?;
    }
    Ok(())
}
