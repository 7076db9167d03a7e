//! Restore: a new container whose processes come from files.

use super::dump::{DESCRIPTORS, Directories, HAS_NETWORK_LOCK, REMARKS, Remarks};
use super::message::{Kind as Request, Opts, switch};
use super::options::{CgroupsMode, NetworkLock, RestoreOptions};
use super::service::{Notice, Service, Setup, explain, require};
use super::{config_file, external, unsupported};
use crate::bundle::Bundle;
use crate::cgroup::Join;
use crate::container::create;
use crate::container::hooks::{self, Kind, Launcher, Place};
use crate::container::liveness::{self, Identity, Presence};
use crate::container::lock::Lock;
use crate::container::options::Console;
use crate::container::store::{Directory, Record, Stage};
use crate::container::{Container, Runtime, Status, handoff, id};
use crate::init::launch;
use crate::init::presets::Sources;
use crate::mount::{Detached, Propagation, PropagationKind, idmap, in_root};
use crate::namespace;
use crate::plan::{
    Filter, Host, Options, Plan, Policy, RootfsStep, Step, compile, compile_loopback, compile_mount_points,
    compile_readonly_root,
};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use serde::de::DeserializeOwned;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

const LOG: &str = "restore.log";
/// Where criu finds the root file system, in the container's state directory.
const ROOT: &str = "criu-root";
/// More than `checkpoint` writes into a file of its own, in bytes.
const LONGEST: usize = 64 << 10;
/// The first criu which gives processes other labels.
const HAS_LSM: u32 = 31600;

/// [`Runtime::restore`].
pub(in super::super) fn restore(
    runtime: &Runtime,
    id: &str,
    bundle: &Bundle,
    options: &RestoreOptions,
) -> Result<Container> {
    id::validate(id)?;
    check(options)?;
    if options.cgroup_manager == crate::container::CgroupManager::Systemd {
        let why = "a container cannot be restored into a scope of systemd's";
        return Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, why)
            .with_hint("use the cgroupfs manager, and a cgroupsPath that is a path"));
    }
    let config = config_file(runtime, &options.criu, &bundle.spec.annotations)?;
    let directories = Directories::open(&options.image_path, options.work_path.as_deref(), false)?;
    let saved = Options {
        id: id.to_owned(),
        console: !matches!(options.console, Console::None),
        keep_console: matches!(options.console, Console::Keep),
        optional_cgroup: options.optional_cgroup,
        cgroup_manager: options.cgroup_manager,
        ..Options::default()
    };
    let host = Host::detect_for(bundle, &saved)?;
    let plan = compile(bundle, &host, &saved)?;
    if bundle.spec.linux.as_ref().is_some_and(|linux| linux.intel_rdt.is_some()) {
        return Err(
            unsupported("criu restores no process into a class of service").with_pointer("/linux/intelRdt")
        );
    }
    let (directory, lock) = Directory::create(runtime.state_root(), id)?;
    let record = Record { restored: true, ..create::record(id, bundle, &plan, saved) };
    let container = Container::new(runtime.clone(), directory);
    let mut restoring = Restoring {
        container,
        lock,
        record,
        bundle,
        plan,
        host: &host,
        options,
        config,
        directories,
        init: None,
    };
    match restoring.make() {
        Ok(()) => Ok(restoring.container),
        Err(error) => Err(restoring.undo(error)),
    }
}

fn check(options: &RestoreOptions) -> Result<()> {
    let socket = match &options.console {
        Console::Socket(path) => Some(path.as_path()),
        _ => None,
    };
    [(options.pid_file.as_deref(), "pid file"), (socket, "console socket")]
        .into_iter()
        .try_for_each(|(path, what)| path.map_or(Ok(()), |p| handoff::require_absolute(p, what)))
}

/// What was the null device stays it where a pipe would come in its place: criu sets the position in what it takes
/// for a device, and a pipe has none. `kept` keeps open what `stdio` borrows then.
fn keep_null<'a>(
    descriptors: &[String],
    stdio: &mut [Option<BorrowedFd<'a>>; 3],
    kept: &'a mut Option<OwnedFd>,
) -> Result<()> {
    let has_position = |number: usize, given: Option<BorrowedFd<'_>>| {
        let tell = |fd: BorrowedFd<'_>| nix::unistd::lseek(fd, 0, nix::unistd::Whence::SeekCur).is_ok();
        match (given, number) {
            (Some(fd), _) => tell(fd),
            (None, 0) => tell(std::io::stdin().as_fd()),
            (None, 1) => tell(std::io::stdout().as_fd()),
            (None, _) => tell(std::io::stderr().as_fd()),
        }
    };
    let lost: Vec<usize> = (0..3)
        .filter(|&n| descriptors.get(n).is_some_and(|name| external::was_null(name)))
        .filter(|&n| !has_position(n, stdio[n]))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let opened = sys::fs::openat(sys::fs::cwd(), c"/dev/null", libc::O_RDWR, 0)
        .map_err(|e| Error::sys(Phase::Lifecycle, "open", e).on("/dev/null"))?;
    let opened: &'a OwnedFd = kept.insert(opened);
    for number in lost {
        stdio[number] = Some(opened.as_fd());
    }
    Ok(())
}

