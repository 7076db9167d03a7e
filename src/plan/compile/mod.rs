//! The compiler: a bundle and facts about the host become a [`Plan`].
//!
//! Nothing here needs a privilege or changes anything: the same bundle, host and options give the
//! same plan, on any machine. What cannot be enforced is refused, with its JSON pointer.

mod birth;
mod filesystem;
mod idmap;
mod isolation;
mod join;
mod label;
mod policy;
mod program;
mod remount;
mod service;

use self::program::CAP_SYS_ADMIN;
use super::blob::Blob;
use super::lower::{self, Kernel};
use super::step::{
    ControlStep, HostStep, Line, NamespaceStep, Origin, RootfsStep, Slot, SlotId, Slots, Source, Step,
};
use crate::bundle::Bundle;
use crate::bundle::spec::Process;
use crate::cgroup::systemd::{SystemdInstance, Unit};
use crate::cgroup::{self, CgroupPath, CgroupRecord, Layout, Settings};
use crate::mount::options::MountOptions;
use crate::namespace::{NamespaceKind, Namespaces};
use crate::sys::mount::MountAttrFlags;
use crate::{Error, Phase, Problem, Result};
use nix::errno::Errno;
use std::path::{Path, PathBuf};

/// What the compiler must know of the host. [`Host::detect`] asks the kernel; tests make one up.
#[derive(Clone, Debug)]
pub struct Host {
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// The highest capability's number.
    pub last_cap: u32,
    /// Whether there is a /proc/kcore.
    pub kcore: bool,
    /// Whether the caller may do everything in the first user namespace.
    pub privileged: bool,
    /// Whether the caller may make namespaces without a user namespace of their own: it is privileged, or has
    /// CAP_SYS_ADMIN in the user namespace it is in, as an engine has that entered one first.
    pub makes_namespaces: bool,
    /// Whether AppArmor is on.
    pub apparmor: bool,
    /// Whether SELinux is on.
    pub selinux: bool,
    /// Where the resctrl file system is mounted, if it is.
    pub resctrl: Option<PathBuf>,
    /// The cgroup hierarchies; none where no cgroup file system is mounted.
    pub cgroups: Option<Layout>,
}

impl Host {
    /// Asks the kernel.
    ///
    /// # Errors
    /// If the kernel is too old (Linux 5.14 is the floor), or if a fact cannot be determined. That the host lacks a
    /// feature is not an error.
    pub fn detect() -> Result<Self> {
        let kernel = kernel_version()?;
        let privileged = privileged()?;
        Ok(Self {
            kernel,
            last_cap: crate::process::capability::last_cap()?,
            kcore: is_there("/proc/kcore")?,
            privileged,
            makes_namespaces: privileged || crate::process::capability::effective()?.has(CAP_SYS_ADMIN),
            apparmor: crate::process::label::apparmor_enabled()?,
            selinux: crate::process::label::selinux_enabled()?,
            resctrl: cgroup::resctrl::mount_point()?,
            cgroups: Layout::detect()?,
        })
    }

    /// The facts that a process which joins a container is compiled with: no more is asked than that
    /// needs, and not for modules whose label nobody wants.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub(crate) fn for_joining(process: &Process) -> Result<Self> {
        let named = |l: &Option<String>| l.as_ref().is_some_and(|l| !l.is_empty());
        Ok(Self {
            kernel: kernel_version()?,
            last_cap: crate::process::capability::last_cap()?,
            kcore: false,
            // Which user namespace this is costs more to ask than all else here together: whoever is refused asks.
            privileged: nix::unistd::geteuid().is_root(),
            makes_namespaces: false,
            apparmor: named(&process.apparmor_profile) && crate::process::label::apparmor_enabled()?,
            selinux: named(&process.selinux_label) && crate::process::label::selinux_enabled()?,
            resctrl: None,
            cgroups: None,
        })
    }
}

/// Major and minor version of the kernel, if it is new enough.
pub(crate) fn kernel_version() -> Result<(u32, u32)> {
    let name = nix::sys::utsname::uname().map_err(|e| Error::sys(Phase::Plan, "uname", e))?;
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let kernel = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if kernel < (5, 14) {
        let why =
            format!("Linux {}.{} is too old: 5.14 is the oldest that has all it takes", kernel.0, kernel.1);
        return Err(Error::new(crate::ErrorKind::Unsupported, Phase::Plan, why));
    }
    Ok(kernel)
}

