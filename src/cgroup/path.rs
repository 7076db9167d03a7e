//! Paths of cgroups.

use crate::{Error, ErrorKind, Phase, Result};
use std::fmt;
use std::path::{Path, PathBuf};

const POINTER: &str = "/linux/cgroupsPath";

/// A path in the cgroup hierarchy, without `..`.
///
/// An *absolute* path starts at the mount point of the hierarchy. A *relative* path starts, on v1, at the caller's own
/// cgroup in each hierarchy; on v2 at the *parent* of the caller's own cgroup, which has processes and so cannot enable
/// controllers for its children. Prefixes are compared by component: `/foo` contains `/foo/bar`, but not `/foo-bar`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CgroupPath {
    absolute: bool,
    parts: Vec<String>,
}

impl CgroupPath {
    /// Parses a path. `.` and repeated slashes are removed; `..`, an empty path, the root itself, NUL and newline are
    /// rejected.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], with the pointer `/linux/cgroupsPath`.
    pub fn new(path: &str) -> Result<Self> {
        let invalid = |why: &str| {
            Err(Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "invalid cgroup path")
                .on(format!("{path:?}"))
                .with_detail(why)
                .with_pointer(POINTER))
        };
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => return invalid("must not contain \"..\""),
                _ if part.contains(['\0', '\n']) => return invalid("must not contain NUL or newline"),
                _ if part.len() > 255 => return invalid("a component is longer than 255 bytes"),
                _ => parts.push(part.to_owned()),
            }
        }
        if parts.is_empty() {
            return invalid("names no cgroup below the root");
        }
        Ok(Self { absolute: path.starts_with('/'), parts })
    }

    /// The path for a configuration's `cgroupsPath` and a container `id`, if the manager is cgroupfs.
    ///
    /// If `cgroupsPath` is absent or empty, this is `/id` on a host with v1 hierarchies, and the relative `id` on pure v2.
    ///
    /// # Errors
    /// As [`CgroupPath::new`]; [`ErrorKind::Unsupported`] for systemd's `slice:prefix:name`.
    pub fn from_config(cgroups_path: Option<&str>, id: &str, unified: bool) -> Result<Self> {
        match cgroups_path {
            None | Some("") if unified => Self::new(id),
            None | Some("") => Self::new(&format!("/{id}")),
            Some(path) if Self::is_systemd(path) => Err(Error::unsupported(
                Phase::Cgroup,
                POINTER,
                format!("{path:?} is systemd's slice:prefix:name, which only the systemd cgroup manager understands"),
            )
            .with_hint("use a path such as /parent/name")),
            Some(path) => Self::new(path),
        }
    }

    /// Whether `path` has the systemd manager's form `slice:prefix:name`.
    pub fn is_systemd(path: &str) -> bool {
        !path.contains('/') && path.split(':').count() == 3
    }

    /// Parses a path below another one, such as that of `exec --cgroup`; `None` for `/`, the other one itself.
    ///
    /// # Errors
    /// `bad sub cgroup path` if the path leads out of the parent.
    pub fn sub(path: &str) -> Result<Option<Self>> {
        match path.trim_start_matches('/') {
            "" if !path.is_empty() => Ok(None),
            below => Self::new(below).map(Some).map_err(|_| {
                Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "bad sub cgroup path")
                    .on(path.to_owned())
            }),
        }
    }

    /// Whether the path is absolute.
    pub fn is_absolute(&self) -> bool {
        self.absolute
    }

    /// The components, top first; there is at least one.
    pub fn components(&self) -> &[String] {
        &self.parts
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    /// Whether `self` is `ancestor` or below it.
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        self.absolute == ancestor.absolute && self.parts.starts_with(&ancestor.parts)
    }

    /// The path appended to a directory.
    pub fn below(&self, directory: &Path) -> PathBuf {
        let mut path = directory.to_owned();
        path.extend(&self.parts);
        path
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.absolute { "/" } else { "" }, self.parts.join("/"))
    }
}

impl std::str::FromStr for CgroupPath {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self> {
        Self::new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized() {
        assert_eq!(CgroupPath::new("//a/./b/").unwrap().to_string(), "/a/b");
        assert_eq!(CgroupPath::new("a/b").unwrap().to_string(), "a/b");
        assert!(!CgroupPath::new("a").unwrap().is_absolute());
        for bad in ["", "/", ".", "..", "/a/../b", "a/..", "/a\n"] {
            assert!(CgroupPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prefixes_are_compared_by_component() {
        let foo = CgroupPath::new("/foo").unwrap();
        assert!(CgroupPath::new("/foo/bar").unwrap().starts_with(&foo));
        assert!(CgroupPath::new("/foo").unwrap().starts_with(&foo));
        assert!(!CgroupPath::new("/foo-bar").unwrap().starts_with(&foo));
        assert!(!CgroupPath::new("foo").unwrap().starts_with(&foo));
    }

    #[test]
    fn cgroups_path_depends_on_the_host_and_the_id() {
        let from = |p, unified| CgroupPath::from_config(p, "id1", unified).unwrap().to_string();
        assert_eq!(from(None, false), "/id1");
        assert_eq!(from(None, true), "id1");
        assert_eq!(from(Some("/docker/x"), true), "/docker/x");
        assert_eq!(from(Some("rel/x"), false), "rel/x");
        let e = CgroupPath::from_config(Some("machine.slice:libpod:abc"), "id1", false).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("machine.slice:libpod:abc"), "{e}");
        assert_eq!(e.pointer(), Some("/linux/cgroupsPath"));
    }

    #[test]
    fn sub_paths_cannot_leave_the_parent() {
        assert_eq!(CgroupPath::sub("/x/y").unwrap().unwrap().to_string(), "x/y");
        assert_eq!(CgroupPath::sub("/").unwrap(), None, "the parent itself");
        for bad in ["../x", "x/../../y", "", "/.."] {
            assert!(CgroupPath::sub(bad).unwrap_err().to_string().contains("bad sub cgroup path"));
        }
    }
}
