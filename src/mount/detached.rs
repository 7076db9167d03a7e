//! Detached mounts.

use super::error::failed;
use super::idmap;
use super::options::{FSCONFIG_STRING_MAX, MountOptions};
use super::propagation::Propagation;
use crate::sys::fs;
use crate::sys::mount::{self as sys, MountAttr, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{self, FchmodatFlags, Mode, SFlag};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A mount, or a tree of mounts, that is not attached to any directory. It can be reached only by this descriptor, and is
/// unmounted when that is closed. Creating one requires CAP_SYS_ADMIN in the user namespace that owns the caller's mount
/// namespace.
#[derive(Debug)]
pub struct Detached {
    fd: OwnedFd,
}

impl Detached {
    /// A bind mount of the directory or file `target`; with all mounts below it if `recursive`.
    ///
    /// The copy of a shared mount is its peer: see [`Detached::propagate`]. A detached mount can be copied since Linux 6.15.
    pub fn clone_of(target: impl AsFd, recursive: bool) -> Result<Self> {
        let mut flags = OpenTreeFlags::CLONE | OpenTreeFlags::EMPTY_PATH;
        if recursive {
            flags |= OpenTreeFlags::RECURSIVE;
        }
        sys::open_tree(target, c"", flags).map(Self::from).map_err(|e| failed("open_tree", e))
    }

    /// A bind mount of an absolute path. Symbolic links in it are followed.
    pub fn clone_path(path: &Path, recursive: bool) -> Result<Self> {
        let on = |e: Error| e.on(path.display().to_string());
        Self::clone_of(open_path(path).map_err(|e| on(failed("open", e)))?, recursive).map_err(on)
    }

    /// A new file system of type `kind`, with the attributes, superblock flags and driver options of `options`. Its
    /// propagation is not changed: see [`apply_propagation`](Self::apply_propagation).
    ///
    /// It is created in the namespaces of the calling thread: see [`filesystem_type`](super::filesystem_type).
    ///
    /// # Errors
    /// Include the driver's message. An option of more than 255 bytes is refused, since fsconfig(2) does not accept it.
    pub fn filesystem(kind: &str, source: Option<&str>, options: &MountOptions) -> Result<Self> {
        Context::open(kind)?.mount_with(source, options)
    }

    /// The same from an existing context, which must be of type `kind`. Its namespaces are those of the process that opened
    /// it.
    pub(crate) fn of_context(
        fd: OwnedFd,
        kind: &str,
        source: Option<&str>,
        options: &MountOptions,
    ) -> Result<Self> {
        Context { fd, kind: kind.to_owned() }.mount_with(source, options)
    }

    /// A bind mount of a new device node, which is the only file of a new tmpfs. In a user namespace that the mount is attached
    /// in, the node can be used as in the caller's own. Since Linux 6.15.
    pub(crate) fn device(mode: u32, device: libc::dev_t, uid: u32, gid: u32) -> Result<Self> {
        const NAME: &CStr = c"device";
        let directory = Context::open("tmpfs")?.mount(MountAttrFlags::default())?;
        let (kind, permissions) = (SFlag::from_bits_truncate(mode), Mode::from_bits_truncate(mode));
        stat::mknodat(&directory, NAME, kind & SFlag::S_IFMT, Mode::empty(), device)
            .map_err(|e| failed("mknodat", e))?;
        nix::unistd::fchownat(&directory, NAME, Some(uid.into()), Some(gid.into()), AtFlags::empty())
            .map_err(|e| failed("fchownat", e))?;
        // After the change of the owner, which clears bits; the caller's umask does not matter.
        stat::fchmodat(&directory, NAME, permissions, FchmodatFlags::FollowSymlink)
            .map_err(|e| failed("fchmodat", e))?;
        sys::open_tree(&directory, NAME, OpenTreeFlags::CLONE)
            .map(Self::from)
            .map_err(|e| failed("open_tree", e))
    }

    /// mount_setattr(2), on all mounts of the tree if `recursive`.
    pub fn change(&self, attributes: &MountAttr, recursive: bool) -> Result<()> {
        sys::mount_setattr(self, recursive, attributes).map_err(|e| failed("mount_setattr", e))
    }

    /// Sets the attributes that the options name on a bind mount; all others stay those of its source.
    pub fn apply_attributes(&self, options: &MountOptions) -> Result<()> {
        if let Some(attributes) = options.attributes() {
            self.change(&attributes, false)?;
        }
        options.recursive_attributes().map_or(Ok(()), |attributes| self.change(&attributes, true))
    }

    /// Changes the propagation as the options say, in their order.
    pub fn apply_propagation(&self, options: &MountOptions) -> Result<()> {
        options.propagation.iter().try_for_each(|change| self.propagate(*change))
    }

    /// Changes the propagation.
    pub fn propagate(&self, change: Propagation) -> Result<()> {
        let attributes = MountAttr { propagation: change.kind.flag(), ..MountAttr::default() };
        self.change(&attributes, change.recursive)
    }

    /// Makes it read-only, with all mounts below it if `recursive`.
    pub fn read_only(&self, recursive: bool) -> Result<()> {
        self.change(&MountAttr { set: MountAttrFlags::RDONLY, ..MountAttr::default() }, recursive)
    }

    /// Maps the owners of the mount's files: an id that is `container` in a range of the namespace's map appears as `host`.
    /// A mount can be mapped only once, and before it is attached.
    ///
    /// # Errors
    /// EINVAL if the file system does not support idmapped mounts (an error by `config.md#posix-platform-mounts`), EPERM if
    /// the mount or the file system belongs to another user namespace.
    pub fn idmap(&self, user_namespace: impl AsFd, recursive: bool) -> Result<()> {
        idmap::map_owners(self, user_namespace, recursive)
    }

    /// Attaches it to `target`, a directory (a file, if the mount is one) in the calling thread's mount namespace.
    pub fn attach(&self, target: impl AsFd) -> Result<()> {
        sys::move_mount(self, target, c"", MoveMountFlags::T_EMPTY_PATH).map_err(|e| failed("move_mount", e))
    }

    /// The descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl From<OwnedFd> for Detached {
    /// `fd` is a detached mount: from fsmount(2), open_tree(2), another process.
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens an absolute path with `O_PATH`.
pub(super) fn open_path(path: &Path) -> std::result::Result<OwnedFd, Errno> {
    if !path.is_absolute() {
        return Err(Errno::EINVAL);
    }
    fs::openat(fs::cwd(), &fs::cstring(path)?, libc::O_PATH, 0)
}

/// The configuration context of a new file system.
pub(super) struct Context {
    fd: OwnedFd,
    kind: String,
}

impl Context {
    pub(super) fn open(kind: &str) -> Result<Self> {
        let name = fs::cstring(kind).map_err(|e| failed("fsopen", e))?;
        match sys::fsopen(&name) {
            Ok(fd) => Ok(Self { fd, kind: kind.to_owned() }),
            Err(Errno::ENODEV) => Err(failed("fsopen", Errno::ENODEV)
                .on(kind)
                .with_hint("the kernel has no such file system, or its module is not loaded")),
            Err(e) => Err(failed("fsopen", e).on(kind)),
        }
    }

    /// The error of a call on this context, with the driver's message.
    pub(super) fn error(&self, operation: &'static str, e: Errno, option: &str) -> Error {
        let log = sys::context_log(&self.fd);
        let error = failed(operation, e).on(format!("{} {option}", self.kind).trim_end().to_owned());
        if log.is_empty() { error } else { error.with_detail(log) }
    }

    pub(super) fn set(&self, key: &str, value: Option<&str>) -> Result<()> {
        if value.is_some_and(|v| v.len() > FSCONFIG_STRING_MAX) {
            let e = Error::new(ErrorKind::Unsupported, Phase::Mount, "fsconfig");
            return Err(e
                .on(format!("{} {key}", self.kind))
                .with_detail("the value has more than 255 bytes"));
        }
        self.set_raw(key, value).map_err(|e| {
            let option = value.map_or_else(|| key.to_owned(), |v| format!("{key}={v}"));
            self.error("fsconfig", e, &option)
        })
    }

    pub(super) fn set_raw(&self, key: &str, value: Option<&str>) -> std::result::Result<(), Errno> {
        let value = value.map(fs::cstring).transpose()?;
        sys::fsconfig(&self.fd, &fs::cstring(key)?, value.as_deref())
    }

    pub(super) fn set_fd(&self, key: &str, value: impl AsFd) -> std::result::Result<(), Errno> {
        sys::fsconfig_fd(&self.fd, &fs::cstring(key)?, value)
    }

    fn mount_with(&self, source: Option<&str>, options: &MountOptions) -> Result<Detached> {
        if let Some(source) = source.filter(|s| !s.is_empty()) {
            self.set("source", Some(source))?;
        }
        for flag in &options.superblock {
            self.set(flag.key, None)?;
        }
        for data in &options.data {
            self.set(&data.key, data.value.as_deref())?;
        }
        self.mount(options.new_mount_attributes())
    }

    pub(super) fn mount(&self, attributes: MountAttrFlags) -> Result<Detached> {
        sys::fsconfig_create(&self.fd).map_err(|e| self.error("fsconfig", e, ""))?;
        sys::fsmount(&self.fd, attributes).map(Detached::from).map_err(|e| self.error("fsmount", e, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::options;

    fn parse(list: &[&str]) -> MountOptions {
        options::parse(&list.iter().map(|&o| o.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn may_mount() -> bool {
        let may = Detached::clone_path(Path::new("/"), false).is_ok();
        if !may {
            println!("skipped: may not mount");
        }
        may
    }

    fn flags(mount: &Detached) -> nix::sys::statvfs::FsFlags {
        nix::sys::statvfs::fstatvfs(mount).unwrap().flags()
    }

    #[test]
    fn a_tmpfs_gets_its_options() {
        use nix::sys::statvfs::FsFlags;
        if !may_mount() {
            return;
        }
        let options =
            parse(&["nosuid", "rnodev", "sync", "mode=711", "size=64k", "strictatime", "nosymfollow"]);
        let tmpfs = Detached::filesystem("tmpfs", Some("shm"), &options).unwrap();
        let flags = flags(&tmpfs);
        assert!(flags.contains(FsFlags::ST_NOSUID | FsFlags::ST_NODEV | FsFlags::ST_SYNCHRONOUS));
        assert!(!flags.intersects(FsFlags::ST_NOEXEC | FsFlags::ST_RDONLY | FsFlags::ST_RELATIME));
        assert_eq!(nix::sys::stat::fstat(&tmpfs).unwrap().st_mode & 0o7777, 0o711);
    }

    #[test]
    fn a_clone_keeps_attributes_that_are_not_named() {
        use nix::sys::statvfs::FsFlags;
        if !may_mount() {
            return;
        }
        let source = Detached::filesystem("tmpfs", None, &parse(&["noexec", "noatime"])).unwrap();
        let clone = match Detached::clone_of(&source, true) {
            // Before Linux 6.15 only attached mounts can be copied.
            Err(e) if e.errno() == Some(Errno::EINVAL) => return println!("skipped: {e}"),
            other => other.unwrap(),
        };
        clone.apply_attributes(&parse(&["bind", "ro", "rnosuid", "relatime"])).unwrap();
        assert!(
            flags(&clone).contains(
                FsFlags::ST_RDONLY | FsFlags::ST_NOEXEC | FsFlags::ST_NOSUID | FsFlags::ST_RELATIME
            )
        );
        assert!(!flags(&source).contains(FsFlags::ST_RDONLY), "the source is unchanged");
        clone.apply_attributes(&parse(&["bind", "rw", "exec"])).unwrap();
        assert!(!flags(&clone).intersects(FsFlags::ST_RDONLY | FsFlags::ST_NOEXEC));
        clone.apply_propagation(&parse(&["rprivate", "shared", "slave", "unbindable"])).unwrap();
        assert!(Detached::clone_of(&clone, false).is_err(), "unbindable");
    }

    #[test]
    fn the_kernel_accepts_every_option() {
        if !may_mount() {
            return;
        }
        for name in
            options::names().filter(|n| !matches!(*n, "bind" | "rbind" | "remount" | "idmap" | "ridmap"))
        {
            let options = parse(&[name]);
            let fresh =
                Detached::filesystem("tmpfs", None, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
            fresh.apply_propagation(&options).unwrap();
            let clone = Detached::filesystem("tmpfs", None, &MountOptions::default()).unwrap();
            clone.apply_attributes(&options).unwrap_or_else(|e| panic!("bind,{name}: {e}"));
        }
    }

    #[test]
    fn errors_include_the_drivers_message() {
        if !may_mount() {
            return;
        }
        let e = Detached::filesystem("tmpfs", None, &parse(&["fly=1"])).unwrap_err();
        assert!(e.to_string().contains("tmpfs fly=1") && e.to_string().contains("Unknown parameter"), "{e}");
        let e = Detached::filesystem("nosuchfs", None, &MountOptions::default()).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::ENODEV));
        assert!(e.hint().is_some());
        let long = format!("x={}", "y".repeat(300));
        let e = Detached::filesystem("tmpfs", None, &parse(&[&long])).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert_eq!(
            Detached::clone_path(Path::new("relative"), false).unwrap_err().errno(),
            Some(Errno::EINVAL)
        );
    }
}
