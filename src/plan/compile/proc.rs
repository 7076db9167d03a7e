//! A procfs of a pid namespace that is joined.

use super::super::compiled::Plan;
use super::super::step::{
    ControlStep, JoinTarget, LineOrigin, NamespaceStep, ProcessStep, RootfsStep, SEALED, Slot,
};
use super::birth::BIRTH;
use super::draft::Draft;
use super::namespaces;
use crate::namespace::NamespaceKind;
use crate::process::capability::{CAP_SYS_ADMIN, CapSet, CapabilitySets};
use crate::seccomp::{Action, Condition, Operator, Profile, SyscallRule};
use crate::{Error, Phase, Result};

const FSOPEN_CLOEXEC: u64 = 1;

/// The first kernel on which a process that is not in a pid namespace can create its procfs (`pidns`).
const NAMED_PID_NAMESPACE: (u32, u32) = (6, 18);

/// Compiles a process that creates a procfs of a joined pid namespace and sends it: see [`Slot::Proc`]. Before Linux 6.18
/// the process has to be in that namespace, where others may see it and write to its memory. Therefore it has an empty
/// root, no capability except the one that it needs, no descriptor except the socket, and is cloned under a filter that
/// allows nothing else: see [`filter_of_helper`]. It sends only the context of the procfs, which is useless to a container,
/// and the host side creates the file system. In a user namespace of the container, however, it has to create the mount
/// itself.
///
/// # Errors
/// As [`compile`](super::compile).
pub(crate) fn compile_proc(proc: &Slot, kernel: (u32, u32)) -> Result<Plan> {
    let mut draft = Draft::new(kernel);
    let Slot::Proc { namespace, user, options } = proc else {
        return Err(Error::sys(Phase::Plan, "make a procfs", nix::errno::Errno::EINVAL));
    };
    draft.spawn(LineOrigin::Standard, 0, false);
    draft.standard(ControlStep::Undumpable);
    if let Some(path) = user {
        namespaces::join(&mut draft, LineOrigin::Standard, NamespaceKind::User, path.clone())?;
        draft.standard(NamespaceStep::Unshare { namespaces: NamespaceKind::Mount.flag() });
    }
    // Without a path, it is the namespace of the process whose namespaces are joined.
    let path = namespace.clone().unwrap_or_default();
    let slot = draft.standard_slot(Slot::Namespace { kind: NamespaceKind::Pid, path })?;
    let (kind, options) = ("proc".to_owned(), options.clone());
    let named = kernel >= NAMED_PID_NAMESPACE;
    if !named {
        draft.standard(NamespaceStep::JoinNamespace { slot, target: JoinTarget::One(NamespaceKind::Pid) });
        draft.standard(RootfsStep::EmptyRoot);
        draft.standard(RootfsStep::SealType { kind: kind.clone() });
        let one = CapSet(1 << CAP_SYS_ADMIN);
        let sets = CapabilitySets { permitted: one, effective: one, ..CapabilitySets::default() };
        draft.standard(ProcessStep::Capabilities { sets, extra: 0, ambient: 0 });
        namespaces::hide_before_birth(&mut draft);
        draft.standard(ControlStep::CloseDescriptors { preserve: 0 });
        let filter = filter_of_helper(user.is_some())?;
        draft.standard(ProcessStep::Seccomp { filter, flags: 0, listener: None });
        draft.standard(ControlStep::HandOver { namespaces: 0 });
    }
    if named || user.is_some() {
        let of = named.then_some(slot);
        draft.standard(RootfsStep::SendFileSystem { kind, options, of });
    } else {
        draft.standard(RootfsStep::SendContext);
    }
    draft.standard(ControlStep::Done);
    Ok(draft.finish())
}

/// The filter of a process that creates the context of a procfs. It allows nothing else, even if another process has written
/// to its memory: the name of the type lies where nothing can write, and fsopen(2) is allowed for that address alone.
/// `mounts`: the process also creates the mount.
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

#[cfg(test)]
mod tests {
    use super::super::super::step::Step;
    use super::*;
    use crate::mount::MountOptions;
    use crate::seccomp::{Arch, Call, calls_stopped};

    /// A process that writes to its memory cannot make it do anything else.
    #[test]
    fn a_helper_can_only_create_the_context_of_a_procfs() {
        for mounts in [false, true] {
            let filter = filter_of_helper(mounts).unwrap();
            let stops = |call: Call| !calls_stopped(&filter, &[call]).is_empty();
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

    /// Before it can be seen, it is under its filter and has one capability.
    #[test]
    fn a_helper_is_cloned_under_its_filter() {
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
}
