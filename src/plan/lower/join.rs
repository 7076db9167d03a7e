//! Cgroups, namespaces and what belongs to them: host name, loopback, kernel parameters.

use super::super::machine::compare;
use super::super::step::{Step, Turn};
use super::Lower;
use nix::errno::Errno;

impl Lower {
    pub(super) fn join(&mut self, step: &Step) {
        match step {
            Step::Undumpable => {
                self.asm.call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 0.into()]);
            }
            Step::Dumpable => {
                self.asm.call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 1.into()]);
            }
            Step::JoinCgroup { slots } => {
                let zero = self.text(c"0");
                for slot in slots {
                    // One that is not there was joined at birth, or could be left out.
                    self.asm.tolerating(&[Errno::EBADF]);
                    self.asm.call(libc::SYS_write, &[Self::slot(*slot).into(), zero, 1.into()]);
                    self.asm.tolerating(&[Errno::EBADF]);
                    self.asm.call(libc::SYS_close, &[Self::slot(*slot).into()]);
                }
            }
            Step::JoinResctrl { slots } => {
                let zero = self.text(c"0");
                for slot in slots {
                    self.asm.call(libc::SYS_write, &[Self::slot(*slot).into(), zero, 1.into()]);
                    self.asm.call(libc::SYS_close, &[Self::slot(*slot).into()]);
                }
            }
            Step::JoinNamespace { slot, flags, .. } => {
                self.asm.call(libc::SYS_setns, &[Self::slot(*slot).into(), (*flags).into()]);
            }
            Step::HandOver { namespaces } => self.hand_over(*namespaces),
            Step::Unshare { namespaces } => {
                self.asm.call(libc::SYS_unshare, &[(*namespaces).into()]);
            }
            Step::AwaitHost(turn) => self.await_host(*turn),
            Step::BecomeRoot => {
                self.asm.call(libc::SYS_setresgid, &[0.into(), 0.into(), 0.into()]);
                self.asm.call(libc::SYS_setresuid, &[0.into(), 0.into(), 0.into()]);
            }
            // EPERM: it leads its group already.
            Step::NewSession => self.asm.tolerating(&[Errno::EPERM]).call(libc::SYS_setsid, &[]),
            Step::TimeNamespace { offsets } => {
                self.asm.call(libc::SYS_unshare, &[libc::CLONE_NEWTIME.into()]);
                if !offsets.is_empty() {
                    self.write_file("/proc/self/timens_offsets", offsets);
                }
            }
            Step::Loopback => self.loopback(),
            Step::HostName(name) => {
                let text = self.string(name);
                self.asm.call(libc::SYS_sethostname, &[text, name.len().into()]);
            }
            Step::DomainName(name) => {
                let text = self.string(name);
                self.asm.call(libc::SYS_setdomainname, &[text, name.len().into()]);
            }
            Step::OomScoreAdj(value) => self.write_file("/proc/self/oom_score_adj", &value.to_string()),
            Step::Sysctl { path, value } => self.write_file(path, value),
            _ => {}
        }
    }

    /// The turn's byte to the host side, and one back.
    pub(super) fn await_host(&mut self, turn: Turn) {
        let byte = self.asm.bytes(&[turn.code()]);
        let control = Self::control();
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

    fn loopback(&mut self) {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        let socket = self.asm.call_to(libc::SYS_socket, &[libc::AF_INET.into(), kind.into(), 0.into()]);
        // struct ifreq: the name, then the flags.
        let mut request = [0u8; 40];
        request[..2].copy_from_slice(b"lo");
        request[16..18].copy_from_slice(&((libc::IFF_UP | libc::IFF_RUNNING) as u16).to_ne_bytes());
        let request = self.asm.bytes(&request);
        self.asm.call(libc::SYS_ioctl, &[socket.into(), libc::SIOCSIFFLAGS.into(), request]);
        self.asm.close(socket);
    }
}
