//! What the process is given, and how it begins.

use super::super::machine::{compare, last, state};
use super::super::step::{Groups, Sender, Step, Turn};
use super::{CWD, Lower};
use crate::plan::assemble::Arg;
use crate::process::capability::{CapSet, Sets};
use nix::errno::Errno;

const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
const IOPRIO_WHO_PROCESS: i32 = 1;
/// From here on nobody ignores signals for his children.
const FIRST_REAL_TIME: i32 = 32;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

impl Lower {
    pub(super) fn process(&mut self, step: &Step) {
        match step {
            Step::Keyring { name } => {
                let name = self.string(name);
                // ENOSYS: a kernel, or a filter of our own caller, without keyrings.
                self.asm
                    .tolerating(&[Errno::ENOSYS])
                    .call(libc::SYS_keyctl, &[KEYCTL_JOIN_SESSION_KEYRING.into(), name]);
            }
            Step::Rlimit { resource, soft, hard, .. } => {
                let limit = self.asm.words(&[*soft, *hard]);
                self.asm.call(libc::SYS_prlimit64, &[0.into(), (*resource).into(), limit, 0.into()]);
            }
            Step::Scheduler { .. }
            | Step::IoPriority(_)
            | Step::CpuAffinity { .. }
            | Step::Personality(_)
            | Step::MemoryPolicy { .. } => self.scheduling(step),
            Step::OpenLabel { files } => self.open_label(files),
            Step::WriteLabel { text } => {
                if let Some(label) = self.label.take() {
                    self.write(label, text);
                    self.asm.close(label);
                }
            }
            Step::ChownStdio { uid } => self.chown_stdio(*uid),
            Step::NoNewPrivileges => self.prctl(libc::PR_SET_NO_NEW_PRIVS, 1),
            Step::BoundingSet { keep, last } => self.bounding_set(CapSet(*keep), *last),
            Step::Identity { uid, gid, groups } => self.identity(*uid, *gid, groups),
            Step::Capabilities { sets, extra, ambient } => self.capabilities(sets, *extra, *ambient),
            Step::Umask(mask) => self.asm.call(libc::SYS_umask, &[(*mask).into()]),
            Step::WorkingDirectory { path } => {
                let (root, path) = (self.root(), self.string(path));
                let dir = self.asm.make_path(root, path, last::DIRECTORY, 0o755);
                self.asm.call(libc::SYS_fchdir, &[dir.into()]);
                self.asm.close(dir);
            }
            Step::HookDirectory { path } => {
                for path in ["/", path.as_str()] {
                    let path = self.string(path);
                    self.asm.tolerating_all().call(libc::SYS_chdir, &[path]);
                }
            }
            Step::ChangeDirectory { path } => {
                let path = self.string(path);
                self.asm.call(libc::SYS_chdir, &[path]);
            }
            _ => self.begin(step),
        }
    }

    /// Where and how the process runs.
    fn scheduling(&mut self, step: &Step) {
        match step {
            Step::Scheduler { attr } => {
                let attr = self.asm.bytes(attr);
                self.asm.call(libc::SYS_sched_setattr, &[0.into(), attr, 0.into()]);
            }
            Step::IoPriority(value) => {
                let args = [IOPRIO_WHO_PROCESS.into(), 0.into(), (*value).into()];
                self.asm.call(libc::SYS_ioprio_set, &args);
            }
            Step::CpuAffinity { mask, asked } => {
                let (length, mask) = (mask.len(), self.asm.bytes(mask));
                if !asked {
                    self.asm.tolerating_all();
                }
                self.asm.call(libc::SYS_sched_setaffinity, &[0.into(), length.into(), mask]);
            }
            Step::Personality(persona) => self.asm.call(libc::SYS_personality, &[(*persona).into()]),
            Step::MemoryPolicy { mode, nodes, max_node } => {
                let mask = if nodes.is_empty() { 0.into() } else { self.asm.bytes(nodes) };
                self.asm.call(libc::SYS_set_mempolicy, &[(*mode).into(), mask, (*max_node).into()]);
            }
            _ => {}
        }
    }

