//! The unit of a container, from `cgroupsPath`: `slice:prefix:name`.

use crate::cgroup::path::CgroupPath;
use crate::{Error, ErrorKind, Phase, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

const POINTER: &str = "/linux/cgroupsPath";
/// systemd.unit(5).
const MAX_LENGTH: usize = 255;

/// A transient scope (systemd.scope(5)) and its slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// The slice's name.
    pub slice: String,
    /// The scope's name.
    pub name: String,
}

impl Unit {
    /// The unit for a configuration's `cgroupsPath` and a container `id`, if the manager is systemd: `slice:prefix:name` is
    /// the scope `prefix-name.scope` in `slice`.
    ///
    /// If `cgroupsPath` is absent or empty, the scope is `orlop-ID.scope`. The default slice is `system.slice`, and
    /// `user.slice` in the instance of a user.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], with the pointer `/linux/cgroupsPath`.
    pub fn from_config(cgroups_path: Option<&str>, id: &str, user: bool) -> Result<Self> {
        let (slice, prefix, name) = match cgroups_path.filter(|path| !path.is_empty()) {
            None => ("", "orlop", id),
            Some(path) => {
                let parts: Vec<&str> = path.split(':').collect();
                let [slice, prefix, name] = parts[..] else {
                    let text = format!(
                        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
                    );
                    return Err(
                        Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, text).with_pointer(POINTER)
                    );
                };
                (slice, prefix, name)
            }
        };
        let slice = match slice {
            "" if user => "user.slice",
            "" => "system.slice",
            slice => slice,
        };
        if name.strip_suffix(".slice").is_some() {
            return Err(invalid(name, "a slice can hold no processes: a container needs a scope"));
        }
        let unit = Self { slice: slice.to_owned(), name: format!("{prefix}-{name}.scope") };
        for name in [&unit.slice, &unit.name] {
            check(name)?;
        }
        unit.slices().map(|_| unit.clone())
    }

    /// The slices from the top down: `a-b.slice` is in `a.slice`. Empty for the root slice, `-.slice`.
    fn slices(&self) -> Result<Vec<String>> {
        let stem = self.slice.strip_suffix(".slice").filter(|stem| !stem.is_empty());
        let stem = stem.ok_or_else(|| invalid(&self.slice, "the name of a slice ends with .slice"))?;
        if stem == "-" {
            return Ok(Vec::new());
        }
        let mut name = String::new();
        let mut slices = Vec::new();
        for part in stem.split('-') {
            if part.is_empty() {
                return Err(invalid(&self.slice, "the name of a slice has no empty parts"));
            }
            // Writing to a String cannot fail.
            let _ = write!(name, "{}{part}", if name.is_empty() { "" } else { "-" });
            slices.push(format!("{name}.slice"));
        }
        Ok(slices)
    }

    /// The path of its cgroup, if that of the manager is `manager`.
    ///
    /// # Errors
    /// As [`Unit::from_config`].
    pub fn path(&self, manager: &str) -> Result<CgroupPath> {
        let slices = self.slices()?.join("/");
        CgroupPath::new(&format!("/{manager}/{slices}/{}", self.name))
    }
}

fn invalid(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "invalid systemd unit name")
        .on(format!("{name:?}"))
        .with_detail(why)
        .with_pointer(POINTER)
}

fn check(name: &str) -> Result<()> {
    if name.len() > MAX_LENGTH {
        return Err(invalid(name, "it is longer than 255 bytes"));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || ":-_.\\@".contains(*c))) {
        Some(c) => Err(invalid(name, &format!("{c:?} is not allowed in it"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: Option<&str>, user: bool, manager: &str) -> String {
        Unit::from_config(text, "c1", user).unwrap().path(manager).unwrap().to_string()
    }

    #[test]
    fn scopes_are_below_their_slices() {
        assert_eq!(path(None, false, ""), "/system.slice/orlop-c1.scope");
        assert_eq!(path(Some("machine.slice:libpod:abc"), false, "/"), "/machine.slice/libpod-abc.scope");
        assert_eq!(
            path(Some("kubepods-besteffort-pod1.slice:cri-containerd:x"), false, ""),
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-x.scope"
        );
        assert_eq!(path(Some("-.slice:a:b"), false, ""), "/a-b.scope");
        assert_eq!(
            path(Some(":a:b"), true, "/user.slice/user-1.slice/user@1.service"),
            "/user.slice/user-1.slice/user@1.service/user.slice/a-b.scope"
        );
    }

    #[test]
    fn invalid_units_are_rejected() {
        for (bad, why) in [
            ("/a/b", "expected cgroupsPath to be of format \"slice:prefix:name\""),
            ("a:b", "expected cgroupsPath"),
            ("a.slice:b:c:d", "expected cgroupsPath"),
            ("a:b:c", "ends with .slice"),
            (".slice:b:c", "ends with .slice"),
            ("a--b.slice:b:c", "no empty parts"),
            ("a.slice:b:c d", "' ' is not allowed"),
            ("../a.slice:b:c", "'/' is not allowed"),
            ("a.slice:b:c.slice", "needs a scope"),
        ] {
            let e = Unit::from_config(Some(bad), "c1", false).unwrap_err();
            assert!(e.to_string().contains(why), "{bad}: {e}");
            assert_eq!(e.pointer(), Some(POINTER));
        }
        let long = format!("a.slice:b:{}", "c".repeat(300));
        assert!(Unit::from_config(Some(&long), "c1", false).is_err());
    }
}
