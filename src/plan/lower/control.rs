//! Control steps: when the stub waits, which of its processes continues, and how it becomes the program.

use super::super::assemble::Arg;
use super::super::machine::{compare, state};
use super::super::step::{ControlStep, HostTurn, SlotId};
use super::lowering::{CWD, Lowering};
use super::{message, process};
use crate::namespace::NamespaceKind;
use crate::process::capability::CapabilitySets;
use nix::errno::Errno;

pub(super) fn control(code: &mut Lowering, step: &ControlStep) {
    match step {
        ControlStep::Undumpable => {
            code.asm.call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 0.into()]);
        }
        ControlStep::Dumpable => {
            code.asm.call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 1.into()]);
        }
        ControlStep::HandOver { namespaces } => hand_over(code, *namespaces),
        ControlStep::ReceiveMounts { batch } => receive_mounts(code, *batch),
        ControlStep::AwaitHost(turn) => await_host(code, *turn),
        ControlStep::Created => {
            code.asm.state(state::CREATED);
            // If the host side exits before it has recorded this process, the process exits too.
            await_host(code, HostTurn::Created);
            code.asm.call(libc::SYS_close, &[Lowering::control_socket().into()]);
        }
        ControlStep::AwaitStart { slot } => await_start(code, *slot),
        ControlStep::CloseDescriptors { preserve } => {
            let first = preserve.saturating_add(3);
            let flags = libc::CLOSE_RANGE_CLOEXEC;
            if code.births > 0 {
                close_memory(code);
            }
            code.asm.call(libc::SYS_close_range, &[first.into(), u32::MAX.into(), flags.into()]);
        }
        ControlStep::KeepDescriptors { slots } => {
            for slot in slots {
                let set = libc::F_SETFD;
                let kept = code.slot(*slot);
                code.asm.call(libc::SYS_fcntl, &[kept.into(), set.into(), 0.into()]);
            }
        }
        ControlStep::StayAsInit { foreground, sets, filter } => {
            stay_as_init(code, *foreground, sets.as_ref(), filter.as_ref());
        }
        ControlStep::FindProgram { candidates, .. } => find_program(code, candidates),
        ControlStep::Execute { args, env } => execute(code, args, env),
        ControlStep::NoProgram => code.asm.fail(Errno::EINVAL),
        ControlStep::Done => code.asm.state(state::CREATED),
        ControlStep::Finish => {
            code.asm.state(state::CREATED);
            code.asm.call(libc::SYS_exit_group, &[0.into()]);
        }
    }
}

/// Sends the turn's byte to the host side, and waits for a byte.
fn await_host(code: &mut Lowering, turn: HostTurn) {
    let byte = code.asm.bytes(&[turn.code()]);
    let control = Lowering::control_socket();
    match code.host {
        // The hooks are programs of the host, whose root only this process still has.
        Some(host) if turn == HostTurn::ContainerHooks => {
            message::send(code, control, host, &[turn.code()], false);
        }
        _ => code.asm.call(libc::SYS_write, &[control.into(), byte, 1.into()]),
    }
    message::await_byte(code);
}

