//! What the plan of a container, or of a process that joins one, is compiled from.

use super::super::cgroup::CgroupOutcome;
use super::super::host::Host;
use super::super::options::Options;
use super::super::step::LineOrigin;
use super::policy::Policy;
use crate::bundle::Spec;
use crate::bundle::spec::{Hooks, Linux};
use crate::namespace::{NamespaceKind, Namespaces};
use std::path::Path;

/// What the plan of a container, or of a process that joins one, is compiled from.
pub(super) struct Input<'a> {
    pub(super) spec: &'a Spec,
    pub(super) host: &'a Host,
    pub(super) options: &'a Options,
    pub(super) namespaces: Namespaces,
    pub(super) cgroup: CgroupOutcome,
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
    /// root can.
    pub(super) fn trees_by_host(&self) -> bool {
        self.in_user_namespace() && self.host.makes_namespaces
    }
}