    /// The last steps.
    fn begin(&mut self, step: &Step) {
        match step {
            Step::FindProgram { candidates, .. } => self.find_program(candidates),
            Step::Created => {
                self.asm.state(state::CREATED);
                // Until the host side has recorded this process, it does not outlive the host side.
                self.await_host(Turn::Created);
                self.asm.call(libc::SYS_close, &[Self::control().into()]);
            }
            Step::AwaitStart { slot } => self.await_start(*slot),
            Step::CloseDescriptors { preserve } => {
                let first = 3 + preserve;
                let flags = libc::CLOSE_RANGE_CLOEXEC;
                self.asm.call(libc::SYS_close_range, &[first.into(), u32::MAX.into(), flags.into()]);
            }
            Step::KeepDescriptors { slots } => {
                for slot in slots {
                    let set = libc::F_SETFD;
                    self.asm.call(libc::SYS_fcntl, &[Self::slot(*slot).into(), set.into(), 0.into()]);
                }
            }
            Step::ResetSignals => self.reset_signals(),
            Step::StayAsInit { foreground } => self.stay_as_init(*foreground),
            Step::Seccomp { filter, flags, listener } => self.seccomp(filter, *flags, *listener),
            Step::Execute { args, env } => {
                let mut strings =
                    |list: &[String]| -> Vec<Arg> { list.iter().map(|s| self.asm.string(s)).collect() };
                let (args, env) = (strings(args), strings(env));
                let (argv, envp) = (self.asm.pointers(&args), self.asm.pointers(&env));
                let program = self.program.map_or_else(|| 0.into(), Arg::from);
                self.asm.state(state::EXECUTING);
                self.asm.call(libc::SYS_execve, &[program, argv, envp]);
            }
            Step::Done => self.asm.state(state::CREATED),
            Step::NoProgram => self.asm.fail(Errno::EINVAL, 0),
            Step::Finish => {
                self.asm.state(state::CREATED);
                self.asm.call(libc::SYS_exit_group, &[0.into()]);
            }
            _ => {}
        }
    }

    fn seccomp(&mut self, filter: &[u8], flags: u64, listener: Option<Sender>) {
        let instructions = self.asm.bytes(filter);
        let mut program = [0u8; 16];
        program[..2].copy_from_slice(&((filter.len() / 8) as u16).to_ne_bytes());
        let program = self.asm.structure(&program, &[(8, instructions)]);
        let set = libc::SECCOMP_SET_MODE_FILTER;
        // Whoever called `start` is who listens, if somebody has.
        let socket = self.caller.unwrap_or_else(Self::control);
        match listener {
            None => self.asm.call(libc::SYS_seccomp, &[set.into(), flags.into(), program]),
            Some(Sender::Itself) => {
                let fd = self.asm.call_to(libc::SYS_seccomp, &[set.into(), flags.into(), program]);
                self.send(socket, fd, &[Turn::Listener.code()], false);
                self.asm.release(fd);
            }
            Some(Sender::Aside) => {
                let (header, place) = self.message(&[Turn::Listener.code()]);
                self.asm.listener(flags, program, place, socket, header);
            }
        }
    }

    fn prctl(&mut self, option: i32, argument: impl Into<Arg>) {
        self.asm.call(libc::SYS_prctl, &[option.into(), argument.into(), 0.into(), 0.into(), 0.into()]);
    }

    /// Drops what is not kept, up to the capability `last`.
    fn bounding_set(&mut self, keep: CapSet, last: u32) {
        // Instructions are built, copied and read: four for a long row of neighbours are better than one for each.
        const LOOP: u32 = 4;
        let mut next = 0;
        while let Some(first) = (next..=last).find(|c| !keep.has(*c)) {
            next = (first..=last).find(|c| keep.has(*c)).unwrap_or(last + 1);
            if next - first <= LOOP {
                (first..next).for_each(|capability| self.prctl(libc::PR_CAPBSET_DROP, capability));
                continue;
            }
            let capability = self.asm.register();
            self.asm.set(capability, first);
            let again = self.asm.label();
            self.asm.place(again);
            self.prctl(libc::PR_CAPBSET_DROP, capability);
            self.asm.add(capability, 1);
            self.asm.jump_if(compare::LESS, capability, next, again);
            self.asm.release(capability);
        }
    }

