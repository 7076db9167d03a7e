//! What the program is given, and what it is under.

use super::super::machine::{compare, last};
use super::super::step::{Groups, ProcessStep, Sender, Turn};
use super::Lower;
use crate::plan::assemble::{Arg, Reg};
use crate::process::capability::{CapSet, CapabilitySets};
use nix::errno::Errno;

const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
const IOPRIO_WHO_PROCESS: i32 = 1;
/// From here on nobody ignores signals for his children.
const FIRST_REAL_TIME: i32 = 32;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

impl Lower {
    pub(super) fn process(&mut self, step: &ProcessStep) {
        match step {
            // EPERM: it leads its group already.
            ProcessStep::NewSession => self.asm.tolerating(&[Errno::EPERM]).call(libc::SYS_setsid, &[]),
            ProcessStep::OomScoreAdj(value) => {
                self.write_file("/proc/self/oom_score_adj", &value.to_string());
            }
            ProcessStep::Terminal { slot, size, uid, console, kept } => {
                self.terminal(*slot, *size, *uid, *console, *kept);
            }
            ProcessStep::ControllingTerminal => self.controlling_terminal(),
            ProcessStep::RaiseHardLimit { resource, hard, .. } => self.raise_hard_limit(*resource, *hard),
            ProcessStep::Keyring { name } => self.keyring(name),
            ProcessStep::Rlimit { resource, soft, hard, .. } => {
                let limit = self.asm.words(&[*soft, *hard]);
                self.asm.call(libc::SYS_prlimit64, &[0.into(), (*resource).into(), limit, 0.into()]);
            }
            ProcessStep::Scheduler { attr } => {
                let attr = self.asm.bytes(attr);
                self.asm.call(libc::SYS_sched_setattr, &[0.into(), attr, 0.into()]);
            }
            ProcessStep::IoPriority(value) => {
                let args = [IOPRIO_WHO_PROCESS.into(), 0.into(), (*value).into()];
                self.asm.call(libc::SYS_ioprio_set, &args);
            }
            ProcessStep::CpuAffinity { mask, asked } => self.affinity(mask, *asked),
            ProcessStep::Personality(persona) => self.asm.call(libc::SYS_personality, &[(*persona).into()]),
            ProcessStep::MemoryPolicy { mode, nodes, max_node } => {
                self.memory_policy(*mode, nodes, *max_node);
            }
            ProcessStep::OpenLabel { files } => self.open_label(files),
            ProcessStep::WriteLabel { text } => self.write_label(text),
            ProcessStep::ChownStdio { uid } => self.chown_stdio(*uid),
            ProcessStep::NoNewPrivileges => self.prctl(libc::PR_SET_NO_NEW_PRIVS, 1),
            ProcessStep::BoundingSet { keep, last } => self.bounding_set(CapSet(*keep), *last),
            ProcessStep::Identity { uid, gid, groups } => self.identity(*uid, *gid, groups),
            ProcessStep::Capabilities { sets, extra, ambient } => self.capabilities(sets, *extra, *ambient),
            ProcessStep::GiveUp { sets, extra } => self.capset(sets, *extra),
            ProcessStep::Umask(mask) => self.asm.call(libc::SYS_umask, &[(*mask).into()]),
            ProcessStep::WorkingDirectory { path } => self.working_directory(path),
            ProcessStep::HookDirectory { path } => {
                for path in ["/", path.as_str()] {
                    let path = self.string(path);
                    self.asm.tolerating_all().call(libc::SYS_chdir, &[path]);
                }
            }
            ProcessStep::ChangeDirectory { path } => {
                let path = self.string(path);
                self.asm.call(libc::SYS_chdir, &[path]);
            }
            ProcessStep::ResetSignals => self.reset_signals(),
            ProcessStep::Seccomp { filter, flags, listener } => self.seccomp(filter, *flags, *listener),
            ProcessStep::SendListener => self.send_listener(),
        }
    }

    /// The hard limit is not below `hard`, and nothing else of the limit changes.
    fn raise_hard_limit(&mut self, resource: u32, hard: u64) {
        let (limit, done) = (self.asm.scratch(16), self.asm.label());
        let here = [0.into(), resource.into()];
        self.asm.call(libc::SYS_prlimit64, &[here[0], here[1], 0.into(), limit]);
        let now = self.asm.load(8, limit.plus(8), u64::MAX);
        self.asm.jump_if(compare::NOT_BELOW, now, hard, done);
        self.asm.store(8, limit.plus(8), hard);
        self.asm.call(libc::SYS_prlimit64, &[here[0], here[1], limit, 0.into()]);
        self.asm.place(done);
        self.asm.release(now);
    }

    fn keyring(&mut self, name: &str) {
        let name = self.string(name);
        // ENOSYS: a kernel, or a filter of our own caller, without keyrings.
        self.asm
            .tolerating(&[Errno::ENOSYS])
            .call(libc::SYS_keyctl, &[KEYCTL_JOIN_SESSION_KEYRING.into(), name]);
    }

