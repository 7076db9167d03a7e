//! The facts about a host that a plan depends on.

use super::cgroup;
use super::options::Options;
use crate::bundle::{Bundle, Spec};
use crate::cgroup::{CgroupManager, Layout, needs_unified_controllers, resctrl};
use crate::process::capability::{self, CapSet};
use crate::process::label;
use crate::seccomp::SeccompSupport;
use crate::sys::{self, mountinfo};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::path::PathBuf;

/// The oldest kernel that has every system call which the stub makes.
const OLDEST_KERNEL: (u32, u32) = (5, 14);

/// The inode number of the initial user namespace (`PROC_USER_INIT_INO`).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// What the compiler must know about the host. [`Host::detect`] asks the kernel. A `Host` can also be made up: the
/// compiler itself makes no system call.
#[derive(Clone, Debug)]
pub struct Host {
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// The number of the highest capability.
    pub last_cap: u32,
    /// The caller's bounding set. Without a user namespace of its own, the process of a container can have no capability
    /// outside of it; see [`capability::bounding`].
    pub bounding: CapSet,
    /// Whether `/proc/kcore` exists.
    pub kcore: bool,
    /// Whether the caller is root in the initial user namespace.
    pub privileged: bool,
    /// Whether the caller may create namespaces without a new user namespace: it is privileged, or it has
    /// `CAP_SYS_ADMIN` in its own user namespace (an engine that has entered one).
    pub makes_namespaces: bool,
    /// Whether AppArmor is enabled.
    pub apparmor: bool,
    /// Whether SELinux is enabled.
    pub selinux: bool,
    /// Where the resctrl file system is mounted, if it is.
    pub resctrl: Option<PathBuf>,
    /// The mount points of every whole procfs and sysfs, in the order in which they can be unmounted. Only a plan with
    /// `no_pivot` needs them.
    pub kernel_mounts: Vec<String>,
    /// The cgroup hierarchies; `None` if no cgroup file system is mounted. The layout must know its controllers
    /// ([`Layout::read_controllers`], [`Layout::with_controllers`]) and the caller's own cgroup ([`Layout::read_own_cgroup`]):
    /// otherwise it reads them when they are needed.
    pub cgroups: Option<Layout>,
    /// What the kernel's seccomp(2) supports; `None` if that was not probed. Only a bundle with a seccomp profile
    /// needs it.
    pub seccomp: Option<SeccompSupport>,
}

impl Host {
    /// Asks the kernel for every fact.
    ///
    /// # Errors
    /// If the kernel is older than Linux 5.14, or if a fact cannot be determined. A missing feature is not an error.
    pub fn detect() -> Result<Self> {
        let mut host = Self::detect_common()?;
        if let Some(layout) = &mut host.cgroups {
            layout.read_controllers()?;
            layout.read_own_cgroup()?;
        }
        host.kernel_mounts = kernel_mounts()?;
        host.seccomp = Some(SeccompSupport::probe());
        Ok(host)
    }

    /// Asks the kernel for the facts that the plan of this bundle depends on, and for no others.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn detect_for(bundle: &Bundle, options: &Options) -> Result<Self> {
        let mut host = Self::detect_common()?;
        let spec = &bundle.spec;
        if let Some(layout) = &mut host.cgroups {
            if needs_own_cgroup(spec, layout, options) {
                layout.read_own_cgroup()?;
            }
            let resources = spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
            if options.cgroup_manager != CgroupManager::Disabled
                && resources.is_some_and(|resources| needs_unified_controllers(layout, resources))
            {
                layout.read_controllers()?;
            }
        }
        if options.no_pivot {
            host.kernel_mounts = kernel_mounts()?;
        }
        host.seccomp = seccomp_of(spec);
        Ok(host)
    }

    /// The facts that most plans depend on.
    fn detect_common() -> Result<Self> {
        let kernel = kernel_version()?;
        let privileged = privileged()?;
        let last_cap = capability::last_cap()?;
        Ok(Self {
            kernel,
            last_cap,
            bounding: capability::bounding(last_cap)?,
            kcore: exists("/proc/kcore")?,
            privileged,
            makes_namespaces: privileged || capability::effective()?.has(capability::CAP_SYS_ADMIN),
            apparmor: label::apparmor_enabled()?,
            selinux: label::selinux_enabled()?,
            resctrl: resctrl::mount_point()?,
            kernel_mounts: Vec::new(),
            cgroups: Layout::detect()?,
            seccomp: None,
        })
    }

    /// The facts that a plan which joins a container depends on: those of `spec`, which has the process and the
    /// container's profile, if they matter.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub(crate) fn for_joining(spec: &Spec) -> Result<Self> {
        let process = spec.process.as_ref();
        let named = |label: Option<&String>| label.is_some_and(|label| !label.is_empty());
        let profile = process.and_then(|process| process.apparmor_profile.as_ref());
        let context = process.and_then(|process| process.selinux_label.as_ref());
        let last_cap = capability::last_cap()?;
        Ok(Self {
            kernel: kernel_version()?,
            last_cap,
            bounding: capability::bounding(last_cap)?,
            kcore: false,
            // To determine the user namespace costs more than all other facts here. The caller does so after a refusal.
            privileged: nix::unistd::geteuid().is_root(),
            makes_namespaces: false,
            apparmor: named(profile) && label::apparmor_enabled()?,
            selinux: named(context) && label::selinux_enabled()?,
            resctrl: None,
            kernel_mounts: Vec::new(),
            cgroups: None,
            seccomp: seccomp_of(spec),
        })
    }

    /// The facts that the plan of a command depends on.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub(crate) fn for_command(sets_capabilities: bool, has_filter: bool) -> Result<Self> {
        let privileged = privileged()?;
        let last_cap = if sets_capabilities { capability::last_cap()? } else { 0 };
        Ok(Self {
            kernel: kernel_version()?,
            last_cap,
            // A command gets the sets that its caller names, or fails.
            bounding: CapSet::up_to(last_cap),
            kcore: false,
            privileged,
            makes_namespaces: privileged,
            apparmor: false,
            selinux: false,
            resctrl: None,
            kernel_mounts: Vec::new(),
            cgroups: None,
            seccomp: has_filter.then(SeccompSupport::probe),
        })
    }

    /// What seccomp(2) supports.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if that was not probed.
    pub(super) fn seccomp(&self) -> Result<&SeccompSupport> {
        self.seccomp.as_ref().ok_or_else(|| {
            let why = "the facts about the host do not say what its seccomp(2) supports";
            Error::new(ErrorKind::InvalidArgument, Phase::Seccomp, why).with_pointer("/linux/seccomp")
        })
    }
}