    fn open_label(&mut self, files: &[String]) {
        let fd = self.asm.register();
        let open = self.asm.label();
        for (i, file) in files.iter().enumerate() {
            let path = self.string(file);
            let flags = libc::O_WRONLY | libc::O_CLOEXEC;
            if i + 1 < files.len() {
                self.asm.tolerating(&[Errno::ENOENT]);
            }
            self.asm.call_into(fd, libc::SYS_openat, &[CWD.into(), path, flags.into()]);
            self.asm.jump_if(compare::GREATER_EQUAL, fd, 0, open);
        }
        self.asm.place(open);
        self.label = Some(fd);
    }

    /// So that `/dev/stdout` can be opened by the user it belongs to; never the null device.
    fn chown_stdio(&mut self, uid: u32) {
        for fd in 0..3 {
            let next = self.asm.label();
            let stat = self.asm.scratch(size_of::<libc::stat>());
            self.asm.tolerating(&[Errno::EBADF]);
            let answer = self.asm.call_to(libc::SYS_fstat, &[fd.into(), stat]);
            self.asm.jump_if_failed(answer, next);
            let at = |field: usize| stat.plus(field as u64);
            let owner = self.asm.load(4, at(std::mem::offset_of!(libc::stat, st_uid)), u64::MAX);
            self.asm.jump_if(compare::EQUAL, owner, uid, next);
            let device = self.asm.load(8, at(std::mem::offset_of!(libc::stat, st_rdev)), u64::MAX);
            self.asm.jump_if(compare::EQUAL, device, libc::makedev(1, 3), next);
            // A read-only file system, another user's pipe: as good as it was.
            self.asm.tolerating_all().call(libc::SYS_fchown, &[fd.into(), uid.into(), u32::MAX.into()]);
            self.asm.place(next);
            for register in [answer, owner, device] {
                self.asm.release(register);
            }
        }
    }

    fn identity(&mut self, uid: u32, gid: u32, groups: &Groups) {
        if uid != 0 {
            self.prctl(libc::PR_SET_KEEPCAPS, 1);
        }
        match groups {
            Groups::Set(groups) => {
                let bytes: Vec<u8> = groups.iter().flat_map(|g| g.to_ne_bytes()).collect();
                let list = self.asm.bytes(&bytes);
                self.asm.call(libc::SYS_setgroups, &[groups.len().into(), list]);
            }
            Groups::Drop => {
                self.asm.tolerating(&[Errno::EPERM]).call(libc::SYS_setgroups, &[0.into(), 0.into()]);
            }
            Groups::Keep => {}
        }
        self.asm.call(libc::SYS_setresgid, &[gid.into(), gid.into(), gid.into()]);
        self.asm.call(libc::SYS_setresuid, &[uid.into(), uid.into(), uid.into()]);
    }

    /// `extra` capabilities stay permitted and effective: a filter without no_new_privs needs them.
    /// What execve makes of the sets is not changed by it, since the bounding set is in force.
    fn capabilities(&mut self, sets: &Sets, extra: u64, ambient: u64) {
        let kept = Sets {
            effective: sets.effective.or(CapSet(extra)),
            permitted: sets.permitted.or(CapSet(extra)),
            ..*sets
        };
        let header: Vec<u8> = [CAPABILITY_VERSION_3, 0].iter().flat_map(|w: &u32| w.to_ne_bytes()).collect();
        let data: Vec<u8> = kept.capset_words().iter().flat_map(|w| w.to_ne_bytes()).collect();
        let (header, data) = (self.asm.bytes(&header), self.asm.bytes(&data));
        self.asm.call(libc::SYS_capset, &[header, data]);
        let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL;
        self.prctl(libc::PR_CAP_AMBIENT, clear);
        for capability in (0..64u32).filter(|c| CapSet(ambient).has(*c)) {
            let raise = [
                libc::PR_CAP_AMBIENT.into(),
                libc::PR_CAP_AMBIENT_RAISE.into(),
                capability.into(),
                0.into(),
                0.into(),
            ];
            self.asm.call(libc::SYS_prctl, &raise);
        }
    }

