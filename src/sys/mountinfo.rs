//! The mounts in `/proc/PID/mountinfo`: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A mount. Its paths are still escaped: see [`unescape`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct MountEntry<'a> {
    id: u32,
    parent: u32,
    pub(crate) root: &'a [u8],
    pub(crate) mount_point: &'a [u8],
    pub(crate) file_system: &'a [u8],
    pub(crate) super_options: &'a [u8],
}

impl<'a> MountEntry<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.split(|b| *b == b' ');
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
        let (id, parent) = (number(words.next()?)?, number(words.next()?)?);
        let (root, mount_point) = (words.nth(1)?, words.next()?);
        // A hyphen ends the optional fields.
        words.find(|word| *word == b"-")?;
        let file_system = words.next()?;
        Some(Self { id, parent, root, mount_point, file_system, super_options: words.nth(1)? })
    }
}

/// The cgroup and cgroup2 mounts that a path lookup can reach, in the file's order.
///
/// A later mount on a mount point, or on one of its parents, hides it: a tmpfs or cgroup2 that is mounted over
/// `/sys/fs/cgroup` hides the hierarchies below, but `mountinfo` still lists them.
pub(crate) fn visible_cgroups(text: &[u8]) -> Vec<MountEntry<'_>> {
    visible(text, &[b"cgroup".as_slice(), b"cgroup2"])
}

/// The mounts of these file systems that a path lookup can reach.
pub(crate) fn visible<'a>(text: &'a [u8], file_systems: &[&[u8]]) -> Vec<MountEntry<'a>> {
    let entries: Vec<MountEntry<'_>> = text.split(|b| *b == b'\n').filter_map(MountEntry::parse).collect();
    let candidates = entries.iter().filter(|e| file_systems.contains(&e.file_system));
    candidates.filter(|c| !hidden(c, &entries)).copied().collect()
}

/// The mount points that unmounting one after the other removes every whole file system of these types, with all that is
/// mounted over it. A mount point is there once for each mount on it.
pub(crate) fn whole<'a>(text: &'a [u8], file_systems: &[&[u8]]) -> Vec<&'a [u8]> {
    let entries: Vec<MountEntry<'_>> = text.split(|b| *b == b'\n').filter_map(MountEntry::parse).collect();
    let is_whole = |e: &MountEntry<'_>| e.root == b"/" && file_systems.contains(&e.file_system);
    let wanted = entries.iter().enumerate().filter(|(at, e)| {
        entries[..=*at].iter().any(|below| is_whole(below) && below.mount_point == e.mount_point)
    });
    // What is mounted below another mount comes after it in the file.
    let mut points: Vec<&[u8]> = wanted.map(|(_, e)| e.mount_point).collect();
    points.reverse();
    points
}

/// Whether a path lookup of the mount point ends in another mount: one on the root of this mount, or one on the way to
/// it.
fn hidden(candidate: &MountEntry<'_>, entries: &[MountEntry<'_>]) -> bool {
    if entries.iter().any(|e| e.parent == candidate.id && e.mount_point == candidate.mount_point) {
        return true;
    }
    let mut below = candidate;
    for _ in 0..entries.len() {
        let siblings = entries.iter().filter(|e| e.parent == below.parent && e.id != below.id);
        if siblings.into_iter().any(|e| is_below(below.mount_point, e.mount_point)) {
            return true;
        }
        match entries.iter().find(|e| e.id == below.parent) {
            Some(parent) => below = parent,
            None => return false,
        }
    }
    false
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory == b"/"
        || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Replaces the octal escapes of blanks, tabs, newlines and backslashes.
pub(crate) fn unescape(text: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text;
    while let Some((&first, rest)) = bytes.split_first() {
        let octal = (first == b'\\').then(|| rest.get(..3)).flatten();
        let code =
            octal.and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| u8::from_str_radix(d, 8).ok());
        out.push(code.unwrap_or(first));
        bytes = if code.is_some() { &rest[3..] } else { rest };
    }
    OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// Other mount points of the host may have any name.
    #[test]
    fn whole_file_systems_are_unmounted_from_above() {
        let text = b"31 23 0:28 / /proc rw - proc p rw\n\
            32 31 0:29 /sys /proc/sys ro - proc p rw\n33 31 0:30 / /proc rw - tmpfs t rw\n\
            34 23 0:31 / /a\\040b rw - proc p rw\n35 23 0:32 / /tmp rw - tmpfs t rw\n36 23 0:33 / /sys rw - sysfs s rw\n";
        let points = whole(text, &[b"proc", b"sysfs"]);
        assert_eq!(points, [b"/sys".as_slice(), b"/a\\040b", b"/proc", b"/proc"]);
    }

    #[test]
    fn names_that_are_not_utf8_are_parsed() {
        let text = b"31 23 0:28 / /mnt/\xff\xfe rw - tmpfs \xfe rw\n\
            35 24 0:30 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n";
        let seen: Vec<_> = visible_cgroups(text).iter().map(|e| e.id).collect();
        assert_eq!(seen, [35]);
    }

    #[test]
    fn octal_escapes_are_replaced() {
        assert_eq!(unescape(br"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(br"/a\9"), Path::new(r"/a\9"));
        assert_eq!(unescape(b"/\xff").as_os_str().as_bytes(), b"/\xff");
    }

    #[test]
    fn the_procfs_crate_parses_the_same_mounts() {
        use procfs::FromRead;
        let text = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let theirs = procfs::process::MountInfos::from_read(text.as_bytes()).unwrap().0;
        let ours: Vec<_> = text.lines().map(|line| MountEntry::parse(line.as_bytes()).unwrap()).collect();
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!((ours.id as i32, ours.parent as i32), (theirs.mnt_id, theirs.pid));
            assert_eq!((ours.file_system, ours.root), (theirs.fs_type.as_bytes(), theirs.root.as_bytes()));
            assert_eq!(ours.mount_point, theirs.mount_point.as_os_str().as_bytes());
        }
    }

    #[test]
    fn mounts_below_a_later_mount_are_hidden() {
        let text = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            90 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let seen: Vec<_> = visible_cgroups(text).iter().map(|e| e.file_system).collect();
        assert_eq!(seen, [b"cgroup2"]);
        let text = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            90 31 0:39 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            91 90 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            92 91 0:29 /x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let seen: Vec<_> = visible_cgroups(text).iter().map(|e| e.id).collect();
        assert_eq!(seen, [92]);
    }
}
