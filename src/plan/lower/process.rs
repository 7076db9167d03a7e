//! Attributes and limits of the program's process.

use super::super::assemble::{Arg, Reg};
use super::super::machine::{SIGACTION, compare, last};
use super::super::step::{Groups, HostTurn, LabelTarget, ProcessStep, Sender};
use super::lowering::Lowering;
use super::{message, terminal};
use crate::process::capability::{CapSet, CapabilitySets};
use nix::errno::Errno;

const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
const KEYCTL_SETPERM: i32 = 5;
const IOPRIO_WHO_PROCESS: i32 = 1;
/// The number of the first real-time signal.
const FIRST_REAL_TIME: i32 = 32;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

pub(super) fn process(code: &mut Lowering, step: &ProcessStep) {
    match step {
        // EPERM: the process leads its process group already.
        ProcessStep::NewSession => code.asm.tolerating(&[Errno::EPERM]).call(libc::SYS_setsid, &[]),
        ProcessStep::OomScoreAdj(value) => {
            code.write_file("/proc/self/oom_score_adj", &value.to_string());
        }
        ProcessStep::Terminal { slot, size, uid, place, relayed } => {
            terminal::terminal(code, *slot, *size, *uid, *place, *relayed);
        }
        ProcessStep::ControllingTerminal => terminal::controlling_terminal(code),
        ProcessStep::RaiseHardLimit { resource, hard, .. } => raise_hard_limit(code, *resource, *hard),
        ProcessStep::Keyring { name, permissions } => keyring(code, name, *permissions),
        ProcessStep::Rlimit { resource, soft, hard, .. } => {
            let limit = code.asm.words(&[*soft, *hard]);
            code.asm.call(libc::SYS_prlimit64, &[0.into(), (*resource).into(), limit, 0.into()]);
        }
        ProcessStep::Scheduler { attr, .. } => {
            let attr = code.asm.bytes(attr);
            code.asm.call(libc::SYS_sched_setattr, &[0.into(), attr, 0.into()]);
        }
        ProcessStep::IoPriority(value) => {
            let args = [IOPRIO_WHO_PROCESS.into(), 0.into(), (*value).into()];
            code.asm.call(libc::SYS_ioprio_set, &args);
        }
        ProcessStep::CpuAffinity { mask, configured } => affinity(code, mask, *configured),
        ProcessStep::Personality(persona) => code.asm.call(libc::SYS_personality, &[(*persona).into()]),
        ProcessStep::MemoryPolicy { mode, nodes, max_node } => {
            memory_policy(code, *mode, nodes, *max_node);
        }
        ProcessStep::OpenLabel { target, files } => open_label(code, *target, files),
        ProcessStep::WriteLabel { target, text } => write_label(code, *target, text),
        ProcessStep::ChownStdio { uid } => chown_stdio(code, *uid),
        ProcessStep::NoNewPrivileges => prctl(code, libc::PR_SET_NO_NEW_PRIVS, 1),
        ProcessStep::BoundingSet { keep, last } => bounding_set(code, CapSet(*keep), *last),
        ProcessStep::Identity { uid, gid, groups } => identity(code, *uid, *gid, groups),
        ProcessStep::Capabilities { sets, extra, ambient } => capabilities(code, sets, *extra, *ambient),
        ProcessStep::GiveUp { sets, extra } => capset(code, sets, *extra),
        ProcessStep::Umask(mask) => code.asm.call(libc::SYS_umask, &[(*mask).into()]),
        ProcessStep::WorkingDirectory { path, create } => working_directory(code, path, *create),
        ProcessStep::HookDirectory { path } => {
            for path in ["/", path.as_str()] {
                let path = code.string(path);
                code.asm.tolerating_all().call(libc::SYS_chdir, &[path]);
            }
        }
        ProcessStep::ChangeDirectory { path } => {
            let path = code.string(path);
            code.asm.call(libc::SYS_chdir, &[path]);
        }
        ProcessStep::ExitOnSignals => exit_on_signals(code),
        ProcessStep::ResetSignals => reset_signals(code),
        ProcessStep::Seccomp { filter, flags, listener } => seccomp(code, filter, *flags, *listener),
        ProcessStep::SendListener => send_listener(code),
    }
}