/// Requests a batch of mounts, and receives it with the host side's byte.
fn receive_mounts(code: &mut Lowering, batch: usize) {
    let slots = code.batches.get_mut(batch).map(std::mem::take).unwrap_or_default();
    let byte = code.asm.bytes(&[HostTurn::Mounts.code()]);
    let socket = Lowering::control_socket();
    code.asm.call(libc::SYS_write, &[socket.into(), byte, 1.into()]);
    // struct cmsghdr and the descriptors; struct iovec; struct msghdr with one of each.
    let length = 16 + 4 * slots.len() as u64;
    let control = code.asm.scratch(length.next_multiple_of(8) as usize);
    let mut iov = [0u8; 16];
    iov[8..].copy_from_slice(&1u64.to_ne_bytes());
    let iov = code.asm.structure(&iov, &[(0, byte)]);
    let mut header = [0u8; 56];
    header[24..32].copy_from_slice(&1u64.to_ne_bytes());
    header[40..48].copy_from_slice(&length.next_multiple_of(8).to_ne_bytes());
    let header = code.asm.structure(&header, &[(16, iov), (32, control)]);
    let flags = libc::MSG_CMSG_CLOEXEC;
    let got = code.asm.call_to(libc::SYS_recvmsg, &[socket.into(), header, flags.into()]);
    let alive = code.asm.label();
    code.asm.jump_if(compare::EQUAL, got, 1, alive);
    // The host side has exited.
    code.asm.call(libc::SYS_exit_group, &[1.into()]);
    code.asm.place(alive);
    code.asm.release(got);
    let (received, all) = (code.asm.load(8, control, u64::MAX), code.asm.label());
    code.asm.jump_if(compare::EQUAL, received, length, all);
    // The kernel drops descriptors beyond the limit of the process.
    code.asm.fail(Errno::EMFILE);
    code.asm.place(all);
    code.asm.release(received);
    for (place, slot) in (16..).step_by(4).zip(slots) {
        let register = code.asm.load(4, control.plus(place), u64::MAX);
        if let Some(known) = code.slots.get_mut(slot.index()) {
            *known = Some(register);
        }
    }
}

/// Continues in a sibling (`CLONE_PARENT`: the caller's child), which is in the pid namespace for children. Other processes
/// there may see it, so what it does not need is closed. It shares the memory of this process only in a new pid namespace:
/// otherwise a process that can write to its memory could write to that of this process, which is in the host's pid
/// namespace until it has exited.
fn hand_over(code: &mut Lowering, namespaces: u64) {
    code.births = code.births.saturating_sub(1);
    close_memory(code);
    let alone = namespaces & NamespaceKind::Pid.flag() != 0;
    let memory = if alone { libc::CLONE_VM as u64 } else { 0 };
    code.asm.hand_over(namespaces | memory | (libc::CLONE_PARENT | libc::SIGCHLD) as u64);
}

/// Closes the plan's file, unless the process waits for `start`, to which it sends the file. The plan stays mapped.
fn close_memory(code: &mut Lowering) {
    if !code.waits && !code.memory_closed {
        code.memory_closed = true;
        code.asm.call(libc::SYS_close, &[Lowering::memory().into()]);
    }
}

fn execute(code: &mut Lowering, args: &[String], env: &[String]) {
    let mut strings = |list: &[String]| -> Vec<Arg> { list.iter().map(|s| code.asm.string(s)).collect() };
    let (args, env) = (strings(args), strings(env));
    let (argv, envp) = (code.asm.pointers(&args), code.asm.pointers(&env));
    let program = code.program.map_or_else(|| 0.into(), Arg::from);
    code.asm.state(state::EXECUTING);
    code.asm.call(libc::SYS_execve, &[program, argv, envp]);
}

/// Finds the first candidate that the user may execute. If there is none, the step fails with EACCES if one of them
/// is not executable, and with ENOENT otherwise.
fn find_program(code: &mut Lowering, candidates: &[String]) {
    let program = code.asm.register();
    let seen = code.asm.register();
    let found = code.asm.label();
    code.asm.set(seen, Errno::ENOENT as i32);
    let stat = code.asm.scratch(size_of::<libc::stat>());
    for candidate in candidates {
        let (denied, next) = (code.asm.label(), code.asm.label());
        let path = code.string(candidate);
        let args = [CWD.into(), path, libc::X_OK.into(), libc::AT_EACCESS.into()];
        code.asm.tolerating_all();
        let access = code.asm.call_to(libc::SYS_faccessat2, &args);
        code.asm.jump_if(compare::EQUAL, access, -(Errno::EACCES as i32), denied);
        code.asm.jump_if_failed(access, next);
        code.asm.tolerating_all().call(libc::SYS_newfstatat, &[CWD.into(), path, stat, 0.into()]);
        let at = std::mem::offset_of!(libc::stat, st_mode) as u64;
        let kind = code.asm.load(4, stat.plus(at), u64::from(libc::S_IFMT));
        code.asm.jump_if(compare::EQUAL, kind, u64::from(libc::S_IFDIR), denied);
        code.asm.set(program, path);
        code.asm.jump(found);
        code.asm.place(denied);
        code.asm.set(seen, Errno::EACCES as i32);
        code.asm.place(next);
        code.asm.release(access);
        code.asm.release(kind);
    }
    code.asm.fail(seen);
    code.asm.place(found);
    code.asm.release(seen);
    code.program = Some(program);
}

