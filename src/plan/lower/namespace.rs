//! Cgroups, namespaces and what belongs to them: host name, loopback, kernel parameters.

use super::super::step::NamespaceStep;
use super::Lower;
use crate::namespace::NamespaceKind;
use nix::errno::Errno;

impl Lower {
    pub(super) fn namespace(&mut self, step: &NamespaceStep) {
        match step {
            NamespaceStep::JoinCgroup { slots } => {
                let zero = self.text(c"0");
                for slot in slots {
                    // One that is not there was joined at birth, or could be left out.
                    self.asm.tolerating(&[Errno::EBADF]);
                    let file = self.slot(*slot);
                    self.asm.call(libc::SYS_write, &[file.into(), zero, 1.into()]);
                    self.asm.tolerating(&[Errno::EBADF]);
                    self.asm.close(file);
                }
            }
            NamespaceStep::JoinResctrl { slots } => {
                let zero = self.text(c"0");
                for slot in slots {
                    let file = self.slot(*slot);
                    self.asm.call(libc::SYS_write, &[file.into(), zero, 1.into()]);
                    self.asm.close(file);
                }
            }
            NamespaceStep::JoinNamespace { slot, which } => {
                let mounts = which.flags() & NamespaceKind::Mount.flag() != 0;
                if mounts {
                    self.keep_proc();
                }
                let joined = self.slot(*slot);
                self.asm.call(libc::SYS_setns, &[joined.into(), which.flags().into()]);
                // What comes after may be seen by those who are there.
                self.asm.close(joined);
                if mounts {
                    self.leave_host();
                }
            }
            NamespaceStep::Unshare { namespaces } => {
                self.asm.call(libc::SYS_unshare, &[(*namespaces).into()]);
            }
            NamespaceStep::BecomeRoot => {
                self.asm.call(libc::SYS_setresgid, &[0.into(), 0.into(), 0.into()]);
                self.asm.call(libc::SYS_setresuid, &[0.into(), 0.into(), 0.into()]);
            }
            NamespaceStep::TimeNamespace { offsets } => {
                self.asm.call(libc::SYS_unshare, &[libc::CLONE_NEWTIME.into()]);
                if !offsets.is_empty() {
                    self.write_file("/proc/self/timens_offsets", offsets);
                }
            }
            NamespaceStep::Loopback => self.loopback(),
            NamespaceStep::HostName(name) => {
                let text = self.string(name);
                self.asm.call(libc::SYS_sethostname, &[text, name.len().into()]);
            }
            NamespaceStep::DomainName(name) => {
                let text = self.string(name);
                self.asm.call(libc::SYS_setdomainname, &[text, name.len().into()]);
            }
            NamespaceStep::Sysctl { path, value } => self.write_file(path, value),
        }
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