/// Whether the caller may do everything in the first user namespace.
///
/// # Errors
/// If this cannot be determined.
pub(crate) fn privileged() -> Result<bool> {
    Ok(nix::unistd::geteuid().is_root() && in_first_user_namespace()?)
}

fn in_first_user_namespace() -> Result<bool> {
    match nix::sys::stat::stat("/proc/self/ns/user") {
        // The first user namespace's inode number is fixed (PROC_USER_INIT_INO).
        Ok(namespace) => Ok(namespace.st_ino == 0xEFFF_FFFD),
        // A kernel without user namespaces.
        Err(Errno::ENOENT) if is_there("/proc/self/ns/mnt")? => Ok(true),
        Err(e) => Err(Error::sys(Phase::Plan, "stat", e).on("/proc/self/ns/user")),
    }
}

fn is_there(path: &str) -> Result<bool> {
    match nix::sys::stat::lstat(path) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(e) => Err(Error::sys(Phase::Plan, "stat", e).on(path)),
    }
}

/// What the caller of `create` wants besides the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The container's id.
    pub id: String,
    /// Stop after setting up and wait for `start`.
    pub wait_for_start: bool,
    /// A socket for the terminal's master will be there.
    pub console: bool,
    /// The caller itself relays the terminal, to one that ends lines its own way.
    pub keep_console: bool,
    /// How many descriptors from 3 on the program keeps.
    pub preserve_fds: u32,
    /// The program, if it is not what the process's first argument names.
    pub program: Option<String>,
    /// Environment variables to add, `NAME=value`.
    pub extra_env: Vec<String>,
    /// `HOME` of the user, from the container's passwd file.
    pub home: Option<String>,
    /// Move and chroot instead of pivot_root.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Stay as PID 1.
    pub init: bool,
    /// Go on without the cgroups which may not be made; absent: if unprivileged, and no path is named.
    pub optional_cgroup: Option<bool>,
    /// Who makes the cgroup.
    pub cgroup_manager: cgroup::CgroupManager,
    /// Where the units are, with systemd as manager of cgroups.
    pub systemd: SystemdInstance,
    /// A directory of the host, with a socket for the service manager, that the container is to see as
    /// `/run/notify`.
    pub notify: Option<String>,
}

/// A compiled bundle.
#[derive(Debug)]
pub struct Plan {
    pub(crate) lines: Vec<Line>,
    pub(crate) slots: Slots,
    pub(crate) namespaces: Namespaces,
    /// `CLONE_NEW*` of the spawn.
    pub(crate) spawn_flags: u64,
    pub(crate) two_stages: bool,
    /// Namespaces that may not be the caller's, with the place in `config.json` that would change them.
    pub(crate) foreign: Vec<(NamespaceKind, String)>,
    pub(crate) cgroup: Option<CgroupPlan>,
    pub(crate) preserve_fds: u32,
    kernel: (u32, u32),
    pub(crate) warnings: Vec<Problem>,
}

/// The container's cgroup: where, with which limits.
#[derive(Debug)]
pub(crate) struct CgroupPlan {
    pub(crate) record: CgroupRecord,
    pub(crate) settings: Settings,
    pub(crate) options: cgroup::CgroupOptions,
    /// The scope that systemd is to make around the process.
    pub(crate) unit: Option<Unit>,
}

/// No way to write to a mount, whatever its options say.
fn only_to_be_looked_at(options: &mut MountOptions) {
    options.attr_set |= MountAttrFlags::RDONLY;
    options.attr_clear -= MountAttrFlags::RDONLY;
    options.rec_clear -= MountAttrFlags::RDONLY;
}

pub(crate) use join::{ExecOptions, HookPlace, compile_exec, compile_hook};
pub(crate) use policy::{Bound, Filter, Policy};
pub(crate) use remount::{compile_mounts, compile_unmounts};
pub(crate) use service::compile_proc;
pub(crate) use service::{
    Service, compile_loopback, compile_mount_points, compile_readonly_root, compile_service,
};

