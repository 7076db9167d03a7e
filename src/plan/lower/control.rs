//! The stub's own course: what it shows of itself, when it waits, and how it becomes the program.

use super::super::machine::{compare, state};
use super::super::step::{ControlStep, SlotId, Turn};
use super::{CWD, Lower};
use crate::namespace::NamespaceKind;
use crate::plan::assemble::Arg;
use crate::process::capability::CapabilitySets;
use nix::errno::Errno;

impl Lower {
    pub(super) fn control(&mut self, step: &ControlStep) {
        match step {
            ControlStep::Undumpable => {
                self.asm.call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 0.into()]);
            }
            ControlStep::Dumpable => {
                self.asm.call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 1.into()]);
            }
            ControlStep::HandOver { namespaces } => self.hand_over(*namespaces),
            ControlStep::ReceiveMounts { batch } => self.receive_mounts(*batch),
            ControlStep::AwaitHost(turn) => self.await_host(*turn),
            ControlStep::Created => {
                self.asm.state(state::CREATED);
                // Until the host side has recorded this process, it does not outlive the host side.
                self.await_host(Turn::Created);
                self.asm.call(libc::SYS_close, &[Self::control_socket().into()]);
            }
            ControlStep::AwaitStart { slot } => self.await_start(*slot),
            ControlStep::CloseDescriptors { preserve } => {
                let first = preserve.saturating_add(3);
                let flags = libc::CLOSE_RANGE_CLOEXEC;
                if self.births > 0 {
                    self.close_memory();
                }
                self.asm.call(libc::SYS_close_range, &[first.into(), u32::MAX.into(), flags.into()]);
            }
            ControlStep::KeepDescriptors { slots } => {
                for slot in slots {
                    let set = libc::F_SETFD;
                    let kept = self.slot(*slot);
                    self.asm.call(libc::SYS_fcntl, &[kept.into(), set.into(), 0.into()]);
                }
            }
            ControlStep::StayAsInit { foreground, sets, filter } => {
                self.stay_as_init(*foreground, sets.as_ref(), filter.as_ref());
            }
            ControlStep::FindProgram { candidates, .. } => self.find_program(candidates),
            ControlStep::Execute { args, env } => self.execute(args, env),
            ControlStep::NoProgram => self.asm.fail(Errno::EINVAL, 0),
            ControlStep::Done => self.asm.state(state::CREATED),
            ControlStep::Finish => {
                self.asm.state(state::CREATED);
                self.asm.call(libc::SYS_exit_group, &[0.into()]);
            }
        }
    }

    /// The turn's byte to the host side, and one back.
    fn await_host(&mut self, turn: Turn) {
        let byte = self.asm.bytes(&[turn.code()]);
        let control = Self::control_socket();
        match self.host {
            // The hooks' programs are the host's, which only this process can still find.
            Some(host) if turn == Turn::ContainerHooks => {
                self.send(control, host, &[turn.code()], false);
            }
            _ => self.asm.call(libc::SYS_write, &[control.into(), byte, 1.into()]),
        }
        let got = self.asm.call_to(libc::SYS_read, &[control.into(), byte, 1.into()]);
        let alive = self.asm.label();
        self.asm.jump_if(compare::EQUAL, got, 1, alive);
        // The host side is gone, and nothing will start this any more.
        self.asm.call(libc::SYS_exit_group, &[1.into()]);
        self.asm.place(alive);
        self.asm.release(got);
    }

    /// Asks for a batch of mounts, which come with the host side's answer.
    fn receive_mounts(&mut self, batch: usize) {
        let slots = self.batches.get_mut(batch).map(std::mem::take).unwrap_or_default();
        let byte = self.asm.bytes(&[Turn::Mounts.code()]);
        let socket = Self::control_socket();
        self.asm.call(libc::SYS_write, &[socket.into(), byte, 1.into()]);
        // struct cmsghdr and the descriptors; struct iovec; struct msghdr with one of each.
        let length = 16 + 4 * slots.len() as u64;
        let control = self.asm.scratch(length.next_multiple_of(8) as usize);
        let mut iov = [0u8; 16];
        iov[8..].copy_from_slice(&1u64.to_ne_bytes());
        let iov = self.asm.structure(&iov, &[(0, byte)]);
        let mut header = [0u8; 56];
        header[24..32].copy_from_slice(&1u64.to_ne_bytes());
        header[40..48].copy_from_slice(&length.next_multiple_of(8).to_ne_bytes());
        let header = self.asm.structure(&header, &[(16, iov), (32, control)]);
        let flags = libc::MSG_CMSG_CLOEXEC;
        let got = self.asm.call_to(libc::SYS_recvmsg, &[socket.into(), header, flags.into()]);
        let alive = self.asm.label();
        self.asm.jump_if(compare::EQUAL, got, 1, alive);
        // The host side is gone.
        self.asm.call(libc::SYS_exit_group, &[1.into()]);
        self.asm.place(alive);
        self.asm.release(got);
        let (came, all) = (self.asm.load(8, control, u64::MAX), self.asm.label());
        self.asm.jump_if(compare::EQUAL, came, length, all);
        // The kernel drops those for which there is no number left.
        self.asm.fail(Errno::EMFILE, 0);
        self.asm.place(all);
        self.asm.release(came);
        for (place, slot) in (16..).step_by(4).zip(slots) {
            let register = self.asm.load(4, control.plus(place), u64::MAX);
            if let Some(known) = self.slots.get_mut(slot.index()) {
                *known = Some(register);
            }
        }
    }

    /// A sibling (`CLONE_PARENT`: the caller's child) goes on, in the pid namespace for children. It may be seen
    /// there: what it does not need is closed. It takes over this process's memory only if no other is there:
    /// a process that may write to the memory of the one would write to that of the other, which is in the host's pid
    /// namespace until it has ended.
    fn hand_over(&mut self, namespaces: u64) {
        self.births = self.births.saturating_sub(1);
        self.close_memory();
        let alone = namespaces & NamespaceKind::Pid.flag() != 0;
        let memory = if alone { libc::CLONE_VM as u64 } else { 0 };
        self.asm.hand_over(namespaces | memory | (libc::CLONE_PARENT | libc::SIGCHLD) as u64);
    }

    /// The plan stays mapped. Its file is needed once more by a process that waits for `start`.
    fn close_memory(&mut self) {
        if !self.waits && !self.memory_closed {
            self.memory_closed = true;
            self.asm.call(libc::SYS_close, &[Self::memory().into()]);
        }
    }

    fn execute(&mut self, args: &[String], env: &[String]) {
        let mut strings = |list: &[String]| -> Vec<Arg> { list.iter().map(|s| self.asm.string(s)).collect() };
        let (args, env) = (strings(args), strings(env));
        let (argv, envp) = (self.asm.pointers(&args), self.asm.pointers(&env));
        let program = self.program.map_or_else(|| 0.into(), Arg::from);
        self.asm.state(state::EXECUTING);
        self.asm.call(libc::SYS_execve, &[program, argv, envp]);
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
    fn await_start(&mut self, slot: SlotId) {
        let listener = self.slot(slot);
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

    /// The program becomes a child of this process, in a process group of its own. It begins when this process has
    /// given up what the program may not have: until then it waits for a byte in a pipe.
    fn stay_as_init(
        &mut self,
        foreground: bool,
        sets: Option<&CapabilitySets>,
        filter: Option<&(Vec<u8>, u64)>,
    ) {
        let zero = 0u64;
        let flags = libc::SIGCHLD;
        let (pipe, byte) = (self.asm.scratch(8), self.asm.bytes(b"g"));
        self.asm.call(libc::SYS_pipe2, &[pipe, libc::O_CLOEXEC.into()]);
        let (theirs, ours) = (self.asm.load(4, pipe, u64::MAX), self.asm.load(4, pipe.plus(4), u64::MAX));
        self.prctl(libc::PR_SET_DUMPABLE, 0);
        let child = self
            .asm
            .call_to(libc::SYS_clone, &[flags.into(), zero.into(), zero.into(), zero.into(), zero.into()]);
        let program = self.asm.label();
        self.asm.jump_if(compare::EQUAL, child, 0, program);
        // It executes nothing, so this is no restriction; and under it a filter takes no capability.
        self.prctl(libc::PR_SET_NO_NEW_PRIVS, 1);
        if let Some(sets) = sets {
            self.capabilities(sets, 0, sets.ambient.0);
        }
        self.asm.call(libc::SYS_write, &[ours.into(), byte, 1.into()]);
        self.asm.call(libc::SYS_close_range, &[3.into(), u32::MAX.into(), 0.into()]);
        // The filter comes last, as it may allow nothing of this.
        if let Some((filter, flags)) = filter {
            self.load_filter(filter, *flags);
        }
        self.asm.init(child);
        self.asm.place(program);
        self.asm.close(ours);
        let (got, go) =
            (self.asm.call_to(libc::SYS_read, &[theirs.into(), byte, 1.into()]), self.asm.label());
        self.asm.jump_if(compare::EQUAL, got, 1, go);
        // There is no init.
        self.asm.call(libc::SYS_exit_group, &[1.into()]);
        self.asm.place(go);
        self.asm.close(theirs);
        self.asm.release(got);
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