    /// The first candidate that this user may execute; else what was wrong with the best of them.
    fn find_program(&mut self, candidates: &[String]) {
        let program = self.asm.register();
        let seen = self.asm.register();
        let found = self.asm.label();
        self.asm.set(seen, Errno::ENOENT as i32);
        let stat = self.asm.scratch(size_of::<libc::stat>());
        for candidate in candidates {
            let (denied, next) = (self.asm.label(), self.asm.label());
            let path = self.string(candidate);
            let args = [CWD.into(), path, libc::X_OK.into(), libc::AT_EACCESS.into()];
            self.asm.tolerating_all();
            let access = self.asm.call_to(libc::SYS_faccessat2, &args);
            self.asm.jump_if(compare::EQUAL, access, -(Errno::EACCES as i32), denied);
            self.asm.jump_if_failed(access, next);
            self.asm.tolerating_all().call(libc::SYS_newfstatat, &[CWD.into(), path, stat, 0.into()]);
            let at = std::mem::offset_of!(libc::stat, st_mode) as u64;
            let kind = self.asm.load(4, stat.plus(at), u64::from(libc::S_IFMT));
            self.asm.jump_if(compare::EQUAL, kind, u64::from(libc::S_IFDIR), denied);
            self.asm.set(program, path);
            self.asm.jump(found);
            self.asm.place(denied);
            self.asm.set(seen, Errno::EACCES as i32);
            self.asm.place(next);
            self.asm.release(access);
            self.asm.release(kind);
        }
        self.asm.fail_with(seen, 0);
        self.asm.place(found);
        self.asm.release(seen);
        self.program = Some(program);
    }

    /// `start` calls on a socket; it gets the control page, and hears the end of its connection when
    /// the program is executed.
    fn await_start(&mut self, slot: usize) {
        let listener = Self::slot(slot);
        let (again, called) = (self.asm.label(), self.asm.label());
        self.asm.place(again);
        let flags = libc::SOCK_CLOEXEC;
        let caller =
            self.asm.call_to(libc::SYS_accept4, &[listener.into(), 0.into(), 0.into(), flags.into()]);
        // One that is dead already has not started anything: the next one will.
        if let Some(sent) = self.send(caller, Self::memory(), b"s", true) {
            self.asm.jump_if(compare::GREATER_EQUAL, sent, 0, called);
            self.asm.release(sent);
        }
        self.asm.call(libc::SYS_close, &[caller.into()]);
        self.asm.jump(again);
        self.asm.place(called);
        self.asm.call(libc::SYS_close, &[listener.into()]);
        // `caller` stays open until execve, or the end.
        self.caller = Some(caller);
    }

    fn reset_signals(&mut self) {
        // CLONE_CLEAR_SIGHAND leaves what the caller ignores ignored, and execve keeps that.
        let default = self.asm.scratch(32);
        let signal = self.asm.register();
        self.asm.set(signal, 1);
        let again = self.asm.label();
        self.asm.place(again);
        // EINVAL: SIGKILL, SIGSTOP.
        self.asm
            .tolerating(&[Errno::EINVAL])
            .call(libc::SYS_rt_sigaction, &[signal.into(), default, 0.into(), 8.into()]);
        self.asm.add(signal, 1);
        self.asm.jump_if(compare::LESS, signal, FIRST_REAL_TIME, again);
        let none = self.asm.scratch(8);
        self.asm.call(libc::SYS_rt_sigprocmask, &[libc::SIG_SETMASK.into(), none, 0.into(), 8.into()]);
        self.asm.release(signal);
    }

    /// The program becomes a child of this process, in a process group of its own.
    fn stay_as_init(&mut self, foreground: bool) {
        let zero = 0u64;
        let flags = libc::SIGCHLD;
        let child = self
            .asm
            .call_to(libc::SYS_clone, &[flags.into(), zero.into(), zero.into(), zero.into(), zero.into()]);
        let program = self.asm.label();
        self.asm.jump_if(compare::EQUAL, child, 0, program);
        self.asm.call(libc::SYS_close_range, &[3.into(), u32::MAX.into(), 0.into()]);
        self.asm.init(child);
        self.asm.place(program);
        self.asm.call(libc::SYS_setpgid, &[0.into(), 0.into()]);
        if foreground {
            let pid = self.asm.call_to(libc::SYS_getpid, &[]);
            let place = self.asm.scratch(8);
            self.asm.store(4, place, pid);
            let request = libc::TIOCSPGRP as u32;
            self.asm.tolerating_all().call(libc::SYS_ioctl, &[0.into(), request.into(), place]);
            self.asm.release(pid);
        }
        self.asm.release(child);
    }
}