impl Plan {
    /// A plan from lines that no bundle asked for.
    pub(crate) fn assembled(
        lines: Vec<Line>,
        slots: Slots,
        namespaces: (u64, bool),
        preserve_fds: u32,
        kernel: (u32, u32),
    ) -> Self {
        let (spawn_flags, two_stages) = namespaces;
        Self {
            lines,
            slots,
            namespaces: Namespaces::new(),
            spawn_flags,
            two_stages,
            foreign: Vec::new(),
            cgroup: None,
            preserve_fds,
            kernel,
            warnings: Vec::new(),
        }
    }

    /// The version of the kernel that it is for.
    pub(crate) fn kernel(&self) -> (u32, u32) {
        self.kernel
    }

    /// The lines, in order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// What the spec wants to be logged as a warning.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The stub's column as a blob.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] with the pointer of what needs more than the stub has.
    pub fn encode(&self) -> Result<Blob> {
        // A step's number is half a word of its instructions.
        if self.lines.len() > usize::from(u16::MAX) {
            return Err(self.too_large(usize::from(u16::MAX)));
        }
        lower::lower(&self.lines, &self.slots, Kernel::of(self.kernel))
            .map_err(|line| self.too_large(line.into()))
    }

    /// The error for a plan that does not fit.
    fn too_large(&self, line: usize) -> Error {
        let why = "the configuration takes more than the init stub can hold";
        let error = Error::new(crate::ErrorKind::Unsupported, Phase::Plan, why);
        match self.lines.get(line).and_then(Line::pointer) {
            Some(pointer) => error.with_pointer(pointer),
            None => error,
        }
    }

    /// The process cannot be born in its cgroup and moves there by file: a cgroup namespace is rooted where
    /// its maker is, and comes after that.
    pub(crate) fn join_cgroup_by_file(&mut self) {
        const NEW: u64 = libc::CLONE_NEWCGROUP as u64;
        // Where there are two stages the second one makes it, in the cgroup already.
        if self.spawn_flags & NEW == 0 {
            return;
        }
        let Some(join) = self
            .lines
            .iter()
            .position(|line| matches!(line.step, Step::Namespace(NamespaceStep::JoinCgroup { .. })))
        else {
            return;
        };
        self.spawn_flags &= !NEW;
        let mut origin = Origin::Standard;
        for line in &mut self.lines[..join] {
            if let Step::Host(HostStep::Spawn { namespaces, into_cgroup }) = &mut line.step {
                *namespaces &= !NEW;
                *into_cgroup = false;
                origin = line.origin.clone();
            }
        }
        let step = NamespaceStep::Unshare { namespaces: NEW }.into();
        self.lines.insert(join + 1, Line { origin, step });
    }

    /// The cgroup could not be made and the container stays in its creator's, `own`: that is shown in its place, to be looked at.
    pub(crate) fn show_own_cgroup(&mut self, own: &Path) {
        let planned = self.cgroup.as_ref().and_then(|planned| planned.record.unified.as_ref());
        let Some(planned) = planned.map(|path| path.display().to_string()) else { return };
        for line in &mut self.lines {
            let Step::Rootfs(RootfsStep::Mount(mount)) = &mut line.step else { continue };
            match &mut mount.from {
                Source::Path(path) if *path == planned => {
                    *path = own.display().to_string();
                    only_to_be_looked_at(&mut mount.options);
                }
                Source::Mounted { kind: Some(kind) } if matches!(kind.as_str(), "cgroup" | "cgroup2") => {
                    only_to_be_looked_at(&mut mount.options);
                }
                _ => {}
            }
        }
    }

    /// Whether the first of two processes clones the second one before any turn of the host side's.
    pub(crate) fn hands_over_at_once(&self) -> bool {
        let hands_over = |line: &Line| matches!(line.step, Step::Control(ControlStep::HandOver { .. }));
        let first = self.lines.iter().find(|line| hands_over(line) || line.turn().is_some());
        first.is_some_and(hands_over)
    }