/// Waits until `start` connects, and sends it the memory with the control page. execve(2) closes the connection, so `start`
/// sees that the program was executed.
fn await_start(code: &mut Lowering, slot: SlotId) {
    let listener = code.slot(slot);
    let (again, called) = (code.asm.label(), code.asm.label());
    code.asm.place(again);
    let flags = libc::SOCK_CLOEXEC;
    let caller = code.asm.call_to(libc::SYS_accept4, &[listener.into(), 0.into(), 0.into(), flags.into()]);
    // A `start` that has exited meanwhile has started nothing: wait for the next one.
    if let Some(sent) = message::send(code, caller, Lowering::memory(), b"s", true) {
        code.asm.jump_if(compare::GREATER_EQUAL, sent, 0, called);
        code.asm.release(sent);
    }
    code.asm.call(libc::SYS_close, &[caller.into()]);
    code.asm.jump(again);
    code.asm.place(called);
    code.asm.call(libc::SYS_close, &[listener.into()]);
    // `caller` stays open until execve(2) or the exit.
    code.caller = Some(caller);
}

/// Clones the program as a child of this process, in a process group of its own. The child waits for a byte from a pipe
/// until this process has dropped the rights that the program does not have.
fn stay_as_init(
    code: &mut Lowering,
    foreground: bool,
    sets: Option<&CapabilitySets>,
    filter: Option<&(Vec<u8>, u64)>,
) {
    let zero = 0u64;
    let flags = libc::SIGCHLD;
    // While it waited for `start` it could be ended by signals. The init forwards them, and the kernel drops the SIGCHLD of a process
    // that does not block it.
    process::block_signals(code);
    let (pipe, byte) = (code.asm.scratch(8), code.asm.bytes(b"g"));
    code.asm.call(libc::SYS_pipe2, &[pipe, libc::O_CLOEXEC.into()]);
    let (theirs, ours) = (code.asm.load(4, pipe, u64::MAX), code.asm.load(4, pipe.plus(4), u64::MAX));
    process::prctl(code, libc::PR_SET_DUMPABLE, 0);
    let child = code
        .asm
        .call_to(libc::SYS_clone, &[flags.into(), zero.into(), zero.into(), zero.into(), zero.into()]);
    let program = code.asm.label();
    code.asm.jump_if(compare::EQUAL, child, 0, program);
    // The init executes nothing, so this does not restrict it; and it can then load a filter without a capability.
    process::prctl(code, libc::PR_SET_NO_NEW_PRIVS, 1);
    if let Some(sets) = sets {
        process::capabilities(code, sets, 0, sets.ambient.0);
    }
    code.asm.call(libc::SYS_write, &[ours.into(), byte, 1.into()]);
    code.asm.call(libc::SYS_close_range, &[3.into(), u32::MAX.into(), 0.into()]);
    // The filter comes last: it may not allow these calls.
    if let Some((filter, flags)) = filter {
        process::load_filter(code, filter, *flags);
    }
    code.asm.init(child);
    code.asm.place(program);
    code.asm.close(ours);
    let (got, go) = (code.asm.call_to(libc::SYS_read, &[theirs.into(), byte, 1.into()]), code.asm.label());
    code.asm.jump_if(compare::EQUAL, got, 1, go);
    // The init has exited.
    code.asm.call(libc::SYS_exit_group, &[1.into()]);
    code.asm.place(go);
    code.asm.close(theirs);
    code.asm.release(got);
    code.asm.call(libc::SYS_setpgid, &[0.into(), 0.into()]);
    if foreground {
        let pid = code.asm.call_to(libc::SYS_getpid, &[]);
        let place = code.asm.scratch(8);
        code.asm.store(4, place, pid);
        let request = libc::TIOCSPGRP as u32;
        code.asm.tolerating_all().call(libc::SYS_ioctl, &[0.into(), request.into(), place]);
        code.asm.release(pid);
    }
    code.asm.release(child);
}
