//! The terminal: a pty of the container's own devpts, its master sent to whoever asked.

use super::super::machine::{compare, last};
use super::super::step::SlotId;
use super::Lower;
use super::rootfs::{CLONE, EMPTY};
use crate::plan::assemble::{Arg, Reg};
use nix::errno::Errno;

/// `TIOCGPTPEER`: opens the slave without a path, so that nothing in the image can stand for it.
const TIOCGPTPEER: u32 = 0x5441;

impl Lower {
    pub(super) fn terminal(
        &mut self,
        slot: SlotId,
        size: Option<(u16, u16)>,
        uid: u32,
        console: bool,
        kept: bool,
    ) {
        let master = self.open_in_root("/dev/pts/ptmx", libc::O_RDWR | libc::O_NOCTTY, 0);
        self.must_be_device(master, libc::S_IFCHR, libc::makedev(5, 2), Errno::ENODEV);
        let unlocked = self.asm.scratch(8);
        self.ioctl(master, libc::TIOCSPTLCK as u32, unlocked);
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let slave = self.asm.call_to(libc::SYS_ioctl, &[master.into(), TIOCGPTPEER.into(), flags.into()]);
        if let Some((height, width)) = size {
            let mut winsize = [0u8; 8];
            winsize[..2].copy_from_slice(&height.to_ne_bytes());
            winsize[2..4].copy_from_slice(&width.to_ne_bytes());
            let winsize = self.asm.bytes(&winsize);
            self.ioctl(master, libc::TIOCSWINSZ as u32, winsize);
        }
        if kept {
            self.leave_line_ends(slave);
        }
        if uid != 0 {
            self.asm.call(libc::SYS_fchown, &[slave.into(), uid.into(), u32::MAX.into()]);
        }
        if console {
            self.console(slave);
        }
        let socket = self.slot(slot);
        self.send(socket, master, b"/dev/ptmx", false);
        self.asm.close(socket);
        self.asm.close(master);
        for target in 0..3 {
            self.asm.call(libc::SYS_dup3, &[slave.into(), target.into(), 0.into()]);
        }
        self.asm.close(slave);
    }

    /// The session's leader takes the terminal at its standard input.
    pub(super) fn controlling_terminal(&mut self) {
        self.asm.call(libc::SYS_ioctl, &[0.into(), (libc::TIOCSCTTY as u32).into(), 0.into()]);
    }

    /// Whoever relays the output has a terminal that ends lines, or a file that wants them as they are.
    fn leave_line_ends(&mut self, slave: Reg) {
        const C_OFLAG: u64 = 4; // behind c_iflag in the kernel's struct termios
        let modes = self.asm.scratch(64);
        self.ioctl(slave, libc::TCGETS as u32, modes);
        let output = self.asm.load(4, modes.plus(C_OFLAG), !u64::from(libc::ONLCR));
        self.asm.store(4, modes.plus(C_OFLAG), output);
        self.asm.release(output);
        self.ioctl(slave, libc::TCSETS as u32, modes);
    }

    fn ioctl(&mut self, fd: Reg, request: u32, argument: Arg) {
        self.asm.call(libc::SYS_ioctl, &[fd.into(), request.into(), argument]);
    }

    /// The slave lies on /dev/console, which must be no link.
    fn console(&mut self, slave: Reg) {
        let (root, text) = (self.root(), self.text(c"/dev"));
        let dev = self.asm.make_path(root, text, last::DIRECTORY, 0o755);
        let name = self.text(c"console");
        let create = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        self.asm.tolerating(&[Errno::EEXIST]);
        let file = self.asm.call_to(libc::SYS_openat, &[dev.into(), name, create.into(), 0o600.into()]);
        let there = self.asm.label();
        self.asm.jump_if_failed(file, there);
        self.asm.call(libc::SYS_close, &[file.into()]);
        self.asm.place(there);
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        self.asm.call_into(file, libc::SYS_openat, &[dev.into(), name, flags.into()]);
        let kind = self.file_type(file);
        let good = self.asm.label();
        self.asm.jump_if(compare::NOT_EQUAL, kind, u64::from(libc::S_IFLNK), good);
        self.asm.fail(Errno::ELOOP, 0);
        self.asm.place(good);
        let empty = self.empty();
        let copy = self.clone_tree(slave.into(), empty, CLONE | EMPTY, None);
        self.attach(copy, file);
        for register in [copy, file, dev] {
            self.asm.close(register);
        }
        self.asm.release(kind);
    }

    /// One descriptor and a few bytes over a socket; the answer's register where a dead peer is one.
    pub(super) fn send(&mut self, socket: Reg, fd: Reg, text: &[u8], dead_peer: bool) -> Option<Reg> {
        let (header, place) = self.message(text);
        self.asm.store(4, place, fd);
        let args = [socket.into(), header, libc::MSG_NOSIGNAL.into()];
        if !dead_peer {
            self.asm.call(libc::SYS_sendmsg, &args);
            return None;
        }
        self.asm.tolerating(&[Errno::EPIPE, Errno::ECONNRESET]);
        Some(self.asm.call_to(libc::SYS_sendmsg, &args))
    }

    /// A message of a few bytes with one descriptor, and the place where that is to be stored.
    pub(super) fn message(&mut self, text: &[u8]) -> (Arg, Arg) {
        let data = self.asm.bytes(text);
        let mut iov = [0u8; 16];
        iov[8..].copy_from_slice(&(text.len() as u64).to_ne_bytes());
        let iov = self.asm.structure(&iov, &[(0, data)]);
        let mut control = [0u8; 24];
        control[..8].copy_from_slice(&20u64.to_ne_bytes());
        control[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        control[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
        let control = self.asm.bytes(&control);
        // struct msghdr: one iovec, one control message.
        let mut header = [0u8; 56];
        header[24..32].copy_from_slice(&1u64.to_ne_bytes());
        header[40..48].copy_from_slice(&24u64.to_ne_bytes());
        let header = self.asm.structure(&header, &[(16, iov), (32, control)]);
        (header, control.plus(16))
    }
}
