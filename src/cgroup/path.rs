//! Paths of cgroups, compared component by component.

use crate::{Error, ErrorKind, Phase, Result};
use std::fmt;
use std::path::{Path, PathBuf};

const POINTER: &str = "/linux/cgroupsPath";

/// A path in the cgroup hierarchy: never with `..`, never escaping its anchor.
///
/// An *absolute* one starts at the hierarchy's root as this process sees it mounted. A *relative*
/// one starts where the runtime runs: on v1 at the runtime's own cgroup in each hierarchy, on v2 at
/// the *parent* of the runtime's own cgroup (the own one holds processes, so it could not hand
/// controllers on). Prefixes are compared by component: `/foo` contains `/foo/bar`, not `/foo-bar`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CgroupPath {
    absolute: bool,
    parts: Vec<String>,
}

impl CgroupPath {
    /// Parses a path. `.` and repeated slashes vanish; `..`, an empty path, the root itself and
    /// NUL or newline are refused.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], with the pointer `/linux/cgroupsPath`.
    pub fn new(path: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Err(Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "invalid cgroup path")
                .on(format!("{path:?}"))
                .with_detail(why)
                .with_pointer(POINTER))
        };
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => return refuse("must not contain \"..\""),
                _ if part.contains(['\0', '\n']) => return refuse("must not contain NUL or newline"),
                _ if part.len() > 255 => return refuse("a component is longer than 255 bytes"),
                _ => parts.push(part.to_owned()),
            }
        }
        if parts.is_empty() {
            return refuse("names no cgroup below the root");
        }
        Ok(Self { absolute: path.starts_with('/'), parts })
    }

    /// What a configuration's `cgroupsPath` means for a container `id`, with the cgroup file
    /// system (not systemd) as manager.
    ///
    /// Absent or empty: `/id` where the host has v1 hierarchies, and the relative `id` on pure v2.
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

    /// A path below another one, e.g. of `exec --cgroup`.
    ///
    /// # Errors
    /// `bad sub cgroup path` for anything that could leave the parent.
    pub fn sub(path: &str) -> Result<Self> {
        Self::new(path.trim_start_matches('/')).map_err(|_| {
            Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "bad sub cgroup path").on(path.to_owned())
        })
    }

    /// Whether the path starts at the hierarchy's root.
    pub fn is_absolute(&self) -> bool {
        self.absolute
    }

    /// The components, top first; never empty.
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
    fn parses_and_prints() {
        assert_eq!(CgroupPath::new("//a/./b/").unwrap().to_string(), "/a/b");
        assert_eq!(CgroupPath::new("a/b").unwrap().to_string(), "a/b");
        assert!(!CgroupPath::new("a").unwrap().is_absolute());
        for bad in ["", "/", ".", "..", "/a/../b", "a/..", "/a\n"] {
            assert!(CgroupPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prefix_is_by_component() {
        let foo = CgroupPath::new("/foo").unwrap();
        assert!(CgroupPath::new("/foo/bar").unwrap().starts_with(&foo));
        assert!(CgroupPath::new("/foo").unwrap().starts_with(&foo));
        assert!(!CgroupPath::new("/foo-bar").unwrap().starts_with(&foo));
        assert!(!CgroupPath::new("foo").unwrap().starts_with(&foo));
    }

    #[test]
    fn config_forms() {
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
    fn sub_paths_stay_inside() {
        assert_eq!(CgroupPath::sub("/x/y").unwrap().to_string(), "x/y");
        for bad in ["../x", "x/../../y", "", "/"] {
            assert!(CgroupPath::sub(bad).unwrap_err().to_string().contains("bad sub cgroup path"));
        }
    }
}
