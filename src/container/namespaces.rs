//! Which of a container's namespaces a further process joins.

use super::store::StateRecord;
use crate::bundle::Spec;
use crate::namespace;
use crate::{Error, Phase, Result};
use nix::errno::Errno;

/// The namespaces that a configuration names, as `CLONE_NEW*` flags: those that the container does not share with the
/// host.
pub(super) fn configured(spec: &Spec) -> u64 {
    let kinds = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    kinds.filter_map(|n| namespace::NamespaceKind::from_name(&n.kind)).fold(0, |all, kind| all | kind.flag())
}

/// The namespaces that the caller can join, given those that the configuration names: a restored container may also have
/// a time namespace, and no process can join the user namespace that it is in.
pub(super) fn joinable(record: &StateRecord, mut configured: u64) -> Result<u64> {
    let differs = |kind: &str| -> Result<bool> {
        let inode = |path: String| match nix::sys::stat::stat(path.as_str()) {
            Ok(namespace) => Ok(Some(namespace.st_ino)),
            Err(Errno::ENOENT) => Ok(None), // This kernel does not support it.
            Err(e) => Err(Error::sys(Phase::Namespace, "stat", e).on(path)),
        };
        let ours = inode(format!("/proc/self/ns/{kind}"))?;
        Ok(ours.is_none() || ours != inode(format!("/proc/{}/ns/{kind}", record.init.pid))?)
    };
    if record.restored && differs("time")? {
        configured |= libc::CLONE_NEWTIME as u64;
    }
    if configured & libc::CLONE_NEWUSER as u64 != 0 && !differs("user")? {
        configured &= !(libc::CLONE_NEWUSER as u64);
    }
    Ok(configured)
}