/// Raises the hard limit to `hard` if it is lower, and leaves the soft limit.
fn raise_hard_limit(code: &mut Lowering, resource: u32, hard: u64) {
    let (limit, done) = (code.asm.scratch(16), code.asm.label());
    let here = [0.into(), resource.into()];
    code.asm.call(libc::SYS_prlimit64, &[here[0], here[1], 0.into(), limit]);
    let now = code.asm.load(8, limit.plus(8), u64::MAX);
    code.asm.jump_if(compare::NOT_BELOW, now, hard, done);
    code.asm.store(8, limit.plus(8), hard);
    code.asm.call(libc::SYS_prlimit64, &[here[0], here[1], limit, 0.into()]);
    code.asm.place(done);
    code.asm.release(now);
}

fn keyring(code: &mut Lowering, name: &str, permissions: Option<u32>) {
    let name = code.string(name);
    let join = [KEYCTL_JOIN_SESSION_KEYRING.into(), name];
    // ENOSYS: the kernel has no keyrings, or the caller is under a filter that denies them.
    code.asm.tolerating(&[Errno::ENOSYS]);
    let Some(permissions) = permissions else {
        return code.asm.call(libc::SYS_keyctl, &join);
    };
    let (keyring, done) = (code.asm.call_to(libc::SYS_keyctl, &join), code.asm.label());
    code.asm.jump_if_failed(keyring, done);
    let permit = [KEYCTL_SETPERM.into(), keyring.into(), permissions.into()];
    // EACCES: another user's keyring has that name, and has let this process join.
    code.asm.tolerating(&[Errno::EACCES]).call(libc::SYS_keyctl, &permit);
    code.asm.place(done);
    code.asm.release(keyring);
}

fn affinity(code: &mut Lowering, mask: &[u8], configured: bool) {
    let (length, mask) = (mask.len(), code.asm.bytes(mask));
    if !configured {
        code.asm.tolerating_all();
    }
    code.asm.call(libc::SYS_sched_setaffinity, &[0.into(), length.into(), mask]);
}

fn memory_policy(code: &mut Lowering, mode: u32, nodes: &[u8], max_node: u64) {
    let mask = if nodes.is_empty() { 0.into() } else { code.asm.bytes(nodes) };
    code.asm.call(libc::SYS_set_mempolicy, &[mode.into(), mask, max_node.into()]);
}

fn working_directory(code: &mut Lowering, path: &str, create: bool) {
    let (root, path) = (code.root(), code.string(path));
    let missing = if create { last::DIRECTORY } else { last::NOTHING };
    let dir = code.asm.make_path(root, path, missing, 0o755);
    code.asm.call(libc::SYS_fchdir, &[dir.into()]);
    code.asm.close(dir);
}

fn seccomp(code: &mut Lowering, filter: &[u8], flags: u64, listener: Option<Sender>) {
    let program = filter_program(code, filter);
    let set = libc::SECCOMP_SET_MODE_FILTER;
    match listener {
        None => code.asm.call(libc::SYS_seccomp, &[set.into(), flags.into(), program]),
        Some(Sender::Itself | Sender::Successor) => {
            code.listener = Some(code.asm.call_to(libc::SYS_seccomp, &[set.into(), flags.into(), program]));
            if listener == Some(Sender::Itself) {
                send_listener(code);
            }
        }
        Some(Sender::Thread) => {
            let socket = listener_socket(code);
            let (header, place) = message::message(code, &[HostTurn::Listener.code()]);
            code.asm.listener(flags, program, place, socket, header);
        }
    }
}

/// The socket for the listener: the connection of `start`, if the process has waited for it.
fn listener_socket(code: &Lowering) -> Reg {
    code.caller.unwrap_or_else(Lowering::control_socket)
}

/// Sends the listener. It is not closed, since the filter may not allow that: execve(2) closes it.
fn send_listener(code: &mut Lowering) {
    let listener = code.listener.take().unwrap_or_else(|| code.asm.refuse());
    let socket = listener_socket(code);
    message::send(code, socket, listener, &[HostTurn::Listener.code()], false);
    code.asm.release(listener);
}

/// `struct sock_fprog`.
fn filter_program(code: &mut Lowering, filter: &[u8]) -> Arg {
    let instructions = code.asm.bytes(filter);
    let mut program = [0u8; 16];
    program[..2].copy_from_slice(&((filter.len() / 8) as u16).to_ne_bytes());
    code.asm.structure(&program, &[(8, instructions)])
}