    /// Whether the host side makes a file system of a context that it gets from a process which others can reach.
    pub(crate) fn sends_context(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.step, Step::Rootfs(RootfsStep::SendContext)))
    }

    /// An error with the place in `config.json` whose step uses a slot.
    pub(crate) fn at_slot(&self, id: SlotId, error: Error) -> Error {
        let used = self.lines.iter().find(|line| match &line.step {
            Step::Rootfs(RootfsStep::Root { slot, .. }) => *slot == Some(id),
            Step::Rootfs(RootfsStep::Mount(mount)) => mount.slot() == Some(id),
            Step::Namespace(NamespaceStep::JoinResctrl { slots }) => slots.contains(&id),
            _ => false,
        });
        match used.and_then(Line::pointer) {
            Some(pointer) => error.with_pointer(pointer),
            None => error,
        }
    }
}

/// Compiles a bundle.
///
/// # Errors
/// [`crate::ErrorKind::InvalidConfig`] with all problems found, [`crate::ErrorKind::Unsupported`] with
/// the pointer of what cannot be enforced.
pub fn compile(bundle: &Bundle, host: &Host, options: &Options) -> Result<Plan> {
    let mut compiler = Compiler::new(bundle, host, options)?;
    compiler.check_labels()?;
    compiler.check_mount_label()?;
    compiler.isolation()?;
    if compiler.namespaces.is_new(NamespaceKind::Mount) {
        compiler.filesystem()?;
    } else {
        compiler.without_filesystem()?;
    }
    compiler.program()?;
    Ok(compiler.finish())
}

/// A plan under construction.
struct Compiler<'a> {
    bundle: &'a Bundle,
    host: &'a Host,
    options: &'a Options,
    lines: Vec<Line>,
    slots: Slots,
    namespaces: Namespaces,
    spawn_flags: u64,
    two_stages: bool,
    foreign: Vec<(NamespaceKind, String)>,
    cgroup: Option<CgroupPlan>,
    warnings: Vec<Problem>,
    /// The process joins a container, which has everything but it, under that one's policy.
    joining: Option<&'a Policy>,
}

impl<'a> Compiler<'a> {
    fn new(bundle: &'a Bundle, host: &'a Host, options: &'a Options) -> Result<Self> {
        let none = crate::bundle::spec::Linux::default();
        let linux = bundle.spec.linux.as_ref().unwrap_or(&none);
        let namespaces = Namespaces::from_spec(linux, "/linux").map_err(Error::invalid)?;
        let mut compiler = Self {
            bundle,
            host,
            options,
            lines: Vec::with_capacity(64),
            slots: Slots::default(),
            namespaces,
            spawn_flags: 0,
            two_stages: false,
            foreign: Vec::new(),
            cgroup: None,
            warnings: bundle.warnings.clone(),
            joining: None,
        };
        compiler.cgroup = compiler.plan_cgroup()?;
        Ok(compiler)
    }

    fn plan_cgroup(&self) -> Result<Option<CgroupPlan>> {
        let linux = self.bundle.spec.linux.as_ref();
        let resources = linux.and_then(|l| l.resources.clone()).unwrap_or_default();
        if self.options.cgroup_manager == cgroup::CgroupManager::Disabled {
            return cgroup::reject_limits(&resources).map(|()| None);
        }
        let named = linux.and_then(|l| l.cgroups_path.as_deref()).filter(|p| !p.is_empty());
        let Some(layout) = &self.host.cgroups else {
            return if named.is_none() && resources == crate::bundle::spec::Resources::default() {
                Ok(None)
            } else {
                Err(Error::unsupported(Phase::Cgroup, "/linux/resources", "no cgroup file system is mounted"))
            };
        };
        let by_systemd = self.options.cgroup_manager == cgroup::CgroupManager::Systemd;
        if by_systemd && !layout.is_unified() {
            // On v1 systemd lifts the rules of devices when it reloads.
            let why = "systemd as manager of cgroups needs a host with cgroup v2 alone";
            return Err(Error::unsupported(Phase::Cgroup, "/linux/cgroupsPath", why)
                .with_hint("use the cgroupfs manager"));
        }
        let (path, unit) = if by_systemd {
            let unit = Unit::from_config(named, &self.options.id, self.options.systemd.user)?;
            (unit.path(&self.options.systemd.root)?, Some(unit))
        } else {
            (CgroupPath::from_config(named, &self.options.id, layout.is_unified())?, None)
        };
        // An unprivileged caller cannot filter devices; in its user namespace the kernel denies
        // foreign ones anyway.
        let options = cgroup::CgroupOptions {
            device_filter: self.host.privileged,
            optional: !by_systemd
                && (self.options.optional_cgroup).unwrap_or_else(|| !self.host.privileged && named.is_none()),
        };
        let settings = Settings::compile(layout, &resources, &options)?;
        let record = CgroupRecord::plan(layout, &path, &settings)?;
        Ok(Some(CgroupPlan { record, settings, options, unit }))
    }

