//! Device nodes and the symbolic links of /dev.

use super::super::machine::{compare, last};
use super::super::step::Node;
use super::Lower;
use super::rootfs::{CLONE, EMPTY};
use nix::errno::Errno;

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

impl Lower {
    pub(super) fn node(&mut self, node: &Node) {
        let (root, text) = (self.root(), self.string(&node.directory));
        let dir = self.asm.make_path(root, text, last::DIRECTORY, 0o755);
        let name = self.string(node.name.as_str());
        let nofollow = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        if node.bind {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            self.asm.tolerating(&[Errno::EEXIST]);
            let file = self.asm.call_to(libc::SYS_openat, &[dir.into(), name, flags.into(), 0o600.into()]);
            let exists = self.asm.label();
            self.asm.jump_if_failed(file, exists);
            self.asm.call(libc::SYS_close, &[file.into()]);
            self.asm.place(exists);
            self.asm.call_into(file, libc::SYS_openat, &[dir.into(), name, nofollow.into()]);
            let device = self.open_on_host(&node.path());
            let number = libc::makedev(node.major, node.minor);
            self.must_be_device(device, node.mode & libc::S_IFMT, number, Errno::ENODEV);
            let empty = self.empty();
            let copy = self.clone_tree(device.into(), empty, CLONE | EMPTY, None);
            self.attach(copy, file);
            self.asm.close(device);
            self.asm.close(copy);
            self.asm.close(file);
        } else {
            let number = libc::makedev(node.major, node.minor);
            self.asm.tolerating(&[Errno::EEXIST]);
            let made =
                self.asm.call_to(libc::SYS_mknodat, &[dir.into(), name, node.mode.into(), number.into()]);
            let fresh = self.asm.label();
            self.asm.jump_if(compare::GREATER_EQUAL, made, 0, fresh);
            // Something is there: good if it is this very device, and no link to another.
            let file = self.asm.call_to(libc::SYS_openat, &[dir.into(), name, nofollow.into()]);
            self.must_be_device(file, node.mode & libc::S_IFMT, number, Errno::EEXIST);
            self.asm.close(file);
            self.asm.place(fresh);
            if let Some((uid, gid)) = node.owner {
                let flags = libc::AT_SYMLINK_NOFOLLOW;
                self.asm.call(libc::SYS_fchownat, &[dir.into(), name, uid.into(), gid.into(), flags.into()]);
            }
            self.asm.release(made);
        }
        self.asm.close(dir);
    }

    pub(super) fn dev_links(&mut self, kcore: bool) {
        let (root, text) = (self.root(), self.text(c"/dev"));
        let dev = self.asm.make_path(root, text, last::DIRECTORY, 0o755);
        for (target, name) in LINKS.into_iter().chain(kcore.then_some(("/proc/kcore", "core"))) {
            let (target, name) = (self.string(target), self.string(name));
            self.asm.tolerating(&[Errno::EEXIST]).call(libc::SYS_symlinkat, &[target, dev.into(), name]);
        }
        // The image's own ptmx would be the host's.
        let (target, name) = (self.text(c"pts/ptmx"), self.text(c"ptmx"));
        let made = self.asm.label();
        self.asm.tolerating(&[Errno::EEXIST]);
        let linked = self.asm.call_to(libc::SYS_symlinkat, &[target, dev.into(), name]);
        self.asm.jump_if(compare::GREATER_EQUAL, linked, 0, made);
        self.asm.call(libc::SYS_unlinkat, &[dev.into(), name, 0.into()]);
        self.asm.call(libc::SYS_symlinkat, &[target, dev.into(), name]);
        self.asm.place(made);
        self.asm.release(linked);
        self.asm.close(dev);
    }
}
