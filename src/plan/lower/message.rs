//! Descriptors that are sent over a socket.

use super::super::assemble::{Arg, Reg};
use super::super::machine::compare;
use super::lowering::Lowering;
use nix::errno::Errno;

/// Sends one descriptor and a few bytes over a socket. If `dead_peer`, a peer that is gone is not a failure, and the register
/// of the result is returned.
pub(super) fn send(code: &mut Lowering, socket: Reg, fd: Reg, text: &[u8], dead_peer: bool) -> Option<Reg> {
    let (header, place) = message(code, text);
    code.asm.store(4, place, fd);
    let args = [socket.into(), header, libc::MSG_NOSIGNAL.into()];
    if !dead_peer {
        code.asm.call(libc::SYS_sendmsg, &args);
        return None;
    }
    code.asm.tolerating(&[Errno::EPIPE, Errno::ECONNRESET]);
    Some(code.asm.call_to(libc::SYS_sendmsg, &args))
}

/// Waits for the host side's byte. If the host side has exited, the process exits too: nothing will start it.
pub(super) fn await_byte(code: &mut Lowering) {
    let byte = code.asm.scratch(8);
    let got = code.asm.call_to(libc::SYS_read, &[Lowering::control_socket().into(), byte, 1.into()]);
    let alive = code.asm.label();
    code.asm.jump_if(compare::EQUAL, got, 1, alive);
    code.asm.call(libc::SYS_exit_group, &[1.into()]);
    code.asm.place(alive);
    code.asm.release(got);
}

/// A message of a few bytes with one descriptor, and the address where the descriptor is to be stored.
pub(super) fn message(code: &mut Lowering, text: &[u8]) -> (Arg, Arg) {
    let data = code.asm.bytes(text);
    let mut iov = [0u8; 16];
    iov[8..].copy_from_slice(&(text.len() as u64).to_ne_bytes());
    let iov = code.asm.structure(&iov, &[(0, data)]);
    let mut control = [0u8; 24];
    control[..8].copy_from_slice(&20u64.to_ne_bytes());
    control[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    let control = code.asm.bytes(&control);
    // struct msghdr: one iovec, one control message.
    let mut header = [0u8; 56];
    header[24..32].copy_from_slice(&1u64.to_ne_bytes());
    header[40..48].copy_from_slice(&24u64.to_ne_bytes());
    let header = code.asm.structure(&header, &[(16, iov), (32, control)]);
    (header, control.plus(16))
}