    fn affinity(&mut self, mask: &[u8], asked: bool) {
        let (length, mask) = (mask.len(), self.asm.bytes(mask));
        if !asked {
            self.asm.tolerating_all();
        }
        self.asm.call(libc::SYS_sched_setaffinity, &[0.into(), length.into(), mask]);
    }

    fn memory_policy(&mut self, mode: u32, nodes: &[u8], max_node: u64) {
        let mask = if nodes.is_empty() { 0.into() } else { self.asm.bytes(nodes) };
        self.asm.call(libc::SYS_set_mempolicy, &[mode.into(), mask, max_node.into()]);
    }

    fn working_directory(&mut self, path: &str) {
        let (root, path) = (self.root(), self.string(path));
        let dir = self.asm.make_path(root, path, last::DIRECTORY, 0o755);
        self.asm.call(libc::SYS_fchdir, &[dir.into()]);
        self.asm.close(dir);
    }

    fn seccomp(&mut self, filter: &[u8], flags: u64, listener: Option<Sender>) {
        let program = self.filter(filter);
        let set = libc::SECCOMP_SET_MODE_FILTER;
        match listener {
            None => self.asm.call(libc::SYS_seccomp, &[set.into(), flags.into(), program]),
            Some(Sender::Itself | Sender::Successor) => {
                self.listener =
                    Some(self.asm.call_to(libc::SYS_seccomp, &[set.into(), flags.into(), program]));
                if listener == Some(Sender::Itself) {
                    self.send_listener();
                }
            }
            Some(Sender::Aside) => {
                let socket = self.listening();
                let (header, place) = self.message(&[Turn::Listener.code()]);
                self.asm.listener(flags, program, place, socket, header);
            }
        }
    }

    /// Where the listener goes: to the caller of `start`, if the process has waited for one.
    fn listening(&self) -> Reg {
        self.caller.unwrap_or_else(Self::control_socket)
    }

    /// It is closed by execve(2), as the process has no more calls to spare.
    fn send_listener(&mut self) {
        let listener = self.listener.take().unwrap_or_else(|| self.asm.refuse());
        let socket = self.listening();
        self.send(socket, listener, &[Turn::Listener.code()], false);
        self.asm.release(listener);
    }

    /// `struct sock_fprog`.
    fn filter(&mut self, filter: &[u8]) -> Arg {
        let instructions = self.asm.bytes(filter);
        let mut program = [0u8; 16];
        program[..2].copy_from_slice(&((filter.len() / 8) as u16).to_ne_bytes());
        self.asm.structure(&program, &[(8, instructions)])
    }

    /// Loads a filter without a listener.
    pub(super) fn load_filter(&mut self, filter: &[u8], flags: u64) {
        let program = self.filter(filter);
        let set = libc::SECCOMP_SET_MODE_FILTER;
        self.asm.call(libc::SYS_seccomp, &[set.into(), flags.into(), program]);
    }

    pub(super) fn prctl(&mut self, option: i32, argument: impl Into<Arg>) {
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
            let (directory, path) = self.in_proc(file);
            let flags = libc::O_WRONLY | libc::O_CLOEXEC;
            if i + 1 < files.len() {
                self.asm.tolerating(&[Errno::ENOENT]);
            }
            self.asm.call_into(fd, libc::SYS_openat, &[directory, path, flags.into()]);
            self.asm.jump_if(compare::GREATER_EQUAL, fd, 0, open);
        }
        self.asm.place(open);
        self.must_be_procfs(fd);
        self.label = Some(fd);
    }

    fn write_label(&mut self, text: &str) {
        if let Some(label) = self.label.take() {
            self.write(label, text);
            self.asm.close(label);
        }
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

    /// An id that is left as it is, is -1 to the kernel.
    fn identity(&mut self, uid: Option<u32>, gid: Option<u32>, groups: &Groups) {
        let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
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
    pub(super) fn capabilities(&mut self, sets: &CapabilitySets, extra: u64, ambient: u64) {
        self.capset(sets, extra);
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

    fn capset(&mut self, sets: &CapabilitySets, extra: u64) {
        let kept = CapabilitySets {
            effective: sets.effective.or(CapSet(extra)),
            permitted: sets.permitted.or(CapSet(extra)),
            ..*sets
        };
        let header: Vec<u8> = [CAPABILITY_VERSION_3, 0].iter().flat_map(|w: &u32| w.to_ne_bytes()).collect();
        let data: Vec<u8> = kept.capset_words().iter().flat_map(|w| w.to_ne_bytes()).collect();
        let (header, data) = (self.asm.bytes(&header), self.asm.bytes(&data));
        self.asm.call(libc::SYS_capset, &[header, data]);
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
}
