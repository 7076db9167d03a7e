//! A program of the host which makes containers itself (criu), and what it needs to find.

use super::super::step::{
    ControlStep, HostStep, MountStep, NamespaceStep, ProcessStep, RootfsStep, SEALED, Slot, Source, Step,
    Which,
};
use super::birth::BIRTH;
use super::join::Course;
use super::{Host, Plan};
use crate::mount::options::MountOptions;
use crate::mount::{Propagation, PropagationKind};
use crate::namespace::NamespaceKind;
use crate::process::capability::{CapSet, CapabilitySets};
use crate::seccomp::{Action, Condition, Operator, Profile, SyscallRule};
use crate::{Error, Phase, Result};

/// The host hears of nothing that is mounted here.
const RSLAVE: Propagation = Propagation::recursive(PropagationKind::Slave);

/// A program that is not the container's, but works on it.
#[derive(Clone, Debug)]
pub(crate) struct Service<'a> {
    /// Its path on the host.
    pub(crate) program: &'a str,
    /// Its arguments, from its own name on.
    pub(crate) args: &'a [String],
    /// Its environment, `NAME=VALUE`.
    pub(crate) env: &'a [String],
    /// Through how many files it joins the container's cgroup.
    pub(crate) cgroup_files: usize,
    /// Where it finds the root file system: attached there in a mount namespace of its own.
    pub(crate) root: Option<&'a str>,
    /// In a session of its own, as the leader of a process group.
    pub(crate) session: bool,
    /// How many descriptors it keeps, with the caller's numbers.
    pub(crate) kept: usize,
}

/// Compiles the program's start. Slots: files of cgroups, the root's tree, the descriptors kept.
///
/// # Errors
/// That there are too many descriptors to keep.
pub(crate) fn compile_service(service: &Service<'_>, host: &Host) -> Result<Plan> {
    let namespaces = service.root.map_or(0, |_| NamespaceKind::Mount.flag());
    let mut course = Course::default();
    course.standard(HostStep::Spawn { namespaces, into_cgroup: false });
    let files = (0..service.cgroup_files).map(|i| course.slot(Slot::Tasks(i)));
    let slots = files.collect::<Result<Vec<_>>>()?;
    if !slots.is_empty() {
        course.standard(NamespaceStep::JoinCgroup { slots });
    }
    if let Some(path) = service.root {
        course.standard(RootfsStep::HostPropagation(RSLAVE));
        let slot = course.slot(Slot::Given)?;
        course.standard(RootfsStep::AttachTree { slot, path: path.to_owned() });
    }
    if service.session {
        course.standard(ProcessStep::NewSession);
    }
    let slots = (0..service.kept).map(|_| course.slot(Slot::Given)).collect::<Result<Vec<_>>>()?;
    let (name, candidates) = (service.program.to_owned(), vec![service.program.to_owned()]);
    course.standard(ControlStep::FindProgram { name, candidates });
    course.standard(ControlStep::CloseDescriptors { preserve: 0 });
    course.standard(ControlStep::KeepDescriptors { slots });
    course.standard(ProcessStep::ResetSignals);
    course.standard(ControlStep::Execute { args: service.args.to_vec(), env: service.env.to_vec() });
    Ok(course.finish(namespaces, false, host))
}

/// Compiles what makes the mount points of a container in its root file system, and ends: the same
/// that its creation would have left there. The binds among its mounts are made too, in a mount
/// namespace that goes with the process, as mount points may lie in them. The root's tree is in the
/// only slot.
#[deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]
pub(crate) fn compile_mount_points(container: &Plan, root: &str, host: &Host) -> Result<Plan> {
    let namespaces = NamespaceKind::Mount.flag();
    let mut course = Course::default();
    let slot = course.slot(Slot::Given)?;
    course.standard(HostStep::Spawn { namespaces, into_cgroup: false });
    course.standard(RootfsStep::OpenUmask);
    course.standard(RootfsStep::HostPropagation(RSLAVE));
    course.standard(RootfsStep::Root { path: root.to_owned(), slot: Some(slot) });
    let mut made: Vec<&str> = Vec::new();
    for line in container.lines() {
        let Step::Rootfs(step) = &line.step else { continue };
        let (destination, mount) = match step {
            RootfsStep::Mount(mount) if mount.is_remount() => continue,
            RootfsStep::Mount(mount) => (&mount.destination, Some(mount)),
            RootfsStep::CgroupMount { destination, .. } => (destination, None),
            RootfsStep::OpenUmask
            | RootfsStep::HostPropagation(_)
            | RootfsStep::Root { .. }
            | RootfsStep::AttachTree { .. }
            | RootfsStep::MountPoint { .. }
            | RootfsStep::HostRoot
            | RootfsStep::ChangeRoot { .. }
            | RootfsStep::EmptyRoot
            | RootfsStep::SealType { .. }
            | RootfsStep::SendContext
            | RootfsStep::SendFileSystem { .. }
            | RootfsStep::MakeNode(_)
            | RootfsStep::DevLinks { .. }
            | RootfsStep::Mask { .. }
            | RootfsStep::ReadonlyPath { .. }
            | RootfsStep::ReadonlyMount { .. }
            | RootfsStep::Pivot { .. }
            | RootfsStep::ReadonlyRoot
            | RootfsStep::RootPropagation(_)
            | RootfsStep::Unmount { .. } => continue,
        };
        // What lies in a new file system comes back with it.
        if made.iter().any(|above| is_below(destination, above)) {
            continue;
        }
        let tree = mount.and_then(|mount| match &mount.from {
            Source::Path(path) | Source::Tree { path, .. } => Some((mount, Source::Path(path.clone()))),
            Source::Own(path) => Some((mount, Source::Own(path.clone()))),
            Source::New { .. } | Source::Made { .. } | Source::Mounted { .. } => None,
        });
        match tree {
            Some((mount, from)) => {
                let bind = mount.options.bind;
                let options = MountOptions { bind, ..MountOptions::default() };
                let mount = MountStep { from, options, ..(**mount).clone() };
                course.standard(RootfsStep::Mount(Box::new(mount)));
            }
            None => {
                course.standard(RootfsStep::MountPoint { path: destination.clone() });
                made.push(destination);
            }
        }
    }
    course.standard(ControlStep::Finish);
    Ok(course.finish(namespaces, false, host))
}

