//! Cgroups and namespaces, and the setup of a namespace: host name, loopback, kernel parameters.

use super::super::step::NamespaceStep;
use super::lowering::Lowering;
use crate::namespace::NamespaceKind;
use nix::errno::Errno;

pub(super) fn namespace(code: &mut Lowering, step: &NamespaceStep) {
    match step {
        NamespaceStep::JoinCgroup { slots } => {
            let zero = code.text(c"0");
            for slot in slots {
                // There is no file for a cgroup that the process was cloned into, or that was skipped.
                code.asm.tolerating(&[Errno::EBADF]);
                let file = code.slot(*slot);
                code.asm.call(libc::SYS_write, &[file.into(), zero, 1.into()]);
                code.asm.tolerating(&[Errno::EBADF]);
                code.asm.close(file);
            }
        }
        NamespaceStep::JoinResctrl { slots } => {
            let zero = code.text(c"0");
            for slot in slots {
                let file = code.slot(*slot);
                code.asm.call(libc::SYS_write, &[file.into(), zero, 1.into()]);
                code.asm.close(file);
            }
        }
        NamespaceStep::JoinNamespace { slot, target } => {
            let mounts = target.flags() & NamespaceKind::Mount.flag() != 0;
            if mounts {
                code.keep_proc();
            }
            let joined = code.slot(*slot);
            code.asm.call(libc::SYS_setns, &[joined.into(), target.flags().into()]);
            // Processes in that namespace may see this process from now on.
            code.asm.close(joined);
            if mounts {
                code.leave_host();
            }
        }
        NamespaceStep::Unshare { namespaces } => {
            code.asm.call(libc::SYS_unshare, &[(*namespaces).into()]);
        }
        NamespaceStep::BecomeRoot => {
            code.asm.call(libc::SYS_setresgid, &[0.into(), 0.into(), 0.into()]);
            code.asm.call(libc::SYS_setresuid, &[0.into(), 0.into(), 0.into()]);
        }
        NamespaceStep::TimeNamespace { offsets } => {
            code.asm.call(libc::SYS_unshare, &[libc::CLONE_NEWTIME.into()]);
            if !offsets.is_empty() {
                code.write_file("/proc/self/timens_offsets", offsets);
            }
        }
        NamespaceStep::Loopback => loopback(code),
        NamespaceStep::HostName(name) => {
            let text = code.string(name);
            code.asm.call(libc::SYS_sethostname, &[text, name.len().into()]);
        }
        NamespaceStep::DomainName(name) => {
            let text = code.string(name);
            code.asm.call(libc::SYS_setdomainname, &[text, name.len().into()]);
        }
        NamespaceStep::Sysctl { path, value } => code.write_file(path, value),
    }
}

fn loopback(code: &mut Lowering) {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    let socket = code.asm.call_to(libc::SYS_socket, &[libc::AF_INET.into(), kind.into(), 0.into()]);
    // struct ifreq: the name, then the flags.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&((libc::IFF_UP | libc::IFF_RUNNING) as u16).to_ne_bytes());
    let request = code.asm.bytes(&request);
    code.asm.call(libc::SYS_ioctl, &[socket.into(), libc::SIOCSIFFLAGS.into(), request]);
    code.asm.close(socket);
}
