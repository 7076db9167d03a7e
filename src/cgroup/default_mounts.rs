//! Hierarchies at their default mount points.
//!
//! Reading `mountinfo` makes the kernel format every mount. If each hierarchy in `/proc/PID/cgroup` is mounted at
//! `/sys/fs/cgroup/NAME`, a statfs(2) of each tells the same.

use super::controller::Controllers;
use super::hierarchy::Hierarchy;
use super::proc_cgroup;
use crate::sys::fs::file_system_at;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, lstat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType};
use std::path::{Path, PathBuf};

/// The parent of the default mount points.
const PARENT: &str = "/sys/fs/cgroup";

/// The v1 hierarchies and the cgroup2 hierarchy, if the root of each v1 hierarchy is mounted at its default mount point.
/// `cgroup_file` is the caller's `/proc/PID/cgroup`. `None`, also on errors, means that `mountinfo` has to be read.
pub(super) fn hierarchies(cgroup_file: &[u8]) -> Option<(Vec<Hierarchy>, Option<Hierarchy>)> {
    let (mut v1, mut unified) = (Vec::new(), None);
    let directories = directories().ok()?;
    let find = |name: &str, own: &Path, magic| mount_point(&directories, name, own, magic);
    for membership in proc_cgroup::parse(cgroup_file) {
        let list = membership.controller_list;
        if list.is_empty() {
            // The cgroup2 hierarchy is always listed, mounted or not.
            unified = match find("unified", &membership.path, CGROUP2_SUPER_MAGIC) {
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
        let name = list.strip_prefix("name=");
        let mount = find(name.unwrap_or(&list), &membership.path, CGROUP_SUPER_MAGIC).ok()?;
        let controllers = if name.is_some() { Controllers::NONE } else { Controllers::parse(&list) };
        v1.push(Hierarchy { mount, root: "/".into(), controllers, name: name.map(str::to_owned) });
    }
    // The kernel lists the newest hierarchy first.
    v1.reverse();
    (!v1.is_empty()).then_some((v1, unified))
}

/// The names of the directories that can be default mount points. A symbolic link is not a mount point itself.
fn directories() -> Result<Vec<Vec<u8>>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::open(PARENT, flags, Mode::empty())?;
    let mut found = Vec::with_capacity(16);
    for entry in listing.iter() {
        let entry = entry?;
        if entry.file_type() == Some(Type::Directory) {
            found.push(entry.file_name().to_bytes().to_owned());
        }
    }
    Ok(found)
}

/// The default mount point of a hierarchy, if a file system of this type is mounted there and shows the caller's own
/// cgroup (a mount for a container shows only a part of the hierarchy). ENOENT means that the path does not
/// exist.
fn mount_point(directories: &[Vec<u8>], name: &str, own: &Path, magic: FsType) -> Result<PathBuf, Errno> {
    let mount = Path::new(PARENT).join(name);
    if file_system_at(&mount)? != magic || !directories.iter().any(|known| known == name.as_bytes()) {
        return Err(Errno::ENODEV);
    }
    let is_directory = |path: &Path| lstat(path).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR);
    let shown = own.as_os_str() == "/" || is_directory(&mount.join(own.strip_prefix("/").unwrap_or(own)));
    if shown { Ok(mount) } else { Err(Errno::ENODEV) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Layout;

    #[test]
    fn finds_the_same_hierarchies_as_mountinfo() {
        let file = std::fs::read("/proc/thread-self/cgroup").unwrap();
        let exact = Layout::detect_in(Path::new("/proc/thread-self"), Path::new("/")).unwrap();
        let mut expected = exact.as_ref().map_or(Vec::new(), |layout| layout.v1().to_vec());
        let Some((mut v1, unified)) = hierarchies(&file) else {
            let at_default = |h: &Hierarchy| {
                h.root == Path::new("/")
                    && h.mount == Path::new(PARENT).join(h.controller_list().trim_start_matches("name="))
            };
            let listed =
                proc_cgroup::parse(&file).into_iter().filter(|m| !m.controller_list.is_empty()).count();
            let complete = listed == expected.len() && expected.iter().all(at_default);
            assert!(listed == 0 || !complete, "{expected:?}");
            return;
        };
        let exact = exact.unwrap();
        let key = |h: &Hierarchy| h.controller_list();
        v1.sort_by_key(key);
        expected.sort_by_key(key);
        assert_eq!(v1, expected);
        assert_eq!(unified.as_ref(), exact.unified());
    }

    #[test]
    fn mountinfo_decides_about_hierarchies_that_are_not_mounted() {
        assert_eq!(hierarchies(b"7:nosuch:/\n0::/\n"), None);
        assert_eq!(hierarchies(b"0::/\n"), None);
        assert_eq!(hierarchies(b""), None);
    }
}
