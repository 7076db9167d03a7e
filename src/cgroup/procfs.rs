//! Files of procfs.

use crate::sys::fs as sysfs;
use crate::{Error, ErrorKind, Phase, Result};
use nix::sys::statfs::PROC_SUPER_MAGIC;
use std::path::Path;

/// Reads a whole file; one below `/proc` must be on a procfs.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |operation| move |e| Error::sys(Phase::Cgroup, operation, e).on(path.display().to_string());
    let name = sysfs::cstring(path).map_err(failed("open"))?;
    let fd = sysfs::openat(sysfs::cwd(), &name, libc::O_RDONLY, 0).map_err(failed("open"))?;
    if path.starts_with("/proc") {
        let file_system = sysfs::file_system(&fd).map_err(failed("fstatfs"))?;
        if file_system != PROC_SUPER_MAGIC {
            return Err(
                Error::new(ErrorKind::System, Phase::Cgroup, "not a procfs").on(path.display().to_string())
            );
        }
    }
    sysfs::read_all(fd, 64 << 20).map_err(failed("read"))
}