/// Loads a filter without a listener.
pub(super) fn load_filter(code: &mut Lowering, filter: &[u8], flags: u64) {
    let program = filter_program(code, filter);
    let set = libc::SECCOMP_SET_MODE_FILTER;
    code.asm.call(libc::SYS_seccomp, &[set.into(), flags.into(), program]);
}

pub(super) fn prctl(code: &mut Lowering, option: i32, argument: impl Into<Arg>) {
    code.asm.call(libc::SYS_prctl, &[option.into(), argument.into(), 0.into(), 0.into(), 0.into()]);
}

/// Drops what is not kept, up to the capability `last`.
fn bounding_set(code: &mut Lowering, keep: CapSet, last: u32) {
    // For many neighbours a loop of four instructions is cheaper than an instruction for each.
    const LOOP: u32 = 4;
    let mut next = 0;
    while let Some(first) = (next..=last).find(|c| !keep.has(*c)) {
        next = (first..=last).find(|c| keep.has(*c)).unwrap_or(last + 1);
        if next - first <= LOOP {
            (first..next).for_each(|capability| prctl(code, libc::PR_CAPBSET_DROP, capability));
            continue;
        }
        let capability = code.asm.register();
        code.asm.set(capability, first);
        let again = code.asm.label();
        code.asm.place(again);
        prctl(code, libc::PR_CAPBSET_DROP, capability);
        code.asm.add(capability, 1);
        code.asm.jump_if(compare::LESS, capability, next, again);
        code.asm.release(capability);
    }
}

fn open_label(code: &mut Lowering, target: LabelTarget, files: &[String]) {
    let fd = code.asm.register();
    let open = code.asm.label();
    for (i, file) in files.iter().enumerate() {
        let (directory, path) = code.in_proc(file);
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        if i + 1 < files.len() {
            code.asm.tolerating(&[Errno::ENOENT]);
        }
        code.asm.call_into(fd, libc::SYS_openat, &[directory, path, flags.into()]);
        code.asm.jump_if(compare::GREATER_EQUAL, fd, 0, open);
    }
    code.asm.place(open);
    code.must_be_procfs(fd);
    *label_file(code, target) = Some(fd);
}

fn write_label(code: &mut Lowering, target: LabelTarget, text: &str) {
    if let Some(label) = label_file(code, target).take() {
        code.write(label, text);
        code.asm.close(label);
    }
}

fn label_file(code: &mut Lowering, target: LabelTarget) -> &mut Option<Reg> {
    match target {
        LabelTarget::Program => &mut code.label,
        LabelTarget::Keys => &mut code.key_label,
    }
}

/// Gives the standard descriptors to the user, so that it can open `/dev/stdout`. The null device keeps its owner.
fn chown_stdio(code: &mut Lowering, uid: u32) {
    for fd in 0..3 {
        let next = code.asm.label();
        let stat = code.asm.scratch(size_of::<libc::stat>());
        code.asm.tolerating(&[Errno::EBADF]);
        let answer = code.asm.call_to(libc::SYS_fstat, &[fd.into(), stat]);
        code.asm.jump_if_failed(answer, next);
        let at = |field: usize| stat.plus(field as u64);
        let owner = code.asm.load(4, at(std::mem::offset_of!(libc::stat, st_uid)), u64::MAX);
        code.asm.jump_if(compare::EQUAL, owner, uid, next);
        let device = code.asm.load(8, at(std::mem::offset_of!(libc::stat, st_rdev)), u64::MAX);
        code.asm.jump_if(compare::EQUAL, device, libc::makedev(1, 3), next);
        // It may fail, for instance on a read-only file system: the owner stays then.
        code.asm.tolerating_all().call(libc::SYS_fchown, &[fd.into(), uid.into(), u32::MAX.into()]);
        code.asm.place(next);
        for register in [answer, owner, device] {
            code.asm.release(register);
        }
    }
}

