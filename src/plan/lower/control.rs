//! The stub's own course: what it shows of itself, when it waits, and how it becomes the program.

use super::super::machine::{compare, state};
use super::super::step::{ControlStep, Turn};
use super::{CWD, Lower};
use crate::plan::assemble::Arg;
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
            ControlStep::AwaitHost(turn) => self.await_host(*turn),
            ControlStep::Created => {
                self.asm.state(state::CREATED);
                // Until the host side has recorded this process, it does not outlive the host side.
                self.await_host(Turn::Created);
                self.asm.call(libc::SYS_close, &[Self::control_socket().into()]);
            }
            ControlStep::AwaitStart { slot } => self.await_start(*slot),
            ControlStep::CloseDescriptors { preserve } => {
                let first = 3 + preserve;
                let flags = libc::CLOSE_RANGE_CLOEXEC;
                self.asm.call(libc::SYS_close_range, &[first.into(), u32::MAX.into(), flags.into()]);
            }
            ControlStep::KeepDescriptors { slots } => {
                for slot in slots {
                    let set = libc::F_SETFD;
                    self.asm.call(libc::SYS_fcntl, &[Self::slot(*slot).into(), set.into(), 0.into()]);
                }
            }
            ControlStep::StayAsInit { foreground } => self.stay_as_init(*foreground),
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
        self.asm.call(libc::SYS_write, &[control.into(), byte, 1.into()]);
        let got = self.asm.call_to(libc::SYS_read, &[control.into(), byte, 1.into()]);
        let alive = self.asm.label();
        self.asm.jump_if(compare::EQUAL, got, 1, alive);
        // The host side is gone: nobody will ever start this.
        self.asm.call(libc::SYS_exit_group, &[1.into()]);
        self.asm.place(alive);
        self.asm.release(got);
    }

    /// A sibling (`CLONE_PARENT`: the caller's child) in the joined pid namespace goes on.
    fn hand_over(&mut self, namespaces: u64) {
        self.asm.hand_over(namespaces | libc::CLONE_PARENT as u64 | libc::SIGCHLD as u64);
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
