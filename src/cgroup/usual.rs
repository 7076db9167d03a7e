//! A quick look at where cgroup hierarchies usually are mounted.
//!
//! Reading `mountinfo` makes the kernel print every mount there is. Where each hierarchy that
//! `/proc/PID/cgroup` lists is mounted at `/sys/fs/cgroup/NAME`, a statfs(2) of each says as much.

use super::controller::Controllers;
use super::layout::{Hierarchy, memberships};
use crate::sys::fs::file_system_at;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, lstat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType};
use std::path::{Path, PathBuf};

/// The v1 hierarchies and the cgroup2 one, if every v1 hierarchy is mounted, whole, at its usual
/// place. `cgroup_file` is the caller's `/proc/PID/cgroup`. `None` means that `mountinfo` has to be read,
/// also on errors.
pub(super) fn hierarchies(cgroup_file: &[u8]) -> Option<(Vec<Hierarchy>, Option<Hierarchy>)> {
    let (mut v1, mut unified) = (Vec::new(), None);
    let directories = directories().ok()?;
    let at = |name: &str, own: &Path, magic| at(&directories, name, own, magic);
    for (label, path) in memberships(cgroup_file) {
        if label.is_empty() {
            // The cgroup2 hierarchy is listed always, mounted or not.
            unified = match at("unified", &path, CGROUP2_SUPER_MAGIC) {
                Err(Errno::ENOENT) => None,
                found => Some(Hierarchy {
                    mount: found.ok()?,
                    root: "/".into(),
                    controllers: Controllers::NONE,
                    name: None,
                }),
            };
            continue;
        }
        let name = label.strip_prefix("name=");
        let mount = at(name.unwrap_or(&label), &path, CGROUP_SUPER_MAGIC).ok()?;
        let controllers = if name.is_some() { Controllers::NONE } else { Controllers::parse(&label) };
        v1.push(Hierarchy { mount, root: "/".into(), controllers, name: name.map(str::to_owned) });
    }
    // The kernel lists the newest hierarchy first.
    v1.reverse();
    (!v1.is_empty()).then_some((v1, unified))
}

const USUAL: &str = "/sys/fs/cgroup";

/// The names of the directories there. A symbolic link is not a mount point itself.
fn directories() -> Result<Vec<Vec<u8>>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::open(USUAL, flags, Mode::empty())?;
    let mut found = Vec::with_capacity(16);
    for entry in listing.iter() {
        let entry = entry?;
        if entry.file_type() == Some(Type::Directory) {
            found.push(entry.file_name().to_bytes().to_owned());
        }
    }
    Ok(found)
}

/// The mount point of a hierarchy of this type which shows its root, so that the caller's own cgroup
/// is found below it (a mount made for a container shows only a part). ENOENT means that the
/// path does not exist.
fn at(directories: &[Vec<u8>], name: &str, own: &Path, magic: FsType) -> Result<PathBuf, Errno> {
    let mount = Path::new(USUAL).join(name);
    if file_system_at(&mount)? != magic || !directories.iter().any(|known| known == name.as_bytes()) {
        return Err(Errno::ENODEV);
    }
    let below = own.strip_prefix("/").unwrap_or(own);
    let is_directory = |path: &Path| lstat(path).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR);
    let shown = below.as_os_str().is_empty() || is_directory(&mount.join(below));
    if shown { Ok(mount) } else { Err(Errno::ENODEV) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Layout;

    #[test]
    fn says_what_mountinfo_says() {
        let file = std::fs::read("/proc/thread-self/cgroup").unwrap();
        let Some((mut v1, unified)) = hierarchies(&file) else {
            return println!("skipped: this host's hierarchies are not at the usual places");
        };
        let exact = Layout::detect_in(Path::new("/proc/thread-self"), Path::new("/")).unwrap().unwrap();
        let mut expected = exact.v1().to_vec();
        let key = |h: &Hierarchy| h.label();
        v1.sort_by_key(key);
        expected.sort_by_key(key);
        assert_eq!(v1, expected);
        assert_eq!(unified.as_ref(), exact.unified());
    }

    #[test]
    fn an_unmounted_hierarchy_needs_a_closer_look() {
        assert_eq!(hierarchies(b"7:nosuch:/\n0::/\n"), None);
        assert_eq!(hierarchies(b"0::/\n"), None);
        assert_eq!(hierarchies(b""), None);
    }
}
