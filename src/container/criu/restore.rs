//! Restore: creating a container whose processes come from image files.

use super::checkpoint::NETWORK_LOCK_VERSION;
use super::error::unsupported;
use super::external;
use super::images::{CHECKPOINT_OPTIONS, DESCRIPTORS, ImageDirectories, StoredOptions, config_file};
use super::message::{CriuOptions, RequestType, switch};
use super::options::{CgroupsMode, NetworkLock, RestoreOptions};
use super::service::{CriuService, CriuSetup, Notification, explain, require_version};
use crate::bundle::{Bundle, HookKind};
use crate::cgroup::{CgroupManager, Join};
use crate::container::container::Container;
use crate::container::hooks::launcher::{HookLauncher, HookLocation};
use crate::container::hooks::runner;
use crate::container::options::{Console, require_absolute_paths};
use crate::container::process::identity::{ProcessIdentity, ProcessState, boot_id};
use crate::container::runtime::Runtime;
use crate::container::state::Status;
use crate::container::store::lock::OperationLock;
use crate::container::store::{Stage, StateDirectory, StateRecord, config};
use crate::container::teardown;
use crate::container::{files, id, new_cgroup, new_record, status, unix_socket};
use crate::init::launch;
use crate::init::presets::DescriptorSources;
use crate::mount::{Detached, Propagation, PropagationKind, idmap, in_root};
use crate::namespace;
use crate::plan::{
    self, Filter, Host, Plan, Policy, RootfsStep, Step, compile, compile_loopback, compile_mount_points,
    compile_readonly_root,
};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

const LOG: &str = "restore.log";
/// The mount point of the root file system for criu, in the container's state directory.
const ROOT_MOUNT_POINT: &str = "criu-root";
/// The first version of criu that can give processes other security labels.
const LSM_VERSION: u32 = 31600;

/// Creates a container whose processes come from image files.
pub(in crate::container) fn restore(
    runtime: &Runtime,
    id: &str,
    bundle: &Bundle,
    options: &RestoreOptions,
) -> Result<Container> {
    id::validate(id)?;
    require_absolute_paths(options.pid_file.as_deref(), None, &options.console)?;
    if options.cgroup_manager == CgroupManager::Systemd {
        let why = "a container cannot be restored into a scope of systemd's";
        return Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, why)
            .with_hint("use the cgroupfs manager, and a cgroupsPath that is a path"));
    }
    let config = config_file(runtime, &options.criu, &bundle.spec.annotations)?;
    let directories = ImageDirectories::open(&options.image_path, options.work_path.as_deref(), false)?;
    let plan_options = plan::Options {
        id: id.to_owned(),
        console: !matches!(options.console, Console::None),
        keep_console: matches!(options.console, Console::Keep),
        optional_cgroup: options.optional_cgroup,
        cgroup_manager: options.cgroup_manager,
        ..plan::Options::default()
    };
    let host = Host::detect_for(bundle, &plan_options)?;
    let plan = compile(bundle, &host, &plan_options)?;
    if bundle.spec.linux.as_ref().is_some_and(|linux| linux.intel_rdt.is_some()) {
        return Err(
            unsupported("criu restores no process into a class of service").with_pointer("/linux/intelRdt")
        );
    }
    let (directory, lock) = StateDirectory::create(runtime.state_root(), id)?;
    let record = StateRecord { restored: true, ..new_record::new(id, bundle, &plan, plan_options) };
    let container = Container::new(runtime.clone(), directory);
    let mut restoration = Restoration {
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
    match restoration.run_steps() {
        Ok(()) => Ok(restoration.container),
        Err(error) => Err(restoration.undo(error)),
    }
}