/// Whether a plan depends on the caller's own cgroup: the container's cgroup is below it, or is replaced by it.
fn needs_own_cgroup(spec: &Spec, layout: &Layout, options: &Options) -> bool {
    if options.cgroup_manager == CgroupManager::Disabled {
        let shows = |kind: &Option<String>| matches!(kind.as_deref(), Some("cgroup" | "cgroup2"));
        return spec.mounts.iter().any(|mount| shows(&mount.kind));
    }
    // An invalid path is the compiler's to report.
    cgroup::path(spec, layout, options).is_ok_and(|(path, _)| !path.is_absolute())
}

/// The mount points of every whole procfs and sysfs.
fn kernel_mounts() -> Result<Vec<String>> {
    const MOUNTINFO: &str = "/proc/thread-self/mountinfo";
    let failed = |call: &'static str| move |e| Error::sys(Phase::Plan, call, e).on(MOUNTINFO);
    let name = sys::fs::cstring(MOUNTINFO).map_err(failed("open"))?;
    let file = sys::fs::openat(sys::fs::cwd(), &name, libc::O_RDONLY, 0).map_err(failed("open"))?;
    let text = sys::fs::read_all(file, 64 << 20).map_err(failed("read"))?;
    let points = mountinfo::whole(&text, &[b"proc", b"sysfs"]).into_iter().map(mountinfo::unescape);
    points
        .map(|point| {
            point.into_os_string().into_string().map_err(|point| {
                let why = "a procfs or sysfs is mounted on a path that is not UTF-8";
                Error::new(ErrorKind::Unsupported, Phase::Plan, why).on(point.to_string_lossy())
            })
        })
        .collect()
}

/// What seccomp(2) supports, if a configuration has a profile.
fn seccomp_of(spec: &Spec) -> Option<SeccompSupport> {
    spec.linux.as_ref().is_some_and(|linux| linux.seccomp.is_some()).then(SeccompSupport::probe)
}

/// Major and minor version of the kernel.
///
/// # Errors
/// If the kernel is too old.
pub(crate) fn kernel_version() -> Result<(u32, u32)> {
    let name = nix::sys::utsname::uname().map_err(|e| Error::sys(Phase::Plan, "uname", e))?;
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let kernel = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if kernel < OLDEST_KERNEL {
        let ((major, minor), (old, older)) = (kernel, OLDEST_KERNEL);
        let why = format!("Linux {major}.{minor} is too old: {old}.{older} or later is required");
        return Err(Error::new(ErrorKind::Unsupported, Phase::Plan, why));
    }
    Ok(kernel)
}

/// Whether the caller is root in the initial user namespace.
///
/// # Errors
/// If this cannot be determined.
pub(crate) fn privileged() -> Result<bool> {
    Ok(nix::unistd::geteuid().is_root() && in_initial_user_namespace()?)
}

fn in_initial_user_namespace() -> Result<bool> {
    match nix::sys::stat::stat("/proc/self/ns/user") {
        Ok(namespace) => Ok(namespace.st_ino == INITIAL_USER_NAMESPACE),
        // A kernel without user namespaces.
        Err(Errno::ENOENT) if exists("/proc/self/ns/mnt")? => Ok(true),
        Err(e) => Err(Error::sys(Phase::Plan, "stat", e).on("/proc/self/ns/user")),
    }
}

fn exists(path: &str) -> Result<bool> {
    match nix::sys::stat::lstat(path) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(e) => Err(Error::sys(Phase::Plan, "stat", e).on(path)),
    }
}
