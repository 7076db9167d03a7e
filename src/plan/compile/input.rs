//! What the plan of a container, or of a process that joins one, is compiled from.

use super::super::cgroup::CgroupOutcome;
use super::super::host::Host;
use super::super::options::Options;
use super::super::step::LineOrigin;
use super::policy::Policy;
use crate::bundle::Spec;
use crate::bundle::spec::{Hooks, Linux, Mount};
use crate::namespace::{NamespaceKind, Namespaces};
use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

/// What the plan of a container, or of a process that joins one, is compiled from.
pub(super) struct Input<'a> {
    pub(super) spec: &'a Spec,
    pub(super) host: &'a Host,
    pub(super) options: &'a Options,
    pub(super) namespaces: Namespaces,
    pub(super) cgroup: CgroupOutcome,
    /// The root file system on the host; `None` if the process joins a container.
    pub(super) rootfs: Option<&'a Path>,
    /// The policy of the container that the process joins; `None` if it is a container's first process.
    pub(super) joining: Option<&'a Policy>,
}

/// Where a bundle and its root file system are on the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BundlePaths<'a> {
    /// The bundle's directory, from which relative sources of bind mounts are looked up.
    pub(crate) bundle: &'a Path,
    /// The root file system.
    pub(crate) rootfs: &'a Path,
}

impl<'a> Input<'a> {
    pub(super) fn linux(&self) -> Option<&'a Linux> {
        self.spec.linux.as_ref()
    }

    pub(super) fn hooks(&self) -> Option<&'a Hooks> {
        self.spec.hooks.as_ref()
    }

    /// Where a line of the configuration's `linux` comes from; standard without such an object.
    pub(super) fn origin(&self, pointer: &str) -> LineOrigin {
        if self.linux().is_some() { LineOrigin::Pointer(pointer.into()) } else { LineOrigin::Standard }
    }

    /// Where a mount goes, as a path in the container. A relative path is taken from the root. Some managers give the host's
    /// path below the root file system; of that the rest counts, as under runc.
    pub(super) fn destination<'m>(&self, mount: &'m Mount) -> Cow<'m, str> {
        let path = mount.destination.as_str();
        let below = self.rootfs.filter(|rootfs| rootfs.parent().is_some());
        if let Some(rest) =
            below.and_then(|rootfs| cleaned(path).strip_prefix(rootfs).ok().map(Path::to_owned))
        {
            return Cow::Owned(format!("/{}", rest.display()));
        }
        match path.trim_start_matches('/') {
            rest if rest.len() + 1 == path.len() => Cow::Borrowed(path),
            rest => Cow::Owned(format!("/{rest}")),
        }
    }

    pub(super) fn joins(&self, kind: NamespaceKind) -> bool {
        self.namespaces.has(kind) && !self.namespaces.is_new(kind)
    }

    /// Whether the final process is cloned last, with everything it is to have and nothing else: other processes are in
    /// its pid namespace, and can see it.
    pub(super) fn is_born_late(&self) -> bool {
        self.joining.is_some() || self.joins(NamespaceKind::Pid)
    }

    /// Whether the container has a user namespace that is not the caller's.
    pub(super) fn in_user_namespace(&self) -> bool {
        self.namespaces.has(NamespaceKind::User)
    }

    /// Whether the host side opens the trees to be bound: the container's user namespace may not reach what the host's
    /// root can, and a joined mount namespace may have something else at their paths.
    pub(super) fn trees_by_host(&self) -> bool {
        (self.in_user_namespace() || self.joins(NamespaceKind::Mount)) && self.host.makes_namespaces
    }
}

/// Whether a path is the root itself, after `.` and `..` are resolved as text.
pub(super) fn is_root(path: &str) -> bool {
    cleaned(path) == Path::new("/")
}

/// A path from `/` without `.` and `..`, which are resolved as text. Most paths have none.
fn cleaned(path: &str) -> Cow<'_, Path> {
    if path.starts_with('/') && !path.contains("/.") && !path.contains("//") {
        return Cow::Borrowed(Path::new(path));
    }
    let mut cleaned = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Cow::Owned(cleaned)
}