/// Uses `/dev/null` for each standard descriptor that was the null device, if it would otherwise become a pipe: criu sets
/// the file offset of what it believes to be a device, and a pipe has none. `null` owns the descriptor that `stdio`
/// borrows.
fn keep_null_device<'a>(
    descriptors: &[String],
    stdio: &mut [Option<BorrowedFd<'a>>; 3],
    null: &'a mut Option<OwnedFd>,
) -> Result<()> {
    let has_offset = |number: usize, given: Option<BorrowedFd<'_>>| {
        let tell = |fd: BorrowedFd<'_>| nix::unistd::lseek(fd, 0, nix::unistd::Whence::SeekCur).is_ok();
        match (given, number) {
            (Some(fd), _) => tell(fd),
            (None, 0) => tell(std::io::stdin().as_fd()),
            (None, 1) => tell(std::io::stdout().as_fd()),
            (None, _) => tell(std::io::stderr().as_fd()),
        }
    };
    let wrong: Vec<usize> = (0..3)
        .filter(|&n| descriptors.get(n).is_some_and(|name| external::was_null_device(name)))
        .filter(|&n| !has_offset(n, stdio[n]))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let opened = sys::fs::openat(sys::fs::cwd(), c"/dev/null", libc::O_RDWR, 0)
        .map_err(|e| Error::sys(Phase::Lifecycle, "open", e).on("/dev/null"))?;
    let opened: &'a OwnedFd = null.insert(opened);
    for number in wrong {
        stdio[number] = Some(opened.as_fd());
    }
    Ok(())
}

/// A container that is being restored.
struct Restoration<'a> {
    container: Container,
    lock: OperationLock,
    record: StateRecord,
    bundle: &'a Bundle,
    plan: Plan,
    host: &'a Host,
    options: &'a RestoreOptions,
    /// The path of criu's configuration file.
    config: Option<String>,
    directories: ImageDirectories,
    /// The pidfd of the init process, which is our child, as soon as it exists.
    init: Option<OwnedFd>,
}

