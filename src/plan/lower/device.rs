//! Device nodes and the symbolic links of /dev.

use super::super::assemble::Reg;
use super::super::machine::{compare, last};
use super::super::step::Node;
use super::lowering::Lowering;
use super::tree;
use super::tree::{CLONE, EMPTY};
use nix::errno::Errno;

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

pub(super) fn node(code: &mut Lowering, node: &Node) {
    let (root, text) = (code.root(), code.string(&node.directory));
    let dir = code.asm.make_path(root, text, last::DIRECTORY, 0o755);
    let name = code.string(node.name.as_str());
    let nofollow = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    if node.bind || node.slot.is_some() {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        code.asm.tolerating(&[Errno::EEXIST]);
        let file = code.asm.call_to(libc::SYS_openat, &[dir.into(), name, flags.into(), 0o600.into()]);
        let exists = code.asm.label();
        code.asm.jump_if_failed(file, exists);
        code.asm.call(libc::SYS_close, &[file.into()]);
        code.asm.place(exists);
        code.asm.call_into(file, libc::SYS_openat, &[dir.into(), name, nofollow.into()]);
        let mount = match node.slot {
            Some(slot) => code.slot(slot),
            None => hosts_node(code, node),
        };
        tree::attach(code, mount, file);
        code.asm.close(mount);
        code.asm.close(file);
    } else {
        let number = libc::makedev(node.major, node.minor);
        code.asm.tolerating(&[Errno::EEXIST]);
        let made = code.asm.call_to(libc::SYS_mknodat, &[dir.into(), name, node.mode.into(), number.into()]);
        let fresh = code.asm.label();
        code.asm.jump_if(compare::GREATER_EQUAL, made, 0, fresh);
        // A file exists: that is fine if it is this device, and not a link to another.
        let file = code.asm.call_to(libc::SYS_openat, &[dir.into(), name, nofollow.into()]);
        code.must_be_device(file, node.mode & libc::S_IFMT, number, Errno::EEXIST);
        code.asm.close(file);
        code.asm.place(fresh);
        if let Some((uid, gid)) = node.owner {
            let flags = libc::AT_SYMLINK_NOFOLLOW;
            code.asm.call(libc::SYS_fchownat, &[dir.into(), name, uid.into(), gid.into(), flags.into()]);
        }
        code.asm.release(made);
    }
    code.asm.close(dir);
}

/// A copy of the mount of the host's node.
fn hosts_node(code: &mut Lowering, node: &Node) -> Reg {
    let device = code.open_on_host(&node.path());
    let number = libc::makedev(node.major, node.minor);
    code.must_be_device(device, node.mode & libc::S_IFMT, number, Errno::ENODEV);
    let empty = code.empty();
    let copy = tree::clone_tree(code, device.into(), empty, CLONE | EMPTY, None);
    code.asm.close(device);
    copy
}

pub(super) fn dev_links(code: &mut Lowering, kcore: bool) {
    let (root, text) = (code.root(), code.text(c"/dev"));
    let dev = code.asm.make_path(root, text, last::DIRECTORY, 0o755);
    for (target, name) in LINKS.into_iter().chain(kcore.then_some(("/proc/kcore", "core"))) {
        let (target, name) = (code.string(target), code.string(name));
        code.asm.tolerating(&[Errno::EEXIST]).call(libc::SYS_symlinkat, &[target, dev.into(), name]);
    }
    // A ptmx node of the image would belong to the host's devpts.
    let (target, name) = (code.text(c"pts/ptmx"), code.text(c"ptmx"));
    let made = code.asm.label();
    code.asm.tolerating(&[Errno::EEXIST]);
    let linked = code.asm.call_to(libc::SYS_symlinkat, &[target, dev.into(), name]);
    code.asm.jump_if(compare::GREATER_EQUAL, linked, 0, made);
    code.asm.call(libc::SYS_unlinkat, &[dev.into(), name, 0.into()]);
    code.asm.call(libc::SYS_symlinkat, &[target, dev.into(), name]);
    code.asm.place(made);
    code.asm.release(linked);
    code.asm.close(dev);
}