    fn line(&mut self, origin: Origin, step: impl Into<Step>) {
        self.lines.push(Line { origin, step: step.into() });
    }

    fn standard(&mut self, step: impl Into<Step>) {
        self.line(Origin::Standard, step);
    }

    fn asked(&mut self, pointer: impl Into<String>, step: impl Into<Step>) {
        self.line(Origin::Pointer(pointer.into()), step);
    }

    /// A slot for what a place in `config.json` asks for.
    fn slot(&mut self, pointer: &str, slot: Slot) -> Result<SlotId> {
        let Some(added) = self.slots.add(slot) else {
            let why = "the configuration takes more descriptors than the init stub can hold";
            return Err(Error::unsupported(Phase::Plan, pointer, why));
        };
        if let Some(batch) = added.first_of {
            self.standard(ControlStep::ReceiveMounts { batch });
        }
        Ok(added.id)
    }

    fn rootfs(&self) -> PathBuf {
        self.bundle.rootfs.clone()
    }

    /// Whether the process is born into a pid namespace that others are in: as late as can be, with all that it is
    /// to have and nothing else.
    fn is_born_late(&self) -> bool {
        self.joining.is_some()
            || (self.namespaces.has(NamespaceKind::Pid) && !self.namespaces.is_new(NamespaceKind::Pid))
    }

    /// Whether the container has a user namespace which is not the caller's.
    fn in_user_namespace(&self) -> bool {
        self.namespaces.has(NamespaceKind::User)
    }

    fn finish(self) -> Plan {
        Plan {
            lines: self.lines,
            slots: self.slots,
            namespaces: self.namespaces,
            spawn_flags: self.spawn_flags,
            two_stages: self.two_stages,
            foreign: self.foreign,
            cgroup: self.cgroup,
            preserve_fds: self.options.preserve_fds,
            kernel: self.host.kernel,
            warnings: self.warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Spec;

    /// The creator's cgroup is shown by the plan's mount and by no remount made writable.
    #[test]
    fn the_creators_cgroup_cannot_be_written_to() {
        let text = br#"{"ociVersion": "1.2.0", "root": {"path": "r"}, "process": {"args": ["x"], "cwd": "/"},
            "mounts": [{"destination": "/c", "type": "cgroup"},
                {"destination": "/c", "type": "cgroup", "options": ["remount", "rw"]},
                {"destination": "/t", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/t", "type": "tmpfs", "options": ["remount", "rw"]}],
            "linux": {"namespaces": [{"type": "mount"}], "cgroupsPath": "/x"}}"#;
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hosts/v2");
        let host = Host {
            kernel: (6, 18),
            last_cap: 40,
            kcore: true,
            privileged: true,
            makes_namespaces: true,
            apparmor: false,
            selinux: false,
            resctrl: None,
            cgroups: Layout::detect_in(&fixture, Path::new("/")).unwrap(),
        };
        let spec = Spec::from_json(text).unwrap();
        let (path, rootfs) = (PathBuf::from("/b"), PathBuf::from("/b/r"));
        let bundle = Bundle { path, spec, config: text.to_vec(), rootfs, warnings: Vec::new() };
        let mut plan = compile(&bundle, &host, &Options::default()).unwrap();
        plan.show_own_cgroup(Path::new("/own"));
        let plan = plan.to_string();
        for line in ["bind /own on /c (ro)", "remount /c (ro)", "mount tmpfs on /t ", "remount /t (-ro"] {
            assert!(plan.contains(&format!("  stub  {line}")), "{line} is not in\n{plan}");
        }
    }
}