impl Restoration<'_> {
    fn run_steps(&mut self) -> Result<()> {
        new_cgroup::record(&self.plan, &mut self.record)?;
        self.container.directory.write_first(&self.record)?;
        let mut join = new_cgroup::create(&self.plan, self.host, &mut self.record)?;
        if let Some(join) = &mut join {
            join.use_files()?;
        }
        self.container.directory.write(&self.record)?;
        let policy = Policy::of(&self.bundle.spec, Filter::of_lines(self.plan.lines())).encode()?;
        config::write(&self.container.directory, &self.bundle.config, &policy)?;
        self.create_mount_points()?;
        let root = self.create_root_mount_point()?;
        let done = self.run_criu(join.as_ref(), &root.display().to_string());
        // It is a mount point only in criu's own mount namespace. If it remains, it is removed with the container.
        if let Err(e) = std::fs::remove_dir(&root) {
            let errno = Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
            let object = root.display().to_string();
            self.container.runtime.warn(&Error::sys(Phase::State, "rmdir", errno).on(object));
        }
        done?;
        self.record.stage = Stage::Started;
        self.container.directory.write(&self.record)?;
        if let Some(path) = &self.options.pid_file {
            files::write_pid_file(path, self.record.init.pid)?;
        }
        if let Some(pidfd) = self.init.take() {
            let _ = self.container.init.set(pidfd);
        }
        Ok(())
    }

    /// A detached copy of the root file system. Mounts propagate from the host to it, but not back.
    fn clone_rootfs(&self) -> Result<Detached> {
        let tree = Detached::clone_path(&self.bundle.rootfs, true)?;
        tree.propagate(Propagation::recursive(PropagationKind::Slave))?;
        Ok(tree)
    }

    /// Creates the mount points that `create` would have created in the root file system.
    fn create_mount_points(&self) -> Result<()> {
        let root = self.bundle.rootfs.display().to_string();
        let plan = compile_mount_points(&self.plan, &root, self.host.kernel)?;
        let tree = self.clone_rootfs()?;
        let sources = DescriptorSources { given: &[tree.as_fd()], ..DescriptorSources::default() };
        self.run_helper(&plan, sources)
    }

    /// Creates the directory that becomes a mount point in criu's mount namespace: criu needs a root that is a mount.
    fn create_root_mount_point(&self) -> Result<PathBuf> {
        let path = self.container.runtime.root().join(&self.container.id).join(ROOT_MOUNT_POINT);
        std::fs::create_dir(&path).map_err(|e| {
            let errno = nix::errno::Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
            Error::sys(Phase::State, "mkdir", errno).on(path.display().to_string())
        })?;
        Ok(path)
    }

    /// The image directory as an idmapped mount, so that the root user of a new user namespace, which has another uid on the
    /// host, can read it. `None` if there is no new user namespace, or the file system does not support idmapped mounts.
    fn images_for_user(&self) -> Result<Option<OwnedFd>> {
        if !self.plan.namespaces.is_new(namespace::NamespaceKind::User) {
            return Ok(None);
        }
        let maps = self.plan.namespaces.id_maps();
        let owners = idmap::user_namespace(&maps.uids, &maps.gids)?;
        let tree = Detached::clone_of(&self.directories.images, false)?;
        match tree.idmap(owners, false) {
            // EINVAL: the file system does not support it. EPERM: the mount belongs to another user namespace.
            Err(e) if matches!(e.errno(), Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EPERM)) => Ok(None),
            done => done.map(|()| Some(tree.into_fd())),
        }
    }

    /// Starts criu and lets it restore the processes.
    fn run_criu(&mut self, join: Option<&Join>, root: &str) -> Result<()> {
        let joined = external::restored_namespaces(&self.plan)?;
        let tree = self.clone_rootfs()?;
        let keep: Vec<BorrowedFd<'_>> = joined.files.iter().map(|(_, file)| file.as_fd()).collect();
        let mut null = None;
        let options = self.options;
        let descriptors = self.descriptors()?;
        let standard = options.stdio.standard()?;
        let mut stdio = standard.descriptors();
        keep_null_device(&descriptors, &mut stdio, &mut null)?;
        let setup = CriuSetup {
            runtime: &self.container.runtime,
            lock: &self.lock,
            criu: &options.criu,
            stdio,
            keep: &keep,
            join,
            session: !options.shell_job,
            root: Some((tree.as_fd(), root)),
        };
        let mut criu = CriuService::start(&setup, self.host.kernel)?;
        drop(tree);
        let log = self.directories.log(LOG);
        let work = self.directories.work.try_clone();
        let explained = |e: Error| match &work {
            Ok(work) if e.kind() == ErrorKind::System => explain(e, work, &log, None),
            _ => e,
        };
        self.check_version(&mut criu).map_err(explained)?;
        let work_dir = open_in_mount_namespace_of(criu.pid(), &self.directories.work)?;
        let mut request = self.request(criu.pid(), root)?;
        request.inherit_fd = external::inherited(&descriptors);
        request.work_dir_fd = Some(work_dir.as_raw_fd());
        let images = self.images_for_user()?;
        request.images_dir_fd = images.as_ref().unwrap_or(&self.directories.images).as_raw_fd();
        request.join_ns = joined.paths;
        request
            .inherit_fd
            .extend(joined.files.iter().map(|(key, file)| ((*key).to_owned(), file.as_raw_fd())));
        let answer = criu
            .run(RequestType::Restore, &request, |notification| self.notified(notification))
            .map_err(explained)?;
        if self.init.is_none() {
            self.identify_init(answer.pid.unwrap_or_default())?;
        }
        criu.finish().map(drop)
    }

    fn check_version(&self, criu: &mut CriuService) -> Result<()> {
        let version = criu.version()?;
        let options = self.options;
        if options.lsm_profile.is_some() || options.lsm_mount_context.is_some() {
            require_version(version, LSM_VERSION, "another LSM profile or mount context")?;
        }
        if options.network_lock.is_some() {
            require_version(version, NETWORK_LOCK_VERSION, "a method of locking the network")?;
        }
        Ok(())
    }

    /// The request to criu, which has already joined the container's cgroup.
    fn request(&self, criu: i32, root: &str) -> Result<CriuOptions> {
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
        Ok(CriuOptions {
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
            ..CriuOptions::default()
        })
    }

    /// The standard descriptors of the checkpointed process.
    fn descriptors(&self) -> Result<Vec<String>> {
        self.directories.read_json(DESCRIPTORS)?.ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, Phase::Lifecycle, "not a checkpoint:")
                .on(self.options.image_path.display().to_string())
                .with_detail(format!("{DESCRIPTORS} is missing"))
        })
    }

    /// Brings up `lo` in a new network namespace, unless the namespace is to be left empty.
    fn bring_up_loopback(&self) -> Result<()> {
        if self.options.empty_network || !self.plan.namespaces.is_new(namespace::NamespaceKind::Network) {
            return Ok(());
        }
        if self.directories.read_json::<StoredOptions>(CHECKPOINT_OPTIONS)?.unwrap_or_default().empty_network
        {
            return Ok(());
        }
        let Some(pidfd) = &self.init else { return Ok(()) };
        let sources = DescriptorSources { process: Some(pidfd.as_fd()), ..DescriptorSources::default() };
        self.run_helper(&compile_loopback(self.host.kernel)?, sources)
    }

    /// Makes the root read-only again before any process runs in it: criu needs a writable root, and leaves it so.
    fn make_root_readonly(&self) -> Result<()> {
        let wanted = self.plan.lines().iter().any(|line| line.step == Step::Rootfs(RootfsStep::ReadonlyRoot));
        match &self.init {
            Some(pidfd) if wanted => {
                let sources =
                    DescriptorSources { process: Some(pidfd.as_fd()), ..DescriptorSources::default() };
                self.run_helper(&compile_readonly_root(self.host.kernel)?, sources)
            }
            _ => Ok(()),
        }
    }

    /// Runs a stub whose plan ends without executing a program.
    fn run_helper(&self, plan: &Plan, sources: DescriptorSources<'_>) -> Result<()> {
        let fault = self.container.runtime.fault();
        let sources = DescriptorSources { recorder: Some(&self.lock), ..sources };
        Ok(launch::run(plan, sources, fault, |launch| self.lock.launch(launch))?)
    }

    fn notified(&mut self, notification: Notification<'_>) -> Result<()> {
        match notification.script {
            "setup-namespaces" => {
                self.identify_init(notification.pid)?;
                self.record.hooked = true;
                self.container.directory.write(&self.record)?;
                self.bring_up_loopback()?;
                self.run_hooks(HookKind::Prestart)?;
                self.run_hooks(HookKind::CreateRuntime)
            }
            "post-restore" => {
                if self.init.is_none() {
                    self.identify_init(notification.pid)?;
                }
                self.make_root_readonly()
            }
            "orphan-pts-master" => match notification.fd {
                Some(master) => self.deliver_console(master),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Puts the identity of the init process into the record. The process is our child, so it has not been reaped.
    fn identify_init(&mut self, pid: i32) -> Result<()> {
        let pidfd = sys::process::pidfd_open(pid)
            .map_err(|e| Error::sys(Phase::Lifecycle, "pidfd_open", e).on(pid.to_string()))?;
        self.record.init = ProcessIdentity::of(pid)?;
        boot_id()?.clone_into(&mut self.record.boot);
        self.init = Some(pidfd);
        Ok(())
    }

    fn run_hooks(&self, kind: HookKind) -> Result<()> {
        let hooks = kind.hooks_in(self.bundle.spec.hooks.as_ref());
        if hooks.is_empty() {
            return Ok(());
        }
        let state = status::describe(&self.container.id, self.record.clone(), Status::Creating);
        let location = HookLocation::Host(&self.bundle.path);
        let launcher = HookLauncher { kernel: self.host.kernel, location, lock: &self.lock };
        runner::run(kind, hooks, &state, &launcher)
    }

    /// Delivers the pseudo-terminal master of the restored container.
    fn deliver_console(&self, master: OwnedFd) -> Result<()> {
        match &self.options.console {
            Console::Socket(path) => {
                unix_socket::send_descriptor(path, &master, "/dev/ptmx", "console socket")
            }
            Console::Keep => {
                self.container.set_console(master);
                Ok(())
            }
            Console::None => Ok(()),
        }
    }

    fn undo(mut self, error: Error) -> Error {
        let init = self.init.take().map_or(ProcessState::Gone, ProcessState::Alive);
        teardown::undo(&self.container, self.record, init, error, &self.lock)
    }
}

/// Opens a directory of ours again in the mount namespace of another process: criu mounts below its work directory, which
/// the kernel permits only in criu's own mount namespace.
fn open_in_mount_namespace_of(pid: i32, directory: &OwnedFd) -> Result<OwnedFd> {
    let root = format!("/proc/{pid}/root");
    let failed = |e| Error::sys(Phase::Lifecycle, "open the work path below", e).on(root.as_str());
    let ours = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let path = nix::fcntl::readlink(ours.as_str()).map_err(failed)?;
    let root = sys::fs::cstring(&root)
        .and_then(|name| sys::fs::openat(sys::fs::cwd(), &name, libc::O_PATH | libc::O_DIRECTORY, 0))
        .map_err(failed)?;
    in_root::open(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}