/// Sets groups, group and user. -1 tells the kernel to leave an ID.
fn identity(code: &mut Lowering, uid: Option<u32>, gid: Option<u32>, groups: &Groups) {
    let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
    if uid != 0 {
        prctl(code, libc::PR_SET_KEEPCAPS, 1);
    }
    match groups {
        Groups::Set(groups) => {
            let bytes: Vec<u8> = groups.iter().flat_map(|g| g.to_ne_bytes()).collect();
            let list = code.asm.bytes(&bytes);
            code.asm.call(libc::SYS_setgroups, &[groups.len().into(), list]);
        }
        Groups::Drop => {
            code.asm.tolerating(&[Errno::EPERM]).call(libc::SYS_setgroups, &[0.into(), 0.into()]);
        }
        Groups::Keep => {}
    }
    code.asm.call(libc::SYS_setresgid, &[gid.into(), gid.into(), gid.into()]);
    code.asm.call(libc::SYS_setresuid, &[uid.into(), uid.into(), uid.into()]);
}

/// Sets the capabilities. `extra` capabilities stay permitted and effective, for steps that need them before execve(2). They
/// do not survive execve(2): the bounding set is in force.
pub(super) fn capabilities(code: &mut Lowering, sets: &CapabilitySets, extra: u64, ambient: u64) {
    capset(code, sets, extra);
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL;
    prctl(code, libc::PR_CAP_AMBIENT, clear);
    for capability in (0..64u32).filter(|c| CapSet(ambient).has(*c)) {
        let raise = [
            libc::PR_CAP_AMBIENT.into(),
            libc::PR_CAP_AMBIENT_RAISE.into(),
            capability.into(),
            0.into(),
            0.into(),
        ];
        code.asm.call(libc::SYS_prctl, &raise);
    }
}

fn capset(code: &mut Lowering, sets: &CapabilitySets, extra: u64) {
    let kept = CapabilitySets {
        effective: sets.effective.or(CapSet(extra)),
        permitted: sets.permitted.or(CapSet(extra)),
        ..*sets
    };
    let header: Vec<u8> = [CAPABILITY_VERSION_3, 0].iter().flat_map(|w: &u32| w.to_ne_bytes()).collect();
    let data: Vec<u8> = kept.capset_words().iter().flat_map(|w| w.to_ne_bytes()).collect();
    let (header, data) = (code.asm.bytes(&header), code.asm.bytes(&data));
    code.asm.call(libc::SYS_capset, &[header, data]);
}

/// The signals whose default action ends a process, from and to, except for those of a fault, which the kernel forces upon
/// the process.
const ENDING: [(i32, i32); 7] = [
    (libc::SIGHUP, libc::SIGQUIT),
    (libc::SIGABRT, libc::SIGABRT),
    (libc::SIGUSR1, libc::SIGUSR1),
    (libc::SIGUSR2, libc::SIGSTKFLT),
    (libc::SIGXCPU, libc::SIGPROF),
    (libc::SIGIO, libc::SIGPWR),
    (FIRST_REAL_TIME, 64),
];

fn exit_on_signals(code: &mut Lowering) {
    let action = code.asm.scratch(SIGACTION);
    code.asm.exit_handler(action);
    for (first, last) in ENDING {
        set_action(code, first, last, action);
    }
    unblock_signals(code);
}

fn reset_signals(code: &mut Lowering) {
    // CLONE_CLEAR_SIGHAND does not reset ignored signals, and execve(2) does not either.
    let default = code.asm.scratch(SIGACTION);
    set_action(code, 1, FIRST_REAL_TIME - 1, default);
    unblock_signals(code);
}

/// Sets the action of the signals from `first` to `last`.
fn set_action(code: &mut Lowering, first: i32, last: i32, action: Arg) {
    let signal = code.asm.register();
    code.asm.set(signal, first);
    let again = code.asm.label();
    code.asm.place(again);
    // EINVAL: SIGKILL, SIGSTOP.
    code.asm
        .tolerating(&[Errno::EINVAL])
        .call(libc::SYS_rt_sigaction, &[signal.into(), action, 0.into(), 8.into()]);
    code.asm.add(signal, 1);
    code.asm.jump_if(compare::LESS, signal, last + 1, again);
    code.asm.release(signal);
}

pub(super) fn block_signals(code: &mut Lowering) {
    let all = code.asm.bytes(&u64::MAX.to_ne_bytes());
    code.asm.call(libc::SYS_rt_sigprocmask, &[libc::SIG_SETMASK.into(), all, 0.into(), 8.into()]);
}

fn unblock_signals(code: &mut Lowering) {
    let none = code.asm.scratch(8);
    code.asm.call(libc::SYS_rt_sigprocmask, &[libc::SIG_SETMASK.into(), none, 0.into(), 8.into()]);
}