/// Compiles what brings `lo` up in the network namespace of the process in the only slot, and ends.
pub(crate) fn compile_loopback(host: &Host) -> Result<Plan> {
    let mut course = Course::default();
    course.standard(HostStep::Spawn { namespaces: 0, into_cgroup: false });
    course.standard(ControlStep::Undumpable);
    course.enter(NamespaceKind::Network.flag())?;
    course.standard(NamespaceStep::Loopback);
    course.standard(ControlStep::Finish);
    Ok(course.finish(0, false, host))
}

/// Compiles what makes the root read-only in the mount namespace of the process in the only slot, and
/// ends.
pub(crate) fn compile_readonly_root(host: &Host) -> Result<Plan> {
    let mut course = Course::default();
    course.standard(HostStep::Spawn { namespaces: 0, into_cgroup: false });
    course.standard(ControlStep::Undumpable);
    course.enter(NamespaceKind::Mount.flag())?;
    course.standard(RootfsStep::HostRoot);
    course.standard(RootfsStep::ReadonlyRoot);
    course.standard(ControlStep::Finish);
    Ok(course.finish(0, false, host))
}

const FSOPEN_CLOEXEC: u64 = 1;

/// The first kernel that makes a procfs of a pid namespace for a process which is not in that.
const NAMED_PID_NAMESPACE: (u32, u32) = (6, 18);

/// Compiles what makes a procfs of a pid namespace that is joined, and sends it: see [`Slot::Proc`]. For an older
/// kernel a process has to be in that namespace, where others may look at it, and write to its memory. It has an
/// empty root, no capability but the one it takes, no descriptor but the socket, and is born under a filter by which
/// it can do nothing else: see [`filter_of_helper`]. What it sends is no procfs yet but its context, with which a
/// container can do nothing; only in a user namespace of the container's the process has to mount it.
///
/// # Errors
/// As [`compile`](super::compile).
pub(crate) fn compile_proc(proc: &Slot, kernel: (u32, u32)) -> Result<Plan> {
    let mut course = Course::default();
    let Slot::Proc { namespace, user, options } = proc else {
        return Err(Error::sys(Phase::Plan, "make a procfs", nix::errno::Errno::EINVAL));
    };
    course.standard(HostStep::Spawn { namespaces: 0, into_cgroup: false });
    course.standard(ControlStep::Undumpable);
    if let Some(path) = user {
        let slot = course.slot(Slot::Namespace { kind: NamespaceKind::User, path: path.clone() })?;
        course.standard(NamespaceStep::JoinNamespace { slot, which: Which::One(NamespaceKind::User) });
        course.standard(NamespaceStep::Unshare { namespaces: NamespaceKind::Mount.flag() });
    }
    // Without a path it is that of the process whose namespaces are joined.
    let path = namespace.clone().unwrap_or_default();
    let slot = course.slot(Slot::Namespace { kind: NamespaceKind::Pid, path })?;
    let (kind, options) = ("proc".to_owned(), options.clone());
    let named = kernel >= NAMED_PID_NAMESPACE;
    if !named {
        const CAP_SYS_ADMIN: CapSet = CapSet(1 << 21);
        course.standard(NamespaceStep::JoinNamespace { slot, which: Which::One(NamespaceKind::Pid) });
        course.standard(RootfsStep::EmptyRoot);
        course.standard(RootfsStep::SealType { kind: kind.clone() });
        let sets = CapabilitySets {
            permitted: CAP_SYS_ADMIN,
            effective: CAP_SYS_ADMIN,
            ..CapabilitySets::default()
        };
        course.standard(ProcessStep::Capabilities { sets, extra: 0, ambient: 0 });
        course.hide();
        course.standard(ControlStep::CloseDescriptors { preserve: 0 });
        let filter = filter_of_helper(user.is_some())?;
        course.standard(ProcessStep::Seccomp { filter, flags: 0, listener: None });
        course.standard(ControlStep::HandOver { namespaces: 0 });
    }
    if named || user.is_some() {
        let of = named.then_some(slot);
        course.standard(RootfsStep::SendFileSystem { kind, options, of });
    } else {
        course.standard(RootfsStep::SendContext);
    }
    course.standard(ControlStep::Done);
    Ok(course.finish_on(0, !named, kernel))
}