/// A container that criu is making.
struct Restoring<'a> {
    container: Container,
    lock: Lock,
    record: Record,
    bundle: &'a Bundle,
    plan: Plan,
    host: &'a Host,
    options: &'a RestoreOptions,
    /// The file of criu's options.
    config: Option<String>,
    directories: Directories,
    /// The init process, once there is one: a child of ours.
    init: Option<OwnedFd>,
}

impl Restoring<'_> {
    fn make(&mut self) -> Result<()> {
        create::record_cgroup(&self.plan, &mut self.record)?;
        self.container.directory.write_first(&self.record)?;
        let mut join = create::make_cgroup(&self.plan, self.host, &mut self.record)?;
        if let Some(join) = &mut join {
            join.use_files()?;
        }
        self.container.directory.write(&self.record)?;
        let policy = Policy::of(&self.bundle.spec, Filter::of_lines(self.plan.lines())).encode()?;
        self.container.directory.write_config(&self.bundle.config, &policy)?;
        self.make_mount_points()?;
        let root = self.root_directory()?;
        let done = self.run(join.as_ref(), &root.display().to_string());
        // It was a mount point in criu's own mount namespace only. What stays of it goes with the container.
        if let Err(e) = std::fs::remove_dir(&root) {
            let errno = Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
            let object = root.display().to_string();
            self.container.runtime.warn(&Error::sys(Phase::State, "rmdir", errno).on(object));
        }
        done?;
        self.record.stage = Stage::Started;
        self.container.directory.write(&self.record)?;
        if let Some(path) = &self.options.pid_file {
            handoff::write_pid_file(path, self.record.init.pid)?;
        }
        if let Some(pidfd) = self.init.take() {
            let _ = self.container.init.set(pidfd);
        }
        Ok(())
    }

    /// A detached copy of the root file system, which hears of the host's mounts and never speaks.
    fn tree(&self) -> Result<Detached> {
        let tree = Detached::clone_path(&self.bundle.rootfs, true)?;
        tree.propagate(Propagation::recursive(PropagationKind::Slave))?;
        Ok(tree)
    }

    /// What creation would have left in the root file system.
    fn make_mount_points(&self) -> Result<()> {
        let root = self.bundle.rootfs.display().to_string();
        let plan = compile_mount_points(&self.plan, &root, self.host.kernel)?;
        let tree = self.tree()?;
        let sources = Sources { given: &[tree.as_fd()], ..Sources::default() };
        self.helper(&plan, sources)
    }

    /// criu wants a root that is a mount of its own: this becomes one, in criu's mount namespace.
    fn root_directory(&self) -> Result<PathBuf> {
        let path = self.container.runtime.root().join(&self.container.id).join(ROOT);
        std::fs::create_dir(&path).map_err(|e| {
            let errno = nix::errno::Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
            Error::sys(Phase::State, "mkdir", errno).on(path.display().to_string())
        })?;
        Ok(path)
    }

    /// The images as the root of a new user namespace may read them, who is somebody else on the host;
    /// `None` where nothing is in the way, or their file system knows no such mounts.
    fn images_for_user(&self) -> Result<Option<OwnedFd>> {
        if !self.plan.namespaces.is_new(namespace::Kind::User) {
            return Ok(None);
        }
        let maps = self.plan.namespaces.id_maps();
        let owners = idmap::user_namespace(&maps.uids, &maps.gids)?;
        let tree = Detached::clone_of(&self.directories.images, false)?;
        match tree.idmap(owners, false) {
            // EINVAL is the kernel's answer for such a file system, EPERM for a mount of another user namespace.
            Err(e) if matches!(e.errno(), Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EPERM)) => Ok(None),
            done => done.map(|()| Some(tree.into_fd())),
        }
    }

    /// The conversation with criu.
    fn run(&mut self, join: Option<&Join>, root: &str) -> Result<()> {
        let joined = external::restored_namespaces(&self.plan)?;
        let tree = self.tree()?;
        let keep: Vec<BorrowedFd<'_>> = joined.files.iter().map(|(_, file)| file.as_fd()).collect();
        let mut kept = None;
        let options = self.options;
        let descriptors = self.descriptors()?;
        let standard = options.stdio.standard()?;
        let mut stdio = standard.descriptors();
        keep_null(&descriptors, &mut stdio, &mut kept)?;
        let setup = Setup {
            runtime: &self.container.runtime,
            lock: &self.lock,
            criu: &options.criu,
            stdio,
            keep: &keep,
            join,
            session: !options.shell_job,
            root: Some((tree.as_fd(), root)),
        };
        let mut criu = Service::start(&setup, self.host.kernel)?;
        drop(tree);
        let log = self.directories.log(LOG);
        let work = self.directories.work.try_clone();
        let said = |e: Error| match &work {
            Ok(work) if e.kind() == ErrorKind::System => explain(e, work, &log, None),
            _ => e,
        };
        self.check_version(&mut criu).map_err(said)?;
        let work_dir = seen_by(criu.pid(), &self.directories.work)?;
        let mut request = self.request(criu.pid(), root)?;
        request.inherit_fd = external::inherited(&descriptors);
        request.work_dir_fd = Some(work_dir.as_raw_fd());
        let images = self.images_for_user()?;
        request.images_dir_fd = images.as_ref().unwrap_or(&self.directories.images).as_raw_fd();
        request.join_ns = joined.paths;
        request
            .inherit_fd
            .extend(joined.files.iter().map(|(key, file)| ((*key).to_owned(), file.as_raw_fd())));
        let answer = criu.run(Request::Restore, &request, |notice| self.notified(notice)).map_err(said)?;
        if self.init.is_none() {
            self.adopt(answer.pid.unwrap_or_default())?;
        }
        criu.finish().map(drop)
    }

    fn check_version(&self, criu: &mut Service) -> Result<()> {
        let version = criu.version()?;
        let options = self.options;
        if options.lsm_profile.is_some() || options.lsm_mount_context.is_some() {
            require(version, HAS_LSM, "another LSM profile or mount context")?;
        }
        if options.network_lock.is_some() {
            require(version, HAS_NETWORK_LOCK, "a method of locking the network")?;
        }
        Ok(())
    }

    /// What criu is asked for. It is in the container's cgroup already.
    fn request(&self, criu: i32, root: &str) -> Result<Opts> {
        let options = self.options;
        let switches = [
            (true, switch::NOTIFY_SCRIPTS),
            (true, switch::ORPHAN_PTS_MASTER),
            (true, switch::RST_SIBLING),
            (true, switch::EVASIVE_DEVICES),
            (options.manage_cgroups != Some(CgroupsMode::Ignore), switch::MANAGE_CGROUPS),
            (options.tcp_established, switch::TCP_ESTABLISHED),
            (options.tcp_close, switch::TCP_CLOSE),
            (options.ext_unix_sk, switch::EXT_UNIX_SK),
            (options.shell_job, switch::SHELL_JOB),
            (options.file_locks, switch::FILE_LOCKS),
            (options.lazy_pages, switch::LAZY_PAGES),
            (options.auto_dedup, switch::AUTO_DEDUP),
        ];
        Ok(Opts {
            log_file: LOG,
            root: root.to_owned(),
            config_file: self.config.clone(),
            lsm_profile: options.lsm_profile.clone(),
            lsm_mount_context: options.lsm_mount_context.clone(),
            manage_cgroups_mode: CgroupsMode::number(options.manage_cgroups),
            network_lock: options.network_lock.map(NetworkLock::number),
            empty_ns: libc::CLONE_NEWNET as u64,
            switches: switches.into_iter().filter_map(|(on, number)| on.then_some(number)).collect(),
            ext_mnt: external::restored_mounts(&self.plan)?,
            cg_root: if self.plan.cgroup.is_some() { external::cgroups(criu)? } else { Vec::new() },
            ..Opts::default()
        })
    }

    /// What a file of the images says that `checkpoint` has written; `None` where there is none.
    fn said<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.options.image_path.join(name).display().to_string();
        let text = match sys::fs::cstring(name)
            .and_then(|name| sys::fs::read_plain_at(&self.directories.images, &name, LONGEST))
        {
            Ok(text) => text,
            Err(Errno::ENOENT) => return Ok(None),
            Err(e) => return Err(Error::sys(Phase::Lifecycle, "read", e).on(path)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            Error::new(ErrorKind::InvalidArgument, Phase::Lifecycle, "cannot read")
                .on(path)
                .with_detail(e.to_string())
        })
    }

    /// What the standard descriptors were.
    fn descriptors(&self) -> Result<Vec<String>> {
        self.said(DESCRIPTORS)?.ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, Phase::Lifecycle, "these are no images of a container")
                .on(self.options.image_path.display().to_string())
                .with_detail(format!("there is no {DESCRIPTORS}"))
        })
    }

    /// `lo` of a new network namespace is up, unless that was to be left alone.
    fn loopback(&self) -> Result<()> {
        let asked = self.options.empty_network;
        if asked || !self.plan.namespaces.is_new(namespace::Kind::Network) {
            return Ok(());
        }
        if self.said::<Remarks>(REMARKS)?.unwrap_or_default().empty_network {
            return Ok(());
        }
        let Some(pidfd) = &self.init else { return Ok(()) };
        let sources = Sources { process: Some(pidfd.as_fd()), ..Sources::default() };
        self.helper(&compile_loopback(self.host.kernel)?, sources)
    }

    /// criu needs a root to write to, and leaves it so: before anything runs in it, it is read-only again.
    fn readonly_root(&self) -> Result<()> {
        let asked = self.plan.lines().iter().any(|line| line.step == Step::Rootfs(RootfsStep::ReadonlyRoot));
        match &self.init {
            Some(pidfd) if asked => {
                let sources = Sources { process: Some(pidfd.as_fd()), ..Sources::default() };
                self.helper(&compile_readonly_root(self.host.kernel)?, sources)
            }
            _ => Ok(()),
        }
    }

    /// Runs a plan that ends by itself.
    fn helper(&self, plan: &Plan, sources: Sources<'_>) -> Result<()> {
        let fault = self.container.runtime.fault();
        let recorder = |pid| self.lock.helping(pid);
        let sources = Sources { recorder: Some(&recorder), ..sources };
        Ok(launch::run(plan, sources, fault, |launch| self.lock.launch(launch))?)
    }

    fn notified(&mut self, notice: Notice<'_>) -> Result<()> {
        match notice.script {
            "setup-namespaces" => {
                self.adopt(notice.pid)?;
                self.record.hooked = true;
                self.container.directory.write(&self.record)?;
                self.loopback()?;
                self.run_hooks(Kind::Prestart)?;
                self.run_hooks(Kind::CreateRuntime)
            }
            "post-restore" => {
                if self.init.is_none() {
                    self.adopt(notice.pid)?;
                }
                self.readonly_root()
            }
            "orphan-pts-master" => match notice.fd {
                Some(master) => self.hand_over(master),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Notes who the init process is: a child of ours that nobody else waits for.
    fn adopt(&mut self, pid: i32) -> Result<()> {
        let pidfd = sys::process::pidfd_open(pid)
            .map_err(|e| Error::sys(Phase::Lifecycle, "pidfd_open", e).on(pid.to_string()))?;
        self.record.init = Identity::of(pid)?;
        liveness::boot_id()?.clone_into(&mut self.record.boot);
        self.init = Some(pidfd);
        Ok(())
    }

    fn run_hooks(&self, kind: Kind) -> Result<()> {
        let hooks = kind.of(self.bundle.spec.hooks.as_ref());
        if hooks.is_empty() {
            return Ok(());
        }
        let state = self.container.describe(self.record.clone(), Status::Creating);
        let place = Place::Host(&self.bundle.path);
        hooks::run(kind, hooks, &state, &Launcher { kernel: self.host.kernel, place, lock: &self.lock })
    }

    /// The master of the terminal that the container had.
    fn hand_over(&self, master: OwnedFd) -> Result<()> {
        match &self.options.console {
            Console::Socket(path) => handoff::send_descriptor(path, &master, "/dev/ptmx", "console socket"),
            Console::Keep => {
                if let Ok(mut place) = self.container.console.lock() {
                    *place = Some(master);
                }
                Ok(())
            }
            Console::None => Ok(()),
        }
    }

    fn undo(mut self, error: Error) -> Error {
        let presence = self.init.take().map_or(Presence::Gone, Presence::Alive);
        self.container.undo(self.record, presence, error, &self.lock)
    }
}

/// A directory of ours in the mount namespace of another process: criu mounts below its working
/// directory, which the kernel allows in criu's own mount namespace only.
fn seen_by(pid: i32, directory: &OwnedFd) -> Result<OwnedFd> {
    let root = format!("/proc/{pid}/root");
    let failed = |e| Error::sys(Phase::Lifecycle, "open the work path below", e).on(root.as_str());
    let ours = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let path = nix::fcntl::readlink(ours.as_str()).map_err(failed)?;
    let root = sys::fs::cstring(&root)
        .and_then(|name| sys::fs::openat(sys::fs::cwd(), &name, libc::O_PATH | libc::O_DIRECTORY, 0))
        .map_err(failed)?;
    in_root::open(root, path, libc::O_RDONLY | libc::O_DIRECTORY)
}
