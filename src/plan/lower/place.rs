//! Where the container's mount points are, and what is created there.

use super::super::assemble::{Arg, Reg};
use super::super::machine::{compare, last};
use super::super::step::plain;
use super::lowering::{CWD, Lowering, Stand};
use nix::errno::Errno;
use std::borrow::Cow;

/// Where every program expects the kernel's own file systems.
const KERNELS_PLACES: [&str; 2] = ["/proc", "/sys"];

/// A path that is looked up below a directory.
pub(super) struct Spot<'p> {
    pub(super) root: Arg,
    pub(super) rest: Cow<'p, str>,
    /// The directory, if it was opened for this path.
    pub(super) opened: Option<Reg>,
}

pub(super) fn is_kernels_place(path: &str) -> bool {
    plain(path).is_some_and(|place| KERNELS_PLACES.contains(&&*place))
}

/// An `O_PATH` descriptor of a mount point, created if it is missing. No symbolic link is followed to one for procfs or
/// sysfs, nor to `/proc` and `/sys` themselves.
pub(super) fn mount_point(code: &mut Lowering, path: &str, no_symlinks: bool) -> Reg {
    if !no_symlinks && !is_kernels_place(path) {
        let spot = spot(code, path);
        return make_at(code, &spot, last::DIRECTORY.into());
    }
    let (root, rest) = code.below(path);
    let (found, flags) = (code.asm.label(), libc::O_PATH | libc::O_DIRECTORY);
    let (text, how) = (code.string(&rest), code.how(flags, libc::RESOLVE_NO_SYMLINKS));
    code.asm.tolerating(&[Errno::ENOENT]);
    let point = code.asm.call_to(libc::SYS_openat2, &[root, text, how, 24.into()]);
    code.asm.jump_if(compare::GREATER_EQUAL, point, 0, found);
    let made = code.asm.make_path(root, text, last::DIRECTORY, 0o755);
    code.asm.close(made);
    code.asm.call_into(point, libc::SYS_openat2, &[root, text, how, 24.into()]);
    code.asm.place(found);
    point
}

/// The directory from which a mount point is looked up. A path below `/proc` or `/sys` is looked up from these, which
/// are not links.
pub(super) fn spot<'p>(code: &mut Lowering, path: &'p str) -> Spot<'p> {
    let (root, rest) = code.below(path);
    let place = plain(path).filter(|_| rest == path);
    let above = place.as_deref().and_then(|place| {
        KERNELS_PLACES.into_iter().find_map(|above| Some((above, place.strip_prefix(above)?)))
    });
    match above {
        Some((above, below)) if below.starts_with('/') => {
            let (below, opened) = (Cow::Owned(below.to_owned()), mount_point(code, above, true));
            Spot { root: opened.into(), rest: below, opened: Some(opened) }
        }
        _ => Spot { root, rest, opened: None },
    }
}

/// Creates what is missing of a path, with a last component of this `kind`.
pub(super) fn make_at(code: &mut Lowering, spot: &Spot<'_>, kind: Arg) -> Reg {
    let text = code.string(&spot.rest);
    let point = code.asm.make_path(spot.root, text, kind, 0o755);
    if let Some(opened) = spot.opened {
        code.asm.close(opened);
    }
    point
}

/// The steps that follow work on the root directory that the process has.
pub(super) fn own_root(code: &mut Lowering) {
    let root = open_root(code);
    code.root = Some(root);
    code.stand = Stand::Container;
}

/// The process's root directory.
pub(super) fn open_root(code: &mut Lowering) -> Reg {
    let (slash, flags) = (code.text(c"/"), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
    code.asm.call_to(libc::SYS_openat, &[CWD.into(), slash, flags.into()])
}
