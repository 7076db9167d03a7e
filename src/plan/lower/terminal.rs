//! The terminal: a pty of the container's own devpts (of the host's, if it has none), its master sent over the console socket.

use super::super::assemble::{Arg, Reg};
use super::super::machine::{compare, last};
use super::super::step::{SlotId, TerminalPlace};
use super::lowering::Lowering;
use super::tree::{CLONE, EMPTY};
use super::{message, tree};
use nix::errno::Errno;

/// `TIOCGPTPEER`: opens the slave without a path, so that nothing in the image can stand for it.
const TIOCGPTPEER: u32 = 0x5441;

pub(super) fn terminal(
    code: &mut Lowering,
    slot: SlotId,
    size: Option<(u16, u16)>,
    uid: u32,
    place: TerminalPlace,
    relayed: bool,
) {
    let master = match place {
        TerminalPlace::Console | TerminalPlace::Container => {
            code.open_in_root("/dev/pts/ptmx", libc::O_RDWR | libc::O_NOCTTY, 0)
        }
        TerminalPlace::Host => {
            let (directory, path) = (code.at_host(), code.text(c"/dev/ptmx"));
            let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
            code.asm.call_to(libc::SYS_openat, &[directory, path, flags.into()])
        }
    };
    code.must_be_device(master, libc::S_IFCHR, libc::makedev(5, 2), Errno::ENODEV);
    let unlocked = code.asm.scratch(8);
    ioctl(code, master, libc::TIOCSPTLCK as u32, unlocked);
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let slave = code.asm.call_to(libc::SYS_ioctl, &[master.into(), TIOCGPTPEER.into(), flags.into()]);
    if let Some((height, width)) = size {
        let mut winsize = [0u8; 8];
        winsize[..2].copy_from_slice(&height.to_ne_bytes());
        winsize[2..4].copy_from_slice(&width.to_ne_bytes());
        let winsize = code.asm.bytes(&winsize);
        ioctl(code, master, libc::TIOCSWINSZ as u32, winsize);
    }
    if relayed {
        clear_onlcr(code, slave);
    }
    if uid != 0 {
        code.asm.call(libc::SYS_fchown, &[slave.into(), uid.into(), u32::MAX.into()]);
    }
    if place == TerminalPlace::Console {
        set_console(code, slave);
    }
    let socket = code.slot(slot);
    message::send(code, socket, master, b"/dev/ptmx", false);
    code.asm.close(socket);
    code.asm.close(master);
    for target in 0..3 {
        code.asm.call(libc::SYS_dup3, &[slave.into(), target.into(), 0.into()]);
    }
    code.asm.close(slave);
}

/// Makes the terminal at standard input the controlling terminal of the session.
pub(super) fn controlling_terminal(code: &mut Lowering) {
    code.asm.call(libc::SYS_ioctl, &[0.into(), (libc::TIOCSCTTY as u32).into(), 0.into()]);
}

/// Clears ONLCR: the output is relayed to a terminal that adds carriage returns itself, or to a file that needs none.
fn clear_onlcr(code: &mut Lowering, slave: Reg) {
    const C_OFLAG: u64 = 4; // after c_iflag in the kernel's struct termios
    let modes = code.asm.scratch(64);
    ioctl(code, slave, libc::TCGETS as u32, modes);
    let output = code.asm.load(4, modes.plus(C_OFLAG), !u64::from(libc::ONLCR));
    code.asm.store(4, modes.plus(C_OFLAG), output);
    code.asm.release(output);
    ioctl(code, slave, libc::TCSETS as u32, modes);
}

fn ioctl(code: &mut Lowering, fd: Reg, request: u32, argument: Arg) {
    code.asm.call(libc::SYS_ioctl, &[fd.into(), request.into(), argument]);
}

/// Binds the slave to /dev/console, which must not be a symbolic link.
fn set_console(code: &mut Lowering, slave: Reg) {
    let (root, text) = (code.root(), code.text(c"/dev"));
    let dev = code.asm.make_path(root, text, last::DIRECTORY, 0o755);
    let name = code.text(c"console");
    let create = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    code.asm.tolerating(&[Errno::EEXIST]);
    let file = code.asm.call_to(libc::SYS_openat, &[dev.into(), name, create.into(), 0o600.into()]);
    let there = code.asm.label();
    code.asm.jump_if_failed(file, there);
    code.asm.call(libc::SYS_close, &[file.into()]);
    code.asm.place(there);
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    code.asm.call_into(file, libc::SYS_openat, &[dev.into(), name, flags.into()]);
    let kind = code.file_type(file);
    let good = code.asm.label();
    code.asm.jump_if(compare::NOT_EQUAL, kind, u64::from(libc::S_IFLNK), good);
    code.asm.fail(Errno::ELOOP);
    code.asm.place(good);
    let empty = code.empty();
    let copy = tree::clone_tree(code, slave.into(), empty, CLONE | EMPTY, None);
    tree::attach(code, copy, file);
    for register in [copy, file, dev] {
        code.asm.close(register);
    }
    code.asm.release(kind);
}