/// The filter of a process that asks for a procfs of its pid namespace. It allows that, to whoever has written into the
/// process's memory too: the type's name lies where nobody can write, and only its address is allowed. `mounts`: it
/// configures and mounts it as well.
fn filter_of_helper(mounts: bool) -> Result<Vec<u8>> {
    let allow = |names: &[&'static str], conditions: &[(u8, u64)]| SyscallRule {
        names: names.iter().map(|name| (*name).into()).collect(),
        action: Action::Allow,
        conditions: conditions
            .iter()
            .map(|(argument, value)| Condition {
                argument: *argument,
                operator: Operator::Equal,
                value: *value,
                value_two: 0,
            })
            .collect(),
    };
    let mut profile = Profile::new(Action::KillProcess);
    profile.rules.push(allow(&["clone"], &[(0, BIRTH)]));
    profile.rules.push(allow(&["fsopen"], &[(0, SEALED), (1, FSOPEN_CLOEXEC)]));
    profile.rules.push(allow(&["sendmsg", "exit_group"], &[]));
    if mounts {
        profile.rules.push(allow(&["fsconfig", "fsmount", "close"], &[]));
    }
    profile.compile().map(|program| program.to_bytes())
}

/// Whether a path lies below another one, by their text.
fn is_below(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{Arch, Call, SeccompProgram};

    /// Whoever writes into such a process's memory has the same few calls.
    #[test]
    fn a_helper_can_do_nothing_but_ask_for_a_procfs() {
        for mounts in [false, true] {
            let filter = filter_of_helper(mounts).unwrap();
            let stops = |call: Call| !SeccompProgram::stops(&filter, &[call]).is_empty();
            let clone = |flags| Call::passes(libc::SYS_clone).with(0, flags);
            let fsopen = |name, flags| Call::passes(libc::SYS_fsopen).with(0, name).with(1, flags);
            assert!(!stops(clone(BIRTH)) && !stops(fsopen(SEALED, FSOPEN_CLOEXEC)));
            assert!(stops(clone(BIRTH | libc::CLONE_VM as u64)) && stops(clone(libc::SIGCHLD as u64)));
            for name in [0, SEALED + 1, SEALED + 4096, SEALED | 1 << 63, SEALED >> 32] {
                assert!(stops(fsopen(name, FSOPEN_CLOEXEC)), "{name:#x}");
            }
            let native = Arch::native().unwrap();
            let passing = |number: &u32| !stops(Call::passes((*number).into()));
            let names = (0..1024).filter(passing).map(|number| native.call_name(number));
            let mut names: Vec<&str> = names.map(|name| name.unwrap_or("?")).collect();
            names.sort_unstable();
            let expected: &[&str] = if mounts {
                &["close", "exit_group", "fsconfig", "fsmount", "sendmsg"]
            } else {
                &["exit_group", "sendmsg"]
            };
            assert_eq!(names, expected);
        }
    }

    /// Before it can be seen it is under its filter, and has one capability.
    #[test]
    fn a_helper_is_born_under_its_filter() {
        let options = Box::new(MountOptions::default());
        for user in [None, Some("/proc/9/ns/user".to_owned())] {
            let rootless = user.is_some();
            let proc =
                Slot::Proc { namespace: Some("/proc/9/ns/pid".into()), user, options: options.clone() };
            let plan = compile_proc(&proc, (6, 17)).unwrap();
            let at = |what: fn(&Step) -> bool| {
                plan.lines().iter().position(|line| what(&line.step)).unwrap_or(usize::MAX)
            };
            let filter = at(|step| matches!(step, Step::Process(ProcessStep::Seccomp { .. })));
            let gives_up = at(|step| matches!(step, Step::Process(ProcessStep::Capabilities { .. })));
            let birth = at(|step| matches!(step, Step::Control(ControlStep::HandOver { .. })));
            assert!(gives_up < filter && filter < birth && birth < usize::MAX, "{plan}");
            assert_eq!(plan.sends_context(), !rootless, "{plan}");
            assert!(!compile_proc(&proc, (6, 18)).unwrap().sends_context());
        }
    }

    #[test]
    fn below_means_by_whole_names() {
        for (path, above, below) in [
            ("/dev/pts", "/dev", true),
            ("/dev/pts", "/dev/", true),
            ("/dev", "/dev", false),
            ("/dev/", "/dev", false),
            ("/device", "/dev", false),
        ] {
            assert_eq!(is_below(path, above), below, "{path} {above}");
        }
    }
}
